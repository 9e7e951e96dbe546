#!/usr/bin/env bash
# Fuzzes each target with libFuzzer for so many seconds, one on each processor: run.sh FOLDER SECONDS [TARGET]...
#
# FOLDER keeps the build and what was found. Coverage is asked of LLVM by stable options, so the workspace's own compiler will do; a
# C++ compiler builds libFuzzer itself. Where there is none, it says loudly how many targets were not run.
set -euo pipefail
cd "$(dirname "$0")"
folder=$1 seconds=$2
shift 2
# To libFuzzer none are no end.
[ "$seconds" -gt 0 ] || { echo "so many seconds cannot be fuzzed: $seconds" >&2; exit 2; }
read -ra all <<<"$(sed -nE 's/^path = "fuzz_targets\/([a-z_]+)\.rs"$/\1/p' Cargo.toml | tr '\n' ' ')"
targets=("$@")
[ $# -gt 0 ] || targets=("${all[@]}")

if ! command -v "${CXX:-c++}" >/dev/null; then
  printf '\n*** SKIPPED: %d fuzz targets (%s). libFuzzer needs a C++ compiler. ***\n\n' "${#targets[@]}" "${targets[*]}" >&2
  exit 0
fi

host=$(rustc -vV | sed -n 's/^host: //p')
export CARGO_TARGET_DIR=$folder
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
  -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
  -Cllvm-args=-sanitizer-coverage-trace-compares"
begun=$SECONDS
cargo build --release --locked --quiet --target "$host"
echo "built ${#all[@]} fuzz targets in $((SECONDS - begun)) s"

export TIDEGATE_FUZZ_SEEDS=$folder/seeds
fuzz() {
  local target=$1 log=$folder/$1.log
  mkdir -p "$folder/found/$target" "$TIDEGATE_FUZZ_SEEDS/$target"
  : >"$TIDEGATE_FUZZ_SEEDS/$target.dict"
  # The binary writes its seeds and its words before it reads them. Slow inputs and large ones are failures, too.
  if "$folder/$host/release/$target" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=2048 -print_final_stats=1 \
    -dict="$TIDEGATE_FUZZ_SEEDS/$target.dict" -artifact_prefix="$folder/found/$target-" \
    "$folder/found/$target" "$TIDEGATE_FUZZ_SEEDS/$target" >"$log" 2>&1; then
    echo "$target: $(sed -n 's/^stat::number_of_executed_units: *//p' "$log") inputs in $seconds s, nothing found"
  else
    echo "$target: FAILED, see $log" >&2
    tail -n 30 "$log" >&2
    return 1
  fi
}

failed=0 running=0 most=$(nproc)
for target in "${targets[@]}"; do
  if ((running == most)); then
    wait -n || failed=1
    running=$((running - 1))
  fi
  fuzz "$target" &
  running=$((running + 1))
done
for ((; running > 0; running--)); do
  wait -n || failed=1
done
exit $failed
