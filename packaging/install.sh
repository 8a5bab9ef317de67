#!/bin/bash
# Installs the binaries, units and completions. Used by `make install` and by packages.
#
#   packaging/install.sh BINARIES     the directory with arcus-bgpd, arcus-vrouter-agent and arcus
#
# DESTDIR is put before every path. Without it the users and directories are made at once.
set -euo pipefail

binaries=${1:?usage: packaging/install.sh DIRECTORY-WITH-BINARIES}
destdir=${DESTDIR:-}
here=$(cd "$(dirname "$0")" && pwd)

for program in arcus arcus-bgpd arcus-vrouter-agent; do
    if [[ ! -x $binaries/$program ]]; then
        echo "install.sh: $binaries/$program is missing; build it first: make build" >&2
        exit 1
    fi
    install -D -m 0755 "$binaries/$program" "$destdir/usr/bin/$program"
done

install -D -m 0644 -t "$destdir/usr/lib/systemd/system" "$here"/systemd/*.service
install -D -m 0644 -t "$destdir/usr/lib/sysusers.d" "$here/sysusers.d/arcus.conf"
install -D -m 0644 -t "$destdir/usr/lib/tmpfiles.d" "$here/tmpfiles.d/arcus.conf"
install -D -m 0644 -t "$destdir/usr/share/doc/arcus" "$here/../docs/operations.md"

install -d -m 0755 "$destdir/etc/arcus"
# What an operator has written stays.
if [[ ! -e $destdir/etc/arcus/agent.env ]]; then
    install -m 0644 "$here/agent.env" "$destdir/etc/arcus/agent.env"
fi

completions() { # SHELL FILE
    install -d "$destdir$(dirname "$2")"
    "$binaries/arcus" completions "$1" >"$destdir$2"
}
completions bash /usr/share/bash-completion/completions/arcus
completions zsh /usr/share/zsh/vendor-completions/_arcus
completions fish /usr/share/fish/vendor_completions.d/arcus.fish

if [[ -z $destdir ]]; then
    if command -v systemd-sysusers >/dev/null; then systemd-sysusers arcus.conf; fi
    if command -v systemd-tmpfiles >/dev/null; then systemd-tmpfiles --create arcus.conf; fi
    if [[ -d /run/systemd/system ]]; then systemctl daemon-reload; fi
    cat <<'NEXT'
Installed. Next: put the topology in /etc/arcus/topology.toml, then
  a control node:  systemctl enable --now arcus-bgpd@NAME
  a node:          edit /etc/arcus/agent.env, systemctl enable --now arcus-vrouter-agent
NEXT
fi
