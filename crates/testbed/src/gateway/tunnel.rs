//! What a route of FRR's tables says to a switch.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use super::switch::{MPLS_PORT, VXLAN_PORT};

/// A best path of one of FRR's tables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Route {
    pub(super) prefix: String,
    pub(super) targets: BTreeSet<String>,
    pub(super) tunnel: Tunnel,
    /// Exported by a VRF of this FRR, not received.
    pub(super) is_local: bool,
}

/// The far end of a tunnel, and how packets for it are marked; of a route of our own, what comes to us.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Tunnel {
    pub(super) end: Ipv4Addr,
    pub(super) mark: Mark,
}

/// See [`Tunnel`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Mark {
    Mpls {
        label: u32,
    },
    /// RFC 9135 section 6.1: the frame inside is sent to the MAC address of the router at the end.
    Vxlan {
        vni: u32,
        router_mac: String,
    },
}

impl Tunnel {
    /// The actions that send a packet into the tunnel. `own_mac` is the router's MAC address of this side.
    pub(super) fn actions(&self, own_mac: Option<&str>) -> String {
        let end = self.end;
        match &self.mark {
            Mark::Mpls { label } => format!(
                "push_mpls:0x8847,set_field:{label}->mpls_label,set_field:{end}->tun_dst,\
                 output:{MPLS_PORT}"
            ),
            Mark::Vxlan { vni, router_mac } => {
                let source =
                    own_mac.map(|mac| format!("set_field:{mac}->eth_src,")).unwrap_or_default();
                format!(
                    "{source}set_field:{router_mac}->eth_dst,set_field:{vni}->tun_id,\
                     set_field:{end}->tun_dst,output:{VXLAN_PORT}"
                )
            }
        }
    }

    /// What matches packets that come out of the tunnel at this side, and the actions that undo the mark.
    /// A router of frames counts the hop where the frame comes out.
    pub(super) fn arrivals(&self) -> Vec<(String, &'static str)> {
        match &self.mark {
            Mark::Mpls { label } => vec![(
                format!("in_port={MPLS_PORT},dl_type=0x8847,mpls_label={label},mpls_bos=1"),
                "pop_mpls:0x0800",
            )],
            Mark::Vxlan { vni, router_mac } => ["ip", "ipv6"]
                .map(|version| {
                    let frames =
                        format!("in_port={VXLAN_PORT},tun_id={vni},dl_dst={router_mac},{version}");
                    (frames, "dec_ttl")
                })
                .into(),
        }
    }
}

impl std::fmt::Display for Tunnel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.mark {
            Mark::Mpls { label } => write!(f, "{} label {label}", self.end),
            Mark::Vxlan { vni, router_mac } => {
                write!(f, "{} VNI {vni} router {router_mac}", self.end)
            }
        }
    }
}
