#!/usr/bin/env bash
# What pyarrow reads of `slotwise batch --format arrow` is what was written: every cell, null, status and type.
#
#   scripts/check-arrow.sh PROGRAM [PART…]   parts: untyped, typed (default: both)
#   SLOTWISE_REDIS_SERVER  the redis-server to start, with redis-cli beside it (default: what scripts/redis.sh finds)
#   SLOTWISE_CACHE_DIR     where pyarrow is kept (default: $XDG_CACHE_HOME/slotwise)
set -euo pipefail

cd "$(dirname "$0")/.."
readonly program="${1:?usage: check-arrow.sh PROGRAM [PART…]}"
shift
readonly PYARROW=26.0.1
readonly CACHE="${SLOTWISE_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/slotwise}"

fail() { printf 'check-arrow: %s\n' "$*" >&2; exit 1; }

command -v python3 >/dev/null || fail "there is no python3: install it, with its venv and pip (Debian: python3-venv)"
version="$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
readonly home="$CACHE/pyarrow-$PYARROW-python-$version"
# The mark says that the installation was not broken off.
if [[ ! -e "$home/complete" ]]; then
  printf 'check-arrow: installing pyarrow %s into %s (once)\n' "$PYARROW" "$home" >&2
  rm -rf "$home"
  mkdir -p "$CACHE"
  python3 -m venv "$home" || fail "python3 makes no venv: install it (Debian: python3-venv)"
  "$home/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: "pyarrow==$PYARROW" ||
    fail "pyarrow $PYARROW can't be installed"
  : >"$home/complete"
fi

if [[ -z "${SLOTWISE_REDIS_SERVER:-}" ]]; then
  folder="$(scripts/redis.sh)"
  export SLOTWISE_REDIS_SERVER="$folder/redis-server"
fi
readonly cli="$(dirname "$SLOTWISE_REDIS_SERVER")/redis-cli"
[[ -x "$cli" ]] || fail "there is no redis-cli beside $SLOTWISE_REDIS_SERVER"

unset SLOTWISE_REDIS_URL SLOTWISE_CONFIG
work="$(mktemp -d)"
urls=""
port=""
finish() {
  [[ -z "$urls" ]] || "$program" cluster down --dir "$work/cluster" --port "$port" >/dev/null 2>&1 || true
  rm -rf "$work"
}
trap finish EXIT
# A port may be taken by then: the next ones are tried.
for port in $(seq 7611 10 7691); do
  if urls="$("$program" cluster up --dir "$work/cluster" --port "$port" 2>"$work/err")"; then break; fi
  urls=""
done
[[ -n "$urls" ]] || fail "no cluster could be started: $(tail -n 3 "$work/err")"

"$home/bin/python" scripts/check_arrow.py "$program" "$cli" "$urls" "$work" "$@"
