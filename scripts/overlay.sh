#!/usr/bin/env bash
# Links the package of this checkout around an extension that was built into FOLDER. With FOLDER in PYTHONPATH, it takes
# precedence over the editable installation:  scripts/overlay.sh FOLDER
set -euo pipefail
cd "$(dirname "$0")/.."
for file in src/heyfleet/* src/heyfleet/ext/*.py*; do
    case "$file" in
    src/heyfleet/ext | *.pyx) ;;
    *) ln -sfn "$PWD/$file" "$1/${file#src/}" ;;
    esac
done
