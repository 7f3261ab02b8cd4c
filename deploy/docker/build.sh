#!/usr/bin/env bash
# Builds the agent's image from a bundle that `make bundle` made:  deploy/docker/build.sh TAG [BUNDLE.tar.gz [BASE]]
# BASE has the bundle's version of Python; by default the slim one of Docker's official images. Docker, podman or buildah does it.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

fail() {
    echo "build.sh: $1" >&2
    exit 2
}

tag=${1:-}
bundle=${2:-$(compgen -G "$here/../../dist/heyfleet-agent-*-python*.tar.gz" | head -1 || true)}
[[ -n "$tag" ]] || fail "usage: build.sh TAG [BUNDLE.tar.gz [BASE]]"
[[ -f "$bundle" ]] || fail "there is no bundle: make bundle"
name=$(basename "$bundle" .tar.gz)
[[ "$name" =~ -python([0-9.]+)- ]] || fail "$bundle is not named as make bundle names them"
base=${3:-docker.io/library/python:${BASH_REMATCH[1]}-slim}

builder=${HEYFLEET_BUILDER:-}
for each in docker podman buildah; do
    [[ -n "$builder" ]] || ! command -v "$each" >/dev/null || builder=$each
done
[[ -n "$builder" ]] || fail "docker, podman or buildah is needed"

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$bundle" "$here/Dockerfile" "$context" # and nothing else of here can get in
words=(build)
case "$builder" in
buildah | */buildah) words+=(--format docker) ;;
esac
"$builder" "${words[@]}" ${HEYFLEET_BUILD_FLAGS:-} -t "$tag" -f "$context/Dockerfile" --build-arg "BASE=$base" --build-arg "BUNDLE=$name" "$context"
echo "built $tag"
