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

what=notebook
. "$here/../tests/venv.sh"

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
