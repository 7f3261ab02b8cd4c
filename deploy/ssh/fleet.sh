#!/usr/bin/env bash
# Agents on hosts that you reach by ssh, with nothing there but sshd and Python:
#   fleet.sh up RUN HOSTS --join HOST:PORT --files DIR [--bundle FILE] [--for 2h]
#   fleet.sh status|logs|down|reap [RUN] HOSTS
# HOSTS: names with commas between them, or a file with one a line. ssh's own configuration decides how each is reached.
# The README beside it shows the whole way.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
ssh=(ssh -o BatchMode=yes -o ConnectTimeout=10)
[[ -z "${HEYFLEET_SSH_CONFIG:-}" ]] || ssh+=(-F "$HEYFLEET_SSH_CONFIG")

fail() {
    echo "fleet.sh: $1" >&2
    exit 2
}

on() { # on HOST WORD...: host.sh on that host, with our stdin
    local host=$1 word line
    shift
    line="exec sh -c $(quoted "$(<"$here/host.sh")") host.sh"
    for word in "$@"; do line+=" $(quoted "$word")"; done
    "${ssh[@]}" "$host" "$line"
}

quoted() { # for any shell that a host may have, so not as printf %q does it
    printf "'%s'" "${1//\'/\'\\\'\'}"
}

all_hosts() { # all_hosts HOSTS
    if [[ -f "$1" ]]; then
        sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$1"
    else
        tr ',' '\n' <<<"$1" | sed '/^$/d'
    fi
}

seconds_of() { # seconds_of 2h
    [[ "$1" =~ ^([0-9]+)([smh])$ ]] || fail "--for $1: it is like 90s, 30m or 2h"
    case "${BASH_REMATCH[2]}" in s) echo "${BASH_REMATCH[1]}" ;; m) echo $((BASH_REMATCH[1] * 60)) ;; h) echo $((BASH_REMATCH[1] * 3600)) ;; esac
}

bring_up() { # bring_up HOST RUN JOIN FILES BUNDLE SECONDS NAME: one host; what went wrong, on stderr
    local host=$1 run=$2 join=$3 files=$4 bundle=$5 seconds=$6 name=$7 found wanted base
    found=$(on "$host" probe </dev/null) || return 1
    base=$(basename "$bundle" .tar.gz)
    wanted="python=$(sed -E 's/.*-python([0-9.]+)-.*/\1/' <<<"$base") machine=${base##*-}"
    if [[ "$(head -2 <<<"$found" | paste -sd' ')" != "$wanted" ]]; then
        echo "it has $(head -2 <<<"$found" | paste -sd' '), and the bundle is for $wanted: make bundle VERSION=..." >&2
        return 1
    fi
    [[ "$(on "$host" have "$base" </dev/null)" == yes ]] || on "$host" install "$base" <"$bundle" || return 1
    { cat "$files/ca.pem" && echo && cat "$files/join.token" && printf '\nend\n'; } | on "$host" start "$run" "$base" "$join" "$seconds" "$name"
}

up() {
    local run=${1:-} hosts=${2:-} join="" files="" bundle="" time=2h
    [[ $# -ge 2 ]] || fail "up wants RUN and HOSTS"
    shift 2
    while [[ $# -gt 0 ]]; do
        case "$1" in
        --join) join=${2:-} ;;
        --files) files=${2:-} ;;
        --bundle) bundle=${2:-} ;;
        --for) time=${2:-} ;;
        *) fail "unknown: $1" ;;
        esac
        shift 2 || fail "$1 wants a value"
    done
    [[ -n "$join" ]] || fail "--join HOST:PORT is missing: where the controller listens, as these hosts see it"
    [[ -f "$files/ca.pem" && -f "$files/join.token" ]] || fail "--files DIR: it must have the ca.pem and join.token of the controller"
    bundle=${bundle:-$(compgen -G "$here/../../dist/heyfleet-agent-*.tar.gz" | head -1 || true)}
    [[ -f "$bundle" ]] || fail "there is no bundle: make bundle, or --bundle FILE"
    local seconds
    seconds=$(seconds_of "$time")
    each "$hosts" bring_up "$run" "$join" "$files" "$bundle" "$seconds"
}

each() { # each HOSTS FUNCTION ARGUMENT...: all hosts at once, what each says behind its name; 1 if one of them failed
    local hosts=$1 function=$2 host bad=0 folder
    shift 2
    mapfile -t names < <(all_hosts "$hosts")
    [[ ${#names[@]} != 0 ]] || fail "$hosts names no host"
    folder=$(mktemp -d)
    for index in "${!names[@]}"; do
        ("$function" "${names[$index]}" "$@" "${names[$index]}" >"$folder/$index.out" 2>"$folder/$index.err" && touch "$folder/$index.good") &
    done
    wait
    for index in "${!names[@]}"; do
        host=${names[$index]}
        sed "s|^|$host: |" "$folder/$index.out"
        if [[ ! -e "$folder/$index.good" ]]; then
            bad=1
            echo "$host: failed: $(paste -sd' ' "$folder/$index.err")" >&2
        fi
    done
    rm -rf "$folder"
    return $bad
}

simple() { # simple HOST WORD... NAME: host.sh as it is; each gives the name last
    on "$1" "${@:2:$#-2}" </dev/null
}

command=${1:-}
shift || true
case "$command" in
up) up "$@" ;;
status) each "${1:?HOSTS}" simple status ;;
logs) each "${2:?RUN and HOSTS}" simple logs "$1" ;;
down) each "${2:?RUN and HOSTS}" simple stop "$1" ;;
reap) each "${1:?HOSTS}" simple reap ${2:+"$2"} ;;
*) fail "usage: fleet.sh up|status|logs|down|reap (see the head of this file)" ;;
esac
