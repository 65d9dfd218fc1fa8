#!/usr/bin/env bash
# Finds a Redis or Valkey server that slotwise can use, or builds one into the user's cache.
#
# Looks at SLOTWISE_REDIS_SERVER, then PATH, then the cache; builds from the distribution's source
# package as a last resort. Touches nothing outside the cache. The last line on standard output is the
# folder that holds `redis-server` and `redis-cli`; everything else goes to standard error.
#
#   --tls                  pass over servers that were built without TLS, which the tests need
#
#   SLOTWISE_REDIS_SERVER  a redis-server or valkey-server binary, or the folder that holds one
#   SLOTWISE_CACHE_DIR     where the built server is kept (default: $XDG_CACHE_HOME/slotwise)
set -euo pipefail

# shellcheck source=scripts/apt.sh
. "$(dirname "${BASH_SOURCE[0]}")/apt.sh"

readonly NEEDS="Redis 7.4 or later, or Valkey 9 or later"
readonly CACHE="${SLOTWISE_CACHE_DIR:-${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/slotwise}/redis"
readonly BUILD_JOBS="$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)"
readonly LOCK_SECONDS_MAX=900

needs_tls=""
[[ "${1:-}" == --tls ]] && needs_tls=1
tried=()

say() { printf '%s\n' "redis: $*" >&2; }

# Every way to fail ends here: what was looked for, and the three ways on.
give_up() {
  say "found no server that will do: slotwise needs $NEEDS${needs_tls:+, built with TLS}"
  local line
  for line in "${tried[@]}"; do say "  looked at $line"; done
  say "three ways on:"
  say "  1. install a package (redis-server or valkey-server) of that version, so that it is in PATH"
  say "  2. set SLOTWISE_REDIS_SERVER to a redis-server or valkey-server binary of that version"
  say "  3. run a Redis Cluster in a container and pass its address: slotwise demo --redis-url redis://host:port"
  exit 1
}

# Prints "redis 8.0.2" or "valkey 9.0.1" for a server binary; fails where it is neither.
server_version() {
  local out
  out="$("$1" --version 2>/dev/null)" || return 1
  case "$out" in
    [Vv]alkey*) printf 'valkey ' ;;
    [Rr]edis*) printf 'redis ' ;;
    *) return 1 ;;
  esac
  sed -n 's/.* v=\([0-9.]*\).*/\1/p' <<<"$out"
}

# Is "redis 7.4.0" new enough? Field TTLs came with Redis 7.4 and with Valkey 9.0.
new_enough() {
  local flavour="$1" version="$2" major minor
  major="${version%%.*}"
  minor="${version#*.}"; minor="${minor%%.*}"
  [[ "$major" =~ ^[0-9]+$ && "$minor" =~ ^[0-9]+$ ]] || return 1
  case "$flavour" in
    valkey) (( major >= 9 )) ;;
    redis) (( major > 7 || (major == 7 && minor >= 4) )) ;;
    *) return 1 ;;
  esac
}

# Was it built with TLS? Both kinds take the setting and end before they listen: one misses TLS, the other a
# certificate.
has_tls() {
  local out
  out="$("$1" --port 0 --tls-port 1 2>&1 </dev/null || true)"
  [[ "$out" != *"Failed finding TLS support"* ]]
}

# Prints the folder for a suitable server and ends the script. A server or client under another name
# (valkey-server) is reached through a folder of links, so that callers know two names only.
use_server() {
  local server="$1" where="$2" flavour version dir cli
  read -r flavour version <<<"$(server_version "$server" || true)"
  if [[ -z "${version:-}" ]]; then
    tried+=("$where: $server does not answer --version like Redis or Valkey")
    return 1
  fi
  if ! new_enough "$flavour" "$version"; then
    tried+=("$where: $server is $flavour $version, too old")
    return 1
  fi
  # What we build ourselves always has TLS; what is in the cache without it is from before.
  if [[ -n "$needs_tls" || "$where" == "the cache" ]] && ! has_tls "$server"; then
    tried+=("$where: $server is $flavour $version, built without TLS")
    return 1
  fi
  dir="$(cd "$(dirname "$server")" && pwd)"
  cli=""
  local name
  for name in "$flavour-cli" redis-cli valkey-cli; do
    if [[ -x "$dir/$name" ]]; then cli="$dir/$name"; break; fi
  done
  if [[ -z "$cli" ]]; then
    tried+=("$where: $server is $flavour $version, but there is no redis-cli or valkey-cli beside it")
    return 1
  fi
  if [[ "$(basename "$server")" != redis-server || "$(basename "$cli")" != redis-cli ]]; then
    local links="$CACHE/links/$flavour-$version-$(cksum <<<"$dir" | cut -d' ' -f1)"
    mkdir -p "$links"
    ln -sfn "$dir/$(basename "$server")" "$links/redis-server"
    ln -sfn "$cli" "$links/redis-cli"
    dir="$links"
  fi
  say "$flavour $version, from $where"
  printf '%s\n' "$dir"
  exit 0
}

