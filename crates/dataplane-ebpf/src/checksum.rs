//! Whether the maps of routes still hold what was written, without making tables of what they hold.
//!
//! A sum over all routes, since reading a map gives them in no order. What is not as it was left is found
//! by a sum of 64 bits and the number of routes; next hops and groups are compared one by one.

use aya::maps::MapData;
use dataplane::{DataplaneError, Result, VrfId};
use ipnet::IpNet;

use crate::batch;
use crate::layout;
use crate::plane::EbpfPlane;
use crate::routes::Pointer;

/// Number of routes, and the sum of what they are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Checksum {
    routes: u64,
    sum: u64,
}

impl Checksum {
    pub(crate) fn add(&mut self, vrf: VrfId, net: IpNet, pointer: Pointer) {
        self.routes += 1;
        self.sum = self.sum.wrapping_add(term(vrf, net, pointer));
    }

    pub(crate) fn remove(&mut self, vrf: VrfId, net: IpNet, pointer: Pointer) {
        self.routes = self.routes.saturating_sub(1);
        self.sum = self.sum.wrapping_sub(term(vrf, net, pointer));
    }
}

/// Spread well enough that two differences do not make up for each other.
fn term(vrf: VrfId, net: IpNet, Pointer { target, identities }: Pointer) -> u64 {
    let (address, length) = match net {
        IpNet::V4(net) => (net.addr().to_ipv6_mapped(), 96 + u64::from(net.prefix_len())),
        IpNet::V6(net) => (net.addr(), u64::from(net.prefix_len())),
    };
    let octets = u128::from(address);
    let high = u64::try_from(octets >> 64).unwrap_or_default();
    let low = u64::try_from(octets & u128::from(u64::MAX)).unwrap_or_default();
    let place = u64::from(vrf.0) << 8 | length;
    let to = u64::from(target) << 32 | u64::from(identities);
    [high, low, place, to].into_iter().fold(0x9e37_79b9_7f4a_7c15, |hash, word| mix(hash ^ word))
}

/// The finalizer of `SplitMix64`.
const fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl EbpfPlane {
    /// Whether routes, and what they lead to, are in the maps as they were written.
    pub(crate) fn are_routes_as_left(&self) -> Result<bool> {
        let mut found = Checksum::default();
        for (vrf, net, raw) in self.read_pointers()? {
            found.add(vrf, net, Pointer { target: raw.target, identities: raw.identities });
        }
        if found != self.checksum {
            return Ok(false);
        }
        // In the order of their numbers, as all elements of an array.
        let unreadable = |error| DataplaneError::because("cannot read the next hops", error);
        let pinned = MapData::from_pin(self.pins.maps().join("next_hops"))
            .map_err(|error| DataplaneError::because("cannot open the next hops", error))?;
        let hops = batch::all::<u32, layout::NextHop>(&pinned).map_err(unreadable)?;
        let is_as_left = |number: u32, hop| {
            let found = usize::try_from(number).ok().and_then(|number| hops.get(number));
            self.raw_hop(hop).is_ok_and(|wanted| found == Some(&(number, wanted)))
        };
        if !self.groups.next_hops().all(|(number, hop)| is_as_left(number, hop)) {
            return Ok(false);
        }
        let names = self.names();
        for (number, group) in self.groups.groups() {
            let found = self.read_group(number, &names)?;
            if found.is_none_or(|found| found.value != *group) {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointer(target: u32) -> Pointer {
        Pointer { target, identities: 0 }
    }

    #[test]
    fn a_sum_tells_what_is_there_and_not_in_which_order() {
        let (a, b) = ("10.0.0.1/32".parse().unwrap(), "10.0.0.0/24".parse().unwrap());
        let (mut one, mut other) = (Checksum::default(), Checksum::default());
        one.add(VrfId(1), a, pointer(1));
        one.add(VrfId(1), b, pointer(2));
        other.add(VrfId(1), b, pointer(2));
        assert_ne!(one, other);
        other.add(VrfId(1), a, pointer(1));
        assert_eq!(one, other);
        for (vrf, net, target) in [(2, a, 1), (1, b, 1), (1, a, 2)] {
            let mut third = one;
            third.remove(VrfId(1), a, pointer(1));
            third.add(VrfId(vrf), net, pointer(target));
            assert_ne!(one, third, "{vrf} {net} {target}");
        }
        one.remove(VrfId(1), a, pointer(1));
        one.remove(VrfId(1), b, pointer(2));
        assert_eq!(one, Checksum::default());
    }
}
