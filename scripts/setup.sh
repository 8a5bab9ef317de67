#!/bin/bash
# Installs the packages that building, the demo and the tests need, and only those that are missing.
# Starts no service and leaves none enabled that was not there before.
#
#   scripts/setup.sh            for everything but the following
#   scripts/setup.sh interop    also the daemons of others that make test-interop needs
#   scripts/setup.sh old-kernel also the emulator that make test-old-kernel needs
set -euo pipefail
cd "$(dirname "$0")/.."

packages=(
  # to build: the linker for Rust; clang and headers for the eBPF programs
  build-essential clang llvm libbpf-dev linux-libc-dev
  # the gateways of the demo
  frr openvswitch-switch
  # what BFD is tried with, beside FRR
  bird2
  # to make namespaces, to look into them, to measure
  iproute2 iputils-ping ethtool procps util-linux tcpdump tshark curl jq valgrind
  # to read what agents export of flows
  nfdump
  # to check the systemd units
  systemd
)

case ${1-} in
  '') ;;
  interop) packages+=(gobgpd openbgpd exabgp) ;;
  old-kernel) packages+=(qemu-system-x86 busybox-static cpio kmod) ;;
  *)
    echo "usage: scripts/setup.sh [interop | old-kernel]" >&2
    exit 2
    ;;
esac

fail() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

check_rust() {
  local want have
  want=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
  if ! have=$(cargo --version 2>/dev/null); then
    fail "cargo is not there; Rust $want or newer is needed, for example by rustup:" \
      "  curl https://sh.rustup.rs -sSf | sh -s -- -y --profile minimal"
  fi
  have=$(awk '{ print $2 }' <<<"$have")
  if [ "$(printf '%s\n' "$want" "$have" | sort -V | head -n 1)" != "$want" ]; then
    fail "cargo $have is older than $want; with rustup: rustup update stable"
  fi
}

is_installed() {
  [ "$(dpkg-query -W -f '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]
}

# While packages are installed, no service may be started: FRR and Open vSwitch would.
forbid_services() {
  policy=/usr/sbin/policy-rc.d
  if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod +x "$policy"
    trap 'rm -f "$policy"' EXIT
  fi
}

disable() {
  if command -v systemctl >/dev/null; then systemctl disable "$1" || true; fi
}

install_missing() {
  local missing=("$@") package
  echo "setup: installing ${missing[*]}"
  forbid_services
  export DEBIAN_FRONTEND=noninteractive
  local apt=(apt-get -q -y -o DPkg::Lock::Timeout=300)
  "${apt[@]}" update </dev/null >/dev/null
  "${apt[@]}" install --no-install-recommends "${missing[@]}" </dev/null
  for package in "${missing[@]}"; do
    case $package in
      # The demo starts its own; what was not here before shall not start at the next boot.
      frr | openvswitch-switch | gobgpd | openbgpd | exabgp) disable "$package" ;;
      bird2) disable bird ;;
    esac
  done
}

command -v apt-get >/dev/null ||
  fail "this is not Debian or Ubuntu; what these packages hold is needed: ${packages[*]}"

find_missing() {
  local package
  missing=()
  for package in "${packages[@]}"; do
    is_installed "$package" || missing+=("$package")
  done
}

find_missing
if [ ${#missing[@]} -gt 0 ]; then
  [ "$(id -u)" = 0 ] || fail "missing packages, run this as root: ${missing[*]}"
  # Another run may be at it at this moment.
  exec 9>/run/lock/arcus-setup
  flock 9
  find_missing
  if [ ${#missing[@]} -gt 0 ]; then install_missing "${missing[@]}"; fi
fi
check_rust
