//! FRR, and the devices by which it knows that there is a VNI.

use std::fmt::Write;

use anyhow::Result;

use super::{Attached, EvpnSpec, MTU, enable_ipv6};
use crate::gateway::BgpPeer;
use crate::{Bed, FrrRouter, Namespace};

/// The bridge that is the router's interface of the VNI.
pub const BRIDGE: &str = "irb";

/// The VXLAN device in it.
pub const DEVICE: &str = "vni";

/// Makes bridge and device, on this UDP port, and starts FRR. `address` is one of the namespace already.
pub(super) async fn start(
    bed: &Bed,
    namespace: &Namespace,
    spec: &EvpnSpec,
    port: u16,
) -> Result<FrrRouter> {
    let EvpnSpec { name, address, vni, router_mac, .. } = spec;
    for command in [
        format!("link add {BRIDGE} type bridge"),
        format!("link set dev {BRIDGE} mtu {MTU} address {router_mac} addrgenmode none"),
        format!("link add {DEVICE} type vxlan id {vni} local {address} dstport {port} nolearning"),
        format!("link set dev {DEVICE} mtu {MTU} master {BRIDGE} addrgenmode none"),
    ] {
        namespace.ip(&command).await?;
    }
    enable_ipv6(namespace, BRIDGE).await?;
    for device in [DEVICE, BRIDGE] {
        namespace.ip(&format!("link set dev {device} up")).await?;
    }
    let zebra = format!("vni {vni}\n");
    let daemons = [("zebra", zebra.as_str()), ("bgpd", &bgpd(spec))];
    FrrRouter::start(bed, namespace, &format!("{name}-frr"), &daemons).await
}

fn bgpd(spec: &EvpnSpec) -> String {
    let mut text = String::new();
    write(spec, &mut text).map_or_else(|_| String::new(), |()| text)
}

fn write(spec: &EvpnSpec, text: &mut String) -> std::fmt::Result {
    let EvpnSpec { address, asn, peers, vni, route_target, networks, .. } = spec;
    writeln!(text, "router bgp {asn}\n bgp router-id {address}")?;
    writeln!(text, " no bgp ebgp-requires-policy\n no bgp default ipv4-unicast")?;
    writeln!(text, " no bgp network import-check")?;
    for BgpPeer { address: peer, asn: peer_asn } in peers {
        writeln!(text, " neighbor {peer} remote-as {peer_asn}")?;
        if peer_asn != asn {
            writeln!(text, " neighbor {peer} ebgp-multihop 255")?;
        }
        writeln!(text, " neighbor {peer} update-source {address}")?;
        writeln!(text, " neighbor {peer} timers connect 1")?;
    }
    for version in ["ipv4", "ipv6"] {
        writeln!(text, " address-family {version} unicast\n  maximum-paths 8")?;
        for Attached { router, prefix_len, .. } in networks {
            if router.is_ipv6() == (version == "ipv6") {
                // FRR masks the address.
                writeln!(text, "  network {router}/{prefix_len}")?;
            }
        }
        writeln!(text, " exit-address-family")?;
    }
    writeln!(text, " address-family l2vpn evpn")?;
    for BgpPeer { address, .. } in peers {
        writeln!(text, "  neighbor {address} activate")?;
    }
    writeln!(text, "  advertise-all-vni\n  advertise ipv4 unicast\n  advertise ipv6 unicast")?;
    writeln!(text, "  rd {address}:{}", vni % 0x10000)?;
    writeln!(text, "  route-target import {route_target}\n  route-target export {route_target}")?;
    writeln!(text, " exit-address-family")
}
