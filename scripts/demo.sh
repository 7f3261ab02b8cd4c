#!/usr/bin/env bash
# Loads a practice service before and after a change of its network, at four times its speed, and compares:  scripts/demo.sh HEYFLEET
# One controller and three agents on this host send the load. Archives and pages go to build/demo.
set -euo pipefail
cd "$(dirname "$0")/.."

heyfleet=$1
runs=build/demo
service=""
rm -rf "$runs"
mkdir -p "$runs"

stop_service() {
    if [[ -n "$service" ]]; then
        kill "$service" 2>/dev/null || true
        wait "$service" 2>/dev/null || true
    fi
    service=""
}
trap stop_service EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

measure() { # measure NAME NETWORK: start the service, run the load, stop the service; the run is kept in build/demo/NAME
    local output line=""
    echo "\$ heyfleet lab vpc-lambda --network $2 --time-scale 0.25"
    exec {output}< <(exec "$heyfleet" lab vpc-lambda --network "$2" --time-scale 0.25 --port 0 2>"$runs/service-$1.log")
    service=$!
    # The first line has the address. It comes when the service listens; if the service ends before, this read ends too.
    if ! read -r line <&"$output"; then
        echo "the practice service did not start:" >&2
        cat "$runs/service-$1.log" >&2
        exit 1
    fi
    local url=http://${line##*http://}
    echo "\$ heyfleet run -f examples/vpc-lambda/1-$1.yaml --local-agents 3 --out $runs/$1 $url"
    "$heyfleet" run -f "examples/vpc-lambda/1-$1.yaml" --local-agents 3 --out "$runs/$1" "$url"
    stop_service
    cat <&"$output" # the service's own count
    exec {output}<&-
    echo
}

measure before old
measure after new
echo "\$ heyfleet compare $runs/before $runs/after --html $runs/compared.html"
"$heyfleet" compare "$runs/before" "$runs/after" --html "$runs/compared.html"
