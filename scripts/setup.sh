#!/usr/bin/env bash
# Installs what a run, the tests or the linters need into a virtual environment:  scripts/setup.sh VENV run|test|lint
# `run` creates the environment, with heyfleet in it as an editable package, and compiles the extension meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/pick-python.sh
source scripts/progress.sh

venv=$1
extra=$2
log=build/setup-$extra.log
export PIP_DISABLE_PIP_VERSION_CHECK=1
mkdir -p build
: >"$log"

# Python compiles a module when it is first imported; compiling every installed module here would take longer than a run.
pip_install() { step "$1" "$log" env HEYFLEET_NATIVE=0 "$venv/bin/python" -m pip install --no-compile "${@:2}"; }

build_requirements() {
    "$venv/bin/python" - <<'PYTHON'
import tomllib

with open("pyproject.toml", "rb") as file:
    print("\n".join(tomllib.load(file)["build-system"]["requires"]))
PYTHON
}

if [[ "$extra" != run ]]; then
    pip_install "Installing the $extra tools" --no-build-isolation --editable ".[$extra]"
    exit
fi

scripts/system-packages.sh build
# An environment whose Python was removed, or whose folder was moved, has to be created again.
if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(pick_python)
    step "Creating $venv with $("$python" --version)" "$log" "$python" -m venv --clear "$venv"
fi

# The build uses this environment's Cython rather than an isolated copy: it is faster, and there is one version of it.
mapfile -t requirements < <(build_requirements)
pip_install "Installing the build tools" "${requirements[@]}"

# Compiling needs the build tools only, so one core compiles while the other installs the rest.
"$venv/bin/python" setup.py -q build_ext --inplace </dev/null >build/build.log 2>&1 &
compilation=$!
pip_install "Installing heyfleet" --no-build-isolation --editable .
finish_step "Compiling the extension" "$compilation" build/build.log
