#!/bin/bash
# Checks the units with systemd's own tools. Needs no running systemd and no root, changes nothing
# outside a temporary directory.
#
#   packaging/check-units.sh [BINARIES]
#
# With BINARIES (a directory) it also checks that install.sh puts everything where the units look.
set -euo pipefail

# The exposure that `systemd-analyze security` may find, in tenths. Higher is worse; 100 is all.
declare -A THRESHOLD=([arcus-bgpd@ctl-1.service]=15 [arcus-vrouter-agent.service]=29)

here=$(cd "$(dirname "$0")" && pwd)
for tool in systemd-analyze systemd-sysusers systemd-tmpfiles; do
    if ! command -v "$tool" >/dev/null; then
        echo "check-units.sh: $tool is missing; install the package systemd" >&2
        exit 1
    fi
done
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT

fail() {
    echo "check-units.sh: $*" >&2
    exit 1
}

# 1. A machine with nothing but our files, and stand-ins for what the units start.
if [[ $# -gt 0 ]]; then
    DESTDIR=$root "$here/install.sh" "$1"
else
    install -D -m 0644 -t "$root/usr/lib/systemd/system" "$here"/systemd/*.service
    install -D -m 0644 -t "$root/usr/lib/sysusers.d" "$here/sysusers.d/arcus.conf"
    install -D -m 0644 -t "$root/usr/lib/tmpfiles.d" "$here/tmpfiles.d/arcus.conf"
    mkdir -p "$root/usr/bin"
fi
mkdir -p "$root/bin" "$root/etc"
for program in usr/bin/arcus-bgpd usr/bin/arcus-vrouter-agent usr/bin/install bin/kill; do
    if [[ ! -e $root/$program ]]; then install -m 0755 /dev/null "$root/$program"; fi
done
units=$root/usr/lib/systemd/system
# What our units stand on: targets and slices of the system.
cp /usr/lib/systemd/system/*.target /usr/lib/systemd/system/*.slice "$units"
# A template is checked as one of its instances.
mv "$units/arcus-bgpd@.service" "$units/arcus-bgpd@ctl-1.service"

# 2. Users, then directories that belong to them.
complaints=$(systemd-sysusers --root="$root" "$root/usr/lib/sysusers.d/arcus.conf" 2>&1) ||
    fail "$complaints"
for user in arcus-bgpd arcus-agent; do
    grep -q "^$user:.*nologin" "$root/etc/passwd" || fail "user $user is not made, or can log in"
    grep -q "^arcus:.*\b$user\b" "$root/etc/group" || fail "user $user is not in the group arcus"
done
if [[ $EUID == 0 ]]; then
    systemd-tmpfiles --root="$root" --create "$root/usr/lib/tmpfiles.d/arcus.conf"
    [[ $(stat -c %a "$root/run/arcus") == 1775 ]] || fail "/run/arcus is not made as it should be"
fi

# 3. The units themselves.
for unit in "${!THRESHOLD[@]}"; do
    complaints=$(systemd-analyze verify --root="$root" --man=no "$unit" 2>&1) ||
        fail "$unit: $complaints"
    if grep -q "$unit" <<<"$complaints"; then fail "$unit: $complaints"; fi
    report=$(systemd-analyze security --root="$root" --offline=true --no-pager \
        --threshold="${THRESHOLD[$unit]}" "$unit" 2>&1) || fail "$report"
    echo "$unit: $(tail -n 1 <<<"$report")"
done
