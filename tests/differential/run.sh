#!/usr/bin/env bash
# Compares statements with DuckDB, in an environment of its own with the pinned packages.
#   tests/differential/run.sh [ARGUMENT…]      arguments of differential.py; without one: 2,000 statements of a fixed seed
#   TIDEMILL=FILE                              the binary, else target/release/tidemill
# Exit codes: 0 no difference without a name, 1 one, 77 skipped: no Python 3.11 or no package index.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
export TIDEMILL=${TIDEMILL:-$here/../../target/release/tidemill}

skip() {
  echo "skipped: differential ($1)"
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
    echo "failed: differential (a pin of requirements.txt cannot be installed)"
    exit 1
  fi
  skip "the packages of requirements.txt cannot be had"
fi
[ $# -gt 0 ] || set -- --statements 2000 --seed 2026
"$work/venv/bin/python" "$here/differential.py" "$@"
