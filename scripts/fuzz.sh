#!/usr/bin/env bash
# Feeds the scanner of the direct lanes with what no server sends. libFuzzer on the stable toolchain: coverage is
# compiled in with plain compiler flags, only the sanitizers would need nightly, and there is no unsafe code.
#   scripts/fuzz.sh [argument of libFuzzer …]      for FUZZ_SECONDS, 60 by default
#   scripts/fuzz.sh merge                          takes what was found into the corpus, which stays small
set -euo pipefail
cd "$(dirname "$0")/.."

target="$(rustc -vV | sed -n 's/^host: //p')"
folder="$PWD/${CARGO_TARGET_DIR:-target}/fuzz"
[[ "${CARGO_TARGET_DIR:-}" == /* ]] && folder="$CARGO_TARGET_DIR/fuzz"
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares \
-Ccodegen-units=1 -Cdebug-assertions -Clink-dead-code"

# The dependencies as they are tested, and libFuzzer beside them.
cp Cargo.lock fuzz/Cargo.lock
# With a target named, build scripts and macros are built without these flags.
"${CARGO:-cargo}" build --quiet --manifest-path fuzz/Cargo.toml --release --target "$target" --target-dir "$folder"

program="$folder/$target/release/replies"
corpus=fuzz/corpus/replies
mkdir -p "$folder/found" "$folder/crashes"

if [[ "${1:-}" == merge ]]; then
  # The fewest inputs that reach every edge; seeds have names, what was found has hashes for names.
  rm -rf "$folder/merged" && mkdir "$folder/merged"
  "$program" -set_cover_merge=1 -use_counters=0 -max_len=600 "$folder/merged" "$corpus" "$folder/found" 2>&1 | tail -n 1
  find "$corpus" -type f -regextype posix-extended -regex '.*/[0-9a-f]{40}' -delete
  cp "$folder"/merged/* "$corpus/"
  for seed in "$corpus"/*-*; do
    rm -f "$corpus/$(sha1sum < "$seed" | cut -d ' ' -f 1)"
  done
  exit
fi

# What is found goes to the build folder; the corpus is only read. What breaks a promise is written beside it and ends
# the run.
exec "$program" "$folder/found" "$corpus" -artifact_prefix="$folder/crashes/" \
  -max_total_time="${FUZZ_SECONDS:-60}" -max_len=4096 -rss_limit_mb=1024 -timeout=10 "$@"
