#!/usr/bin/env bash
# Makes, once, the root of the hosts that tests and `make demo-fleet` boot: Debian with sshd, Python and nginx (not started), and no
# compiler. Prints its folder. Words are further packages, for another root:  scripts/machine-base.sh cloud-init
# Packages come from where this system's own come from. Root only.
set -euo pipefail
cd "$(dirname "$0")/.."

packages=openssh-server,python3,python3-venv,nginx-light,iproute2,systemd,systemd-sysv,dbus,procps,nftables
for further in "$@"; do packages+=",$further"; done
release=$(. /etc/os-release && echo "$VERSION_CODENAME")
name=$(sha256sum <<<"$release $packages" | cut -c1-12)
base=build/machines/$name
if [[ -e "$base/etc/heyfleet-base" ]]; then
    echo "$PWD/$base"
    exit
fi

echo "making the root of hosts for tests, once (a minute)" >&2
mkdir -p build/machines
fresh=$(mktemp -d -p "$PWD/build/machines")
trap 'rm -rf "$fresh" "$fresh.log"' EXIT
chmod 755 "$fresh"
sources=()
for file in /etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources; do
    # Only those of the system itself: others want keys of their own.
    if [[ -s "$file" ]] && grep -q "^[^#]*debian" "$file"; then sources+=("$file"); fi
done
[[ ${#sources[@]} != 0 ]] || { echo "no package source of Debian in /etc/apt: hosts for tests are made of Debian" >&2 && exit 1; }
mmdebstrap --quiet --variant=minbase --include="$packages" "$release" "$fresh" "${sources[@]}" </dev/null >"$fresh.log" 2>&1 ||
    { tail -20 "$fresh.log" >&2 && exit 1; }
rm -f "$fresh"/etc/ssh/ssh_host_*_key* "$fresh/etc/machine-id"
rm -f "$fresh/etc/systemd/system/multi-user.target.wants/nginx.service" # there for whoever wants a target
: >"$fresh/etc/resolv.conf" # nothing to ask, nobody to wait for
: >"$fresh/etc/machine-id"
rm -rf "$fresh"/var/lib/apt/lists/* "$fresh"/var/cache/apt/*
touch "$fresh/etc/heyfleet-base"
mv -T "$fresh" "$base" 2>/dev/null || true # somebody else may have been first
echo "$PWD/$base"
