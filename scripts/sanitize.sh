#!/usr/bin/env bash
# Builds the extension with gcc's sanitizers, beside the normal one, and runs the tests with it:
#   scripts/sanitize.sh PYTHON [PYTEST ARGUMENT...]
set -euo pipefail
cd "$(dirname "$0")/.."

python=$PWD/$1
[[ "$1" == /* ]] && python=$1
shift
root=$PWD/build/sanitize

echo "Building with -fsanitize=address,undefined"
mkdir -p "$root"
HEYFLEET_SANITIZE=address,undefined "$python" setup.py -q build_ext --build-lib "$root" --build-temp "$root/temp" \
    >"$root/build.log" 2>&1 || { cat "$root/build.log" >&2 && exit 1; }

scripts/overlay.sh "$root"

# Reports go to files: a sanitizer ends the process, and pytest's captured output with it; and a test may ignore the output of
# a process that it started. Leaks are not reported, because Python itself does not free everything.
rm -f "$root"/report.*
export PYTHONPATH=$root
export PYTHONMALLOC=malloc # otherwise small objects share blocks, which the sanitizer sees as one
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:log_path=$root/report
export UBSAN_OPTIONS=print_stacktrace=1:log_path=$root/report
preload=$(gcc -print-file-name=libasan.so)

LD_PRELOAD=$preload "$python" - <<'PYTHON'
import heyfleet.ext._core as core

assert "/build/sanitize/" in core.__file__, f"the tests would run on {core.__file__}"
PYTHON

# Fleets of real processes and the commands of the pages are left out: other tests cover their native code, and a dozen sanitized
# processes on two cores take minutes. Deployment is left out because none of it is native.
code=0
skipped=(
    tests/test_tidy.py tests/test_imports.py tests/test_words.py tests/unit/deploy
    tests/fleet/test_runs.py tests/fleet/test_controller.py tests/fleet/test_deploy_local.py
    tests/fleet/test_end_of_command.py tests/integration/test_interrupts.py tests/integration/test_surroundings.py
    tests/integration/test_demo.py tests/integration/test_pages.py tests/integration/test_tour.py
)
LD_PRELOAD=$preload "$python" -m pytest -q -n 2 --dist worksteal -p no:cacheprovider "${skipped[@]/#/--ignore=}" "$@" || code=$?
if compgen -G "$root/report.*" >/dev/null; then
    cat "$root"/report.* >&2
    echo "a sanitizer reported an error: see above" >&2
    exit 1
fi
exit "$code"
