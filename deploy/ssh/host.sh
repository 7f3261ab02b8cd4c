#!/bin/sh
# Manages agents on one host; sent there by ssh and run by its sh (boot.sh), with nothing installed but Python:
#   probe                              print facts about the host, one NAME=VALUE a line
#   have BUNDLE                        print yes if the bundle is installed, otherwise no
#   install BUNDLE < BUNDLE.tar.gz     unpack a bundle
#   start RUN BUNDLE JOIN SECONDS NAME < ca.pem, an empty line, join.token, a line `end`
#   status                             print one line a run: RUN STATE NAME SECONDS-LEFT LAST-LOG-LINE
#   logs RUN                           print the agent's log
#   stop RUN | reap [all]              end and remove a run; expired or ended runs, or all; print their names
#   hold                               wait until stdin ends, for a tunnel in the same connection
# Everything is below $HEYFLEET_HOME (~/.heyfleet). An agent ends after SECONDS even if the host that started it is gone.
# The sender puts two lines before this file: mark=WORD, of which no one else knows, and `set --` with the command.
# On either output, only what is between the marks is ours; all else is the login shell's, whatever a .bashrc prints.
set -eu
umask 077
printf '%s begin\n' "$mark"
printf '%s begin\n' "$mark" >&2
trap 'status=$?; printf "%s end 0\n" "$mark" >&2; printf "%s end %s\n" "$mark" "$status"' EXIT
home=${HEYFLEET_HOME:-$HOME/.heyfleet}
runs=$home/runs

fail() {
    echo "$1" >&2
    exit 1
}

check_name() { # check_name RUN: reject names that could lead out of the folder
    case "$1" in '' | *[!A-Za-z0-9._-]* | .*) fail "$1 is not a valid run name" ;; esac
}

# Is the recorded process still the run's agent? The system may have reused its number.
alive() { # alive RUN
    [ -f "$runs/$1/pid" ] || return 1
    { tr '\0' ' ' <"/proc/$(cat "$runs/$1/pid")/cmdline"; } 2>/dev/null | grep -q -- "--spool $runs/$1/spool "
}

check_executable() { # check_executable FILE: an x bit is worth nothing on a file system that is mounted noexec
    [ -x "$1" ] || fail "$home is on a file system from which nothing can be executed (mounted noexec?): use another folder (home, HEYFLEET_HOME)"
}

state() { # state RUN
    alive "$1" && echo running || echo ended
}

stop() { # stop RUN: end it, by force after ten seconds, and remove it; print its name if it was here
    [ -d "$runs/$1" ] || return 0
    echo "$1"
    if alive "$1"; then
        pid=$(cat "$runs/$1/pid")
        kill -TERM "$pid" 2>/dev/null || true
        attempts=0
        while alive "$1" && [ $attempts -lt 100 ]; do
            sleep 0.1
            attempts=$((attempts + 1))
        done
        alive "$1" && kill -KILL "$pid" 2>/dev/null || true
    fi
    rm -rf "${runs:?}/$1"
}

start() { # start RUN BUNDLE JOIN SECONDS NAME
    run=$1 bundle=$2 join=$3 seconds=$4 name=$5
    check_name "$run"
    alive "$run" && fail "an agent of $run is already running on this host: end it first, or use another name"
    rm -rf "${runs:?}/$run" # left by a run that has ended
    [ -e "$home/bundles/$bundle/bin/heyfleet" ] || fail "the bundle $bundle is not installed"
    check_executable "$home/bundles/$bundle/bin/heyfleet"
    mkdir -p "$runs/$run/spool"
    # The shell's read takes single lines; a program that reads in blocks would consume the token, too.
    while IFS= read -r line && [ -n "$line" ]; do echo "$line"; done >"$runs/$run/ca.pem"
    while IFS= read -r line && [ "$line" != end ]; do echo "$line"; done >"$runs/$run/join.token"
    if [ "${line:-}" != end ]; then # the sender died in the middle
        rm -rf "${runs:?}/$run"
        fail "the agent's credentials arrived incomplete"
    fi
    echo "$name" >"$runs/$run/name"
    echo $(($(date +%s) + seconds)) >"$runs/$run/expires"
    hard=$(ulimit -Hn)
    ulimit -n "$hard" 2>/dev/null || true
    set -- "$home/bundles/$bundle/bin/heyfleet" agent --join "$join" --ca "$runs/$run/ca.pem" \
        --token-file "$runs/$run/join.token" --name "$name" --spool "$runs/$run/spool" --rejoin-timeout 60s
    # A session of its own outlives the connection. timeout ends the agent when its lifetime is over, and forwards signals.
    # --foreground: a signal reaches the agent once; a second one would end it before it has handed over its results.
    setsid timeout --foreground -k 10 "$seconds" "$@" </dev/null >"$runs/$run/log" 2>&1 &
    pid=$!
    echo $pid >"$runs/$run/pid"
    # The agent logs that it joined, that it is trying, or what is wrong. A short run may be over by then.
    attempts=0
    while alive "$run" && [ ! -s "$runs/$run/log" ] && [ $attempts -lt 300 ]; do
        sleep 0.1
        attempts=$((attempts + 1))
    done
    # If it has not joined, the log may already have the reason for an end that is about to come.
    attempts=0
    while alive "$run" && ! grep -q "joined" "$runs/$run/log" && [ $attempts -lt 30 ]; do
        sleep 0.1
        attempts=$((attempts + 1))
    done
    if ! alive "$run" && ! wait $pid; then
        cat "$runs/$run/log" >&2
        rm -rf "${runs:?}/$run"
        exit 1
    fi
}

