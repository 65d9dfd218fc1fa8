#!/usr/bin/env bash
# The API does what its description says: schemathesis reads /openapi.json of a running server and asks for what it
# describes, and for what it does not. No 5xx, no status, content type or body that is not described.
#
#   scripts/check-openapi.sh PROGRAM
#   EXAMPLES               requests per route while fuzzing (default: 500)
#   SLOTWISE_REDIS_SERVER  the redis-server to start (default: what scripts/redis.sh finds)
#   SLOTWISE_CACHE_DIR     where schemathesis is kept (default: $XDG_CACHE_HOME/slotwise)
set -euo pipefail

cd "$(dirname "$0")/.."
program="$(realpath "${1:?usage: check-openapi.sh PROGRAM}")"
readonly program
readonly folder="$PWD/scripts/openapi"
readonly SCHEMATHESIS=4.32.5
readonly SEED=20261
readonly RUN_SECONDS_MAX=300
readonly CACHE="${SLOTWISE_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/slotwise}"

fail() { printf 'check-openapi: %s\n' "$*" >&2; exit 1; }

command -v python3 >/dev/null || fail "there is no python3: install it, with its venv and pip (Debian: python3-venv)"
version="$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
readonly home="$CACHE/schemathesis-$SCHEMATHESIS-python-$version"
# The mark says that the installation was not broken off.
if [[ ! -e "$home/complete" ]]; then
  printf 'check-openapi: installing schemathesis %s into %s (once)\n' "$SCHEMATHESIS" "$home" >&2
  rm -rf "$home"
  mkdir -p "$CACHE"
  python3 -m venv "$home" || fail "python3 makes no venv: install it (Debian: python3-venv)"
  "$home/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: "schemathesis==$SCHEMATHESIS" ||
    fail "schemathesis $SCHEMATHESIS can't be installed"
  : >"$home/complete"
fi

if [[ -z "${SLOTWISE_REDIS_SERVER:-}" ]]; then
  found="$(scripts/redis.sh)"
  export SLOTWISE_REDIS_SERVER="$found/redis-server"
fi

unset SLOTWISE_REDIS_URL SLOTWISE_CONFIG
work="$(mktemp -d)"
urls=""
port=""
server=""
finish() {
  [[ -z "$server" ]] || { kill "$server" 2>/dev/null && wait "$server" 2>/dev/null; } || true
  [[ -z "$urls" ]] || "$program" cluster down --dir "$work/cluster" --port "$port" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT
# A port may be taken by then: the next ones are tried.
for port in $(seq 7711 10 7791); do
  if urls="$("$program" cluster up --dir "$work/cluster" --port "$port" 2>"$work/err")"; then break; fi
  urls=""
done
[[ -n "$urls" ]] || fail "no cluster could be started: $(tail -n 3 "$work/err")"

# One kind with a schema, so that typed answers are seen, and the entities and features that the examples name.
cat >"$work/slotwise.toml" <<'TOML'
[[entity]]
name = "user"
[[entity.feature]]
name = "risk_score"
type = "float64"
kind = "batch"
default = 0
[[entity.feature]]
name = "tx_count_5m"
type = "int64"
kind = "streaming"
[[entity.feature_set]]
name = "fraud"
features = ["risk_score", "tx_count_5m"]
TOML
# With a token, as the description says that one is asked for.
token="$(head -c 16 /dev/urandom | od -An -tx1 | tr -d ' \n')"
(umask 077 && printf '[[token]]\nname = "check"\ntoken = "%s"\nscopes = ["admin"]\n' "$token" >"$work/tokens.toml")
export SLOTWISE_CONFIG="$work/slotwise.toml"
printf 'id,risk_score,country\nu0001,0.5,GB\nu0002,1,\n0,0.25,FR\n' |
  "$program" load - --format csv --redis-url "$urls" >/dev/null 2>&1 || fail "the entities could not be loaded"
"$program" serve --redis-url "$urls" --listen 127.0.0.1:0 --tokens-file "$work/tokens.toml" --log warn >"$work/out" 2>"$work/log" &
server=$!
url=""
for _ in $(seq 100); do
  url="$(sed -n 's/.* listens on \(http:[^ ]*\).*/\1/p' "$work/out" "$work/log" | head -n 1)"
  [[ -z "$url" ]] || break
  kill -0 "$server" 2>/dev/null || break
  sleep 0.1
done
[[ -n "$url" ]] || fail "the server did not start: $(tail -n 3 "$work/log")"

# It leaves files where it is started.
cd "$work"
status=0
SCHEMATHESIS_HOOKS=hooks PYTHONPATH="$folder" PYTHONDONTWRITEBYTECODE=1 timeout "$RUN_SECONDS_MAX" \
  "$home/bin/st" --config-file "$folder/schemathesis.toml" --no-color run "$url/openapi.json" \
  -H "Authorization: Bearer $token" --phases examples,coverage,fuzzing --max-examples "${EXAMPLES:-500}" --seed "$SEED" --continue-on-failure \
  >"$work/told" 2>&1 || status=$?
[[ "$status" == 0 ]] || { cat "$work/told"; fail "the API and its description differ (status $status)"; }
grep -q 'Tested: ' "$work/told" || { cat "$work/told"; fail "nothing was tried"; }
kill -0 "$server" 2>/dev/null || fail "the server is gone: $(tail -n 3 "$work/log")"
sed -n '/^API Operations/,$p' "$work/told"
