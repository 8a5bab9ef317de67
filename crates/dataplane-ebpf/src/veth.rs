//! Veth pairs between the node and its workloads.

use std::fs::{self, File};
use std::net::IpAddr;
use std::os::fd::{AsFd as _, AsRawFd as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use dataplane::{Attachment, DataplaneError, Mac, Port, PortId};
use netlink_packet_route::link::{InfoData, InfoKind, InfoVeth};
use rtnetlink::{LinkMessageBuilder, LinkUnspec};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::sync::oneshot;
use tracing::debug;

use crate::netlink::{Interface, Netlink, failed};

/// The host's end of a pair. It is down until its program is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) ifindex: u32,
    /// Inode number of the workload's network namespace.
    pub(crate) inode: u64,
}

/// A workload's network namespace and the interface in it.
#[derive(Debug)]
struct Inside {
    namespace: File,
    inode: u64,
    interface: String,
}

/// Inode number of the network namespace at `path`, if there is one.
pub(crate) fn inode(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|found| found.ino())
}

impl Inside {
    fn open(id: &PortId, attachment: &Attachment) -> Result<Self, DataplaneError> {
        let Attachment::Netns { path, interface } = attachment;
        let wrong = |error| {
            let path = path.display();
            DataplaneError::because(format!("network namespace {path} of port {id}"), error)
        };
        let namespace = File::open(path).map_err(wrong)?;
        let inode = namespace.metadata().map_err(wrong)?.ino();
        Ok(Self { namespace, inode, interface: interface.clone() })
    }
}

/// Makes the pair, or finds it: one that is right is not touched.
pub(crate) async fn ensure(
    netlink: &Netlink,
    name: &str,
    id: &PortId,
    port: &Port,
) -> Result<Pair, DataplaneError> {
    let inside = Inside::open(id, &port.attachment)?;
    if inode(Path::new("/proc/thread-self/ns/net")) == Some(inside.inode) {
        return Err(DataplaneError::new(format!(
            "port {id} is in the node's own network namespace"
        )));
    }
    if let Some(host) = netlink.interface(name).await? {
        let there = run_inside(&inside, id, Task::Look).await?;
        if there.is_some_and(|there| is_pair(&host, &there)) {
            return Ok(Pair { ifindex: host.ifindex, inode: inside.inode });
        }
        debug!(%id, name, "veth pair without its other end");
        netlink.delete(&host).await?;
    } else if run_inside(&inside, id, Task::Look).await?.is_some() {
        return Err(DataplaneError::new(format!(
            "port {id}: its namespace has an interface {} already",
            inside.interface
        )));
    }
    create(netlink, name, &inside, port).await?;
    let made = netlink.interface(name).await?;
    let Some(host) = made else {
        return Err(DataplaneError::new(format!("interface {name} is gone as soon as made")));
    };
    describe(netlink, &host, id).await?;
    Ok(Pair { ifindex: host.ifindex, inode: inside.inode })
}

fn is_pair(host: &Interface, inside: &Interface) -> bool {
    host.other_end == inside.ifindex && inside.other_end == host.ifindex
}

/// Takes the host's end up and sets up the workload's: address, gateway, MTU. On return packets
/// pass both ways.
pub(crate) async fn configure(
    netlink: &Netlink,
    name: &str,
    id: &PortId,
    port: &Port,
    ifindex: u32,
) -> Result<(), DataplaneError> {
    let inside = Inside::open(id, &port.attachment)?;
    let host = LinkUnspec::new_with_index(ifindex);
    netlink.set(host.mtu(u32::from(port.mtu)).up().build(), name).await?;
    run_inside(&inside, id, Task::Configure(Box::new(port.clone()))).await?;
    netlink.wait_until_it_carries(name).await
}

async fn create(
    netlink: &Netlink,
    name: &str,
    inside: &Inside,
    port: &Port,
) -> Result<(), DataplaneError> {
    let mtu = u32::from(port.mtu);
    let peer = LinkUnspec::new_with_name(&inside.interface)
        .setns_by_fd(inside.namespace.as_raw_fd())
        .address(port.mac.0.to_vec())
        .mtu(mtu)
        .build();
    let pair = LinkMessageBuilder::<LinkUnspec>::new_with_info_kind(InfoKind::Veth)
        .name(name)
        .mtu(mtu)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .build();
    let done = netlink.handle.link().add(pair).execute().await;
    done.map_err(|error| failed(format!("cannot make the veth pair {name}"), error))
}

