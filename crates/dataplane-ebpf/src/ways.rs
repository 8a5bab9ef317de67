//! Which underlay interface leads to another node, on nodes that have several.
//!
//! The programs let the kernel find the next hop and its MAC address, but must name the interface.
//! With one uplink there is nothing to ask. With several the kernel's own routes say, and are asked
//! again at each look at what is there.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use dataplane::{NextHop, Op, Result, Tunnel};

use crate::plane::EbpfPlane;
use crate::tables::{Element as _, Entry as _};

impl EbpfPlane {
    /// Asks for the ways to nodes that these routes are the first to lead to.
    pub(crate) async fn find_ways(&mut self, puts: &[Op]) -> Result<()> {
        if self.node.uplinks.len() < 2 {
            return Ok(());
        }
        let groups = puts.iter().filter_map(|op| match op {
            Op::PutRoute(_, _, group) => Some(group.members()),
            _ => None,
        });
        let remotes: BTreeSet<Ipv4Addr> = groups.flatten().filter_map(remote).collect();
        for remote in remotes {
            if !self.ways.contains_key(&remote) {
                let way = self.ask_way(remote).await?;
                self.ways.insert(remote, way);
            }
        }
        Ok(())
    }

    /// Asks for all ways again, and corrects next hops that take another one.
    pub(crate) async fn refresh_ways(&mut self) -> Result<()> {
        let hops: Vec<(u32, NextHop)> =
            self.groups.next_hops().filter(|(_, hop)| hop.is_remote()).collect();
        self.ways.clear();
        if self.node.uplinks.len() > 1 {
            for remote in hops.iter().filter_map(|(_, hop)| remote(hop)).collect::<BTreeSet<_>>() {
                let way = self.ask_way(remote).await?;
                self.ways.insert(remote, way);
            }
        }
        for (number, hop) in hops {
            let wanted = self.raw_hop(&hop)?;
            if self.tables.next_hops.read(number, "next hop")? != wanted {
                self.tables.next_hops.write(number, wanted, "next hop")?;
            }
        }
        Ok(())
    }

    /// What the programs take for the way to that node; 0: the first uplink.
    pub(crate) fn way_to(&self, remote: Ipv4Addr) -> u32 {
        self.ways.get(&remote).copied().unwrap_or_default()
    }

    /// 0 also when the way is no uplink of ours: then there is none.
    async fn ask_way(&self, remote: Ipv4Addr) -> Result<u32> {
        let way = self.netlink.interface_towards(remote).await?;
        let uplinks = self.tables.uplinks.all()?;
        let known = way.filter(|way| uplinks.iter().any(|(ifindex, _)| ifindex == way));
        Ok(known.unwrap_or_default())
    }
}

fn remote(hop: &NextHop) -> Option<Ipv4Addr> {
    match hop {
        NextHop::Tunnel(Tunnel { remote, .. }) => Some(*remote),
        _ => None,
    }
}
