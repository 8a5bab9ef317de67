//! Which shard a route belongs to.

use std::sync::Arc;

use bgp_wire::{NextHop, PathAttributes, Route, Update, Withdrawal, for_each_family};

use crate::family::TableFamily;

/// Divides routes among shards so that an UPDATE mostly stays whole: VPN and EVPN by route
/// distinguisher, unicast by its first 16 bits. Memberships go to every shard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ShardMap {
    shards: u16,
}

impl ShardMap {
    /// # Panics
    /// When `shards` is 0.
    pub const fn new(shards: u16) -> Self {
        assert!(shards > 0, "there is at least one shard");
        Self { shards }
    }

    pub const fn shards(self) -> u16 {
        self.shards
    }

    /// The shard of a key; `None` for families that every shard gets.
    pub(crate) fn of<F: TableFamily>(self, key: &F::Key) -> Option<u16> {
        let spread = F::spread(key)?;
        // Multiplying spreads neighbouring numbers; the upper half of the product is the shard.
        let mixed = spread.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        u16::try_from((mixed * u64::from(self.shards)) >> 32).ok()
    }

    /// Calls `deliver(shard, update)` for each shard that has part in `update`. An UPDATE of which
    /// all routes belong to one shard is passed on as it is; parts share the attributes.
    pub fn split(self, update: Update, mut deliver: impl FnMut(u16, Update)) {
        if self.shards == 1 {
            return deliver(0, update);
        }
        match self.only_shard(&update) {
            Whole::One(shard) => return deliver(shard, update),
            Whole::All => {
                for shard in 1..self.shards {
                    deliver(shard, update.clone());
                }
                return deliver(0, update);
            }
            Whole::Several => {}
        }
        let mut parts: Vec<Option<Update>> = vec![None; usize::from(self.shards)];
        let Update { withdrawn, announced, attributes, end_of_rib: _, faults: _ } = update;
        for list in withdrawn {
            for_each_family!(Withdrawals, list, list => self.split_withdrawn(list, &attributes, &mut parts));
        }
        for (next_hop, list) in announced {
            for_each_family!(Routes, list, list => self.split_announced(next_hop, list, &attributes, &mut parts));
        }
        for (shard, part) in (0..self.shards).zip(parts) {
            if let Some(part) = part {
                deliver(shard, part);
            }
        }
    }

    fn only_shard(self, update: &Update) -> Whole {
        let mut found = None;
        let mut take = |shard: Option<u16>| match (shard, found) {
            (shard, None) => {
                found = Some(shard);
                true
            }
            (shard, Some(before)) => shard == before,
        };
        let withdrawn = update.withdrawn.iter().all(|list| {
            for_each_family!(Withdrawals, list, list => list.iter().all(|route| take(self.of_withdrawal(route))))
        });
        let announced = update.announced.iter().all(|(_, list)| {
            for_each_family!(Routes, list, list => list.iter().all(|route| take(self.of_route(route))))
        });
        match (withdrawn && announced, found) {
            // End-of-RIB, or no routes at all, concerns every shard.
            (true, None | Some(None)) => Whole::All,
            (true, Some(Some(shard))) => Whole::One(shard),
            (false, _) => Whole::Several,
        }
    }

    fn of_route<F: TableFamily>(self, route: &Route<F>) -> Option<u16> {
        self.of::<F>(&route.key)
    }

    fn of_withdrawal<F: TableFamily>(self, route: &Withdrawal<F>) -> Option<u16> {
        self.of::<F>(&route.key)
    }

    fn split_withdrawn<F: TableFamily>(
        self,
        list: Vec<Withdrawal<F>>,
        attributes: &Arc<PathAttributes>,
        parts: &mut [Option<Update>],
    ) {
        for (shard, list) in self.divide(list, |route| self.of_withdrawal(route)) {
            part_of(parts, shard, attributes).withdrawn.push(F::into_withdrawals(list));
        }
    }

    fn split_announced<F: TableFamily>(
        self,
        next_hop: NextHop,
        list: Vec<Route<F>>,
        attributes: &Arc<PathAttributes>,
        parts: &mut [Option<Update>],
    ) {
        for (shard, list) in self.divide(list, |route| self.of_route(route)) {
            part_of(parts, shard, attributes).announced.push((next_hop, F::into_routes(list)));
        }
    }

