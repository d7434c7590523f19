#!/usr/bin/env bash
# Stops what start.sh started and removes its data; takes the same --dir.
exec "$(dirname "${BASH_SOURCE[0]}")/start.sh" --stop "$@"
