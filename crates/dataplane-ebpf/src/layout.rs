//! What is shared with the programs, octet for octet; `bpf/layout.h` is the other half.
//!
//! Addresses and L4 ports are in network order ([`Be32`], [`Be16`]), all else is in host order.

use std::net::Ipv4Addr;

use aya::Pod;

pub(crate) const GROUP_MAX: usize = 16;
pub(crate) const BACKENDS_MAX: usize = dataplane::Translation::MAX_TARGETS;

pub(crate) const HOP_DISCARD: u8 = 1;
pub(crate) const HOP_PORT: u8 = 2;
pub(crate) const HOP_TRANSLATE: u8 = 3;
pub(crate) const HOP_TUNNEL: u8 = 4;

pub(crate) const MPLS_OVER_GRE: u8 = 0;
pub(crate) const MPLS_OVER_UDP: u8 = 1;

pub(crate) const FLOATING: u8 = 0;
pub(crate) const SERVICE: u8 = 1;

pub(crate) const FORWARD: u8 = 0;

/// A number in network order.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Be32(u32);

impl From<Ipv4Addr> for Be32 {
    fn from(address: Ipv4Addr) -> Self {
        Self(u32::from(address).to_be())
    }
}

impl From<Be32> for Ipv4Addr {
    fn from(value: Be32) -> Self {
        Self::from(u32::from_be(value.0))
    }
}

/// A number in network order.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Be16(u16);

impl From<u16> for Be16 {
    fn from(value: u16) -> Self {
        Self(value.to_be())
    }
}

impl From<Be16> for u16 {
    fn from(value: Be16) -> Self {
        Self::from_be(value.0)
    }
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) tunnel_address: Be32,
    pub(crate) uplink: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Uplink {
    pub(crate) mtu: u32,
    /// In the agent's list.
    pub(crate) order: u32,
    pub(crate) name: [u8; 16],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Port {
    /// 0: it has no interface.
    pub(crate) ifindex: u32,
    /// Changes when the element is used for another port, so that old flows do not reach it.
    pub(crate) generation: u32,
    pub(crate) vrf: u32,
    pub(crate) address: Be32,
    pub(crate) gateway: Be32,
    pub(crate) floating: Be32,
    pub(crate) floating_vrf: u32,
    pub(crate) mtu: u16,
    pub(crate) mac: [u8; 6],
    pub(crate) prefix_len: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct HostKey {
    pub(crate) vrf: u32,
    pub(crate) address: Be32,
}

/// Behind the prefix length, which aya keeps apart.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct NetKey {
    pub(crate) vrf: [u8; 4],
    pub(crate) address: [u8; 4],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Member {
    pub(crate) next_hop: u32,
    pub(crate) key: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) count: u32,
    pub(crate) local: u32,
    pub(crate) members: [Member; GROUP_MAX],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NextHop {
    pub(crate) kind: u8,
    pub(crate) encapsulation: u8,
    pub(crate) unused: u16,
    pub(crate) number: u32,
    pub(crate) address: Be32,
    pub(crate) uplink: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TranslationKey {
    pub(crate) vrf: u32,
    pub(crate) address: Be32,
    pub(crate) port: Be16,
    pub(crate) protocol: u8,
    pub(crate) unused: u8,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Backend {
    pub(crate) port: u32,
    pub(crate) key: u32,
    pub(crate) target: Be16,
    pub(crate) unused: u16,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Translation {
    pub(crate) count: u32,
    pub(crate) kind: u8,
    pub(crate) exclusive: u8,
    pub(crate) unused: u16,
    pub(crate) backends: [Backend; BACKENDS_MAX],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FlowKey {
    pub(crate) vrf: u32,
    pub(crate) source: Be32,
    pub(crate) destination: Be32,
    pub(crate) source_port: Be16,
    pub(crate) destination_port: Be16,
    pub(crate) protocol: u8,
    pub(crate) direction: u8,
    pub(crate) unused: u16,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) source: Be32,
    pub(crate) destination: Be32,
    pub(crate) source_port: Be16,
    pub(crate) destination_port: Be16,
    pub(crate) vrf: u32,
    pub(crate) port: u32,
    pub(crate) generation: u32,
    pub(crate) seen: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Traffic {
    pub(crate) rx_packets: u64,
    pub(crate) rx_bytes: u64,
    pub(crate) tx_packets: u64,
    pub(crate) tx_bytes: u64,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PortName(pub(crate) [u8; 1024]);

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct VrfName(pub(crate) [u8; 256]);

/// The size that C gives a type, and the promise that aya wants about it.
macro_rules! shared {
    ($($kind:ty = $size:literal),* $(,)?) => {$(
        const _: () = assert!(size_of::<$kind>() == $size);

        #[expect(unsafe_code, reason = "aya cannot see that any octets are a value of the type")]
        // SAFETY: `repr(C)` of integers and arrays of them, without padding: the size above is the
        // sum of the fields.
        unsafe impl Pod for $kind {}
    )*};
}

shared! {
    Be32 = 4,
    Be16 = 2,
    Node = 8,
    Uplink = 24,
    Port = 40,
    HostKey = 8,
    NetKey = 8,
    Member = 8,
    Group = 136,
    NextHop = 16,
    TranslationKey = 12,
    Backend = 12,
    Translation = 776,
    FlowKey = 20,
    Flow = 28,
    Traffic = 32,
    PortName = 1024,
    VrfName = 256,
}

/// Mixes bits as `mix` of `bpf/hash.h` does.
pub(crate) const fn mix(mut h: u32) -> u32 {
    h ^= h >> 16;
    h = h.wrapping_mul(0x85eb_ca6b);
    h ^= h >> 13;
    h = h.wrapping_mul(0xc2b2_ae35);
    h ^ (h >> 16)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn network_order_is_what_the_wire_has() {
        let address = Ipv4Addr::new(10, 1, 2, 3);
        assert_eq!(Be32::from(address).0.to_ne_bytes(), [10, 1, 2, 3]);
        assert_eq!(Ipv4Addr::from(Be32::from(address)), address);
        assert_eq!(Be16::from(6635).0.to_ne_bytes(), [0x19, 0xeb]);
        assert_eq!(u16::from(Be16::from(6635)), 6635);
    }
}
