#!/bin/bash
# Installs the route reflectors that `make bench RIVALS="..."` names, those that are missing.
# Starts no service and leaves none enabled that was not there before.
set -euo pipefail

declare -A package=([frr]=frr [bird]=bird2 [gobgp]=gobgpd [openbgpd]=openbgpd)

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

missing=()
for rival in "$@"; do
  name=${package[$rival]:-}
  if [ -z "$name" ]; then
    echo "rivals: no package is known for '$rival'; one of: ${!package[*]}" >&2
    exit 1
  fi
  is_installed "$name" || missing+=("$name")
done
[ ${#missing[@]} -gt 0 ] || exit 0
[ "$(id -u)" = 0 ] || { echo "rivals: missing packages, run this as root: ${missing[*]}" >&2; exit 1; }

# While packages are installed, no service may be started.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  printf '#!/bin/sh\nexit 101\n' >"$policy"
  chmod +x "$policy"
  trap 'rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
apt=(apt-get -q -y -o DPkg::Lock::Timeout=300)
"${apt[@]}" update </dev/null >/dev/null
"${apt[@]}" install --no-install-recommends "${missing[@]}" </dev/null
if command -v systemctl >/dev/null; then
  for name in "${missing[@]}"; do
    for unit in $(dpkg -L "$name" | sed -n 's|.*/systemd/system/\([^/]*\.service\)$|\1|p'); do
      systemctl disable "$unit" || true
    done
  done
fi
