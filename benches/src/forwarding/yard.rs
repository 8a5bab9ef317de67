//! Two nodes of the kernel's and two of ours, and the workloads of all ways.
//!
//! ```text
//! caller eth0 == veth NODE uplink == uplink NODE veth == eth0 called
//! ```
//!
//! Every way is three cables long, and each cable is a veth pair.

use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context as _, Result};
use dataplane::Encapsulation;
use dataplane_ebpf::{Cost, Options, costs};
use testbed::{Bed, Namespace, UPLINK};

use super::ours::{MTU, Node};
use super::traffic::Traffic;
use super::way::{Kind, Treatment, Way};

/// Of the caller's node, and of the other.
const NODES: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2)];
/// The ends of the kernel's VXLAN device.
const VXLAN: [Ipv4Addr; 2] = [Ipv4Addr::new(192, 168, 0, 1), Ipv4Addr::new(192, 168, 0, 2)];

#[derive(Debug)]
pub(crate) struct Yard {
    kernel: [Namespace; 2],
    pub(crate) ours: [Node; 2],
    /// The last, so that what is in it goes before it does.
    bed: Bed,
}

impl Yard {
    /// Everything that is needed for the ways, with room for more routes, and their workloads' connections.
    pub(crate) async fn new(bed: Bed, ways: &[Way], routes: u32) -> Result<(Self, Vec<Traffic>)> {
        let kernel = cable(&bed, "kernel").await?;
        let ours = cable(&bed, "ours").await?;
        vxlan(&kernel).await?;
        let mut nodes = Vec::new();
        for (namespace, address) in ours.into_iter().zip(NODES) {
            let mut options = Options::new(namespace.name());
            options.sizes.routes += routes;
            bed.remove_at_end(options.bpffs.join("arcus").join(&options.instance))?;
            nodes.push(Node::new(namespace, address, options));
        }
        let ours = <[Node; 2]>::try_from(nodes).map_err(|_| anyhow::anyhow!("two nodes"))?;
        let mut yard = Self { kernel, ours, bed };
        let mut workloads = Vec::new();
        for way in ways {
            workloads.push(yard.workloads(*way).await?);
        }
        for node in &yard.ours {
            node.apply()?;
        }
        let open =
            |(way, [from, to]): (&Way, &[Namespace; 2])| Traffic::open(from, to, way.target());
        let traffic = ways.iter().zip(&workloads).map(open).collect::<Result<_>>()?;
        Ok((yard, traffic))
    }

    async fn workloads(&mut self, way: Way) -> Result<[Namespace; 2]> {
        let from = self.bed.namespace(&format!("{}-a", way.number)).await?;
        let to = self.bed.namespace(&format!("{}-b", way.number)).await?;
        match way.kind {
            Kind::Plain | Kind::KernelVxlan => {
                let hops = if way.kind == Kind::Plain { NODES } else { VXLAN };
                let [near, far] = &self.kernel;
                attach(near, &from, way.caller()).await?;
                attach(far, &to, way.called()).await?;
                near.ip(&format!("route add {} via {}", way.called(), hops[1])).await?;
                far.ip(&format!("route add {} via {}", way.caller(), hops[0])).await?;
            }
            Kind::Ours(encapsulation, Treatment::Masquerade) => {
                let [near, far] = &mut self.ours;
                near.put_caller(way, encapsulation, far, &from);
                attach(&far.namespace, &to, way.called()).await?;
                near.namespace.ip(&format!("route add {} via {}", way.called(), NODES[1])).await?;
            }
            Kind::Ours(encapsulation, _) => self.put(way, encapsulation, [&from, &to]),
        }
        Ok([from, to])
    }

    fn put(&mut self, way: Way, encapsulation: Encapsulation, [from, to]: [&Namespace; 2]) {
        let [near, far] = &mut self.ours;
        near.put_caller(way, encapsulation, far, from);
        far.put_called(way, encapsulation, near, to);
    }

    /// What our programs have cost so far: the caller's node's, and the other's.
    pub(crate) fn costs(&self) -> Result<Vec<Cost>> {
        let [near, far] = &self.ours;
        Ok([costs(&near.options)?, costs(&far.options)?].concat())
    }

    /// How often the caller's node has run `arcus_port`, and for how long.
    pub(crate) fn near_port(&self) -> Result<(u64, Duration)> {
        let costs = costs(&self.ours[0].options)?;
        let port = costs.iter().find(|cost| cost.program == "arcus_port");
        port.map(|cost| (cost.runs, cost.time)).context("our node has no ports")
    }

    /// Whether the underlay carries frames of their real size from now on: cut, and with checksums, before
    /// they leave, and merged, as far as the kernel knows how, where they arrive.
    pub(crate) async fn cut(&self, is_cut: bool) -> Result<()> {
        let (offload, merge) = if is_cut { ("off", "on") } else { ("on", "off") };
        let ours = self.ours.iter().map(|node| &node.namespace);
        for node in self.kernel.iter().chain(ours) {
            let words = ["tx", offload, "tso", offload, "gso", offload, "gro", merge];
            node.run(&[&["ethtool", "-K", UPLINK][..], &words].concat()).await?;
        }
        Ok(())
    }
}

/// Two nodes and the cable between them.
async fn cable(bed: &Bed, name: &str) -> Result<[Namespace; 2]> {
    let near = bed.namespace(&format!("{name}-1")).await?;
    let far = bed.namespace(&format!("{name}-2")).await?;
    near.ip(&format!("link add {UPLINK} type veth peer name {UPLINK} netns {}", far.name()))
        .await?;
    for (node, address) in [(&near, NODES[0]), (&far, NODES[1])] {
        node.ip(&format!("addr add {address}/24 dev {UPLINK}")).await?;
        node.ip(&format!("link set dev {UPLINK} up")).await?;
        node.run(&["sysctl", "-qw", "net.ipv4.ip_forward=1"]).await?;
    }
    Ok([near, far])
}

/// The kernel's own tunnel.
async fn vxlan(nodes: &[Namespace; 2]) -> Result<()> {
    for (node, [own, other]) in nodes.iter().zip([[0, 1], [1, 0]]) {
        let (local, remote) = (NODES[own], NODES[other]);
        node.ip(&format!(
            "link add vx type vxlan id 77 local {local} remote {remote} dstport 4789"
        ))
        .await?;
        node.ip(&format!("addr add {}/24 dev vx", VXLAN[own])).await?;
        node.ip(&format!("link set dev vx mtu {MTU} up")).await?;
    }
    Ok(())
}

/// A workload of a node without a plane.
async fn attach(node: &Namespace, workload: &Namespace, address: Ipv4Addr) -> Result<()> {
    let [a, b, c, d] = address.octets();
    let (port, gateway) = (format!("w{b}-{c}-{d}"), Ipv4Addr::new(a, b, c, 1));
    node.ip(&format!(
        "link add {port} mtu {MTU} type veth peer name eth0 mtu {MTU} netns {}",
        workload.name()
    ))
    .await?;
    node.ip(&format!("addr add {gateway}/24 dev {port}")).await?;
    node.ip(&format!("link set dev {port} up")).await?;
    workload.ip(&format!("addr add {address}/24 dev eth0")).await?;
    workload.ip("link set dev eth0 up").await?;
    workload.ip(&format!("route add default via {gateway}")).await?;
    Ok(())
}
