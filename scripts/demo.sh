#!/usr/bin/env bash
# A real run on a fleet of a controller and three agents, against the practice target, which is started for it and stopped after it:  scripts/demo.sh HEYFLEET
set -euo pipefail
cd "$(dirname "$0")/.."

heyfleet=$1
mkdir -p build
said=build/demo-target.log

"$heyfleet" lab faulty --port 0 >"$said" 2>&1 &
target=$!
stop_target() {
    kill "$target" 2>/dev/null || true
    wait "$target" 2>/dev/null || true
}
trap stop_target EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

url=""
for _ in {1..100}; do
    url=$(sed -n 's|^heyfleet lab: listening on \(http://.*\)$|\1|p' "$said")
    if [[ -n "$url" ]]; then break; fi
    if ! kill -0 "$target" 2>/dev/null; then break; fi
    sleep 0.1
done
if [[ -z "$url" ]]; then
    echo "the practice target did not start; it said:" >&2
    cat "$said" >&2
    exit 1
fi

# A service that takes 2 to 5 ms, and 40 ms for one request in a hundred.
url="$url/ok?delay=2ms&jitter=3ms&tail=1%25/40ms"
echo "\$ heyfleet run --local-agents 3 -n 20000 -c 100 '$url'"
"$heyfleet" run --local-agents 3 -n 20000 -c 100 "$url"

rm -f build/demo.html
echo
echo "\$ heyfleet export --as html -o build/demo.html"
"$heyfleet" export --as html -o build/demo.html
echo "the run is kept in heyfleet-runs; build/demo.html shows it in a browser"
