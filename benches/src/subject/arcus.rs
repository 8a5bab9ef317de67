//! Our own daemon: senders and clients are nodes of one cloud.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Wanted;
use crate::load::routes::{ASN, Kind};
use crate::plan;

const NAME: &str = "bench";

pub(super) fn configure(directory: &Path, wanted: Wanted) -> Result<Vec<String>> {
    let topology = directory.join("topology.toml");
    let families = match wanted.kind {
        Kind::Ipv4Unicast => "families = [\"ipv4\"]\n",
        // The overlay's are the default.
        Kind::VpnV4 | Kind::Evpn => "",
    };
    let text = format!(
        "[federation]\nname = \"{NAME}\"\n\n\
         [cloud.{NAME}]\nasn = {ASN}\nencapsulations = [\"mpls-over-gre\"]\n\n\
         [cloud.{NAME}.control-node.{NAME}]\naddress = \"{}\"\n\n\
         [cloud.{NAME}.nodes]\nprefixes = [\"127.2.0.0/15\"]\n\
         {families}",
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
