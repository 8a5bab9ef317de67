//! What is shared with the programs, octet for octet; `bpf/layout.h` is the other half.
//!
//! Addresses and L4 ports are in network order ([`Be32`], [`Be16`], [`Address`]), all else is in host order.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use aya::Pod;

pub(crate) const GROUP_MAX: usize = dataplane::NextHopGroup::MAX;
/// Marks the number of a next hop where that of a group could stand.
pub(crate) const ONE_HOP: u32 = 1 << 31;

/// Places that the flows of a group are spread over.
pub(crate) const SHARES: usize = 4096;
pub(crate) const BACKENDS_MAX: usize = dataplane::Translation::MAX_TARGETS;
pub(crate) const IDENTITIES_MAX: usize = dataplane::Identities::MAX;

pub(crate) const HOP_DISCARD: u8 = 1;
pub(crate) const HOP_PORT: u8 = 2;
pub(crate) const HOP_TRANSLATE: u8 = 3;
pub(crate) const HOP_TUNNEL: u8 = 4;
pub(crate) const HOP_MASQUERADE: u8 = 5;

pub(crate) const MPLS_OVER_GRE: u8 = 0;
pub(crate) const MPLS_OVER_UDP: u8 = 1;
pub(crate) const VXLAN: u8 = 2;

pub(crate) const PORT_V4: u32 = 1 << 0;
pub(crate) const PORT_V6: u32 = 1 << 1;
pub(crate) const PORT_ALLOWED: u32 = 1 << 2;
pub(crate) const PORT_HOST_ACCESS: u32 = 1 << 3;
pub(crate) const PORT_MIRROR: u32 = 1 << 4;
pub(crate) const PORT_SAMPLE: u32 = 1 << 6;
pub(crate) const PORT_SERVES: u32 = 1 << 5;

pub(crate) const FLOATING: u8 = 0;
pub(crate) const SERVICE: u8 = 1;

pub(crate) const FORWARD: u8 = 0;
pub(crate) const REVERSE: u8 = 1;

pub(crate) const RULES_MAX: usize = dataplane::Filter::MAX_RULES;

pub(crate) const SIDE_IN: u8 = 0;
pub(crate) const SIDE_OUT: u8 = 1;

pub(crate) const ALLOW: u8 = 0;
pub(crate) const DENY: u8 = 1;

pub(crate) const PEER_ANY: u8 = 0;
pub(crate) const PEER_NET_V4: u8 = 1;
pub(crate) const PEER_NET_V6: u8 = 2;
pub(crate) const PEER_IDENTITY: u8 = 3;

pub(crate) const ANY_PROTOCOL: u16 = 0xffff;

pub(crate) const EVENT_DECIDED: u32 = 1;
pub(crate) const EVENT_SAMPLE: u32 = 2;
pub(crate) const EVENT_MIRRORED: u32 = 3;

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

/// An address of either version; IPv4 as `::ffff:a.b.c.d`. As words, since the programs read it so.
#[repr(transparent)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Address([Be32; 4]);

impl Address {
    /// No address at all.
    pub(crate) const NONE: Self = Self([Be32(0); 4]);
}

impl From<Ipv6Addr> for Address {
    fn from(address: Ipv6Addr) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = address.octets();
        let word = |octets| Be32(u32::from_ne_bytes(octets));
        Self([word([a, b, c, d]), word([e, f, g, h]), word([i, j, k, l]), word([m, n, o, p])])
    }
}

impl From<IpAddr> for Address {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().into(),
            IpAddr::V6(v6) => v6.into(),
        }
    }
}

impl From<Address> for Ipv6Addr {
    fn from(Address(words): Address) -> Self {
        let mut octets = [0; 16];
        for (place, word) in octets.chunks_exact_mut(4).zip(words) {
            place.copy_from_slice(&word.0.to_ne_bytes());
        }
        Self::from(octets)
    }
}

