#!/usr/bin/env bash
# Launches agents on hosts reached by ssh, with nothing on them but sshd and Python:
#   fleet.sh up RUN HOSTS --join HOST:PORT --files DIR [--bundle FILE] [--for 2h]
#   fleet.sh logs|down RUN HOSTS
#   fleet.sh status|reap HOSTS
# HOSTS: names separated by commas, or a file with one a line. ssh's own configuration decides how each is reached.
# The README next to this file has a complete example.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
ssh=(ssh -o BatchMode=yes -o ConnectTimeout=10 -o ServerAliveInterval=5 -o LogLevel=ERROR -o RequestTTY=no -o RemoteCommand=none)
at_once=5 # a jump host's sshd refuses connections at random when 10 begin at once
input=(true) # the command that prints what host.sh gets on its stdin
[[ -z "${HEYFLEET_SSH_CONFIG:-}" ]] || ssh+=(-F "$HEYFLEET_SSH_CONFIG")

fail() {
    echo "fleet.sh: $1" >&2
    exit 2
}

# Run host.sh on a host, print what it printed and nothing that its login shell printed, and return its exit code. If sshd
# drops the connection before host.sh begins, try again.
on() { # on HOST WORD...
    local host=$1 word words="" pause scratch mark status=1
    shift
    for word in "$@"; do words+=" $(quoted "$word")"; done
    scratch=$(mktemp -d)
    for pause in 1 2 4 8 0; do
        mark=heyfleet-$(od -An -N8 -tx1 /dev/urandom | tr -d ' \n')
        { printf 'mark=%s\nset --%s\n' "$mark" "$words" && cat "$here/host.sh" && "${input[@]}"; } 2>/dev/null |
            "${ssh[@]}" -- "$host" "$(grep -v '^#' "$here/boot.sh")" >"$scratch/stdout" 2>"$scratch/stderr" || true
        if grep -q "$mark begin" "$scratch/stdout"; then
            between "$mark" "$scratch/stdout"
            between "$mark" "$scratch/stderr" >&2
            status=$(sed -n "s/.*$mark end //p" "$scratch/stdout")
            break
        fi
        if [[ $pause == 0 ]] || ! grep -qE 'kex_exchange_identification|banner exchange|Connection closed by' "$scratch/stderr"; then
            grep -v '^\*\* ' "$scratch/stderr" >&2 || echo "its login shell did not run what ssh brought" >&2
            break
        fi
        sleep "$pause"
    done
    rm -rf "$scratch"
    return "${status:-1}"
}

between() { # between MARK FILE: print what is between the marks
    awk -v mark="$1" '{
        if (index($0, mark " begin")) { ours = 1; next }
        end = index($0, mark " end ")
        if (end > 1) print substr($0, 1, end - 1)
        if (end) exit
        if (ours) print
    }' "$2"
}

quoted() { # quote for any POSIX shell; printf %q writes what only bash reads
    printf "'%s'" "${1//\'/\'\\\'\'}"
}

all_hosts() { # all_hosts HOSTS: fail for a name that ssh would take for an option, or a shell for a command
    local names
    if [[ -f "$1" ]]; then
        names=$(sed '1s/^\xef\xbb\xbf//; s/#.*//; s/^[[:space:]]*//; s/[[:space:]]*$//; /^$/d' "$1")
    else
        names=$(tr ',' '\n' <<<"$1" | sed '/^$/d')
    fi
    [[ -n "$names" ]] || fail "$1 names no host"
    if grep -m 1 -E "^-|@-|[[:space:][:cntrl:]'\"\`\$\\;&<>|(){}*?!,#]" <<<"$names" >&2; then
        fail "the name above is not a host name: write names as in ssh_config, addresses, or user@host"
    fi
    echo "$names"
}

credentials() { # credentials FILES: what `start` reads
    cat "$1/ca.pem" && echo && cat "$1/join.token" && printf '\nend\n'
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
    facts=$(on "$host" probe) || return 1
    base=$(basename "$bundle" .tar.gz)
    expected="python=$(sed -E 's/.*-python([0-9.]+)-.*/\1/' <<<"$base") machine=${base##*-}"
    actual=$(head -2 <<<"$facts" | paste -sd' ')
    if [[ "$actual" != "$expected" ]]; then
        echo "it has $actual, and the bundle is for $expected: make bundle VERSION=..." >&2
        return 1
    fi
    if [[ "$(on "$host" have "$base")" != yes ]]; then
        input=(cat "$bundle")
        on "$host" install "$base" || return 1
    fi
    input=(credentials "$files")
    on "$host" start "$run" "$base" "$join" "$seconds" "$name"
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

each() { # each HOSTS FUNCTION ARGUMENT...: run it on all hosts, print output by host; 1 if a host failed
    local hosts function=$2 host failed=0 folder
    hosts=$(all_hosts "$1") || exit 2
    shift 2
    mapfile -t names <<<"$hosts"
    folder=$(mktemp -d)
    for index in "${!names[@]}"; do
        while [[ $(jobs -rp | wc -l) -ge $at_once ]]; do wait -n || true; done
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
    on "$1" "${@:2:$#-2}"
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
