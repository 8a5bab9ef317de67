//! FRR's bgpd without zebra: next hops count as reachable.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Wanted;
use crate::load::routes::{ASN, Kind};
use crate::plan;

pub(super) fn configure(directory: &Path, wanted: Wanted) -> Result<Vec<String>> {
    let family = match wanted.kind {
        Kind::Ipv4Unicast => "ipv4 unicast",
        Kind::VpnV4 => "ipv4 vpn",
        Kind::Evpn => "l2vpn evpn",
    };
    let group = |name: &str, range: &str| {
        format!(
            " neighbor {name} peer-group\n neighbor {name} remote-as {ASN}\n \
             neighbor {name} update-source {}\n neighbor {name} advertisement-interval 0\n \
             bgp listen range {range} peer-group {name}\n",
            plan::DAEMON
        )
    };
    let text = format!(
        "hostname bench\nlog stdout errors\nrouter bgp {ASN}\n bgp router-id {}\n \
         no bgp default ipv4-unicast\n bgp listen limit 5000\n{}{} address-family {family}\n  \
         neighbor senders activate\n  neighbor clients activate\n  \
         neighbor clients route-reflector-client\n exit-address-family\nexit\n",
        plan::DAEMON,
        group("senders", "127.2.0.0/16"),
        group("clients", "127.3.0.0/16"),
    );
    let configuration = directory.join("frr.conf");
    fs::write(&configuration, text)?;
    let path = |path: &Path| path.display().to_string();
    Ok(vec![
        // No zebra; stay root, since the run directory is root's.
        "-Z".to_owned(),
        "-S".to_owned(),
        "-f".to_owned(),
        path(&configuration),
        "-i".to_owned(),
        path(&directory.join("frr.pid")),
        "--vty_socket".to_owned(),
        path(directory),
        "-P".to_owned(),
        "0".to_owned(),
        "-l".to_owned(),
        plan::DAEMON.to_string(),
    ])
}
