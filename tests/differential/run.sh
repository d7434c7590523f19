#!/usr/bin/env bash
# Compares statements with DuckDB, in an environment of its own with the pinned packages.
#   tests/differential/run.sh [ARGUMENT…]      arguments of differential.py; without one: 2,000 statements of a fixed seed
#   TIDEMILL=FILE                              the binary, else target/release/tidemill
# Exit codes: 0 no difference without a name, 1 one, 77 skipped: no Python 3.11 or no package index.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export TIDEMILL=${TIDEMILL:-$here/../../target/release/tidemill}

what=differential
. "$here/../venv.sh"
[ $# -gt 0 ] || set -- --statements 2000 --seed 2026
"$venv/bin/python" "$here/differential.py" "$@"
