//! The underlay: one bridge in a namespace of its own.

use std::net::Ipv4Addr;

use anyhow::Result;

use crate::{Bed, Namespace};

/// The name that every node's interface on the underlay has.
pub const UPLINK: &str = "uplink";

/// The underlay. All nodes are on one flat network, 10.0.0.0/8: there is no router between them.
#[derive(Debug, Clone)]
pub struct Fabric {
    namespace: Namespace,
}

impl Fabric {
    pub(crate) async fn create(bed: &Bed) -> Result<Self> {
        let namespace = bed.namespace("fabric").await?;
        namespace.ip("link add br0 type bridge").await?;
        namespace.ip("link set dev br0 up").await?;
        Ok(Self { namespace })
    }

    /// Where the frames between nodes can be captured; see [`Self::port`].
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// The fabric's end of the cable to a node, by the node's short name.
    pub fn port(node: &str) -> String {
        // 15 is the most that the kernel takes.
        format!("to-{node}").chars().take(15).collect()
    }

    /// A namespace on the underlay, with an address on its interface [`UPLINK`] and no default route.
    pub async fn node(&self, bed: &Bed, name: &str, address: Ipv4Addr) -> Result<Namespace> {
        let node = self.unaddressed_node(bed, name).await?;
        node.ip(&format!("addr add {address}/8 dev {UPLINK}")).await?;
        Ok(node)
    }

    /// As [`Self::node`], for a node that puts its address elsewhere.
    pub async fn unaddressed_node(&self, bed: &Bed, name: &str) -> Result<Namespace> {
        let node = bed.namespace(name).await?;
        let port = Self::port(name);
        self.namespace
            .ip(&format!("link add {port} type veth peer name {UPLINK} netns {}", node.name()))
            .await?;
        self.namespace.ip(&format!("link set dev {port} master br0 up")).await?;
        node.ip(&format!("link set dev {UPLINK} up")).await?;
        node.offload_off(UPLINK).await?;
        Ok(node)
    }
}
