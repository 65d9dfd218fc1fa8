#!/usr/bin/env bash
# A server that is too old is refused with its version and the one needed: when a cluster is to be started with it,
# and when connecting to one that runs.
#
#   scripts/check-old-server.sh PROGRAM
#   SLOTWISE_OLD_REDIS_SERVER  a redis-server before 7.4 (default: redis-server in PATH)
set -euo pipefail

cd "$(dirname "$0")/.."
readonly program="${1:?usage: check-old-server.sh PROGRAM}"
readonly old="${SLOTWISE_OLD_REDIS_SERVER:-$(command -v redis-server || true)}"
readonly ANSWER_SECONDS_MAX=10

fail() { printf 'check-old-server: %s\n' "$*" >&2; exit 1; }

[[ -x "$old" ]] || fail "there is no old server to try: install Debian 12's redis-server, or set SLOTWISE_OLD_REDIS_SERVER"
version="$("$old" --version | sed -n 's/.* v=\([0-9.]*\).*/\1/p')"
case "$version" in
  [0-6].* | 7.[0-3].*) ;;
  *) fail "$old is version ${version:-unknown}, which is not too old; set SLOTWISE_OLD_REDIS_SERVER to one before 7.4" ;;
esac

work="$(mktemp -d)"
server=""
finish() {
  [[ -z "$server" ]] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
  rm -rf "$work"
}
trap finish EXIT

# Runs the program; it must end with status 1 and one line that names both versions.
refused() {
  local status=0
  "$@" >"$work/out" 2>"$work/err" || status=$?
  [[ "$status" == 1 ]] || fail "$* ended with status $status: $(cat "$work/err")"
  grep -qF "$version" "$work/err" || fail "$* does not name the version $version: $(cat "$work/err")"
  grep -qF "7.4" "$work/err" || fail "$* does not name the version needed: $(cat "$work/err")"
  printf 'check-old-server: refused as it should be: %s\n' "$(grep -F "$version" "$work/err")"
}

refused env SLOTWISE_REDIS_SERVER="$old" scripts/redis.sh
refused env SLOTWISE_REDIS_SERVER="$(dirname "$old")" scripts/redis.sh
refused env SLOTWISE_REDIS_SERVER="$old" "$program" cluster up --dir "$work/cluster" --port 2001

port=""
for candidate in $(seq 2101 2120); do
  if ! (exec 3<>"/dev/tcp/127.0.0.1/$candidate") 2>/dev/null; then port="$candidate"; break; fi
done
[[ -n "$port" ]] || fail "no free port between 2101 and 2120"
"$old" --port "$port" --bind 127.0.0.1 --dir "$work" --cluster-enabled yes --save '' --appendonly no >"$work/log" 2>&1 &
server=$!
# Sends one inline command and prints the first line of the answer.
ask() {
  exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
  printf '%s\r\n' "$1" >&3
  IFS= read -r -t 1 line <&3 || true
  exec 3>&-
  printf '%s\n' "${line%$'\r'}"
}
deadline=$((SECONDS + ANSWER_SECONDS_MAX))
until [[ "$(ask PING 2>/dev/null)" == +PONG ]]; do
  ((SECONDS < deadline)) || fail "the old server does not answer: $(tail -n 3 "$work/log")"
done
[[ "$(ask 'CLUSTER ADDSLOTSRANGE 0 16383')" == +OK ]] || fail "the old server takes no slots"
refused "$program" --redis-url "redis://127.0.0.1:$port" get u0001
