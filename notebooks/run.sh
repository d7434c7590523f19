#!/usr/bin/env bash
# Executes the notebook on a lake and writes the executed copy, in an environment of its own with the pinned packages.
#   notebooks/run.sh LAKE [OUT]     OUT: the executed copy, else a file in a temporary folder
#   VENV=DIR notebooks/run.sh …     keeps the environment in DIR for the next time, else it is removed
# Exit codes: 0 all cells ran, 1 one failed, 2 usage, 77 skipped: no Python 3.11 or no package index.
set -euo pipefail

if [ $# -lt 1 ] || [ $# -gt 2 ] || [ -z "$1" ] || [ ! -d "$1" ]; then
  echo "usage: [VENV=DIR] $0 LAKE [OUT]; LAKE is the folder of a lake" >&2
  exit 2
fi
here=$(cd "$(dirname "$0")" && pwd)
lake=$(cd "$1" && pwd)

skip() {
  echo "skipped: notebook ($1)"
  exit 77
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
venv=${VENV:-$work/venv}

python=$(command -v python3) || skip "there is no python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || skip "Python 3.11 or newer is needed"
if [ ! -x "$venv/bin/python" ] || ! "$venv/bin/python" -m pip --version >"$work/log" 2>&1; then
  "$python" -m venv "$venv" >"$work/log" 2>&1 || skip "python3 cannot make a venv"
fi
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 2 --timeout 20 \
  --only-binary :all: -r "$here/requirements.txt" >"$work/log" 2>&1; then
  cat "$work/log" >&2
  # Where the index answers but a pin is wrong, the pin has to be mended.
  if grep -Eq 'from versions: [^n)]|ResolutionImpossible|Invalid requirement' "$work/log"; then
    echo "failed: notebook (a pin of requirements.txt cannot be installed)"
    exit 1
  fi
  skip "the packages of requirements.txt cannot be had"
fi

# Settings and caches of Jupyter and matplotlib stay out of the home folder.
export IPYTHONDIR=$work/ipython JUPYTER_CONFIG_DIR=$work/jupyter JUPYTER_DATA_DIR=$work/jupyter
export JUPYTER_RUNTIME_DIR=$work/jupyter MPLCONFIGDIR=$work/matplotlib
out=${2:-$(mktemp -d)/chicago_arrests.ipynb}
if ! "$venv/bin/python" -m papermill --no-progress-bar --kernel python3 -r lake "$lake" \
  "$here/chicago_arrests.ipynb" "$out" >"$work/log" 2>&1; then
  cat "$work/log" >&2
  echo "failed: notebook (see $out)"
  exit 1
fi
echo "notebook executed on $lake: $out"
