# To be sourced. Which Python to build with: PYTHON if it is set, otherwise the newest that has all it needs.

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
has_headers() { "$1" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' >/dev/null 2>&1; }
has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Prints the choice; fails when there is none. One without headers or venv is better than none: they can be installed.
pick_python() {
    local name second=""
    for name in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        is_new_enough "$name" || continue
        if has_headers "$name" && has_venv "$name"; then
            echo "$name"
            return
        fi
        second=${second:-$name}
    done
    [[ -n "$second" ]] && echo "$second"
}