/// Says whose the interface is, and keeps the host's own IPv6 off it.
async fn describe(netlink: &Netlink, host: &Interface, id: &PortId) -> Result<(), DataplaneError> {
    let alias: String = id.0.chars().take(200).collect();
    let message = LinkUnspec::new_with_index(host.ifindex);
    netlink.set(message.alias(alias).build(), &host.name).await?;
    netlink.keep_host_ipv6_off(host.ifindex, &host.name).await;
    Ok(())
}

/// What to do inside a workload's network namespace.
enum Task {
    Look,
    Configure(Box<Port>),
}

/// Runs on a thread of its own: a thread that has entered a namespace must not run anything else.
async fn run_inside(
    inside: &Inside,
    id: &PortId,
    task: Task,
) -> Result<Option<Interface>, DataplaneError> {
    let namespace = inside.namespace.try_clone().map_err(|error| entering(id, error))?;
    let (name, interface) = (id.clone(), inside.interface.clone());
    let (answer, answered) = oneshot::channel();
    let work = move || {
        let done = enter_and_run(&namespace, &name, &interface, &task);
        // Nobody waits any more only when the agent ends.
        drop(answer.send(done));
    };
    std::thread::Builder::new()
        .name("netns".to_owned())
        .spawn(work)
        .map_err(|error| entering(id, error))?;
    let died = |_| DataplaneError::new(format!("the thread inside port {id}'s namespace died"));
    answered.await.map_err(died)?
}

fn entering(id: &PortId, error: std::io::Error) -> DataplaneError {
    DataplaneError::because(format!("cannot enter the network namespace of port {id}"), error)
}

fn enter_and_run(
    namespace: &File,
    id: &PortId,
    interface: &str,
    task: &Task,
) -> Result<Option<Interface>, DataplaneError> {
    move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
        .map_err(|error| entering(id, error.into()))?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| entering(id, error))?;
    runtime.block_on(async {
        let netlink = Netlink::open()?;
        let found = netlink.interface(interface).await?;
        match (task, found) {
            (Task::Look, found) => Ok(found),
            (Task::Configure(port), Some(found)) => {
                set_up_inside(&netlink, id, &found, port).await?;
                Ok(Some(found))
            }
            (Task::Configure(_), None) => Err(DataplaneError::new(format!(
                "port {id}: interface {interface} is gone from its namespace"
            ))),
        }
    })
}

/// Changes only what is not as it should be: the interface may carry traffic.
async fn set_up_inside(
    netlink: &Netlink,
    id: &PortId,
    found: &Interface,
    port: &Port,
) -> Result<(), DataplaneError> {
    if let Some(lo) = netlink.interface("lo").await?.filter(|lo| !lo.up) {
        let up = LinkUnspec::new_with_index(lo.ifindex).up();
        netlink.set(up.build(), "lo").await?;
    }
    let Mac(mac) = port.mac;
    let message = || LinkUnspec::new_with_index(found.ifindex);
    if found.mac != Some(port.mac) {
        netlink.set(message().address(mac.to_vec()).build(), &found.name).await?;
    }
    if found.mtu != u32::from(port.mtu) {
        netlink.set(message().mtu(u32::from(port.mtu)).build(), &found.name).await?;
    }
    let v4 = port.v4.map(|v4| (v4.address.into(), v4.prefix_len, v4.gateway.into()));
    let v6 = port.v6.map(|v6| (v6.address.into(), v6.prefix_len, v6.gateway.into()));
    if port.v6.is_some() {
        switch_on_ipv6(id, &found.name)?;
    }
    let links: Vec<(IpAddr, u8, IpAddr)> = v4.into_iter().chain(v6).collect();
    for (address, prefix_len, _) in &links {
        netlink.set_only_address(found.ifindex, *address, *prefix_len).await?;
    }
    if !found.up {
        netlink.set(message().up().build(), &found.name).await?;
    }
    for (_, _, gateway) in links {
        netlink.set_default_route(found.ifindex, gateway).await?;
    }
    netlink.wait_until_it_carries(&found.name).await
}

/// Namespaces are often made with IPv6 switched off. The thread is inside, so `/proc` shows what is there.
fn switch_on_ipv6(id: &PortId, interface: &str) -> Result<(), DataplaneError> {
    let path = format!("/proc/sys/net/ipv6/conf/{interface}/disable_ipv6");
    let done = match fs::read_to_string(&path) {
        Ok(now) if now.trim() == "0" => Ok(()),
        Ok(_) => fs::write(&path, "0"),
        Err(error) => Err(error),
    };
    done.map_err(|error| {
        DataplaneError::because(format!("port {id}: no IPv6 on {interface} inside"), error)
    })
}
