#!/usr/bin/env bash
# Installs missing system packages for a purpose:  scripts/system-packages.sh build|test|hosts|machines|image|others|fuzz|bench
# It uses apt-get as root or with passwordless sudo. Otherwise it prints the command to run, and the exit code is 1.
set -euo pipefail
cd "$(dirname "$0")/.."
source scripts/pick-python.sh
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin" # Debian installs nginx in sbin, which is not on every user's path

log=build/system-packages.log
missing=() # names of Debian packages
reasons=() # what needs each package, in words that help on any system

miss() { missing+=("$1") reasons+=("$2"); }
need_command() { command -v "$1" >/dev/null || miss "$2" "the command $1"; }
need_header() { echo "#include <$1>" | "${CC:-gcc}" -E - >/dev/null 2>&1 || miss "$2" "the header $1 ($3)"; }

# Print the first Python among this release's packages that is new enough.
packaged_python() {
    local name version
    for name in python3.13 python3.12 python3.11 python3; do
        version=$(apt-cache policy "$name" 2>/dev/null | sed -n 's/^ *Candidate: *//p')
        if [[ "$name" == python3 && ! "$version" =~ ^3\.1[1-9] ]]; then continue; fi
        if [[ "$version" =~ ^3\. ]]; then
            echo "$name"
            return
        fi
    done
}

need_python() {
    local python name
    if python=$(pick_python); then
        name=$("$python" -c 'import sys; print("python%d.%d" % sys.version_info[:2])')
        has_headers "$python" || miss "$name-dev" "Python.h of $python ($name-devel on Fedora)"
        has_venv "$python" || miss "$name-venv" "the modules venv and ensurepip of $python"
    elif [[ -n "${PYTHON:-}" ]]; then
        echo "PYTHON=$PYTHON is not Python 3.11 or newer; set another, or none" >&2
        exit 1
    else
        name=$(command -v apt-cache >/dev/null && packaged_python || true)
        name=${name:-python3.11}
        miss "$name" "Python 3.11 or newer (or set one: make setup PYTHON=/path/to/python)"
        miss "$name-dev" "its headers"
        miss "$name-venv" "its modules venv and ensurepip"
    fi
}

check() {
    missing=() reasons=()
    case "$1" in
    build)
        need_command "${CC:-gcc}" gcc
        need_header stdio.h libc6-dev "glibc-devel on Fedora"
        need_header liburing.h liburing-dev "liburing-devel on Fedora, liburing on Arch"
        need_header openssl/ssl.h libssl-dev "openssl-devel on Fedora, openssl on Arch"
        need_header zlib.h zlib1g-dev "zlib-devel on Fedora, zlib on Arch"
        need_header brotli/decode.h libbrotli-dev "brotli-devel on Fedora, brotli on Arch"
        need_header zstd.h libzstd-dev "libzstd-devel on Fedora, zstd on Arch"
        need_python
        ;;
    test)
        need_command nginx nginx
        need_command nghttpd nghttp2-server
        need_command tinyproxy tinyproxy
        need_command brotli brotli
        need_command zstd zstd
        ;;
    hosts)
        need_command nginx nginx
        need_command ip iproute2
        need_command nft nftables
        need_command dnsmasq dnsmasq-base
        need_command sshd openssh-server
        need_command ssh openssh-client
        need_command unshare util-linux
        need_command tcsh tcsh
        need_command fish fish
        ;;
    machines)
        need_command ip iproute2
        need_command mmdebstrap mmdebstrap
        need_command systemd-nspawn systemd-container
        need_command ssh openssh-client
        ;;
    image)
        need_command podman podman
        need_command buildah buildah
        need_command runc runc
        need_command docker-registry docker-registry
        ;;
    others)
        need_command chromium chromium
        need_command prometheus prometheus
        need_command java default-jre-headless
        [[ -e /usr/share/java/hdrhistogram.jar ]] || miss libhdrhistogram-java "Java's HdrHistogram"
        ;;
    fuzz)
        compgen -c clang- | grep -qE '^clang-[0-9]+$' || miss clang "the command clang"
        need_command brotli brotli
        need_command zstd zstd
        ;;
    bench)
        need_command nginx nginx
        need_command wrk wrk
        need_command hey hey
        need_command valgrind valgrind
        need_command h2load nghttp2-client
        need_command nghttpd nghttp2-server
        ;;
    *)
        echo "usage: $0 build|test|hosts|machines|image|others|fuzz|bench" >&2
        exit 2
        ;;
    esac
}

# Print the command prefix that runs apt-get as root; fail if there is none.
as_root() {
    if ! command -v apt-get >/dev/null; then return 1; fi
    if [[ "$(id -u)" == 0 ]]; then
        echo env
    elif sudo -n true 2>/dev/null; then
        echo sudo -n env
    else
        return 1
    fi
}

apt() { "${root[@]}" DEBIAN_FRONTEND=noninteractive apt-get -q -y -o DPkg::Lock::Timeout=120 "$@" </dev/null >>"$log" 2>&1; }

# Package lists may be absent or old: update them and retry.
install_missing() {
    apt install --no-install-recommends "${missing[@]}" && return
    apt update && apt install --no-install-recommends "${missing[@]}"
}

check "$1"
if [[ ${#missing[@]} == 0 ]]; then exit 0; fi

if root=$(as_root); then
    read -ra root <<<"$root"
    mkdir -p build
    : >"$log"
    # Without package lists, the names of this release's Pythons are not known yet.
    apt-cache policy "${missing[0]}" | grep -q 'Candidate: [0-9]' || { apt update && check "$1"; } || true
    echo "Installing with apt-get: ${missing[*]}"
    if install_missing && check "$1" && [[ ${#missing[@]} == 0 ]]; then exit 0; fi
    echo "the end of $log:" >&2
    tail -n 20 "$log" >&2
fi

{
    echo "missing on this system:"
    for reason in "${reasons[@]}"; do echo "  - $reason"; done
    if command -v apt-get >/dev/null; then
        echo "run this, then the same make command again:"
        echo "  sudo apt-get update && sudo apt-get install -y ${missing[*]}"
    else
        echo "install these with this system's package manager (Debian's names): ${missing[*]}"
    fi
} >&2
exit 1
