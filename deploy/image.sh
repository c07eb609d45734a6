#!/usr/bin/env bash
# Builds the image with buildah, without an engine and without a registry, and says what came of it.
#
# usage: deploy/image.sh
#
# The image is put into target/image/porter.tar, an archive as containerd and podman import it. The same commit makes
# the same image: the digest printed is that of its manifest.
#
# It needs what deploy/binary.sh needs, buildah and skopeo.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# As the manifests call it: an image that is on the node, and in no registry.
name=localhost/porter
version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
revision=$(git rev-parse HEAD)
[ -z "$(git status --porcelain)" ] || revision=$revision-modified
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct)}

binary=$(deploy/binary.sh)
dir=${CARGO_TARGET_DIR:-target}/image
archive=$dir/porter.tar
mkdir -p "$dir/context"
install --mode 0755 "$binary" "$dir/context/porter"

# In a store of its own, so that nothing of it is left on this machine but the archive.
store=$(mktemp --directory)
trap 'rm --recursive --force "$store"' EXIT
buildah() {
    command buildah --root "$store/root" --runroot "$store/run" --storage-driver vfs "$@"
}
buildah bud --isolation chroot --file deploy/Dockerfile --target prebuilt --timestamp "$SOURCE_DATE_EPOCH" \
    --build-arg "VERSION=$version" --build-arg "REVISION=$revision" --tag "$name:$version" --identity-label=false --quiet "$dir/context" >&2
rm --force "$archive"
buildah push --quiet "$name:$version" "oci-archive:$archive:$name:$version" >&2

printf 'archive  %s\n' "$archive"
printf 'digest   %s\n' "$(skopeo inspect --format '{{.Digest}}' "oci-archive:$archive")"
printf 'binary   %s bytes\n' "$(stat --format %s "$binary")"
printf 'image    %s bytes\n' "$(stat --format %s "$archive")"
