#!/usr/bin/env bash
# Builds the agent image from a bundle that `make bundle` made:  deploy/docker/build.sh TAG [BUNDLE.tar.gz [BASE]]
# BASE is an image with the bundle's Python version; by default Docker's official slim image.
# Uses docker, podman or buildah.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)

fail() {
    echo "build.sh: $1" >&2
    exit 2
}

tag=${1:-}
bundle=${2:-$(compgen -G "$here/../../dist/heyfleet-agent-*-python*.tar.gz" | head -1 || true)}
[[ -n "$tag" ]] || fail "usage: build.sh TAG [BUNDLE.tar.gz [BASE]]"
[[ -f "$bundle" ]] || fail "there is no bundle: run make bundle"
name=$(basename "$bundle" .tar.gz)
[[ "$name" =~ -python([0-9.]+)- ]] || fail "$bundle is not named like a bundle of make bundle"
base=${3:-docker.io/library/python:${BASH_REMATCH[1]}-slim}

builder=${HEYFLEET_BUILDER:-}
for each in docker podman buildah; do
    [[ -n "$builder" ]] || ! command -v "$each" >/dev/null || builder=$each
done
[[ -n "$builder" ]] || fail "there is no docker, podman or buildah on this host"

context=$(mktemp -d)
trap 'rm -rf "$context"' EXIT
cp "$bundle" "$here/Dockerfile" "$context" # so that nothing else gets into the build
words=(build)
case "$builder" in
buildah | */buildah) words+=(--format docker) ;;
esac
"$builder" "${words[@]}" ${HEYFLEET_BUILD_FLAGS:-} -t "$tag" -f "$context/Dockerfile" --build-arg "BASE=$base" --build-arg "BUNDLE=$name" "$context"
echo "built $tag"
