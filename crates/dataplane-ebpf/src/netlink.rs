//! Interfaces of one network namespace, by rtnetlink.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use dataplane::{DataplaneError, Mac};
use futures::TryStreamExt as _;
use netlink_packet_route::AddressFamily;
use netlink_packet_route::address::{AddressAttribute, AddressFlags};
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, LinkAttribute, LinkFlags, LinkLayerType, LinkMessage,
};
use netlink_packet_route::route::{RouteMessage, RouteScope};
use netlink_packet_route::tc::{TcAttribute, TcFilterBpfOption, TcOption};
use rtnetlink::{Handle, LinkUnspec, RouteMessageBuilder};
use rustix::io::Errno;
use tokio::task::JoinHandle;
use tracing::debug;

use crate::classic;

/// A netlink socket in the network namespace of the thread that opened it.
pub(crate) struct Netlink {
    pub(crate) handle: Handle,
    connection: JoinHandle<()>,
}

impl Drop for Netlink {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// Events of the carrier are rarely held back for more than a second.
const CARRIER_CEILING: Duration = Duration::from_secs(3);
const CARRIER_LOOK: Duration = Duration::from_millis(5);

/// What we care about of an interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Interface {
    pub(crate) ifindex: u32,
    pub(crate) name: String,
    pub(crate) alias: String,
    pub(crate) mtu: u32,
    pub(crate) mac: Option<Mac>,
    pub(crate) up: bool,
    /// Packets that are sent now are sent: the other end is up, and the kernel has taken notice.
    pub(crate) carries: bool,
    pub(crate) is_ethernet: bool,
    /// Of a veth: its other end, wherever that is.
    pub(crate) other_end: u32,
}

impl Netlink {
    /// Must be called on a tokio runtime.
    pub(crate) fn open() -> Result<Self, DataplaneError> {
        let (connection, handle, _) = rtnetlink::new_connection()
            .map_err(|error| DataplaneError::because("cannot open a netlink socket", error))?;
        Ok(Self { handle, connection: tokio::spawn(connection) })
    }

    /// The interface of that name, if there is one.
    pub(crate) async fn interface(&self, name: &str) -> Result<Option<Interface>, DataplaneError> {
        let mut found = std::pin::pin!(self.handle.link().get().match_name(name).execute());
        match found.try_next().await {
            Ok(found) => Ok(found.as_ref().map(Interface::from)),
            Err(error) if is_no_device(&error) => Ok(None),
            Err(error) => Err(failed(format!("cannot ask about interface {name}"), error)),
        }
    }

    /// Waits until the interface carries packets: the kernel notices a new carrier a little later,
    /// and what is sent before is lost without a trace.
    pub(crate) async fn wait_until_it_carries(&self, name: &str) -> Result<(), DataplaneError> {
        let looks = async {
            while !self.interface(name).await?.is_some_and(|interface| interface.carries) {
                tokio::time::sleep(CARRIER_LOOK).await;
            }
            Ok(())
        };
        let never = |_| DataplaneError::new(format!("interface {name} does not come up"));
        tokio::time::timeout(CARRIER_CEILING, looks).await.map_err(never)?
    }

    /// All interfaces.
    pub(crate) async fn interfaces(&self) -> Result<Vec<Interface>, DataplaneError> {
        let all = self.handle.link().get().execute();
        let all: Vec<LinkMessage> = all
            .try_collect()
            .await
            .map_err(|error| failed("cannot list the interfaces".to_owned(), error))?;
        Ok(all.iter().map(Interface::from).collect())
    }

