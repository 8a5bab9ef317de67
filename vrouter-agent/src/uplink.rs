//! The interface that the underlay is reached through.

use std::net::IpAddr;

use anyhow::{Context, bail};
use futures::TryStreamExt as _;
use netlink_packet_route::address::AddressAttribute;
use netlink_packet_route::link::LinkAttribute;

/// Octets that a tunnel over IPv4 may add to a packet: VXLAN has 50, MPLS less.
const TUNNEL_ROOM: u16 = 50;

/// The same over IPv6, whose header is longer.
const TUNNEL_ROOM_V6: u16 = 70;

/// The least MTU that IPv4 workloads can be given (RFC 791 §3.2 and a bit of sense). Those of IPv6
/// need 1280 (RFC 8200 §5), which every underlay that deserves the name leaves.
const LEAST_PORT_MTU: u16 = 576;

/// What tunnels go over: `V6` where some may go over IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Underlay {
    V4,
    V6,
}

/// An interface of the underlay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Uplink {
    pub name: String,
    /// In octets of IP.
    pub mtu: u16,
}

impl Uplink {
    /// What interfaces of workloads get.
    pub fn port_mtu(&self, underlay: Underlay) -> u16 {
        let room = match underlay {
            Underlay::V4 => TUNNEL_ROOM,
            Underlay::V6 => TUNNEL_ROOM_V6,
        };
        self.mtu.saturating_sub(room).max(LEAST_PORT_MTU)
    }
}

/// Finds the interface by its name, or else the one that holds `address`.
pub async fn find(name: Option<&str>, address: IpAddr) -> anyhow::Result<Uplink> {
    let (connection, handle, _) = rtnetlink::new_connection().context("no netlink socket")?;
    let connection = tokio::spawn(connection);
    let found = find_with(&handle, name, address).await;
    connection.abort();
    found
}

async fn find_with(
    handle: &rtnetlink::Handle,
    name: Option<&str>,
    address: IpAddr,
) -> anyhow::Result<Uplink> {
    let request = handle.link().get();
    let request = match name {
        Some(name) => request.match_name(name.to_owned()),
        None => request.match_index(index_of(handle, address).await?),
    };
    let mut links = std::pin::pin!(request.execute());
    let wanted = || name.map_or_else(|| address.to_string(), str::to_owned);
    let link = links.try_next().await.with_context(|| format!("interface {}", wanted()))?;
    let Some(link) = link else { bail!("there is no interface {}", wanted()) };
    let mut uplink = Uplink { name: String::new(), mtu: 0 };
    for attribute in &link.attributes {
        match attribute {
            LinkAttribute::IfName(name) => uplink.name.clone_from(name),
            // Loopback has 65536.
            LinkAttribute::Mtu(mtu) => uplink.mtu = u16::try_from(*mtu).unwrap_or(u16::MAX),
            _ => {}
        }
    }
    Ok(uplink)
}

async fn index_of(handle: &rtnetlink::Handle, address: IpAddr) -> anyhow::Result<u32> {
    let mut addresses = std::pin::pin!(handle.address().get().execute());
    while let Some(message) = addresses.try_next().await.context("addresses cannot be listed")? {
        // On a point-to-point interface `Address` is the other end; IPv6 has no `Local` elsewhere.
        let local = message.attributes.iter().any(|attribute| match attribute {
            AddressAttribute::Local(local) => *local == address,
            AddressAttribute::Address(own) => address.is_ipv6() && *own == address,
            _ => false,
        });
        if local {
            return Ok(message.header.index);
        }
    }
    bail!("no interface of this machine has the address {address}; give --uplink if that is right")
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[tokio::test]
    async fn the_uplink_is_found_by_address_and_by_name() {
        let by_address = find(None, Ipv4Addr::LOCALHOST.into()).await.expect("loopback");
        assert_eq!(by_address, find(Some("lo"), Ipv4Addr::LOCALHOST.into()).await.expect("lo"));
        assert_eq!(by_address.name, "lo");
        let error = find(None, [192, 0, 2, 77].into()).await.expect_err("not ours");
        assert!(error.to_string().contains("192.0.2.77"), "{error:#}");
        find(Some("none-such"), Ipv4Addr::LOCALHOST.into()).await.expect_err("no such interface");
    }
}
