#!/usr/bin/env bash
# Packages of the distribution, fetched and verified by apt with folders of its own: no root, and no lists on the machine,
# needed. Sourced by the scripts that fetch one.

# "URI|keyring|codename" of the distribution's own archive, read from this machine's apt set-up.
apt_archive() {
  local codename uri keyring
  codename="$(. /etc/os-release 2>/dev/null && printf '%s' "${VERSION_CODENAME:-}")"
  [[ -n "$codename" ]] || return 1
  # Without release info apt also tells what it would fetch: a fresh machine has no lists yet.
  uri="$(apt-get indextargets --no-release-info --format '$(REPO_URI)|$(RELEASE)' 2>/dev/null |
    awk -F'|' -v release="$codename" '$2 == release { print $1; exit }')"
  [[ -n "$uri" ]] || return 1
  keyring="/usr/share/keyrings/$(. /etc/os-release && printf '%s' "$ID")-archive-keyring.gpg"
  [[ -r "$keyring" ]] || return 1
  printf '%s|%s|%s\n' "$uri" "$keyring" "$codename"
}

apt_options=()

# Sets `apt_options`: apt with lists and a cache of its own in folder $1, and $2 as its only source.
private_apt() {
  mkdir -p "$1/lists/partial" "$1/cache/archives/partial"
  printf '%s\n' "$2" >"$1/sources.list"
  apt_options=(-q -o "Dir::State::Lists=$1/lists" -o "Dir::Cache=$1/cache"
    -o "Dir::Etc::sourcelist=$1/sources.list" -o Dir::Etc::sourceparts=/dev/null
    -o APT::Sandbox::User= -o APT::Update::Error-Mode=any
    -o Acquire::Retries=2 -o Acquire::http::Timeout=30)
}
