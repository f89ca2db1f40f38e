# Sourced by ops/run and ops/test, from the top of the checkout: makes .venv fit the checkout, with python and pip alone.
# Needs nothing when it already does: the stamp names the requirements, pyproject.toml and the Python they were
# installed for. PYTHON names another Python (remove .venv first), UV another uv, UV=no means pip; pip and uv
# read their own settings.

say() {
    printf '%s\n' "callboard: $*" >&2
}

fail() {
    say "$*"
    exit 1
}

# Prints the path of the first Python that is new enough; behind a virtual environment, the one it was made from.
find_python() {
    for candidate in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        "$candidate" -c '
import sys
if sys.version_info < (3, 11):
    sys.exit(1)
print(getattr(sys, "_base_executable", sys.executable))' 2>/dev/null && return
    done
    fail "Python 3.11 or newer is needed; ${PYTHON:-python3} is: $("${PYTHON:-python3}" --version 2>&1 | head -n 1)." \
        "Install python3.11, or set PYTHON to the path of one."
}

# $1: a python. Prints which one it is, or nothing if it does not run.
describe_python() {
    "$1" -c 'import sys; print(sys.version.split()[0], sys.base_prefix)' 2>/dev/null || true
}

# $1: a python, $2: a requirements file. Prints what .venv must have been made from.
stamp_for() {
    printf '%s %s\n' "$1" "$(cat "$2" pyproject.toml | cksum)"
}

# Prints the path of uv, or nothing where it can neither be found nor installed: pip does the same, slower.
find_uv() {
    if [ "${UV:-}" = no ]; then
        :
    elif [ -n "${UV:-}" ]; then
        printf '%s\n' "$UV"
    elif command -v uv; then
        :
    elif [ -x .cache/uv/bin/uv ]; then
        printf '%s\n' "$PWD/.cache/uv/bin/uv"
    elif "$python" -m pip install --quiet --disable-pip-version-check --target .cache/uv uv >&2 &&
        .cache/uv/bin/uv --version >/dev/null 2>&1; then
        printf '%s\n' "$PWD/.cache/uv/bin/uv"
    fi
}

install_with_uv() {
    UV_PYTHON_DOWNLOADS=never
    export UV_PYTHON_DOWNLOADS
    if [ ! -w "${HOME:-/nonexistent}" ]; then
        UV_CACHE_DIR=${UV_CACHE_DIR:-$PWD/.cache/uv-cache}
        export UV_CACHE_DIR
    fi
    "$uv" venv --quiet --no-project --allow-existing --python "$python" .venv &&
        "$uv" pip sync --quiet --python .venv/bin/python --require-hashes "$1" &&
        "$uv" pip install --quiet --python .venv/bin/python --offline --no-deps --no-build-isolation --editable .
}

install_with_pip() {
    "$python" -m venv .venv || {
        say "python -m venv failed; on Debian install python3-venv"
        return 1
    }
    .venv/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement "$1" &&
        .venv/bin/python -m pip install --quiet --disable-pip-version-check --no-index --no-deps \
            --no-build-isolation --editable .
}

# $1: a requirements file; $2: another one that holds all of it, and will do when it is what .venv has.
prepare() {
    found=$(cat .venv/callboard.stamp 2>/dev/null || true)
    if [ -n "$found" ]; then
        present=$(describe_python .venv/bin/python)
        if [ "$found" = "$(stamp_for "$present" "$1")" ] || [ "$found" = "$(stamp_for "$present" "${2:-$1}")" ]; then
            return
        fi
    fi
    python=$(find_python) || exit 1
    chosen=$(describe_python "$python")
    say "installing $1 into .venv"
    rm -f .venv/callboard.stamp
    if [ "$(describe_python .venv/bin/python)" != "$chosen" ]; then
        rm -rf .venv
    fi
    uv=$(find_uv)
    if [ -n "$uv" ]; then
        install_with_uv "$1" || fail "uv could not install $1: see its message above"
    else
        install_with_pip "$1" || fail "pip could not install $1: see its message above"
    fi
    stamp_for "$chosen" "$1" >.venv/callboard.stamp
}