impl From<Address> for IpAddr {
    fn from(address: Address) -> Self {
        Ipv6Addr::from(address).to_canonical()
    }
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) tunnel_v4: Be32,
    /// The only interface of the underlay; 0: the kernel's routes choose.
    pub(crate) uplink: u32,
    pub(crate) tunnel_v6: Address,
    pub(crate) router_mac: [u8; 6],
    pub(crate) masquerade_first: u16,
    pub(crate) masquerade_count: u16,
    /// Of `uplink`; 0: `uplinks` says it.
    pub(crate) uplink_mtu: u16,
    pub(crate) sample_one_in: u32,
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
    pub(crate) flags: u32,
    pub(crate) v4: Be32,
    pub(crate) gateway_v4: Be32,
    pub(crate) v6: Address,
    pub(crate) gateway_v6: Address,
    pub(crate) floating_v6: Address,
    pub(crate) floating_v6_vrf: u32,
    pub(crate) floating_v4: Be32,
    pub(crate) floating_v4_vrf: u32,
    pub(crate) filter: u32,
    pub(crate) label: u32,
    pub(crate) mtu: u16,
    pub(crate) mac: [u8; 6],
    pub(crate) prefix_len_v4: u8,
    pub(crate) prefix_len_v6: u8,
    pub(crate) unused: u16,
    pub(crate) bandwidth: u64,
}

