#!/usr/bin/env bash
# Finds prometheus and promtool, or fetches the distribution's package of both into the user's cache.
#
# Looks at SLOTWISE_PROMETHEUS, then PATH, then the cache. Installs nothing. The last line on standard output is the folder
# that holds both; everything else goes to standard error.
#
#   SLOTWISE_PROMETHEUS  the folder that holds both
#   SLOTWISE_CACHE_DIR   where the fetched ones are kept (default: $XDG_CACHE_HOME/slotwise)
set -euo pipefail

# shellcheck source=scripts/apt.sh
. "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

readonly CACHE="${SLOTWISE_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/slotwise}/prometheus"
readonly LOCK_SECONDS_MAX=300

say() { printf '%s\n' "prometheus: $*" >&2; }

give_up() {
  say "$1"
  say "install the package prometheus of your distribution (it brings prometheus and promtool), or set SLOTWISE_PROMETHEUS to a folder that holds both"
  exit 1
}

# Prints the folder and ends the script, if both programs are there and run.
use_folder() {
  [[ -x "$1/prometheus" && -x "$1/promtool" ]] || return 0
  "$1/promtool" --version >/dev/null 2>&1 && "$1/prometheus" --version >/dev/null 2>&1 || return 0
  (cd "$1" && pwd)
  exit 0
}

look_at_cache() { use_folder "$CACHE/bin"; }

if [[ -n "${SLOTWISE_PROMETHEUS:-}" ]]; then
  use_folder "$SLOTWISE_PROMETHEUS"
  # What was asked for by name is never replaced in silence.
  give_up "SLOTWISE_PROMETHEUS: no prometheus and promtool that run in $SLOTWISE_PROMETHEUS"
fi
if found="$(command -v promtool)"; then use_folder "$(dirname "$found")"; fi
look_at_cache

for program in apt-get dpkg-deb; do
  command -v "$program" >/dev/null || give_up "neither in PATH nor in $CACHE, and there is no $program to fetch them with"
done
mkdir -p "$CACHE" 2>/dev/null && [[ -w "$CACHE" ]] || give_up "neither in PATH nor in $CACHE, which can't be written"
if command -v flock >/dev/null; then
  exec 9>"$CACHE/lock"
  flock -w "$LOCK_SECONDS_MAX" 9 || give_up "somebody else holds $CACHE/lock"
  look_at_cache # another run may just have finished
fi
work="$(mktemp -d "$CACHE/fetch.XXXXXX")"
trap 'cp -f "$work/log" "$CACHE/fetch.log" 2>/dev/null || true; rm -rf "$work"' EXIT
archive="$(apt_archive)" || give_up "apt names no archive and keyring for this distribution"
IFS='|' read -r uri keyring codename <<<"$archive"
components="main universe"
[[ "$keyring" == *debian* ]] && components=main
say "fetching the package of $codename (once)"
private_apt "$work/apt" "deb [signed-by=$keyring] $uri $codename $components"
mkdir "$work/package"
if ! (cd "$work" && apt-get "${apt_options[@]}" update && apt-get "${apt_options[@]}" download prometheus &&
  dpkg-deb -x prometheus_*.deb package) >>"$work/log" 2>&1; then
  give_up "the package prometheus of $codename could not be fetched; see $CACHE/fetch.log"
fi
rm -rf "${CACHE:?}/bin"
mv "$work/package/usr/bin" "$CACHE/bin"
look_at_cache
give_up "those of the package do not run; see $CACHE/bin"
