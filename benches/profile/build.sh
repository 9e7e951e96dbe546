#!/bin/sh
# Builds the release binary twice: first one that counts what its code does under the traffic of train.py, then one that is laid out by
# these counts. All of it goes into the folder $1; the result is $1/tidegate. What is up to date is not made again.
set -eu
folder=$1
here=$(cd "$(dirname "$0")" && pwd)
target=$(rustc -vV | sed -n 's/^host: //p')
llvm=$(rustc -vV | sed -n 's/^LLVM version: \([0-9]*\).*/\1/p')

# The tool must be of the compiler's own LLVM: another one does not know the form of the counts.
find_tool() {
  for tool in "$(rustc --print target-libdir)/../bin/llvm-profdata" "llvm-profdata-$llvm"; do
    command -v "$tool" && return
  done
  return 1
}
if ! find_tool >/dev/null && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends "llvm-$llvm"; } >/dev/null || true
fi
if ! tool=$(find_tool); then
  echo "no llvm-profdata of LLVM $llvm, which this rustc is made with; \`rustup component add llvm-tools\` or a package llvm-$llvm has it" >&2
  exit 1
fi

compile() { # folder, flags
  RUSTFLAGS="${RUSTFLAGS:-} $2" CARGO_TARGET_DIR="$1" cargo build --locked --release --target "$target" -p tidegate
}

mkdir -p "$folder"
counts=$folder/counts
counting=$folder/counting/$target/release/tidegate
# The path is part of the flags, so it may not change from one build to the next; LLVM adds the process and the binary to the name.
compile "$folder/counting" "-Cprofile-generate=$counts"
if [ ! "$folder/profile" -nt "$counting" ]; then
  rm -rf "$counts"
  TIDEGATE=$counting python3 -B "$here/train.py"
  "$tool" merge -o "$folder/profile.new" "$counts"
  mv "$folder/profile.new" "$folder/profile"
fi
# Cargo knows the flags and not the file behind them, so that the file is named after what is in it.
named=$folder/$(sha256sum "$folder/profile" | cut -c1-16).profdata
if [ ! -e "$named" ]; then
  rm -f "$folder"/*.profdata
  cp "$folder/profile" "$named"
fi
compile "$folder/build" "-Cprofile-use=$named"
cp "$folder/build/$target/release/tidegate" "$folder/tidegate"
echo "built $folder/tidegate"
