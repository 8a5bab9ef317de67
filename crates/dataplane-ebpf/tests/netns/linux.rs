//! Linux's own VXLAN at the other end, which leaves the outer checksum to the device.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::{Result, ensure};
use dataplane::{NextHop, Protocol, Tunnel, TunnelHeader, Vni};
use testbed::{Namespace, UPLINK};

use crate::hosts::{answer_udp, ask, dual_stack, v6};
use crate::services::{floating, put, service};
use crate::world::{World, router_mac};

const VNI: u32 = 5001;
const LINUX: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 9);
/// Of the Linux host in the overlay.
const OUTSIDE: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(172, 16, 9, 9), Ipv6Addr::new(0xfd00, 9, 0, 0, 0, 0, 0, 9));
const FLOATING: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(10, 254, 98, 7), Ipv6Addr::new(0xfd00, 5, 0, 0, 0, 0, 0, 7));
const SERVICE: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(10, 254, 98, 15), Ipv6Addr::new(0xfd00, 5, 0, 0, 0, 0, 0, 15));

/// A VTEP whose default ways lead to `node`.
async fn vtep(linux: &Namespace, node: Ipv4Addr) -> Result<()> {
    linux.run(&["ethtool", "-K", UPLINK, "tx", "on", "tso", "on", "gso", "on"]).await?;
    let (own, far) = (router_mac(LINUX), router_mac(node));
    let (v4, v6) = OUTSIDE;
    for line in [
        format!("link add vx type vxlan id {VNI} local {LINUX} remote {node} dstport 4789 udpcsum"),
        format!("link set dev vx address {own} mtu 1400 up"),
        format!("addr add {v4}/32 dev vx"),
        format!("neigh add 169.254.0.1 lladdr {far} dev vx nud permanent"),
        "route add 172.16.0.0/16 via 169.254.0.1 dev vx onlink".to_owned(),
        "route add 10.254.0.0/16 via 169.254.0.1 dev vx onlink".to_owned(),
    ] {
        linux.ip(&line).await?;
    }
    linux.run(&["sysctl", "-qw", "net.ipv6.conf.vx.disable_ipv6=0"]).await?;
    for line in [
        format!("-6 addr add {v6}/128 dev vx nodad"),
        format!("-6 neigh add fe80::1 lladdr {far} dev vx nud permanent"),
        "-6 route add fd00::/16 via fe80::1 dev vx onlink".to_owned(),
    ] {
        linux.ip(&line).await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn what_linux_sends_in_vxlan_is_translated() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let linux = world.fabric.node(&world.bed, "linux", LINUX).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    vtep(&linux, node.address).await?;
    node.vrf(1, VNI).port(1, &a);
    dual_stack(&mut node, 1, &a, v6(1));
    let header =
        TunnelHeader::Vxlan { vni: Vni::new(VNI).expect("a VNI"), router_mac: router_mac(LINUX) };
    let to_linux = NextHop::Tunnel(Tunnel { remote: LINUX.into(), header });
    node.route(1, "172.16.9.9/32", [to_linux.clone()]);
    node.route(1, &format!("{}/128", OUTSIDE.1), [to_linux]);
    let dns = [(Protocol::Udp, 53, 5353)];
    for address in [SERVICE.0.into(), IpAddr::V6(SERVICE.1)] {
        put(&mut node, 1, address, service(&dns, &[&a]));
    }
    for address in [FLOATING.0.into(), IpAddr::V6(FLOATING.1)] {
        put(&mut node, 1, address, floating(&[&a], false));
    }
    node.reconcile().await?;
    answer_udp(&a.namespace, "a", 5353)?;
    for to in [a.address.into(), IpAddr::V6(v6(1)), FLOATING.0.into(), IpAddr::V6(FLOATING.1)] {
        // Raw sockets and fragments have checksums of their own.
        let to = to.to_string();
        let pinged = linux.output(&["ping", "-n", "-c", "1", "-W", "1", &to]).await?;
        ensure!(pinged.status.success(), "{to}: {}", String::from_utf8_lossy(&pinged.stdout));
    }
    for octets in [100, 8000] {
        for to in [SERVICE.0.into(), IpAddr::V6(SERVICE.1)] {
            ask(&linux, 5000, (to, 53).into(), octets)?;
        }
    }
    Ok(())
}
