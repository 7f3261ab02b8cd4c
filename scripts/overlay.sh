#!/usr/bin/env bash
# Puts the package of this checkout around an extension that was built into the folder $1, for PYTHONPATH; it comes before the
# editable install.
set -euo pipefail
cd "$(dirname "$0")/.."
for part in src/heyfleet/* src/heyfleet/ext/*.py*; do
    case "$part" in
    src/heyfleet/ext | *.pyx) ;;
    *) ln -sfn "$PWD/$part" "$1/${part#src/}" ;;
    esac
done
