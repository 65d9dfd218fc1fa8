#!/usr/bin/env bash
# What the dependencies may be, deny.toml: their licences, bans and sources. cargo-deny is built once, from its locked
# sources, without optimization: that takes under a minute, and a check a second. No database of advisories is asked.
#
#   scripts/deny.sh [argument of cargo-deny …]
#   SLOTWISE_CACHE_DIR  where cargo-deny is kept (default: $XDG_CACHE_HOME/slotwise)
set -euo pipefail

cd "$(dirname "$0")/.."
readonly VERSION=0.20.2
readonly CACHE="${SLOTWISE_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/slotwise}"
readonly home="$CACHE/cargo-deny-$VERSION"

# The program is put there last, so an installation that was broken off is done again.
if [[ ! -x "$home/bin/cargo-deny" ]]; then
  printf 'deny: building cargo-deny %s into %s (once)\n' "$VERSION" "$home" >&2
  mkdir -p "$home"
  env -u RUSTFLAGS CARGO_TARGET_DIR="$home/target" CARGO_PROFILE_RELEASE_OPT_LEVEL=0 CARGO_PROFILE_RELEASE_LTO=off \
    CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16 \
    "${CARGO:-cargo}" install --quiet --locked --root "$home" --version "=$VERSION" cargo-deny || {
    printf 'deny: cargo-deny %s could not be built\n' "$VERSION" >&2
    exit 1
  }
  rm -rf "$home/target"
fi

exec "$home/bin/cargo-deny" --locked --all-features "$@" check licenses bans sources
