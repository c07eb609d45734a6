#!/usr/bin/env bash
# Builds the binary that the image holds, static and the same wherever it is built, and says where it is.
#
# usage: deploy/binary.sh
#
# It needs Rust, a C compiler and the static library of glibc (Debian's libc6-dev).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

cargo_home=${CARGO_HOME:-$HOME/.cargo}
target_dir=$(realpath --canonicalize-missing "${CARGO_TARGET_DIR:-target}")
# Named, though it is this machine's: flags for the binary must not reach what runs during the build.
target=$(rustc --version --verbose | sed -n 's/^host: //p')

# No path of this machine is left in the binary, in the messages of panics.
export RUSTFLAGS="-C target-feature=+crt-static --remap-path-prefix=$cargo_home=/cargo --remap-path-prefix=$target_dir=/target --remap-path-prefix=$PWD=/porter"
export CFLAGS="-ffile-prefix-map=$cargo_home=/cargo -ffile-prefix-map=$target_dir=/target"
export CARGO_INCREMENTAL=0
cargo build --locked --package porter --bin porter --no-default-features --profile image --target "$target" >&2
printf '%s\n' "$target_dir/$target/image/porter"
