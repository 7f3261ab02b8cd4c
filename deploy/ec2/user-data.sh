#!/bin/bash
# Runs an instance from boot to its end; cloud-init starts it as root. Placeholders between @ are filled in by user_data.py,
# or by hand. On any problem it prints the reason on the console and powers off, which terminates the instance.
set -u
shutdown -P +@MINUTES@ || poweroff # first of all: the instance must end even if nobody is there to end it
name=@NAME@ join=@JOIN@ url=@URL@ sha256=@SHA256@
folder=/opt/heyfleet
imds=http://169.254.169.254/latest

log() { echo "heyfleet: $*" | tee -a /var/log/heyfleet.log /dev/console 2>/dev/null; }

finish() { # finish MESSAGE...: print a last message and power off
    log "$*"
    sync
    poweroff
    exit 1
}

fetch() { # fetch URL: print its content; in Python, because curl is not on every image
    python3 -c 'import shutil, sys, urllib.request
shutil.copyfileobj(urllib.request.urlopen(sys.argv[1], timeout=60), sys.stdout.buffer)' "$1"
}

metadata() { # metadata PATH: print an entry of the instance's metadata (IMDSv2); fail if there is none
    python3 -c 'import sys, urllib.request
base = sys.argv[1]
request = urllib.request.Request(f"{base}/api/token", method="PUT", headers={"X-aws-ec2-metadata-token-ttl-seconds": "300"})
token = urllib.request.urlopen(request, timeout=5).read().decode()
request = urllib.request.Request(f"{base}/meta-data/{sys.argv[2]}", headers={"X-aws-ec2-metadata-token": token})
print(urllib.request.urlopen(request, timeout=5).read().decode())' "$imds" "$1" 2>/dev/null
}

command -v python3 >/dev/null || finish "this image has no python3: use one with Python 3.11 or newer"
[[ -n "$name" ]] || name=$(metadata instance-id) || name=$(hostname)
mkdir -p "$folder"
umask 077
attempts=0
until fetch "$url" >"$folder/bundle.tar.gz"; do
    attempts=$((attempts + 1))
    [[ $attempts -lt 5 ]] || finish "the bundle can't be fetched from ${url%%\?*}: check the subnet's route to it"
    sleep 5
done
echo "$sha256  $folder/bundle.tar.gz" | sha256sum -c --quiet || finish "the bundle is not the expected one: its SHA-256 differs"
tar -xzf "$folder/bundle.tar.gz" -C "$folder" --strip-components=1 || finish "the bundle can't be unpacked"
# The rest is the agent's part; head.sh replaces it on a head node.
cat >"$folder/ca.pem" <<'CA'
@CA@
CA
cat >"$folder/join.token" <<'TOKEN'
@TOKEN@
TOKEN
ulimit -n "$(ulimit -Hn)"
sysctl -q -w net.ipv4.ip_local_port_range="1024 65535" 2>/dev/null

log "starting agent $name for $join"
"$folder/bin/heyfleet" agent --join "$join" --ca "$folder/ca.pem" --token-file "$folder/join.token" --name "$name" \
    --spool "$folder/spool" --rejoin-timeout 60s > >(tee -a /var/log/heyfleet.log /dev/console 2>/dev/null) 2>&1 &
agent=$!

# A spot instance gets notice two minutes before its end. The agent then ends its load and hands over its results.
while kill -0 $agent 2>/dev/null; do
    if notice=$(metadata spot/instance-action) && [[ -n "$notice" ]]; then
        log "AWS reclaims this instance: $notice"
        kill -TERM $agent
        break
    fi
    sleep 5
done &
wait $agent
code=$?
finish "the agent ended with exit code $code"
