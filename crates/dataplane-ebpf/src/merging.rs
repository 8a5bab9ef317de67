//! What makes the kernel merge packets that arrive in VXLAN (GRO), so that the programs see a few large ones: it
//! does so for sockets of its own VXLAN devices only. There is one for each version of IP of the underlay.
//!
//! Nothing comes out of the devices. What is in a VNI of ours never gets there, and `arcus_port`, which drops what
//! comes from no port, drops the rest.

use std::net::IpAddr;

use dataplane::{DataplaneError, Result};
use rtnetlink::{LinkUnspec, LinkVxlan};
use tracing::info;

use crate::netlink::{Netlink, failed};
use crate::plane::EbpfPlane;
use crate::programs::Hook;

const DEVICES: [&str; 2] = ["arcus-vxlan", "arcus-vxlan6"];
const PORT: u16 = 4789;
/// Nobody's.
const VNI: u32 = 0;

impl EbpfPlane {
    /// Makes the devices that networks with a VNI have use of, and removes others. Without them it all
    /// works, but TCP over VXLAN is slower; so what fails is told once and hinders nothing.
    pub(crate) async fn let_kernel_merge(&mut self) {
        let has_vni = self.vrfs.values().any(|vrf| vrf.vni.is_some());
        let node = &self.node;
        let locals = [node.tunnel_v4.map(IpAddr::from), node.tunnel_v6.map(IpAddr::from)];
        for (name, local) in DEVICES.into_iter().zip(locals) {
            let done = match local.filter(|_| has_vni) {
                Some(local) => self.merge_at(name, local).await,
                None => remove_device(&self.netlink, name).await,
            };
            match done {
                Err(error) if !self.cannot_merge => {
                    self.cannot_merge = true;
                    info!(%error, "packets in VXLAN are not merged as they arrive");
                }
                _ => {}
            }
        }
    }

    async fn merge_at(&mut self, name: &str, local: IpAddr) -> Result<()> {
        if self.netlink.interface(name).await?.is_none() {
            add_device(&self.netlink, name, local).await?;
        }
        let Some(device) = self.netlink.interface(name).await? else {
            return Err(DataplaneError::new(format!("interface {name} is gone as soon as made")));
        };
        let done = self.shut_and_set_up(name, device.ifindex).await;
        if done.is_err() {
            self.netlink.delete(&device).await?;
        }
        done
    }

    async fn shut_and_set_up(&mut self, name: &str, ifindex: u32) -> Result<()> {
        self.programs.attach(&self.netlink, Hook::Port, name, ifindex).await?;
        self.netlink.keep_host_ipv6_off(ifindex, name).await;
        // Only then is there a socket. It fails where another program has the port.
        self.netlink.set(LinkUnspec::new_with_index(ifindex).up().build(), name).await
    }
}

async fn add_device(netlink: &Netlink, name: &str, local: IpAddr) -> Result<()> {
    let device = LinkVxlan::new(name, VNI).port(PORT).learning(false);
    let device = match local {
        IpAddr::V4(local) => device.local(local),
        IpAddr::V6(local) => device.local6(local),
    };
    let done = netlink.handle.link().add(device.build()).execute().await;
    done.map_err(|error| failed(format!("cannot make the VXLAN device {name}"), error))
}

async fn remove_device(netlink: &Netlink, name: &str) -> Result<()> {
    match netlink.interface(name).await? {
        Some(device) => netlink.delete(&device).await,
        None => Ok(()),
    }
}

/// For `purge`.
pub(crate) async fn remove_devices(netlink: &Netlink) -> Result<()> {
    for name in DEVICES {
        remove_device(netlink, name).await?;
    }
    Ok(())
}