/// Behind the prefix length, which aya keeps apart.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct AllowedKey {
    pub(crate) port: [u8; 4],
    pub(crate) address: [u8; 16],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Allowed {
    pub(crate) mac: [u8; 6],
    pub(crate) unused: [u8; 2],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct HostV4 {
    pub(crate) vrf: u32,
    pub(crate) address: Be32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct HostV6 {
    pub(crate) vrf: u32,
    pub(crate) address: Address,
}

/// Behind the prefix length, which aya keeps apart.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct NetV4 {
    pub(crate) vrf: [u8; 4],
    pub(crate) address: [u8; 4],
}

/// Behind the prefix length, which aya keeps apart.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub(crate) struct NetV6 {
    pub(crate) vrf: [u8; 4],
    pub(crate) address: [u8; 16],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Route {
    /// Element of `groups`, or of `next_hops` with [`ONE_HOP`].
    pub(crate) target: u32,
    pub(crate) identities: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Identities {
    pub(crate) count: u32,
    pub(crate) number: [u32; IDENTITIES_MAX],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) count: u32,
    pub(crate) local: u32,
    pub(crate) by_source: u32,
    pub(crate) hops: [u32; GROUP_MAX],
}

impl Default for Group {
    fn default() -> Self {
        Self { count: 0, local: 0, by_source: 0, hops: [0; GROUP_MAX] }
    }
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shares {
    pub(crate) member: [u8; SHARES],
    /// What the shares were made from.
    pub(crate) weight: [u16; GROUP_MAX],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NextHop {
    pub(crate) kind: u8,
    pub(crate) encapsulation: u8,
    pub(crate) mac: [u8; 6],
    pub(crate) number: u32,
    pub(crate) address: Address,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) vrf: u32,
    /// Element of `ports`, and one; 0: the packet is looked up in `vrf`.
    pub(crate) port: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TranslationKey {
    pub(crate) vrf: u32,
    pub(crate) address: Address,
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
    pub(crate) affinity: u32,
    pub(crate) backends: [Backend; BACKENDS_MAX],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FlowKey {
    pub(crate) vrf: u32,
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) source_port: Be16,
    pub(crate) destination_port: Be16,
    pub(crate) protocol: u8,
    pub(crate) direction: u8,
    pub(crate) unused: u16,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Flow {
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) source_port: Be16,
    pub(crate) destination_port: Be16,
    pub(crate) vrf: u32,
    pub(crate) port: u32,
    pub(crate) generation: u32,
    pub(crate) seen: u32,
    pub(crate) state: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct AffinityKey {
    pub(crate) vrf: u32,
    pub(crate) address: Address,
    pub(crate) client: Address,
    pub(crate) port: Be16,
    pub(crate) protocol: u8,
    pub(crate) unused: u8,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Affinity {
    pub(crate) backend: u32,
    pub(crate) port: u32,
    pub(crate) generation: u32,
    pub(crate) seen: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct FragmentKey {
    pub(crate) scope: u32,
    pub(crate) source: Address,
    pub(crate) destination: Address,
    pub(crate) id: Be32,
    pub(crate) protocol: u8,
    pub(crate) unused: [u8; 3],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Fragment {
    pub(crate) source_port: Be16,
    pub(crate) destination_port: Be16,
    pub(crate) seen: u32,
    pub(crate) protocol: u8,
    pub(crate) unused: [u8; 3],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rule {
    pub(crate) side: u8,
    pub(crate) verdict: u8,
    pub(crate) log: u8,
    pub(crate) peer: u8,
    pub(crate) protocol: u16,
    /// Over 128 bits.
    pub(crate) prefix_len: u8,
    pub(crate) any_port: u8,
    pub(crate) first_port: u16,
    pub(crate) last_port: u16,
    pub(crate) identity: u32,
    pub(crate) net: Address,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) revision: u32,
    /// Element of `rule_counts`.
    pub(crate) counters: u32,
    pub(crate) count: u32,
    /// By side.
    pub(crate) default_verdict: [u8; 2],
    pub(crate) identities: u8,
    pub(crate) unused: u8,
    pub(crate) rules: [Rule; RULES_MAX],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct ConnectionKey {
    pub(crate) port: u32,
    pub(crate) own: Address,
    pub(crate) peer: Address,
    pub(crate) own_port: Be16,
    pub(crate) peer_port: Be16,
    pub(crate) protocol: u8,
    pub(crate) unused: [u8; 3],
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Connection {
    pub(crate) generation: u32,
    pub(crate) revision: u32,
    pub(crate) counter: u32,
    pub(crate) seen: u32,
    pub(crate) asked: u16,
    pub(crate) opener: u8,
    pub(crate) state: u8,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FilterNameKey {
    pub(crate) filter: u32,
    pub(crate) part: u32,
}

#[repr(C)]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FilterName(pub(crate) [u8; 512]);

/// `bpf/trace.h`.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Step {
    pub(crate) kind: u32,
    pub(crate) number: [u32; 5],
    pub(crate) address: [Address; 2],
    pub(crate) port: [Be16; 2],
    pub(crate) protocol: u8,
    pub(crate) unused: [u8; 3],
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
    Address = 16,
    Node = 40,
    Uplink = 24,
    Port = 112,
    AllowedKey = 20,
    Allowed = 8,
    HostV4 = 8,
    HostV6 = 20,
    NetV4 = 8,
    NetV6 = 20,
    Route = 8,
    Identities = 68,
    Group = 268,
    Shares = 4224,
    NextHop = 28,
    Label = 8,
    TranslationKey = 24,
    Backend = 12,
    Translation = 780,
    FlowKey = 44,
    Flow = 56,
    AffinityKey = 40,
    Affinity = 16,
    FragmentKey = 44,
    Fragment = 12,
    Rule = 32,
    Filter = 8208,
    ConnectionKey = 44,
    Connection = 20,
    FilterNameKey = 8,
    FilterName = 512,
    Step = 64,
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
    use dataplane::DropReason;

    use super::*;

    /// What stands between the braces of `enum drop_reason` of the programs.
    #[test]
    fn reasons_to_drop_are_numbered_alike_in_both_languages() {
        let layout = include_str!("../bpf/layout.h");
        let (_, rest) = layout.split_once("enum drop_reason {").unwrap();
        let (listed, _) = rest.split_once('}').unwrap();
        let of_programs: Vec<&str> =
            listed.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
        let name =
            |reason: DropReason| format!("DROP_{}", reason.name().replace('-', "_").to_uppercase());
        assert_eq!(of_programs, DropReason::ALL.map(name));
    }

    #[test]
    fn network_order_is_what_the_wire_has() {
        let address = Ipv4Addr::new(10, 1, 2, 3);
        assert_eq!(Be32::from(address).0.to_ne_bytes(), [10, 1, 2, 3]);
        assert_eq!(Ipv4Addr::from(Be32::from(address)), address);
        let words = Address::from(IpAddr::from(address)).0.map(|word| word.0.to_ne_bytes());
        assert_eq!(words[2..], [[0, 0, 0xff, 0xff], [10, 1, 2, 3]]);
        assert_eq!(IpAddr::from(Address::from(IpAddr::from(address))), IpAddr::from(address));
        let v6: Ipv6Addr = "2001:db8::1:2".parse().unwrap();
        assert_eq!(Ipv6Addr::from(Address::from(v6)), v6);
        assert_eq!(Be16::from(6635).0.to_ne_bytes(), [0x19, 0xeb]);
        assert_eq!(u16::from(Be16::from(6635)), 6635);
    }
}
