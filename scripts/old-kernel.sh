#!/bin/bash
# Runs a command on Debian 12's Linux 6.1, the oldest that the data plane works on, in an emulated machine
# (QEMU, no hardware help needed) over this machine's own files, as root. Its exit status is the command's.
#
#   scripts/old-kernel.sh target/debug/deps/netns-1234 --ignored --test-threads=1 versions
#
# /tmp, /run and the network are the guest's own. Ends by itself after OLD_KERNEL_SECONDS (900).
set -euo pipefail

inside() {
  local kernel=$1 command=$2 directory module
  mount -t proc proc /proc
  mount -t sysfs sys /sys
  mount -t devtmpfs dev /dev
  # The checkout stays where it is, even below one of these.
  mount --bind "${kernel%/target/old-kernel}" /mnt
  for directory in /tmp /run /dev/shm; do
    mkdir -p "$directory"
    mount -t tmpfs none "$directory"
  done
  mkdir -p "${kernel%/target/old-kernel}"
  mount --move /mnt "${kernel%/target/old-kernel}"
  mount -t bpf none /sys/fs/bpf
  mkdir -p /run/lock /run/netns
  for module in veth bridge sch_ingress cls_bpf dummy ipv6 af_packet vrf vxlan sch_fq bonding 8021q; do
    modprobe -q -d "$kernel" "$module"
  done
  ip link set dev lo up
  export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root
  export RUST_BACKTRACE=0 OLD_KERNEL=1
  # shellcheck disable=SC1090
  (. "$command") </dev/null
  echo "old-kernel: exit status $?"
  sync
  reboot -f
}

if [ "${1-}" = --inside ]; then
  set +e
  shift
  inside "$@"
fi

fail() {
  echo "old-kernel: $*" >&2
  exit 1
}

[ "$(id -u)" = 0 ] || fail "needs root"
[ $# -gt 0 ] || fail "usage: scripts/old-kernel.sh COMMAND..."
for tool in qemu-system-x86_64 busybox cpio; do
  command -v "$tool" >/dev/null || fail "$tool is not there: scripts/setup.sh old-kernel"
done

here=$(realpath "$0")
store=$(dirname "$here")/../target/old-kernel
mkdir -p "$store"
store=$(realpath "$store")

# The kernel is taken out of its package and never installed.
if [ ! -e "$store/vmlinuz" ]; then
  find_package() {
    apt-cache depends linux-image-amd64 2>/dev/null |
      sed -n 's/.*Depends: \(linux-image-6\.1[^ ]*\)/\1/p' | head -n 1
  }
  package=$(find_package)
  # The lists of packages may be missing, too.
  [ -n "$package" ] || { apt-get -q update >/dev/null && package=$(find_package); }
  [ -n "$package" ] || fail "this distribution has no Linux 6.1; try it on Debian 12"
  rm -rf "$store/new"
  mkdir -p "$store/new"
  (cd "$store/new" && apt-get -q download "$package" >/dev/null 2>&1) || fail "cannot download $package"
  dpkg-deb -x "$store"/new/*.deb "$store/new/tree"
  rm -rf "$store/lib"
  mv "$store/new/tree/lib" "$store/lib"
  mv "$store"/new/tree/boot/vmlinuz-* "$store/vmlinuz"
  rm -rf "$store/new"
  depmod -b "$store" "$(ls "$store/lib/modules")"
fi
release=$(ls "$store/lib/modules")

work=$(mktemp -d "$store/run.XXXXXX")
trap 'rm -rf "$work"' EXIT
printf '#!/bin/bash\nexec %q --inside %q %q\n' "$here" "$store" "$work/command" >"$work/init"
printf 'cd %q\n' "$PWD" >"$work/command"
printf '%q ' "$@" >>"$work/command"
chmod +x "$work/init"

# A first file system that knows only how to reach this machine's.
mkdir -p "$work/first/bin" "$work/first/root"
cp "$(command -v busybox)" "$work/first/bin/busybox"
{
  echo '#!/bin/busybox sh'
  modprobe -d "$store" -S "$release" --show-depends -a virtio_pci 9pnet_virtio 9p |
    awk '/^insmod/ && !seen[$2]++ { print $2 }' | while read -r module; do
    cp "$module" "$work/first/$(basename "$module")"
    echo "/bin/busybox insmod /$(basename "$module")"
  done
  echo '/bin/busybox mount -t 9p -o trans=virtio,version=9p2000.L,msize=524288,cache=loose host /root'
  echo "exec /bin/busybox switch_root /root '$work/init'"
} >"$work/first/init"
chmod +x "$work/first/init"
(cd "$work/first" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/initrd"

timeout "${OLD_KERNEL_SECONDS:-900}" qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 1 \
  -m "${OLD_KERNEL_MEMORY:-2G}" -nographic -no-reboot -nodefaults -serial stdio \
  -kernel "$store/vmlinuz" -initrd "$work/initrd" \
  -virtfs local,path=/,mount_tag=host,security_model=none,multidevs=remap \
  -append "console=ttyS0 quiet panic=-1 mitigations=off" </dev/null 2>&1 |
  sed -u 's/\r//' | tee "$work/output" || true
status=$(sed -n 's/^old-kernel: exit status //p' "$work/output" | tail -n 1)
[ -n "$status" ] || fail "the guest ended without a status"
exit "$status"
