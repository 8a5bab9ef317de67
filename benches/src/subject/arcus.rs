//! Our own daemon: clients are nodes of one cloud, and senders are too, but in unicast, where nobody can
//! say that he wants nothing.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Wanted;
use crate::load::routes::{ASN, Kind};
use crate::plan;

const NAME: &str = "bench";

pub(super) fn configure(directory: &Path, wanted: Wanted) -> Result<Vec<String>> {
    let topology = directory.join("topology.toml");
    let peers = match wanted.kind {
        Kind::Ipv4Unicast => format!(
            "[cloud.{NAME}.nodes]\nprefixes = [\"127.3.0.0/16\"]\nfamilies = [\"ipv4\"]\n\n\
             [neighbor.senders]\nclouds = [\"{NAME}\"]\nprefixes = [\"127.2.0.0/16\"]\n\
             asn = {ASN}\nfamilies = [\"ipv4\"]\n"
        ),
        Kind::VpnV4 | Kind::Evpn => {
            format!("[cloud.{NAME}.nodes]\nprefixes = [\"127.2.0.0/15\"]\n")
        }
    };
    let text = format!(
        "[federation]\nname = \"{NAME}\"\n\n\
         [cloud.{NAME}]\nasn = {ASN}\nencapsulations = [\"mpls-over-gre\"]\n\n\
         [cloud.{NAME}.control-node.{NAME}]\naddress = \"{}\"\n\n\
         {peers}",
        plan::DAEMON
    );
    fs::write(&topology, text)?;
    let path = |path: &Path| path.display().to_string();
    Ok(vec![
        "--topology".to_owned(),
        path(&topology),
        "--node".to_owned(),
        NAME.to_owned(),
        "--run-dir".to_owned(),
        path(directory),
    ])
}