    /// Number of our program on the interface's ingress, where filters hold programs.
    pub(crate) async fn ingress_program(
        &self,
        ifindex: u32,
    ) -> Result<Option<u32>, DataplaneError> {
        let Ok(index) = i32::try_from(ifindex) else { return Ok(None) };
        let mut filters =
            std::pin::pin!(self.handle.traffic_filter(index).get().ingress().execute());
        loop {
            let filter = match filters.try_next().await {
                Ok(Some(filter)) => filter,
                Ok(None) => return Ok(None),
                // Without the queue there is no filter.
                Err(error) if is(&error, Errno::INVAL) || is_no_device(&error) => return Ok(None),
                Err(error) => {
                    let what = format!("cannot ask for filters of interface {ifindex}");
                    return Err(failed(what, error));
                }
            };
            if filter.header.info >> 16 != u32::from(classic::PRIORITY) {
                continue;
            }
            let options = filter.attributes.iter().filter_map(|attribute| match attribute {
                TcAttribute::Options(options) => Some(options),
                _ => None,
            });
            let id = options.flatten().find_map(|option| match option {
                TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => Some(*id),
                _ => None,
            });
            if id.is_some() {
                return Ok(id);
            }
        }
    }

    pub(crate) async fn delete(&self, interface: &Interface) -> Result<(), DataplaneError> {
        match self.handle.link().del(interface.ifindex).execute().await {
            Err(error) if !is_no_device(&error) => {
                Err(failed(format!("cannot delete interface {}", interface.name), error))
            }
            _ => Ok(()),
        }
    }

    pub(crate) async fn set(&self, message: LinkMessage, name: &str) -> Result<(), DataplaneError> {
        let done = self.handle.link().set(message).execute().await;
        done.map_err(|error| failed(format!("cannot set up interface {name}"), error))
    }

    /// The host gives itself no IPv6 address on the interface.
    pub(crate) async fn keep_host_ipv6_off(&self, ifindex: u32, name: &str) {
        let quiet = AfSpecUnspec::Inet6(vec![AfSpecInet6::AddrGenMode(In6AddrGenMode::None)]);
        let message = LinkUnspec::new_with_index(ifindex)
            .append_extra_attribute(LinkAttribute::AfSpecUnspec(vec![quiet]));
        // A kernel without IPv6 refuses, and needs it not.
        if let Err(error) = self.set(message.build(), name).await {
            debug!(%error, name, "no IPv6 to keep quiet");
        }
    }

    /// Makes `address` the interface's only address of its version, link-local ones aside. It is used at
    /// once: nobody else on the link can have it.
    pub(crate) async fn set_only_address(
        &self,
        ifindex: u32,
        address: IpAddr,
        prefix_len: u8,
    ) -> Result<(), DataplaneError> {
        let wrong = |error| failed(format!("cannot set address {address}/{prefix_len}"), error);
        let found = self.handle.address().get().set_link_index_filter(ifindex).execute();
        let mut there = false;
        for message in found.try_collect::<Vec<_>>().await.map_err(wrong)? {
            let is_v4 = message.header.family == AddressFamily::Inet;
            if message.header.index != ifindex || is_v4 != address.is_ipv4() {
                continue;
            }
            // IPv6 addresses have `Local` only on point-to-point interfaces.
            let local = message.attributes.iter().find_map(|attribute| match attribute {
                AddressAttribute::Local(address) => Some(*address),
                AddressAttribute::Address(address) if !is_v4 => Some(*address),
                _ => None,
            });
            if let Some(IpAddr::V6(local)) = local
                && local.is_unicast_link_local()
            {
                continue;
            }
            if local == Some(address) && message.header.prefix_len == prefix_len {
                there = true;
            } else {
                self.handle.address().del(message).execute().await.map_err(wrong)?;
            }
        }
        if there {
            return Ok(());
        }
        let mut add = self.handle.address().add(ifindex, address, prefix_len).replace();
        if address.is_ipv6() {
            let flags = AddressAttribute::Flags(AddressFlags::Nodad);
            add.message_mut().attributes.push(flags);
        }
        add.execute().await.map_err(wrong)
    }

    /// Sends everything without a better route through the gateway, also when that is not in the
    /// interface's own prefix.
    pub(crate) async fn set_default_route(
        &self,
        ifindex: u32,
        gateway: IpAddr,
    ) -> Result<(), DataplaneError> {
        let message = match gateway {
            IpAddr::V4(gateway) => RouteMessageBuilder::<Ipv4Addr>::new()
                .gateway(gateway)
                .output_interface(ifindex)
                .onlink()
                .build(),
            IpAddr::V6(gateway) => RouteMessageBuilder::<Ipv6Addr>::new()
                .gateway(gateway)
                .output_interface(ifindex)
                .onlink()
                .build(),
        };
        let done = self.handle.route().add(message).replace().execute().await;
        done.map_err(|error| failed(format!("cannot route by gateway {gateway}"), error))
    }
}

