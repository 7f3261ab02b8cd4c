#!/usr/bin/env bash
# Generates the protobuf modules and compiles the extension where a source is newer:  scripts/build.sh PYTHON
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/progress.sh

mkdir -p build
: >build/build.log
step "Compiling the extension" build/build.log "$1" setup.py -q build_ext --inplace
