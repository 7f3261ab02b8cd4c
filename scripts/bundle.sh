#!/usr/bin/env bash
# Makes an archive with an agent and all that it needs, for hosts that have Python and nothing else:  scripts/bundle.sh PYTHON [3.12]
# The second word is the hosts' version of Python, where it is not that of PYTHON: what grpcio is made of differs between them.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$1
version=${2:-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')}
work=build/bundle
wheel=$(compgen -G 'dist/heyfleet-*.whl' | head -1 || true)
[[ -n "$wheel" ]] || { echo "there is no wheel in dist: make wheel" >&2 && exit 1; }
name=heyfleet-agent-$("$python" -c 'import heyfleet; print(heyfleet.__version__)')-python$version-$(uname -m)
rm -rf "$work"
mkdir -p "$work/$name/lib" "$work/$name/bin"

# What an agent imports; the controller's charts and statistics stay away.
echo "collecting for Python $version"
platforms=()
for tag in $(seq 35 -1 17); do platforms+=(--platform "manylinux_2_${tag}_$(uname -m)"); done
"$python" -m pip install -q --disable-pip-version-check --target "$work/$name/lib" --only-binary=:all: --no-compile \
    --python-version "$version" --implementation cp "${platforms[@]}" --platform any \
    click cryptography grpcio protobuf uvloop </dev/null >"$work/install.log" 2>&1 || { tail -5 "$work/install.log" >&2 && exit 1; }
"$python" -m pip install -q --disable-pip-version-check --target "$work/$name/lib" --no-deps --no-compile "$wheel" \
    </dev/null >>"$work/install.log" 2>&1 || { tail -5 "$work/install.log" >&2 && exit 1; }
rm -rf "$work/$name/lib/bin"

cat >"$work/$name/bin/heyfleet" <<SH
#!/bin/sh
# heyfleet from this folder, with the host's Python.
here=\$(cd "\$(dirname "\$0")/.." && pwd)
python=\${HEYFLEET_PYTHON:-python3}
found=\$("\$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || exit 1
if [ "\$found" != "$version" ]; then
    echo "heyfleet: this bundle is for Python $version, and \$python is \$found: set HEYFLEET_PYTHON, or bring the bundle for \$found" >&2
    exit 1
fi
# The OpenSSL in here looks for authorities where Debian has them; other distributions have them elsewhere.
for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
    if [ -z "\${SSL_CERT_FILE:-}" ] && [ -r "\$file" ]; then export SSL_CERT_FILE="\$file"; fi
done
PYTHONPATH=\$here/lib exec "\$python" -m heyfleet "\$@"
SH
chmod +x "$work/$name/bin/heyfleet"
tar -C "$work" -czf "dist/$name.tar.gz" "$name"
ls "dist/$name.tar.gz"