impl Netlink {
    /// The node itself reaches `address` by the interface, as `own`, without asking who has it.
    pub(crate) async fn set_host_route(
        &self,
        ifindex: u32,
        address: IpAddr,
        own: IpAddr,
        mac: Mac,
    ) -> Result<(), DataplaneError> {
        let wrong = |error| failed(format!("cannot route this node to {address}"), error);
        let neighbour = self.handle.neighbours().add(ifindex, address).link_layer_address(&mac.0);
        neighbour.replace().execute().await.map_err(wrong)?;
        let Some(route) = host_route(ifindex, address, Some(own)) else { return Ok(()) };
        self.handle.route().add(route).replace().execute().await.map_err(wrong)
    }

    /// What is not there is removed.
    pub(crate) async fn remove_host_route(
        &self,
        ifindex: u32,
        address: IpAddr,
    ) -> Result<(), DataplaneError> {
        let Some(route) = host_route(ifindex, address, None) else { return Ok(()) };
        match self.handle.route().del(route).execute().await {
            Err(error) if !is(&error, Errno::SRCH) => {
                Err(failed(format!("cannot remove this node's route to {address}"), error))
            }
            _ => Ok(()),
        }
    }
}

/// `None`: addresses of different versions.
fn host_route(ifindex: u32, address: IpAddr, own: Option<IpAddr>) -> Option<RouteMessage> {
    Some(match (address, own) {
        (IpAddr::V4(address), own) => {
            let route = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(address, 32)
                .scope(RouteScope::Link)
                .output_interface(ifindex);
            match own {
                Some(IpAddr::V4(own)) => route.pref_source(own).build(),
                Some(IpAddr::V6(_)) => return None,
                None => route.build(),
            }
        }
        (IpAddr::V6(address), own) => {
            let route = RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(address, 128)
                .output_interface(ifindex);
            match own {
                Some(IpAddr::V6(own)) => route.pref_source(own).build(),
                Some(IpAddr::V4(_)) => return None,
                None => route.build(),
            }
        }
    })
}

impl From<&LinkMessage> for Interface {
    fn from(message: &LinkMessage) -> Self {
        let mut interface = Self {
            ifindex: message.header.index,
            name: String::new(),
            alias: String::new(),
            mtu: 0,
            mac: None,
            up: message.header.flags.contains(LinkFlags::Up),
            carries: message.header.flags.contains(LinkFlags::LowerUp),
            is_ethernet: message.header.link_layer_type == LinkLayerType::Ether,
            other_end: 0,
        };
        for attribute in &message.attributes {
            match attribute {
                LinkAttribute::IfName(name) => interface.name.clone_from(name),
                LinkAttribute::IfAlias(alias) => interface.alias.clone_from(alias),
                // What an interface drops into until its carrier has been noticed.
                LinkAttribute::Qdisc(name) => interface.carries &= name != "noop",
                LinkAttribute::Mtu(mtu) => interface.mtu = *mtu,
                LinkAttribute::Link(other_end) => interface.other_end = *other_end,
                LinkAttribute::Address(mac) => {
                    interface.mac = mac.as_slice().try_into().ok().map(Mac);
                }
                _ => {}
            }
        }
        interface
    }
}

fn is_no_device(error: &rtnetlink::Error) -> bool {
    is(error, Errno::NODEV)
}

fn is(error: &rtnetlink::Error, code: Errno) -> bool {
    let rtnetlink::Error::NetlinkError(message) = error else { return false };
    message.raw_code() == -code.raw_os_error()
}

pub(crate) fn failed(what: String, error: rtnetlink::Error) -> DataplaneError {
    DataplaneError::because(what, error)
}