each_run() { # print the names of the folders that `start` made; whatever else is there is not ours
    for folder in "$runs"/*; do
        if [ -d "$folder/spool" ] || [ -f "$folder/expires" ]; then echo "${folder##*/}"; fi
    done
}

word() { # word RUN FILE DEFAULT: print the word in a run's file, or the default if a start was cut short before it
    word=
    { read -r word _ <"$runs/$1/$2"; } 2>/dev/null || true # also if the line has no end
    printf '%s\n' "${word:-$3}"
}

command=${1:-}
shift || true
case "$command" in
probe)
    python=$(command -v "${HEYFLEET_PYTHON:-python3}") || fail "there is no python3 here: install Python 3.11 or newer, or set HEYFLEET_PYTHON"
    mkdir -p "$home"
    printf '#!/bin/sh\n' >"$home/.executable.$$"
    chmod 700 "$home/.executable.$$"
    (check_executable "$home/.executable.$$") && executable=0 || executable=$?
    rm -f "$home/.executable.$$"
    [ $executable = 0 ] || exit $executable
    echo "python=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    echo "machine=$(uname -m)"
    echo "files=$(ulimit -Hn)"
    echo "clock_s=$(date +%s)"
    ;;
have) [ -x "$home/bundles/$1/bin/heyfleet" ] && echo yes || echo no ;;
install)
    mkdir -p "$home/bundles/.new.$$"
    if ! tar -C "$home/bundles/.new.$$" -xzf -; then
        rm -rf "$home/bundles/.new.$$"
        fail "the bundle can't be unpacked"
    fi
    [ -e "$home/bundles/$1" ] || mv "$home/bundles/.new.$$/$1" "$home/bundles/$1" 2>/dev/null || true # another command may have been first
    rm -rf "$home/bundles/.new.$$"
    [ -e "$home/bundles/$1/bin/heyfleet" ] || fail "the bundle has no $1/bin/heyfleet"
    check_executable "$home/bundles/$1/bin/heyfleet"
    ;;
start) start "$@" ;;
status)
    each_run | while read -r run; do
        left=$(($(word "$run" expires "$(date +%s)") - $(date +%s))) # by this host's clock, which may be wrong
        last=$(tail -n 1 "$runs/$run/log" 2>/dev/null | tr -d '\000' | tail -c 1000) || last=
        printf '%s %s %s %s %s\n' "$run" "$(state "$run")" "$(word "$run" name "$run")" "$left" "$last"
    done
    ;;
logs)
    check_name "$1"
    [ -f "$runs/$1/log" ] || fail "there is no run $1 on this host"
    cat "$runs/$1/log"
    ;;
stop)
    check_name "$1"
    stop "$1"
    ;;
reap)
    each_run | while read -r run; do
        if [ "${1:-}" = all ] || [ "$(word "$run" expires 0)" -le "$(date +%s)" ] || [ "$(state "$run")" = ended ]; then
            stop "$run"
        fi
    done
    ;;
hold) cat >/dev/null ;;
*) fail "usage: host.sh probe|have|install|start|status|logs|stop|reap|hold" ;;
esac
exit 0
# end of host.sh
