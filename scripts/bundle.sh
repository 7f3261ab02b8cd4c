#!/usr/bin/env bash
# Builds an archive with an agent and its dependencies, for hosts that have only Python:  scripts/bundle.sh PYTHON [3.12]
# The second argument is the Python version of the hosts, if it differs from PYTHON's: grpcio is compiled for each version.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$1
version=${2:-$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')}
work=build/bundle
wheel=$(compgen -G 'dist/heyfleet-*.whl' | head -1 || true)
[[ -n "$wheel" ]] || { echo "dist has no wheel; run make wheel" >&2 && exit 1; }
name=heyfleet-agent-$("$python" -c 'import heyfleet; print(heyfleet.__version__)')-python$version-$(uname -m)
rm -rf "$work"
mkdir -p "$work/$name/lib" "$work/$name/bin"

# An agent needs only these dependencies; charts and statistics belong to the controller.
echo "Collecting an agent's dependencies for Python $version"
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
# Runs heyfleet from this folder with the host's Python.
here=\$(cd "\$(dirname "\$0")/.." && pwd)
python=\${HEYFLEET_PYTHON:-python3}
actual=\$("\$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])') || exit 1
if [ "\$actual" != "$version" ]; then
    echo "heyfleet: error: this bundle is for Python $version, but \$python is \$actual; set HEYFLEET_PYTHON, or use a bundle for \$actual" >&2
    exit 1
fi
# The bundled OpenSSL looks for CA certificates where Debian keeps them; other distributions keep them elsewhere.
for file in /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt /etc/ssl/ca-bundle.pem /etc/ssl/cert.pem; do
    if [ -z "\${SSL_CERT_FILE:-}" ] && [ -r "\$file" ]; then export SSL_CERT_FILE="\$file"; fi
done
PYTHONPATH=\$here/lib exec "\$python" -m heyfleet "\$@"
SH
chmod +x "$work/$name/bin/heyfleet"
tar -C "$work" -czf "dist/$name.tar.gz" "$name"
ls "dist/$name.tar.gz"
