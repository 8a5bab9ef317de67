#!/bin/bash
# Runs the tests of TCP-AO on a Linux that has it, as kernels of distributions seldom do: builds a small one, in its
# source, as a program (user-mode Linux), which runs over this machine's own files and ends with the tests.
#
#   apt-get source linux   # 6.7 or newer
#   scripts/tcp-ao.sh linux-6.12.117
#
# Needs gcc, make, flex, bison, bc; some 8 minutes of a processor for the kernel.
set -euo pipefail

inside() {
  local output=$1 good
  shift
  mount -t proc proc /proc
  mount -t tmpfs none /run
  export PATH=/usr/sbin:/usr/bin:/sbin:/bin
  ip link set dev lo up
  "$@" && good=$(awk '/^TcpExt:/ && !seen++ { split($0, name) } /^TcpExt:/ && seen > 0 { split($0, value) }
    END { for (i in name) if (name[i] == "TCPAOGood") print value[i] }' /proc/net/netstat)
  echo "segments signed right: ${good:-0}"
  [ "${good:-0}" -gt 0 ] && echo passed >"$output"
  halt -f
}

if [ "${1-}" = --inside ]; then
  set +e
  shift
  inside "$@"
fi

source=${1:?usage: scripts/tcp-ao.sh LINUX-SOURCE}
source=$(realpath "$source")
cd "$(dirname "$0")/.."
here=$PWD

wanted=(64BIT MULTIUSER BINFMT_ELF BINFMT_SCRIPT FUTEX EPOLL SIGNALFD TIMERFD EVENTFD SHMEM TMPFS PROC_FS
  PROC_SYSCTL SYSFS DEVTMPFS POSIX_TIMERS PRINTK BUG HOSTFS STDERR_CONSOLE STDIO_CONSOLE NULL_CHAN FD_CHAN NET
  UNIX INET IPV6 PACKET NAMESPACES NET_NS TCP_AO TCP_MD5SIG CRYPTO CRYPTO_SHA1 CRYPTO_HMAC CRYPTO_CMAC
  CRYPTO_AES HIGH_RES_TIMERS NO_HZ_IDLE ADVISE_SYSCALLS MEMBARRIER FILE_LOCKING INOTIFY_USER
  CC_OPTIMIZE_FOR_SIZE)
work=$here/target/tcp-ao
mkdir -p "$work"
printf 'CONFIG_%s=y\n' "${wanted[@]}" >"$work/wanted"
make -s -C "$source" ARCH=um tinyconfig >/dev/null
(cd "$source" && scripts/kconfig/merge_config.sh -m .config "$work/wanted" >/dev/null)
make -s -C "$source" ARCH=um olddefconfig >/dev/null
make -s -C "$source" ARCH=um -j"$(nproc)" linux

tests=$(cargo test -p bgp-peer --test transport --no-run --message-format=json |
  jq -r 'select(.executable and .target.name == "transport") | .executable')
output=$(mktemp "$work/output.XXXXXX")
trap 'rm -f "$output" "$output.sh"' EXIT
printf '#!/bin/bash\nexec %q --inside %q %q --test-threads=1 tcp_ao\n' "$here/scripts/tcp-ao.sh" "$output" "$tests" >"$output.sh"
chmod +x "$output.sh"
"$source/linux" mem=1G rootfstype=hostfs root=98:0 rw init="$output.sh" con=null con0=null,fd:1 </dev/null | tr -d '\r'
[ "$(cat "$output")" = passed ]
