#!/usr/bin/env bash
# Builds the extension for libFuzzer and runs each fuzz target for some time:  scripts/fuzz.sh PYTHON [SECONDS [TARGET...]]
# The exit code is 1 if an input fails; it is saved in build/fuzz/failures/TARGET. Inputs that reach code which nothing in
# tests/fuzz/corpus reached are saved in build/fuzz/corpus/TARGET; `KEEP=1` adds a minimal set of them to tests/fuzz/corpus.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$PWD/$1
[[ "$1" == /* ]] && python=$1
seconds=${2:-60}
shift $(($# > 2 ? 2 : $#))
names=("$@")
root=$PWD/build/fuzz
clang=$(compgen -c clang- | grep -E '^clang-[0-9]+$' | sort -V | tail -1)
mkdir -p "$root"

if ! "$python" -c 'import atheris' 2>/dev/null; then
    echo "Installing atheris"
    "$python" -m pip install -q --disable-pip-version-check 'atheris==3.0.0' </dev/null >"$root/install.log" 2>&1 || {
        tail -5 "$root/install.log" >&2
        echo "atheris has no wheel for $("$python" --version); use Python 3.11 to 3.13 (make setup PYTHON=...)" >&2
        exit 1
    }
fi

echo "Building with $clang -fsanitize=address,fuzzer-no-link"
HEYFLEET_SANITIZE=address,fuzzer-no-link HEYFLEET_BUILD=build/fuzz/c CC=$clang LDSHARED="$clang -shared" \
    "$python" setup.py -q build_ext --build-lib "$root" --build-temp "$root/temp" >"$root/build.log" 2>&1 ||
    { cat "$root/build.log" >&2 && exit 1; }
scripts/overlay.sh "$root"

export PYTHONPATH=$root PYTHONMALLOC=malloc
export ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1:max_allocation_size_mb=2048
preload=$("$python" -c 'import atheris; print(atheris.path())')/asan_with_fuzzer.so
if [[ ${#names[@]} == 0 ]]; then
    read -ra names <<<"$(LD_PRELOAD=$preload "$python" -c 'from tests.fuzz.targets import TARGETS; print(*TARGETS)')"
fi

fuzz() { # fuzz TARGET: run one target; its output goes to a log
    mkdir -p "$root/corpus/$1" "$root/failures/$1" "tests/fuzz/corpus/$1"
    LD_PRELOAD=$preload "$python" -m tests.fuzz "$1" "$root/corpus/$1" "tests/fuzz/corpus/$1" -max_total_time="$seconds" \
        -timeout=60 -rss_limit_mb=4096 -max_len=4096 -print_final_stats=1 -artifact_prefix="$root/failures/$1/" \
        </dev/null >"$root/$1.log" 2>&1
}

keep() { # keep TARGET: add a minimal set of new inputs to the corpus
    printf '#!/bin/sh\nLD_PRELOAD=%s exec %s -m tests.fuzz %s "$@"\n' "$preload" "$python" "$1" >"$root/$1.sh"
    chmod +x "$root/$1.sh"
    FUZZER=$root/$1.sh "$root/$1.sh" "tests/fuzz/corpus/$1" "$root/corpus/$1" -set_cover_merge=1 -max_len=4096 \
        >"$root/$1.merge.log" 2>&1 </dev/null
}

failed=()
echo "Fuzzing ${names[*]}: $seconds s each, $(nproc) at a time"
while [[ ${#names[@]} != 0 ]]; do
    batch=("${names[@]:0:$(nproc)}")
    names=("${names[@]:$(nproc)}")
    pids=()
    for name in "${batch[@]}"; do
        fuzz "$name" &
        pids+=($!)
    done
    for index in "${!batch[@]}"; do
        name=${batch[$index]}
        code=0
        wait "${pids[$index]}" || code=$?
        runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$root/$name.log")
        if [[ $code == 0 ]]; then
            echo "  $name: $runs inputs, no failure"
        else
            failed+=("$name")
            echo "  $name: failed; the end of $root/$name.log:" >&2
            tail -40 "$root/$name.log" >&2
        fi
        if [[ -n "${KEEP:-}" ]]; then
            keep "$name"
        fi
    done
done
if [[ ${#failed[@]} != 0 ]]; then
    echo "failed: ${failed[*]}; the inputs are in $root/failures. Copy them to tests/fuzz/corpus/TARGET with the fix" >&2
    exit 1
fi
