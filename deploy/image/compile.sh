#!/bin/sh
# Compiles the static binary of the image: compile.sh PROFILE OUT
#
# Only the last crate is linked in another way than for the host, so that nothing else is compiled anew. glibc and not musl: its allocator and
# its copies are the fast ones, and no name is looked up by it that would need a library at run time. Names of functions stay, for backtraces.
set -eu
profile=$1
out=$2
target=${CARGO_TARGET_DIR:-target}
cargo rustc --locked --quiet --profile "$profile" -p tidegate --bin tidegate -- -C target-feature=+crt-static -C strip=debuginfo
cp "$target/$profile/tidegate" "$out"
