#!/usr/bin/env bash
# Reads tables of a stream while it runs and of a batch job as Delta tables, by deltalake, Polars and DuckDB in an environment of its own
# with the pinned packages, and compares it row for row with what `tidemill sql` says.
#   tests/delta/run.sh [ARGUMENT…]     arguments of readers.py
#   TIDEMILL=FILE                      the binary, else target/release/tidemill
# Exit codes: 0 all say the same, 1 one does not, 77 skipped: no Python 3.11 or no package index.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export TIDEMILL=${TIDEMILL:-$here/../../target/release/tidemill}

what=delta
. "$here/../venv.sh"
"$venv/bin/python" "$here/readers.py" "$@"
