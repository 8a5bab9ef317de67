#!/bin/bash
# Runs a command on Linux 6.1, the oldest kernel that the data plane supports: user-mode Linux of the
# distribution, on this machine's own files, as root. Its exit status is the command's.
#
#   scripts/old-kernel.sh target/debug/deps/netns-1234 --ignored --test-threads=1 versions
#
# /tmp, /run and the network are the guest's own. Ends by itself after OLD_KERNEL_SECONDS (900).
set -euo pipefail

if [ "${1-}" = --inside ]; then
  shift
  set +e
  mount -t proc proc /proc
  mount -t sysfs sys /sys
  for directory in /tmp /run /dev/shm; do
    mkdir -p "$directory"
    mount -t tmpfs none "$directory"
  done
  mount -t bpf none /sys/fs/bpf
  mkdir -p /run/lock /run/netns "/run/modules/lib/modules"
  ln -s "/usr/lib/uml/modules/$(uname -r)" "/run/modules/lib/modules/$(uname -r)"
  for module in veth bridge sch_ingress cls_bpf act_bpf dummy ipv6 af_packet vrf vxlan sch_fq; do
    modprobe -q -d /run/modules "$module"
  done
  ip link set dev lo up
  ulimit -n 65536
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root RUST_BACKTRACE=0
  # shellcheck disable=SC1090
  . "$1"
  echo "old-kernel: exit status $?"
  sync
  echo o >/proc/sysrq-trigger
  sleep 60
fi

fail() {
  echo "old-kernel: $*" >&2
  exit 1
}

[ "$(id -u)" = 0 ] || fail "needs root"
[ $# -gt 0 ] || fail "usage: scripts/old-kernel.sh COMMAND..."
command -v linux.uml >/dev/null || fail "linux.uml is not there: apt-get install user-mode-linux"

here=$(realpath "$0")
# Not below /tmp, which the guest does not see.
work=$(mktemp -d /var/tmp/arcus-old-kernel.XXXXXX)
trap 'rm -rf "$work"' EXIT
printf '#!/bin/bash\nexec %q --inside %q\n' "$here" "$work/command" >"$work/init"
printf 'cd %q\n' "$PWD" >"$work/command"
printf '%q ' "$@" >>"$work/command"
printf '\n' >>"$work/command"
chmod +x "$work/init"

TMPDIR=$work timeout "${OLD_KERNEL_SECONDS:-900}" linux.uml mem="${OLD_KERNEL_MEMORY:-2G}" umid="arcus-$$" \
  root=/dev/root rootfstype=hostfs rootflags=/ rw init="$work/init" con=null con0=null,fd:1 quiet \
  </dev/null 2>&1 | tr -d '\r' | tee "$work/output" || true
status=$(sed -n 's/^old-kernel: exit status //p' "$work/output" | tail -n 1)
[ -n "$status" ] || fail "the guest ended without a status"
exit "$status"
