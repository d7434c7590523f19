# Read by scripts that run Python with pinned packages. They set `here`, their folder, which has requirements.txt, and `what`, by
# which messages call them; `work` is a folder that is removed at their end, `venv` the environment, $VENV where that is set.

skip() {
  echo "skipped: $what ($1)"
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
    echo "failed: $what (a pin of requirements.txt cannot be installed)"
    exit 1
  fi
  skip "the packages of requirements.txt cannot be had"
fi
