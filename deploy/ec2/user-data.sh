#!/bin/bash
# What an instance does from its boot to its end; cloud-init runs it as root. Words between @ are filled in (userdata.py, or by hand).
# Whatever goes wrong is said on the console, and ends in a power-off, which terminates the instance.
set -u
shutdown -P +@MINUTES@ || poweroff # before all else: nobody need be there to end this
name=@NAME@ join=@JOIN@ url=@URL@ sha256=@SHA256@
folder=/opt/heyfleet
imds=http://169.254.169.254/latest

say() { echo "heyfleet: $*" | tee -a /var/log/heyfleet.log /dev/console 2>/dev/null; }

leave() { # leave WORDS: the last ones
    say "$*"
    sync
    poweroff
    exit 1
}

fetch() { # fetch URL: to stdout; Python is there anyway, curl is not on every image
    python3 -c 'import shutil, sys, urllib.request
shutil.copyfileobj(urllib.request.urlopen(sys.argv[1], timeout=60), sys.stdout.buffer)' "$1"
}

about_me() { # about_me PATH: of the instance's metadata, by IMDSv2; nothing where it has none
    python3 -c 'import sys, urllib.request
base = sys.argv[1]
ask = urllib.request.Request(f"{base}/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "300"})
token = urllib.request.urlopen(ask, timeout=5).read().decode()
ask = urllib.request.Request(f"{base}/meta-data/{sys.argv[2]}", headers={"X-aws-ec2-metadata-token": token})
print(urllib.request.urlopen(ask, timeout=5).read().decode())' "$imds" "$1" 2>/dev/null
}

command -v python3 >/dev/null || leave "there is no python3 in this image: take one with Python 3.11 or newer"
[[ -n "$name" ]] || name=$(about_me instance-id) || name=$(hostname)
mkdir -p "$folder"
umask 077
tries=0
until fetch "$url" >"$folder/bundle.tar.gz"; do
    tries=$((tries + 1))
    [[ $tries -lt 5 ]] || leave "the bundle can't be fetched from ${url%%\?*}: does the subnet have a way there?"
    sleep 5
done
echo "$sha256  $folder/bundle.tar.gz" | sha256sum -c --quiet || leave "the bundle is not the one that was meant: its SHA-256 differs"
tar -xzf "$folder/bundle.tar.gz" -C "$folder" --strip-components=1 || leave "the bundle can't be unpacked"
# From here on it is an agent.
cat >"$folder/ca.pem" <<'CA'
@CA@
CA
cat >"$folder/join.token" <<'TOKEN'
@TOKEN@
TOKEN
ulimit -n "$(ulimit -Hn)"
sysctl -q -w net.ipv4.ip_local_port_range="1024 65535" 2>/dev/null

say "agent $name starts, for $join"
"$folder/bin/heyfleet" agent --join "$join" --ca "$folder/ca.pem" --token-file "$folder/join.token" --name "$name" \
    --spool "$folder/spool" --rejoin-timeout 60s > >(tee -a /var/log/heyfleet.log /dev/console 2>/dev/null) 2>&1 &
agent=$!

# A spot instance is told two minutes before its end. The agent then ends its load and hands over what it measured.
while kill -0 $agent 2>/dev/null; do
    if notice=$(about_me spot/instance-action) && [[ -n "$notice" ]]; then
        say "AWS takes this instance back: $notice"
        kill -TERM $agent
        break
    fi
    sleep 5
done &
wait $agent
code=$?
leave "the agent ended with exit code $code"
