//! Where to send packets of a route.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::afi_safi::{Afi, AfiSafi, Safi};

/// The next hop of a route. How it is written depends on the family: VPN families put eight zero
/// octets of route distinguisher before each address (RFC 4364 §4.3.2, RFC 4659 §3.2.1), and write an
/// IPv4 next hop of VPNv6 as a mapped address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NextHop {
    V4(Ipv4Addr),
    V6(Ipv6Addr),
    /// Global and link-local address (RFC 2545 §3).
    V6WithLinkLocal(Ipv6Addr, Ipv6Addr),
    /// None: End-of-RIB and families without forwarding. Written as address 0.0.0.0, since MP_REACH
    /// has no form without one.
    None,
}

impl NextHop {
    /// The address to forward to; a v4-mapped IPv6 address counts as the IPv4 address.
    pub fn address(self) -> Option<IpAddr> {
        match self {
            Self::V4(v4) => Some(v4.into()),
            Self::V6(v6) | Self::V6WithLinkLocal(v6, _) => Some(v6.to_canonical()),
            Self::None => None,
        }
    }
}

/// Octets of route distinguisher before each next hop of the VPN families; zero.
const RD: [u8; 8] = [0; 8];

impl NextHop {
    /// Reads the next hop field of an MP_REACH; `None` if no next hop of `family` has this length.
    ///
    /// Which lengths there are: RFC 4760 §3, RFC 2545 §3, RFC 8950 §3, RFC 4364 §4.3.2, RFC 4659
    /// §3.2.1, RFC 4684 §5, RFC 4798 §2, RFC 7432 §9.2.1. Four octets are no next hop of IPv6.
    pub(crate) fn read(family: AfiSafi, field: &[u8]) -> Option<Self> {
        let global = |field: &[u8]| field.first_chunk().map(|octets| Ipv6Addr::from(*octets));
        if family.safi == Safi::VPN {
            return match field.len() {
                // In VPNv6 a mapped address is meant, and what we write.
                12 if family.afi == Afi::IPV6 => field
                    .last_chunk::<4>()
                    .map(|octets| Self::V6(Ipv4Addr::from(*octets).to_ipv6_mapped())),
                12 => field.last_chunk::<4>().map(|octets| Self::V4((*octets).into())),
                24 => global(field.get(8..)?).map(Self::V6),
                48 => {
                    Some(Self::V6WithLinkLocal(global(field.get(8..)?)?, global(field.get(32..)?)?))
                }
                _ => None,
            };
        }
        match field.len() {
            4 if family.afi != Afi::IPV6 => {
                field.first_chunk::<4>().map(|octets| Self::V4((*octets).into()))
            }
            16 => global(field).map(Self::V6),
            32 => Some(Self::V6WithLinkLocal(global(field)?, global(field.get(16..)?)?)),
            _ => None,
        }
    }

    /// Appends the length and the next hop field of an MP_REACH of `family`.
    pub(crate) fn write(self, family: AfiSafi, out: &mut Vec<u8>) {
        let rd: &[u8] = if family.safi == Safi::VPN { &RD } else { &[] };
        let mapped = family.afi == Afi::IPV6;
        let v4 = match self {
            Self::V4(v4) => v4,
            _ => Ipv4Addr::UNSPECIFIED,
        };
        let start = out.len();
        out.push(0);
        out.extend(rd);
        match self {
            Self::V4(_) | Self::None if mapped => out.extend(v4.to_ipv6_mapped().octets()),
            Self::V4(_) | Self::None => out.extend(v4.octets()),
            Self::V6(v6) => out.extend(v6.octets()),
            Self::V6WithLinkLocal(v6, link_local) => {
                out.extend(v6.octets());
                out.extend(rd);
                out.extend(link_local.octets());
            }
        }
        let length = u8::try_from(out.len() - start - 1).unwrap_or(u8::MAX);
        if let Some(field) = out.get_mut(start) {
            *field = length;
        }
    }

    /// Whether it is an address of IPv6 for routes of IPv4, which has to be agreed on (RFC 8950 §4). A
    /// membership (RFC 4684) is no route of IPv4, whatever its number says.
    pub fn is_mixed(self, family: AfiSafi) -> bool {
        let is_v6 = matches!(self, Self::V6(_) | Self::V6WithLinkLocal(..));
        is_v6 && family.afi == Afi::IPV4 && family != AfiSafi::RTC
    }

