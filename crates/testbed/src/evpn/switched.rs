//! A router whose packets Open vSwitch moves in user space, by flows that the follower makes from FRR's table.

use anyhow::{Context, Result};

use super::{Attached, EvpnSpec, cable, speaker};
use crate::app::AppBinary;
use crate::gateway::Switch;
use crate::{Bed, Fabric, FrrRouter, Namespace, Process};

/// FRR needs a VXLAN device; on this port it gets no frame, so that the switch alone moves packets.
const NOBODYS_PORT: u16 = 1;

/// The next hops that the outside uses on the cable, which has no other addresses.
const LAN_ADDRESSES: [&str; 2] = ["169.254.0.1", "fe80::1"];

/// A running router.
#[derive(Debug)]
pub struct SwitchRouter {
    namespace: Namespace,
    frr: FrrRouter,
    switch: Switch,
    follower: Process,
}

impl SwitchRouter {
    /// As [`super::KernelRouter::start`]; `app` is the program that has the follower.
    pub async fn start(
        bed: &Bed,
        fabric: &Fabric,
        app: &AppBinary,
        spec: &EvpnSpec,
        outside: &Namespace,
        far: &[&str],
    ) -> Result<Self> {
        let name = &spec.name;
        let namespace = fabric.unaddressed_node(bed, name).await?;
        let switch = Switch::start(bed, &namespace, name).await?;
        switch.add_underlay(spec.address).await?;
        switch.add_vxlan().await?;
        cable(&namespace, outside, name).await?;
        switch.add_lan("lan").await?;
        let lan_mac = namespace.hardware_address("lan").await?;
        let outside_mac = outside.hardware_address(name).await?;
        for address in LAN_ADDRESSES {
            outside.ip(&format!("neigh replace {address} lladdr {lan_mac} dev {name}")).await?;
        }
        for Attached { host, .. } in &spec.networks {
            let no_dad = if host.is_ipv6() { "nodad" } else { "" };
            outside.ip(&format!("addr add {host} dev {name} {no_dad}")).await?;
        }
        for prefix in far {
            let via = LAN_ADDRESSES[usize::from(prefix.contains(':'))];
            outside.ip(&format!("route replace {prefix} via {via} dev {name} onlink")).await?;
        }
        let frr = speaker::start(bed, &namespace, spec, NOBODYS_PORT).await?;
        let vty = frr.socket("bgpd");
        let follow = [
            "follow",
            "--vty",
            vty.to_str().context("a run directory that is not UTF-8")?,
            "--bridge",
            &switch.bridge(),
            "--table",
            "evpn",
            "--route-target",
            &spec.route_target,
            "--outside-mac",
            &outside_mac,
        ];
        let follower =
            bed.start(&namespace, &format!("{name}-follower"), app.program(), app.args(&follow))?;
        Ok(Self { namespace, frr, switch, follower })
    }

    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    pub fn frr(&self) -> &FrrRouter {
        &self.frr
    }

    pub fn switch(&self) -> &Switch {
        &self.switch
    }

    pub fn follower(&mut self) -> &mut Process {
        &mut self.follower
    }
}
