# Read by the scripts beside it, which set here (this folder) and dir (where the environment goes).

# Makes the environment of the Python clients, dir/venv, or says in one line why not.
make_venv() {
    local wanted
    wanted=$(cksum <"$here/requirements.txt")
    [ "$(cat "$dir/venv/.requirements" 2>/dev/null)" = "$wanted" ] && return 0
    rm -rf "$dir/venv"
    command -v python3 >/dev/null || { echo "there is no python3"; return 1; }
    python3 -m venv "$dir/venv" >"$dir/pip.log" 2>&1 || { echo "python3 -m venv: see $dir/pip.log"; return 1; }
    "$dir/venv/bin/pip" install --quiet --disable-pip-version-check -r "$here/requirements.txt" \
        >"$dir/pip.log" 2>&1 || { echo "pip: $(grep -m1 ERROR "$dir/pip.log" | cut -c1-300)"; return 1; }
    echo "$wanted" >"$dir/venv/.requirements"
}
