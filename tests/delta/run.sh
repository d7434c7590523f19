#!/usr/bin/env bash
# Reads a stream's table as a Delta table while the stream runs, by deltalake, Polars and DuckDB in an environment of its own
# with the pinned packages, and compares it row for row with what `tidemill sql` says.
#   tests/delta/run.sh [ARGUMENT…]     arguments of readers.py
#   TIDEMILL=FILE                      the binary, else target/release/tidemill
# Exit codes: 0 all say the same, 1 one does not, 77 skipped: no Python 3.11 or no package index.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export TIDEMILL=${TIDEMILL:-$here/../../target/release/tidemill}

skip() {
  echo "skipped: delta ($1)"
  exit 77
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python=$(command -v python3) || skip "there is no python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || skip "Python 3.11 or newer is needed"
"$python" -m venv "$work/venv" >"$work/log" 2>&1 || skip "python3 cannot make a venv"
if ! "$work/venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 2 --timeout 20 \
  --only-binary :all: -r "$here/requirements.txt" >"$work/log" 2>&1; then
  cat "$work/log" >&2
  # Where the index answers but a pin is wrong, the pin has to be mended.
  if grep -Eq 'from versions: [^n)]|ResolutionImpossible|Invalid requirement' "$work/log"; then
    echo "failed: delta (a pin of requirements.txt cannot be installed)"
    exit 1
  fi
  skip "the packages of requirements.txt cannot be had"
fi
"$work/venv/bin/python" "$here/readers.py" "$@"
