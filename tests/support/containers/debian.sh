# shellcheck shell=bash
# debian.sh: what engine and standins both need from Debian. Sourced, never run.
# No mirror is named here: it is whatever apt on this machine already uses.

say() { echo "${0##*/}: $*" >&2; }
refuse() { say "$*"; exit 2; }

# require_debian_root WHAT: exit 2 with the reason unless this is root on a Debian machine
require_debian_root() {
  ((EUID == 0)) || refuse "$1 needs root, and this is uid $EUID"
  command -v apt-get >/dev/null && [[ -e /etc/debian_version ]] ||
    refuse "$1 is done with Debian's packages, and this machine has no apt-get. Start a Docker engine yourself, then run this again"
}

# debian_mirror: prints the URI of the archive that apt here takes its own Debian release from
debian_mirror() {
  local codename mirror
  codename=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
  # shellcheck disable=SC2016  # apt fills these in
  mirror=$(apt-get indextargets --format '$(RELEASE) $(REPO_URI)' 'Identifier: Packages' 2>/dev/null |
    awk -v release="$codename" '$1 == release && $2 ~ /^https?:/ { sub(/\/$/, "", $2); print $2; exit }')
  [[ -n $mirror ]] || refuse "apt names no http mirror for '$codename' here, so Debian 13's packages cannot be found either"
  echo "$mirror"
}

# apt_install PACKAGE…: installs what is missing; no service is started, even where an init script would
apt_install() (
  policy=/usr/sbin/policy-rc.d
  if [[ ! -e $policy ]]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 143' TERM
    trap 'exit 130' INT
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
  fi
  export DEBIAN_FRONTEND=noninteractive
  install=(apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "$@")
  # an old package list names versions that the mirror no longer has: try, refresh, try again
  "${install[@]}" >/dev/null 2>&1 || {
    apt-get update -qq -o DPkg::Lock::Timeout=300 >&2 && "${install[@]}" >/dev/null
  } || refuse "apt-get install $* failed (its messages stand above)"
)
