#!/bin/sh
# What happens on one host; sent there by ssh and run by its sh, with nothing installed but Python:
#   probe                              what the host has, one NAME=VALUE a line
#   have BUNDLE                        yes or no: whether a bundle is there
#   install BUNDLE < BUNDLE.tar.gz     unpack it
#   start RUN BUNDLE JOIN SECONDS NAME < ca.pem, an empty line, join.token, a line `end`
#   status                             one line a run: RUN STATE NAME EXPIRES LAST-WORDS
#   logs RUN | stop RUN | reap [all]   reap: runs whose time is over, or all
# All is below $HEYFLEET_HOME (~/.heyfleet). An agent ends by itself after SECONDS, whatever becomes of whoever started it.
set -eu
umask 077
home=${HEYFLEET_HOME:-$HOME/.heyfleet}
runs=$home/runs

fail() {
    echo "$1" >&2
    exit 1
}

known() { # known RUN: a word that can't lead elsewhere
    case "$1" in '' | *[!A-Za-z0-9._-]* | .*) fail "$1 is no name of a run" ;; esac
}

# Is the process of a run still that of the run? A number may have been given again.
alive() { # alive RUN
    [ -f "$runs/$1/pid" ] || return 1
    { tr '\0' ' ' <"/proc/$(cat "$runs/$1/pid")/cmdline"; } 2>/dev/null | grep -q -- "--spool $runs/$1/spool "
}

state() { # state RUN
    alive "$1" && echo running || echo ended
}

stop() { # stop RUN: at most ten seconds until it is gone, by force if need be; says its name if it was here
    [ -d "$runs/$1" ] || return 0
    echo "$1"
    if alive "$1"; then
        pid=$(cat "$runs/$1/pid")
        kill -TERM "$pid" 2>/dev/null || true
        tries=0
        while alive "$1" && [ $tries -lt 100 ]; do
            sleep 0.1
            tries=$((tries + 1))
        done
        alive "$1" && kill -KILL "$pid" 2>/dev/null || true
    fi
    rm -rf "${runs:?}/$1"
}

start() { # start RUN BUNDLE JOIN SECONDS NAME
    run=$1 bundle=$2 join=$3 seconds=$4 name=$5
    known "$run"
    alive "$run" && fail "an agent of $run runs on this host already: end it first, or take another name"
    rm -rf "${runs:?}/$run" # of one that has ended
    [ -x "$home/bundles/$bundle/bin/heyfleet" ] || fail "the bundle $bundle is not here"
    mkdir -p "$runs/$run/spool"
    # Line by line: whatever reads in blocks would take the token along.
    while IFS= read -r line && [ -n "$line" ]; do echo "$line"; done >"$runs/$run/ca.pem"
    while IFS= read -r line && [ "$line" != end ]; do echo "$line"; done >"$runs/$run/join.token"
    if [ "${line:-}" != end ]; then # whoever sent this died meanwhile
        rm -rf "${runs:?}/$run"
        fail "what the agent needs came cut short"
    fi
    echo "$name" >"$runs/$run/name"
    echo $(($(date +%s) + seconds)) >"$runs/$run/expires"
    hard=$(ulimit -Hn)
    ulimit -n "$hard" 2>/dev/null || true
    set -- "$home/bundles/$bundle/bin/heyfleet" agent --join "$join" --ca "$runs/$run/ca.pem" \
        --token-file "$runs/$run/join.token" --name "$name" --spool "$runs/$run/spool" --rejoin-timeout 60s
    # A session of its own outlives the connection; timeout ends it when its time is over, and hands signals on.
    # --foreground: a signal goes to the agent alone, once; a second one would end it before it has handed its results over.
    setsid timeout --foreground -k 10 "$seconds" "$@" </dev/null >"$runs/$run/log" 2>&1 &
    pid=$!
    echo $pid >"$runs/$run/pid"
    # Whatever becomes of it, it says: that it joined, that it tries, or what is wrong. A short run may be over by then.
    tries=0
    while alive "$run" && [ ! -s "$runs/$run/log" ] && [ $tries -lt 300 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    # If not that it joined, then perhaps the reason of an end that is about to come.
    tries=0
    while alive "$run" && ! grep -q "joined" "$runs/$run/log" && [ $tries -lt 30 ]; do
        sleep 0.1
        tries=$((tries + 1))
    done
    if ! alive "$run" && ! wait $pid; then
        cat "$runs/$run/log" >&2
        rm -rf "${runs:?}/$run"
        exit 1
    fi
}

each_run() { [ ! -d "$runs" ] || ls "$runs"; }

command=${1:-}
shift || true
case "$command" in
probe)
    python=$(command -v "${HEYFLEET_PYTHON:-python3}") || fail "there is no python3 here: install Python 3.11 or newer, or set HEYFLEET_PYTHON"
    echo "python=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    echo "machine=$(uname -m)"
    echo "files=$(ulimit -Hn)"
    ;;
have) [ -x "$home/bundles/$1/bin/heyfleet" ] && echo yes || echo no ;;
install)
    mkdir -p "$home/bundles/.new.$$"
    tar -C "$home/bundles/.new.$$" -xzf - || fail "the bundle came damaged"
    [ -e "$home/bundles/$1" ] || mv "$home/bundles/.new.$$/$1" "$home/bundles/$1" 2>/dev/null || true # somebody else may have been first
    rm -rf "$home/bundles/.new.$$"
    [ -x "$home/bundles/$1/bin/heyfleet" ] || fail "the bundle has no $1/bin/heyfleet"
    ;;
start) start "$@" ;;
status)
    each_run | while read -r run; do
        echo "$run $(state "$run") $(cat "$runs/$run/name") $(cat "$runs/$run/expires") $(tail -n 1 "$runs/$run/log" 2>/dev/null)"
    done
    ;;
logs)
    known "$1"
    [ -f "$runs/$1/log" ] || fail "there is no run $1 on this host"
    cat "$runs/$1/log"
    ;;
stop)
    known "$1"
    stop "$1"
    ;;
reap)
    each_run | while read -r run; do
        if [ "${1:-}" = all ] || [ "$(cat "$runs/$run/expires" 2>/dev/null || echo 0)" -le "$(date +%s)" ] || [ "$(state "$run")" = ended ]; then
            stop "$run"
        fi
    done
    ;;
*) fail "usage: host.sh probe|have|install|start|status|logs|stop|reap" ;;
esac