look_at_setting() {
  local set_to="${SLOTWISE_REDIS_SERVER:-}" name
  [[ -n "$set_to" ]] || { tried+=("SLOTWISE_REDIS_SERVER: not set"); return; }
  if [[ -d "$set_to" ]]; then
    for name in redis-server valkey-server; do
      if [[ -x "$set_to/$name" ]]; then use_server "$set_to/$name" SLOTWISE_REDIS_SERVER || true; fi
    done
    ((${#tried[@]} > 0)) || tried+=("SLOTWISE_REDIS_SERVER: no redis-server or valkey-server in $set_to")
  elif [[ -x "$set_to" ]]; then
    use_server "$set_to" SLOTWISE_REDIS_SERVER || true
  else
    tried+=("SLOTWISE_REDIS_SERVER: $set_to is not a program")
  fi
  # What was asked for by name is never replaced in silence.
  give_up
}

look_at_path() {
  local name found any=""
  for name in redis-server valkey-server; do
    if found="$(command -v "$name")"; then
      any=1
      use_server "$found" PATH || true
    fi
  done
  [[ -n "$any" ]] || tried+=("PATH: no redis-server, no valkey-server")
}

look_at_cache() {
  local server any=""
  for server in "$CACHE"/*/bin/redis-server; do
    [[ -x "$server" ]] || continue
    any=1
    use_server "$server" "the cache" || true
  done
  [[ -n "$any" || -n "${1:-}" ]] || tried+=("the cache: nothing in $CACHE")
}

# The suites to ask, newest stable ones after the machine's own.
suites_after() {
  case "$1" in
    bookworm|bullseye) echo "trixie sid" ;;
    jammy|noble) echo "$1 questing resolute" ;;
    *) echo "$1 sid" ;;
  esac
}

# Fetches and verifies the source package with apt, using private folders only. Prints the tarball.
fetch_source() {
  local work="$1" archive uri keyring codename suite package components
  archive="$(apt_archive)" || { tried+=("source package: apt names no archive and keyring for this distribution"); return 1; }
  IFS='|' read -r uri keyring codename <<<"$archive"
  components="main universe"
  [[ "$keyring" == *debian* ]] && components=main
  mkdir -p "$work/source"
  for suite in $(suites_after "$codename"); do
    private_apt "$work/apt-$suite" "deb-src [signed-by=$keyring] $uri $suite $components"
    if ! apt-get "${apt_options[@]}" update >>"$work/log" 2>&1; then
      tried+=("source package: the list of $suite could not be fetched; see $CACHE/build.log")
      continue
    fi
    for package in redis valkey; do
      rm -f "$work"/source/*
      if ! (cd "$work/source" && apt-get "${apt_options[@]}" source --download-only "$package" >>"$work/log" 2>&1); then
        tried+=("source package: $package of $suite could not be fetched")
        continue
      fi
      local tarball flavour="$package" version
      tarball="$(ls "$work"/source/*.orig.tar.* | head -n 1)"
      version="$(basename "$tarball")"; version="${version#*_}"; version="${version%%.orig*}"
      if new_enough "$flavour" "${version%%[!0-9.]*}"; then
        say "building $flavour $version from the source package of $suite (about two minutes, once)"
        printf '%s\n' "$tarball" >"$work/tarball"
        return 0
      fi
      tried+=("source package: $suite has $flavour $version, too old")
    done
  done
  return 1
}

openssl_settings=()

# Finds OpenSSL to build with: the machine's own, or else what the distribution's package of it has, unpacked in the
# build folder and linked in, so that nothing needs to be installed. Sets `openssl_settings` for make.
find_openssl() {
  local work="$1" archive uri keyring codename prefix="$1/openssl" unpacked="$1/libssl-dev"
  openssl_settings=()
  if printf '#include <openssl/ssl.h>\nint main(void) { return !SSL_CTX_new(TLS_method()); }\n' |
    cc -x c - -lssl -lcrypto -o "$work/openssl-test" 2>/dev/null; then
    return 0
  fi
  say "fetching OpenSSL's headers and static libraries, which are not on this machine"
  archive="$(apt_archive)" || return 1
  IFS='|' read -r uri keyring codename <<<"$archive"
  private_apt "$work/apt-openssl" "deb [signed-by=$keyring] $uri $codename main"
  mkdir -p "$unpacked" "$prefix/include" "$prefix/lib"
  if ! (cd "$unpacked" && apt-get "${apt_options[@]}" update && apt-get "${apt_options[@]}" download libssl-dev &&
    dpkg-deb -x libssl-dev_*.deb .) >>"$work/log" 2>&1; then
    tried+=("a build: the package libssl-dev of $codename could not be fetched; see $CACHE/build.log")
    return 1
  fi
  # Some headers lie in the folder of the machine's architecture.
  cp -r "$unpacked/usr/include/openssl" "$unpacked"/usr/include/*/openssl "$prefix/include/"
  cp "$unpacked"/usr/lib/*/libssl.a "$unpacked"/usr/lib/*/libcrypto.a "$prefix/lib/"
  openssl_settings=("OPENSSL_PREFIX=$prefix" "LIBSSL_LIBS=$prefix/lib/libssl.a"
    "LIBCRYPTO_LIBS=$prefix/lib/libcrypto.a -ldl -lpthread")
}

# Compiles the tarball and moves the two programs into the cache in one step.
compile() {
  local work="$1" tarball source flavour stage
  tarball="$(cat "$work/tarball")"
  mkdir -p "$work/build"
  tar -xf "$tarball" -C "$work/build" --strip-components=1
  source="$work/build"
  find_openssl "$work" || return 1
  if ! make -C "$source" -j"$BUILD_JOBS" BUILD_TLS=yes "${openssl_settings[@]}" MALLOC=libc >>"$work/log" 2>&1; then
    tried+=("a build: make failed; the log is kept in $CACHE/build.log")
    return 1
  fi
  flavour=redis
  [[ -x "$source/src/valkey-server" ]] && flavour=valkey
  stage="$work/stage"
  mkdir -p "$stage/bin"
  cp "$source/src/$flavour-server" "$stage/bin/redis-server"
  cp "$source/src/$flavour-cli" "$stage/bin/redis-cli"
  strip "$stage/bin/"* 2>/dev/null || true
  local version
  version="$(server_version "$stage/bin/redis-server")"
  rm -rf "${CACHE:?}/${version// /-}"
  mv "$stage" "$CACHE/${version// /-}"
  say "built ${version}"
}

build_folder=""

# Keeps the log of a build and nothing else of it.
leave_build() {
  cp -f "$build_folder/log" "$CACHE/build.log" 2>/dev/null || true
  rm -rf "$build_folder"
}

build() {
  local program
  for program in apt-get cc make tar; do
    command -v "$program" >/dev/null || { tried+=("a build: needs $program, which is not here"); return; }
  done
  if ! mkdir -p "$CACHE" 2>/dev/null || [[ ! -w "$CACHE" ]]; then
    tried+=("a build: $CACHE can't be written")
    return
  fi
  if command -v flock >/dev/null; then
    exec 9>"$CACHE/lock"
    flock -w "$LOCK_SECONDS_MAX" 9 || { tried+=("a build: another one holds $CACHE/lock"); return; }
    look_at_cache again # another run may just have finished
  fi
  # What a build left that was killed.
  find "$CACHE" -maxdepth 1 -name 'build.??????' -type d -mmin +60 -exec rm -rf {} + 2>/dev/null || true
  local work
  work="$(mktemp -d "$CACHE/build.XXXXXX")"
  build_folder="$work"
  trap leave_build EXIT
  fetch_source "$work" && compile "$work" && look_at_cache again
  return 0
}

look_at_setting
look_at_path
look_at_cache
build
give_up
