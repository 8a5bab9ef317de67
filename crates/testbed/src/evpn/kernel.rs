//! A router whose packets the kernel moves: FRR puts routes, neighbours and forwarding entries into it.

use std::net::IpAddr;

use anyhow::Result;

use super::way::{Way, ways_to};
use super::{Attached, EvpnSpec, cable, speaker};
use crate::{Bed, Fabric, FrrRouter, Namespace};

/// RFC 7348 section 5.
const PORT: u16 = 4789;

/// A running router.
#[derive(Debug)]
pub struct KernelRouter {
    namespace: Namespace,
    frr: FrrRouter,
}

impl KernelRouter {
    /// Starts it on the fabric, with a cable to `outside`, which gets the host's addresses of all its
    /// networks, and routes to `far` through it. On return BGP is trying to connect.
    pub async fn start(
        bed: &Bed,
        fabric: &Fabric,
        spec: &EvpnSpec,
        outside: &Namespace,
        far: &[&str],
    ) -> Result<Self> {
        let namespace = fabric.node(bed, &spec.name, spec.address).await?;
        let settings = [
            "net.ipv4.ip_forward=1",
            "net.ipv6.conf.all.forwarding=1",
            // Over the ways of a route by flow, not by address.
            "net.ipv4.fib_multipath_hash_policy=1",
        ];
        namespace.run(&[&["sysctl", "-qw"], &settings[..]].concat()).await?;
        cable(&namespace, outside, &spec.name).await?;
        for Attached { router, host, prefix_len } in &spec.networks {
            let no_dad = if router.is_ipv6() { "nodad" } else { "" };
            namespace.ip(&format!("addr add {router}/{prefix_len} dev lan {no_dad}")).await?;
            outside.ip(&format!("addr add {host}/{prefix_len} dev {} {no_dad}", spec.name)).await?;
        }
        for prefix in far {
            let is_v6 = prefix.contains(':');
            let routers = spec.networks.iter().map(|attached| attached.router);
            for router in routers.filter(|router| router.is_ipv6() == is_v6) {
                outside.ip(&format!("route replace {prefix} via {router}")).await?;
            }
        }
        let frr = speaker::start(bed, &namespace, spec, PORT).await?;
        Ok(Self { namespace, frr })
    }

    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub fn frr(&self) -> &FrrRouter {
        &self.frr
    }

    /// The ways by which the kernel sends packets to a host, by a route of BGP.
    pub async fn ways_to(&self, host: IpAddr) -> Result<Vec<Way>> {
        ways_to(&self.namespace, host).await
    }
}