    /// Whether packets can be sent there: not the unspecified address, no multicast, nothing
    /// reserved (RFC 4271 §6.3 on NEXT_HOP). Loopback passes: it is how daemons are tested.
    pub(crate) fn is_host(self) -> bool {
        match self.address() {
            Some(IpAddr::V4(v4)) => {
                let first = v4.octets()[0];
                first != 0 && first < 224
            }
            Some(IpAddr::V6(v6)) => !v6.is_unspecified() && !v6.is_multicast(),
            None => false,
        }
    }
}

impl From<IpAddr> for NextHop {
    fn from(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::V4(v4),
            IpAddr::V6(v6) => Self::V6(v6),
        }
    }
}

impl fmt::Display for NextHop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address() {
            Some(address) => write!(f, "{address}"),
            None => f.write_str("-"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v6(text: &str) -> Ipv6Addr {
        text.parse().expect("an address")
    }

    #[test]
    fn each_family_has_its_forms() {
        use AfiSafi as F;
        let global: [u8; 16] = v6("2001:db8::1").octets();
        let local: [u8; 16] = v6("fe80::1").octets();
        let rd = [0; 8];
        let (four, both) = (NextHop::V4(Ipv4Addr::new(192, 0, 2, 1)), [global, local].concat());
        let (six, six_both) = (
            NextHop::V6(v6("2001:db8::1")),
            NextHop::V6WithLinkLocal(v6("2001:db8::1"), v6("fe80::1")),
        );
        // (where it is said, family, octets, meaning)
        let cases: &[(&str, F, &[u8], NextHop)] = &[
            ("RFC 4760 §3", F::IPV4_UNICAST, &[192, 0, 2, 1], four),
            ("RFC 8950 §3", F::IPV4_UNICAST, &global, six),
            ("RFC 8950 §3", F::IPV4_UNICAST, &both, six_both),
            ("RFC 2545 §3", F::IPV6_UNICAST, &global, six),
            ("RFC 2545 §3", F::IPV6_UNICAST, &both, six_both),
            ("RFC 8277 §2.1", F::IPV4_LABELED, &[192, 0, 2, 1], four),
            ("RFC 8950 §3", F::IPV4_LABELED, &global, six),
            ("RFC 4798 §2", F::IPV6_LABELED, &global, six),
            ("RFC 4364 §4.3.2", F::VPNV4, &[&rd[..], &[192, 0, 2, 1]].concat(), four),
            ("RFC 8950 §3", F::VPNV4, &[&rd[..], &global].concat(), six),
            ("RFC 8950 §3", F::VPNV4, &[&rd[..], &global, &rd, &local].concat(), six_both),
            ("RFC 4659 §3.2.1.1", F::VPNV6, &[&rd[..], &global].concat(), six),
            ("RFC 4659 §3.2.1.1", F::VPNV6, &[&rd[..], &global, &rd, &local].concat(), six_both),
            ("RFC 7432 §9.2.1", F::EVPN, &[192, 0, 2, 1], four),
            ("RFC 7432 §9.2.1", F::EVPN, &global, six),
            ("RFC 4684 §5", F::RTC, &[192, 0, 2, 1], four),
            ("RFC 4684 §5", F::RTC, &global, six),
        ];
        for (source, family, octets, want) in cases {
            assert_eq!(NextHop::read(*family, octets), Some(*want), "{source}, {family}");
            let mut written = Vec::new();
            want.write(*family, &mut written);
            assert_eq!(&written[1..], *octets, "{source}, {family}");
            assert_eq!(usize::from(written[0]), octets.len(), "{source}, {family}");
        }
    }

    #[test]
    fn other_lengths_are_no_next_hops() {
        for (family, _) in AfiSafi::NAMED {
            let right: &[usize] = match family {
                AfiSafi::VPNV4 | AfiSafi::VPNV6 => &[12, 24, 48],
                AfiSafi::IPV6_UNICAST | AfiSafi::IPV6_LABELED => &[16, 32],
                _ => &[4, 16, 32],
            };
            for length in (0..=255).filter(|length| !right.contains(length)) {
                assert_eq!(NextHop::read(family, &vec![1; length]), None, "{family}, {length}");
            }
        }
    }

    #[test]
    fn an_ipv4_next_hop_of_vpnv6_is_a_mapped_address() {
        let mut written = Vec::new();
        NextHop::V4(Ipv4Addr::new(192, 0, 2, 1)).write(AfiSafi::VPNV6, &mut written);
        assert_eq!(written[0], 24);
        let read = NextHop::read(AfiSafi::VPNV6, &written[1..]).expect("RFC 4659 §3.2.1.2");
        assert_eq!(read, NextHop::V6(v6("::ffff:192.0.2.1")));
        assert_eq!(read.address(), Some(Ipv4Addr::new(192, 0, 2, 1).into()));
    }
}
