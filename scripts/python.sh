# shellcheck shell=bash
# Sourced: command line tools from PyPI in a virtual environment of the build folder.

# TOOL VERSION -> its path; installed when it is missing or another version.
python_tool() {
    local venv
    venv=$(realpath -m "${CARGO_TARGET_DIR:-target}")/venv
    if ! "$venv/bin/$1" --version 2>/dev/null | grep -qF "$2"; then
        [ -x "$venv/bin/pip" ] || python3 -m venv "$venv"
        "$venv/bin/pip" install --quiet --disable-pip-version-check "$1==$2" >&2
    fi
    echo "$venv/bin/$1"
}
