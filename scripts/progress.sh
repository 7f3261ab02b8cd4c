# To be sourced. Shows that a script is busy: a line that counts seconds on a terminal, one line per step in a pipe, and nothing
# for steps that end within two seconds.

trap 'kill $(jobs -p) 2>/dev/null || true' EXIT # bash lets background commands live on after Ctrl-C

# finish_step TEXT PID LOG: wait for a background command; on failure, print the end of its log and exit.
finish_step() {
    local text=$1 pid=$2 log=$3 begin=$SECONDS code=0 shown=""
    while kill -0 "$pid" 2>/dev/null; do
        if ((SECONDS > begin + 1)) && [[ -t 2 ]]; then
            printf '\r%s ... %d s' "$text" $((SECONDS - begin)) >&2
            shown=yes
        elif ((SECONDS > begin + 1)) && [[ -z "$shown" ]]; then
            echo "$text" >&2
            shown=yes
        fi
        sleep 0.1
    done
    wait "$pid" || code=$?
    if [[ -n "$shown" && -t 2 ]]; then printf '\r\033[K%s: %d s\n' "$text" $((SECONDS - begin)) >&2; fi
    if [[ $code != 0 ]]; then
        echo "$text: failed; the end of $log:" >&2
        tail -n 30 "$log" >&2
        exit 1
    fi
}

# step TEXT LOG COMMAND...: run a command with its output in the log.
step() {
    "${@:3}" </dev/null >>"$2" 2>&1 &
    finish_step "$1" $! "$2"
}
