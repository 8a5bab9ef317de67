//! BIRD 2.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Wanted;
use crate::load::routes::{ASN, Kind};
use crate::plan;

pub(super) fn configure(directory: &Path, wanted: &Wanted) -> Result<Vec<String>> {
    // The family's channel, and the table that it is in.
    let (table, channel) = match wanted.kind {
        Kind::Ipv4Unicast => ("ipv4 table bench;", "ipv4 { table bench;"),
        Kind::VpnV4 | Kind::Evpn => ("vpn4 table bench;", "vpn4 mpls { table bench;"),
    };
    let group = |name: &str, range: &str, role: &str| {
        format!(
            "protocol bgp {name} {{\n  local {} as {ASN};\n  strict bind yes;\n  \
             neighbor range {range} as {ASN};\n  dynamic name \"{name}_\";\n  {role}\n  \
             {channel} import all; export all; next hop keep; }};\n}}\n",
            plan::DAEMON
        )
    };
    let text = format!(
        "router id {};\nlog stderr {{ error, fatal, bug }};\n{table}\nprotocol device {{}}\n{}{}",
        plan::DAEMON,
        group("senders", "127.2.0.0/16", ""),
        group("clients", "127.3.0.0/16", "rr client;"),
    );
    let configuration = directory.join("bird.conf");
    fs::write(&configuration, text)?;
    let path = |path: &Path| path.display().to_string();
    Ok(vec![
        "-f".to_owned(),
        "-c".to_owned(),
        path(&configuration),
        "-s".to_owned(),
        path(&directory.join("bird.ctl")),
    ])
}
