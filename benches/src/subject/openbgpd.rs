//! OpenBGPD.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;

use super::Wanted;
use crate::load::routes::{ASN, Kind};
use crate::plan;

pub(super) fn configure(directory: &Path, wanted: &Wanted) -> Result<Vec<String>> {
    // The home of its user, which it makes its root; a service manager would have made it.
    fs::create_dir_all("/run/openbgpd")?;
    let family = match wanted.kind {
        Kind::Ipv4Unicast => "IPv4 unicast",
        Kind::VpnV4 | Kind::Evpn => "IPv4 vpn",
    };
    let group = |name: &str, range: &str, role: &str| {
        format!(
            "neighbor {range} {{\n  descr \"{name}\"\n  remote-as {ASN}\n  local-address {}\n  \
             passive\n  announce IPv4 none\n  announce IPv6 none\n  announce {family}\n  {role}\n}}\n",
            plan::DAEMON
        )
    };
    let text = format!(
        "AS {ASN}\nrouter-id {0}\nlisten on {0}\nfib-update no\nnexthop qualify via default\n\
         socket \"{1}/openbgpd.sock\"\n{2}{3}allow from any\nallow to any\n",
        plan::DAEMON,
        directory.display(),
        group("senders", "127.2.0.0/16", ""),
        group("clients", "127.3.0.0/16", "route-reflector"),
    );
    let configuration = directory.join("openbgpd.conf");
    fs::write(&configuration, text)?;
    // It refuses a file that others may write.
    fs::set_permissions(&configuration, fs::Permissions::from_mode(0o600))?;
    Ok(vec!["-d".to_owned(), "-f".to_owned(), configuration.display().to_string()])
}
