#!/usr/bin/env bash
# Makes the virtual environment $1 with the project in it, editable and not yet built, and all that its development needs.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/pick-python.sh

venv=$1
log=build/setup.log
export PIP_DISABLE_PIP_VERSION_CHECK=1

step() { # step WORDS COMMAND...: one line on the screen, everything in the log
    echo "$1"
    if ! "${@:2}" </dev/null >>"$log" 2>&1; then
        echo "failed; the end of $log:" >&2
        tail -n 30 "$log" >&2
        exit 1
    fi
}

scripts/system-packages.sh build
mkdir -p build
: >"$log"
python=$(pick_python)

# One whose Python is gone, or was moved with its folder, is of no use.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    step "making $venv with $("$python" --version)" "$python" -m venv --clear "$venv"
fi

# The build uses this environment's own Cython, not a fresh copy in an isolated one: quicker, and one version for all.
build_requirements=$("$venv/bin/python" - <<'PYTHON'
import tomllib

with open("pyproject.toml", "rb") as file:
    print("\n".join(tomllib.load(file)["build-system"]["requires"]))
PYTHON
)
mapfile -t build_requirements <<<"$build_requirements"
step "installing what the build needs" "$venv/bin/python" -m pip install "${build_requirements[@]}"
step "installing what heyfleet and its tests need" \
    env HEYFLEET_NATIVE=0 "$venv/bin/python" -m pip install --no-build-isolation --editable ".[dev]"
