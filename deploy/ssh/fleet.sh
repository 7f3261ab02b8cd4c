#!/usr/bin/env bash
# Launches agents on hosts reached by ssh, with nothing on them but sshd and Python:
#   fleet.sh up RUN HOSTS --join HOST:PORT --files DIR [--bundle FILE] [--for 2h]
#   fleet.sh logs|down RUN HOSTS
#   fleet.sh status|reap HOSTS
# HOSTS: names separated by commas, or a file with one a line. ssh's own configuration decides how each is reached.
# The README next to this file has a complete example.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
ssh=(ssh -o BatchMode=yes -o ConnectTimeout=10)
[[ -z "${HEYFLEET_SSH_CONFIG:-}" ]] || ssh+=(-F "$HEYFLEET_SSH_CONFIG")

fail() {
    echo "fleet.sh: $1" >&2
    exit 2
}

on() { # on HOST WORD...: run host.sh on a host, with our stdin
    local host=$1 word line
    shift
    line="exec sh -c $(quoted "$(<"$here/host.sh")") host.sh"
    for word in "$@"; do line+=" $(quoted "$word")"; done
    "${ssh[@]}" "$host" "$line"
}

quoted() { # quote for any POSIX shell; printf %q writes what only bash reads
    printf "'%s'" "${1//\'/\'\\\'\'}"
}

all_hosts() { # all_hosts HOSTS
    if [[ -f "$1" ]]; then
        sed 's/#.*//; s/[[:space:]]//g; /^$/d' "$1"
    else
        tr ',' '\n' <<<"$1" | sed '/^$/d'
    fi
}

seconds_of() { # seconds_of 1h30m: whole seconds
    local rest=$1 total=0
    while [[ "$rest" =~ ^([0-9]+)([smh])(.*)$ ]]; do
        case "${BASH_REMATCH[2]}" in s) total=$((total + BASH_REMATCH[1])) ;; m) total=$((total + BASH_REMATCH[1] * 60)) ;; h) total=$((total + BASH_REMATCH[1] * 3600)) ;; esac
        rest=${BASH_REMATCH[3]}
    done
    [[ -z "$rest" && $total -gt 0 ]] || fail "--for $1 is not a duration like 90s, 30m or 1h30m"
    echo "$total"
}

bring_up() { # bring_up HOST RUN JOIN FILES BUNDLE SECONDS NAME: start an agent on one host; problems go to stderr
    local host=$1 run=$2 join=$3 files=$4 bundle=$5 seconds=$6 name=$7 facts expected actual base
    facts=$(on "$host" probe </dev/null) || return 1
    base=$(basename "$bundle" .tar.gz)
    expected="python=$(sed -E 's/.*-python([0-9.]+)-.*/\1/' <<<"$base") machine=${base##*-}"
    actual=$(head -2 <<<"$facts" | paste -sd' ')
    if [[ "$actual" != "$expected" ]]; then
        echo "it has $actual, and the bundle is for $expected: make bundle VERSION=..." >&2
        return 1
    fi
    [[ "$(on "$host" have "$base" </dev/null)" == yes ]] || on "$host" install "$base" <"$bundle" || return 1
    { cat "$files/ca.pem" && echo && cat "$files/join.token" && printf '\nend\n'; } | on "$host" start "$run" "$base" "$join" "$seconds" "$name"
}

up() {
    local run=${1:-} hosts=${2:-} join="" files="" bundle="" lifetime=2h
    [[ $# -ge 2 ]] || fail "up needs RUN and HOSTS"
    shift 2
    while [[ $# -gt 0 ]]; do
        case "$1" in
        --join) join=${2:-} ;;
        --files) files=${2:-} ;;
        --bundle) bundle=${2:-} ;;
        --for) lifetime=${2:-} ;;
        *) fail "unknown option $1" ;;
        esac
        shift 2 || fail "$1 needs a value"
    done
    [[ -n "$join" ]] || fail "--join HOST:PORT is missing: the address of the controller, as these hosts see it"
    [[ -f "$files/ca.pem" && -f "$files/join.token" ]] || fail "--files DIR must contain the controller's ca.pem and join.token"
    bundle=${bundle:-$(compgen -G "$here/../../dist/heyfleet-agent-*.tar.gz" | head -1 || true)}
    [[ -f "$bundle" ]] || fail "there is no bundle: run make bundle, or use --bundle FILE"
    local seconds
    seconds=$(seconds_of "$lifetime")
    each "$hosts" bring_up "$run" "$join" "$files" "$bundle" "$seconds"
}

each() { # each HOSTS FUNCTION ARGUMENT...: run it on all hosts at once, print output by host; 1 if a host failed
    local hosts=$1 function=$2 host failed=0 folder
    shift 2
    mapfile -t names < <(all_hosts "$hosts")
    [[ ${#names[@]} != 0 ]] || fail "$hosts names no host"
    folder=$(mktemp -d)
    for index in "${!names[@]}"; do
        ("$function" "${names[$index]}" "$@" "${names[$index]}" >"$folder/$index.out" 2>"$folder/$index.err" && touch "$folder/$index.ok") &
    done
    wait
    for index in "${!names[@]}"; do
        host=${names[$index]}
        sed "s|^|$host: |" "$folder/$index.out"
        if [[ ! -e "$folder/$index.ok" ]]; then
            failed=1
            echo "$host: failed: $(paste -sd' ' "$folder/$index.err")" >&2
        fi
    done
    rm -rf "$folder"
    return $failed
}

simple() { # simple HOST WORD... NAME: run host.sh with these words; NAME, which `each` adds, is not used
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
*) fail "usage: fleet.sh up|status|logs|down|reap (see the comment at the top of this file)" ;;
esac
