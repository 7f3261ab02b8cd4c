# The rest is the head node's part (user_data.py): the fleet's controller. Anyone who can read its ca.key controls the fleet.
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

log "starting the controller on port @PORT@"
"$folder/bin/heyfleet" controller --listen 0.0.0.0:@PORT@ --credentials "$folder/credentials" \
    > >(tee -a /var/log/heyfleet.log /dev/console 2>/dev/null) 2>&1
finish "the controller ended with exit code $?"
