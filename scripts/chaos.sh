#!/usr/bin/env bash
# Runs the long scenarios of tests/chaos over both transports, then overload and shutdown, and prints their table, in Markdown; what cargo says goes to
# standard error. Exits non-zero where a promise is broken. Takes about ten minutes and the time to build.
#
#   scripts/chaos.sh [FILTER]   only scenarios whose test names contain FILTER
#   SLOTWISE_REDIS_SERVER  the redis-server to start (default: what scripts/redis.sh finds)
set -euo pipefail

cd "$(dirname "$0")/.."

if [[ -z "${SLOTWISE_REDIS_SERVER:-}" ]]; then
  folder="$(scripts/redis.sh)"
  export SLOTWISE_REDIS_SERVER="$folder/redis-server"
fi
rows="$(mktemp)"
trap 'rm -f "$rows"' EXIT

status=0
SLOTWISE_CHAOS=long SLOTWISE_CHAOS_TABLE="$rows" \
  "${CARGO:-cargo}" test --release --no-fail-fast --test chaos --test chaos_cluster -- --test-threads=1 "$@" >&2 || status=$?
if [[ $# == 0 ]]; then
  # Overload and shutdown are of the server, and the same over both transports.
  for suite in "overload" "cli shutdown"; do
    # shellcheck disable=SC2086
    SLOTWISE_CHAOS_TABLE="$rows" "${CARGO:-cargo}" test --release --test $suite >&2 || status=$?
  done
fi

printf '| promise | fault | transport | batches | rows | found | unavailable | wrong | longest batch | time to recover | notes |\n'
printf '|---|---|---|---|---|---|---|---|---|---|---|\n'
sort -t '|' -k 2,2n -k 4,4r -k 3,3 "$rows"
exit "$status"