    /// Lists by shard, in order; what every shard gets is copied.
    fn divide<T: Clone>(
        self,
        list: Vec<T>,
        shard_of: impl Fn(&T) -> Option<u16>,
    ) -> Vec<(usize, Vec<T>)> {
        let mut lists: Vec<(usize, Vec<T>)> =
            (0..usize::from(self.shards)).map(|shard| (shard, Vec::new())).collect();
        for item in list {
            match shard_of(&item) {
                Some(shard) => lists[usize::from(shard)].1.push(item),
                None => lists.iter_mut().for_each(|(_, list)| list.push(item.clone())),
            }
        }
        lists.retain(|(_, list)| !list.is_empty());
        lists
    }
}

/// Where an UPDATE goes.
enum Whole {
    One(u16),
    All,
    Several,
}

fn part_of<'a>(
    parts: &'a mut [Option<Update>],
    shard: usize,
    attributes: &Arc<PathAttributes>,
) -> &'a mut Update {
    parts[shard].get_or_insert_with(|| Update {
        withdrawn: Vec::new(),
        announced: Vec::new(),
        attributes: Arc::clone(attributes),
        end_of_rib: None,
        faults: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use bgp_wire::{
        AfiSafi, Family, Ipv4Unicast, Label, PathId, RouteDistinguisher, RouteTarget, RtMembership,
        Rtc, VpnKey, VpnLabels, VpnV4,
    };

    use super::*;

    fn update<F: Family>(routes: Vec<(F::Key, F::Data)>) -> Update {
        let routes =
            routes.into_iter().map(|(key, data)| Route { path_id: PathId(0), key, data }).collect();
        Update {
            withdrawn: Vec::new(),
            announced: vec![(NextHop::V4([192, 0, 2, 1].into()), F::into_routes(routes))],
            attributes: Arc::default(),
            end_of_rib: None,
            faults: Vec::new(),
        }
    }

    fn split(update: Update) -> Vec<(u16, Update)> {
        let mut parts = Vec::new();
        ShardMap::new(4).split(update, |shard, part| parts.push((shard, part)));
        parts
    }

    fn vpn(rd: u32, host: u8) -> (VpnKey<ipnet::Ipv4Net>, VpnLabels) {
        let net = ipnet::Ipv4Net::from(std::net::Ipv4Addr::new(10, 0, 0, host));
        (VpnKey { rd: RouteDistinguisher::as2(1, rd), net }, Label::mpls(16).unwrap().into())
    }

    #[test]
    fn routes_of_one_distinguisher_stay_in_one_update() {
        let whole = update::<VpnV4>((0..50).map(|host| vpn(7, host)).collect());
        let parts = split(whole.clone());
        assert_eq!(parts.len(), 1);
        assert_eq!(parts[0].1, whole);
    }

    #[test]
    fn each_route_goes_to_one_shard_and_attributes_are_shared() {
        let whole = update::<VpnV4>((0..200).map(|rd| vpn(rd, 1)).collect());
        let parts = split(whole.clone());
        assert_eq!(parts.len(), 4, "200 distinguishers reach all shards");
        let mut met = 0;
        for (shard, part) in parts {
            assert!(Arc::ptr_eq(&part.attributes, &whole.attributes));
            let [(_, list)] = &part.announced[..] else { unreachable!("one list") };
            let list = VpnV4::from_routes(list.clone()).unwrap();
            met += list.len();
            assert!((20..=80).contains(&list.len()), "{} of 200 in shard {shard}", list.len());
            for route in list {
                assert_eq!(ShardMap::new(4).of::<VpnV4>(&route.key), Some(shard));
            }
        }
        assert_eq!(met, 200);
    }

    #[test]
    fn prefixes_that_begin_alike_stay_together() {
        let nets = ["10.1.0.0/24", "10.1.200.0/24", "10.1.0.0/16"];
        let whole = update::<Ipv4Unicast>(nets.map(|net| (net.parse().unwrap(), ())).into());
        assert_eq!(split(whole).len(), 1);
    }

    #[test]
    fn memberships_and_ends_go_to_every_shard() {
        let key = RtMembership::exact(1, RouteTarget::as2(1, 1));
        let end = Update { end_of_rib: Some(AfiSafi::VPNV4), ..update::<Rtc>(Vec::new()) };
        for whole in [update::<Rtc>(vec![(key, ())]), Update { announced: Vec::new(), ..end }] {
            let mut parts = split(whole.clone());
            parts.sort_by_key(|(shard, _)| *shard);
            let expected: Vec<_> = (0..4).map(|shard| (shard, whole.clone())).collect();
            assert_eq!(parts, expected);
        }
    }
}
