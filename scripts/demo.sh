#!/usr/bin/env bash
# The first experiment that heyfleet began with, before and after, in a quarter of its time:  scripts/demo.sh HEYFLEET
# A fleet of a controller and three agents makes it; the practice target is started for each part and stopped after it.
set -euo pipefail
cd "$(dirname "$0")/.."

heyfleet=$1
runs=build/demo
target=""
rm -rf "$runs"
mkdir -p "$runs"

stop_target() {
    if [[ -n "$target" ]]; then
        kill "$target" 2>/dev/null || true
        wait "$target" 2>/dev/null || true
    fi
    target=""
}
trap stop_target EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

part() { # part NAME NETWORK: one run, kept in build/demo/NAME
    local said=$runs/target-$1.log url=""
    "$heyfleet" lab vpc-lambda --network "$2" --time-scale 0.25 --port 0 >"$said" 2>&1 &
    target=$!
    for _ in {1..100}; do
        url=$(sed -n 's|^heyfleet lab: listening on \(http://.*\)$|\1|p' "$said")
        if [[ -n "$url" ]] || ! kill -0 "$target" 2>/dev/null; then break; fi
        sleep 0.1
    done
    if [[ -z "$url" ]]; then
        echo "the practice target did not start; it said:" >&2
        cat "$said" >&2
        exit 1
    fi
    echo "\$ heyfleet lab vpc-lambda --network $2 --time-scale 0.25"
    echo "\$ heyfleet run -f examples/vpc-lambda/1-$1.yaml --local-agents 3 --out $runs/$1 $url"
    "$heyfleet" run -f "examples/vpc-lambda/1-$1.yaml" --local-agents 3 --out "$runs/$1" "$url"
    stop_target
    tail -n 1 "$said"
    echo
}

part before old
part after new
echo "\$ heyfleet compare $runs/before $runs/after --html $runs/compared.html"
"$heyfleet" compare "$runs/before" "$runs/after" --html "$runs/compared.html"
