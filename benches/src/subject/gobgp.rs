//! `GoBGP`, which says one route in each UPDATE.

use std::fs;
use std::path::Path;

use anyhow::Result;

use super::Wanted;
use crate::load::routes::{ASN, Kind};
use crate::plan;

pub(super) fn configure(directory: &Path, wanted: Wanted) -> Result<Vec<String>> {
    let family = match wanted.kind {
        Kind::Ipv4Unicast => "ipv4-unicast",
        Kind::VpnV4 => "l3vpn-ipv4-unicast",
        Kind::Evpn => "l2vpn-evpn",
    };
    let afi_safi = |name: &str| {
        format!(
            "  [[peer-groups.afi-safis]]\n    [peer-groups.afi-safis.config]\n      \
             afi-safi-name = \"{name}\"\n"
        )
    };
    let group = |name: &str, range: &str, is_client: bool| {
        let mut families = afi_safi(family);
        if is_client && wanted.has_constraint {
            families += &afi_safi("rtc");
        }
        let reflector = if is_client {
            format!(
                "  [peer-groups.route-reflector.config]\n    route-reflector-client = true\n    \
                 route-reflector-cluster-id = \"{}\"\n",
                plan::DAEMON
            )
        } else {
            String::new()
        };
        format!(
            "[[peer-groups]]\n  [peer-groups.config]\n    peer-group-name = \"{name}\"\n    \
             peer-as = {ASN}\n{reflector}{families}\
             [[dynamic-neighbors]]\n  [dynamic-neighbors.config]\n    prefix = \"{range}\"\n    \
             peer-group = \"{name}\"\n"
        )
    };
    let text = format!(
        "[global.config]\n  as = {ASN}\n  router-id = \"{0}\"\n  local-address-list = [\"{0}\"]\n{1}{2}",
        plan::DAEMON,
        group("senders", "127.2.0.0/16", false),
        group("clients", "127.3.0.0/16", true),
    );
    let configuration = directory.join("gobgp.toml");
    fs::write(&configuration, text)?;
    Ok(vec![
        "-f".to_owned(),
        configuration.display().to_string(),
        "-l".to_owned(),
        "error".to_owned(),
        "--pprof-disable".to_owned(),
    ])
}
