#!/usr/bin/env bash
# Creates, once, the root file system of the hosts that tests and `make demo-fleet` boot, and prints its folder (root only):
#   scripts/machine-base.sh [PACKAGE...]
# It is a Debian with sshd, Python, nginx (not started) and the given packages, but no compiler, from this system's own package
# sources.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=openssh-server,python3,python3-venv,nginx-light,iproute2,systemd,systemd-sysv,dbus,procps,nftables
for package in "$@"; do packages+=",$package"; done
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
name=$(sha256sum <<<"$release $packages" | cut -c1-12)
base=build/machines/$name
if [[ -e "$base/etc/heyfleet-base" ]]; then
    echo "$PWD/$base"
    exit
fi

echo "Creating the root file system of test hosts, once (a minute)" >&2
mkdir -p build/machines
fresh=$(mktemp -d -p "$PWD/build/machines")
trap 'rm -rf "$fresh" "$fresh.log"' EXIT
chmod 755 "$fresh"
sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    # Other sources need keys that the new system lacks.
    if [[ -s "$file" ]] && grep -q "^[^#]*debian" "$file"; then sources+=("$file"); fi
done
[[ ${#sources[@]} != 0 ]] || { echo "/etc/apt has no Debian package source; test hosts need Debian packages" >&2 && exit 1; }
mmdebstrap --quiet --variant=minbase --include="$packages" "$release" "$fresh" "${sources[@]}" </dev/null >"$fresh.log" 2>&1 ||
    { tail -20 "$fresh.log" >&2 && exit 1; }
rm -f "$fresh"/etc/ssh/ssh_host_*_key* "$fresh/etc/machine-id"
rm -f "$fresh/etc/systemd/system/multi-user.target.wants/nginx.service" # tests that need a target start it
: >"$fresh/etc/resolv.conf" # lookups fail at once instead of timing out
: >"$fresh/etc/machine-id"
rm -rf "$fresh"/var/lib/apt/lists/* "$fresh"/var/cache/apt/*
touch "$fresh/etc/heyfleet-base"
mv -T "$fresh" "$base" 2>/dev/null || true # a concurrent call may have been first
echo "$PWD/$base"
