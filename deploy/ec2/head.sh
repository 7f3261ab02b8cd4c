# From here on it is a head: the controller of the fleet (userdata.py). Whoever has its ca.key is the master of the fleet.
mkdir -p "$folder/credentials"
cat >"$folder/credentials/ca.pem" <<'CA'
@CA@
CA
cat >"$folder/credentials/ca.key" <<'KEY'
@KEY@
KEY
cat >"$folder/credentials/tokens.json" <<'TOKENS'
@TOKENS@
TOKENS
ulimit -n "$(ulimit -Hn)"

say "the controller starts, on port @PORT@"
"$folder/bin/heyfleet" controller --listen 0.0.0.0:@PORT@ --credentials "$folder/credentials" \
    > >(tee -a /var/log/heyfleet.log /dev/console 2>/dev/null) 2>&1
leave "the controller ended with exit code $?"
