# To be sourced. Selects the Python to build with: PYTHON if it is set, otherwise the newest that has headers and venv.

is_new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }
has_headers() { "$1" -c 'import os, sysconfig; os.stat(sysconfig.get_path("include") + "/Python.h")' >/dev/null 2>&1; }
has_venv() { "$1" -c 'import ensurepip, venv' >/dev/null 2>&1; }

# Print the selected Python; fail if there is none. One without headers or venv is a fallback, because they can be installed.
pick_python() {
    local name fallback=""
    for name in ${PYTHON:-python3.13 python3.12 python3.11 python3}; do
        is_new_enough "$name" || continue
        if has_headers "$name" && has_venv "$name"; then
            echo "$name"
            return
        fi
        fallback=${fallback:-$name}
    done
    [[ -n "$fallback" ]] && echo "$fallback"
}
