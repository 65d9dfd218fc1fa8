#!/usr/bin/env bash
# Runs the benches that docs/BENCHMARKS.md is about, one after the other, and writes what they print, and on what they ran, to
# benches/results/. Best on a machine that does nothing else; takes about half an hour, most of it to build.
#
#   scripts/bench-report.sh [BENCH…]   default: cpu_per_entity single_reads http_cpu decode router lanes
#   SLOTWISE_REDIS_SERVER  the redis-server to start (default: what scripts/redis.sh finds)
#   SLOTWISE_REDIS_URL     measure against that cluster instead
set -euo pipefail

cd "$(dirname "$0")/.."
readonly results=benches/results
readonly all=(cpu_per_entity single_reads http_cpu decode router lanes)
readonly cargo="${CARGO:-cargo}"

say() { printf 'bench-report: %s\n' "$*" >&2; }

if [[ -z "${SLOTWISE_REDIS_SERVER:-}" && -z "${SLOTWISE_REDIS_URL:-}" ]]; then
  folder="$(scripts/redis.sh)"
  export SLOTWISE_REDIS_SERVER="$folder/redis-server"
fi

# What the figures depend on, one line each.
conditions() {
  local changes=""
  [[ -z "$(git status --porcelain -- src benches Cargo.toml Cargo.lock ":!benches/results")" ]] || changes=", with changes that are not committed"
  printf '# commit   %s%s\n' "$(git rev-parse --short=12 HEAD)" "$changes"
  printf '# date     %s\n' "$(date -u +%Y-%m-%d)"
  printf '# cpu      %s, %s cores\n' "$(sed -n 's/^model name[^:]*: *//p' /proc/cpuinfo | head -n 1)" "$(getconf _NPROCESSORS_ONLN)"
  printf '# kernel   %s\n' "$(uname -sr)"
  printf '# load     %s (1, 5 and 15 minutes, at the start)\n' "$(cut -d ' ' -f 1-3 /proc/loadavg)"
  printf '# rustc    %s\n' "$(rustc --version)"
  if [[ -n "${SLOTWISE_REDIS_SERVER:-}" ]]; then
    printf '# server   %s\n' "$("$SLOTWISE_REDIS_SERVER" --version | sed 's/ sha=.*//')"
  fi
}

# run FILE TITLE COMMAND…: appends what the command prints; a limit that is not kept is told, and is no reason to stop.
run() {
  local file="$results/$1.txt" title="$2" status=0
  shift 2
  say "$title"
  printf '\n## %s\n\n' "$title" >>"$file"
  "$@" >>"$file" || status=$?
  ((status == 0)) || printf 'exit status %s\n' "$status" >>"$file"
}

bench() { "$cargo" bench --quiet --bench "$@"; }

one() {
  : >"$results/$1.txt"
  conditions >>"$results/$1.txt"
  case "$1" in
    cpu_per_entity | single_reads | http_cpu) run "$1" "$1" bench "$1" -- --check ;;
    decode | router) run "$1" "$1" bench "$1" ;;
    lanes)
      local lanes
      for lanes in 1 2 4; do
        run lanes "cpu_per_entity, lanes per node: $lanes" env LANES_PER_NODE="$lanes" "$cargo" bench --quiet --bench cpu_per_entity
        run lanes "single_reads, lanes per node: $lanes" env LANES_PER_NODE="$lanes" "$cargo" bench --quiet --bench single_reads
      done
      ;;
    *) say "there is no bench $1; known are ${all[*]}" && exit 2 ;;
  esac
}

mkdir -p "$results"
(($# > 0)) || set -- "${all[@]}"
for name in "$@"; do
  say "$name → $results/$name.txt"
  one "$name"
done
