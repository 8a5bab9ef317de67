//! A port that moves between nodes (live migration): for a moment two nodes have its address.
//!
//! The new one wins by `LOCAL_PREF`, and as MED at the border: routers of others know no mobility
//! community on VPN routes. `docs/decisions/0011-live-migration.md` has the whole course of it.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dataplane::VrfId;
use ipnet::IpNet;

use super::Core;
use super::ports::Fresh;
use crate::import::{Dirty, OwnPath};
use crate::local::{OwnRoute, Purpose, plane_id};
use crate::originate::LOCAL_PREF;
use crate::route_key::RouteKey;

/// How long after a port was added it takes its address from whoever has it. A node that had no VRF
/// of the network hears of others only then.
const FRESH: Duration = Duration::from_secs(5);

/// Who has an address that this node and another one announce.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Claim {
    /// This node: the port came here.
    Taking,
    /// The other one: the port goes there, and its packets already do.
    Yielded,
}

impl Claim {
    /// How the route of this node is liked, here and by others.
    const fn local_pref(self) -> u32 {
        match self {
            Self::Taking => 200,
            Self::Yielded => 50,
        }
    }
}

impl Core {
    /// Looks at the addresses of ports among what has changed.
    pub(super) fn review_claims(&mut self, now: Instant, dirty: &BTreeMap<VrfId, Dirty>) {
        self.start_freshness(now);
        let mut changed = Vec::new();
        for (id, dirty) in dirty {
            let Some(rd) = self.local.vrfs.get(id).map(|vrf| vrf.rd) else { continue };
            match dirty {
                Dirty::Prefixes(nets) => {
                    let keys = nets.iter().map(|net| RouteKey::vpn(rd, *net));
                    changed.extend(keys.filter_map(|key| self.review(now, *id, key)));
                }
                Dirty::Whole => {
                    let keys = self.local.routes.keys().filter(|key| key.rd == rd);
                    changed.extend(keys.filter_map(|key| self.review(now, *id, *key)));
                }
            }
        }
        for (key, claim) in changed {
            match claim {
                Some(claim) => self.claims.insert(key, claim),
                None => self.claims.remove(&key),
            };
            if let Some(route) = self.local.routes.get(&key) {
                let own = self.own_path(&key, route);
                self.import.put_own(key, own);
            }
            self.outdated.announced = true;
        }
        // Only of prefixes that are being looked at anyway.
        self.import.take_dirty();
    }

    /// The new claim to an address, if it changes.
    fn review(&self, now: Instant, vrf: VrfId, key: RouteKey) -> Option<(RouteKey, Option<Claim>)> {
        let route = self.local.routes.get(&key).filter(|r| r.purpose == Purpose::Port)?;
        let before = self.claims.get(&key).copied();
        let others = self.import.table(vrf).and_then(|t| t.best_remote_preference(key.net));
        let own = before.map_or(LOCAL_PREF, Claim::local_pref);
        let after = match others {
            None => None,
            Some(other) if other > own => Some(Claim::Yielded),
            Some(_) => {
                before.or_else(|| self.is_fresh(now, route, key.net).then_some(Claim::Taking))
            }
        };
        (after != before).then_some((key, after))
    }

    fn start_freshness(&mut self, now: Instant) {
        for port in self.ports.values_mut() {
            if port.fresh == Fresh::Coming {
                port.fresh = Fresh::Until(now + FRESH);
            }
        }
    }

    fn is_fresh(&self, now: Instant, route: &OwnRoute, net: IpNet) -> bool {
        let vrf = self.local.vrfs.get(&route.vrf);
        self.ports.iter().any(|(id, port)| {
            let leads_to_it = route.to.contains(&dataplane::NextHop::Port(plane_id(id)));
            let in_network = vrf.is_some_and(|vrf| vrf.network == port.spec.network);
            let has = port.spec.own_addresses().any(|own| IpNet::from(own) == net);
            leads_to_it && in_network && has && matches!(port.fresh, Fresh::Until(at) if now < at)
        })
    }

    /// The route of this node as its own VRFs have it.
    pub(super) fn own_path(&self, key: &RouteKey, route: &OwnRoute) -> OwnPath {
        let claim = self.claims.get(key).copied();
        let local_pref = claim.map_or(route.purpose.local_pref(), Claim::local_pref);
        OwnPath { home: route.vrf, path: super::wanted::own_path(route, local_pref).into() }
    }

    /// The preference that others are told; `None`: nothing is announced.
    pub(super) fn announced_preference(&self, key: &RouteKey) -> Option<u32> {
        match self.claims.get(key) {
            Some(Claim::Yielded) => None,
            Some(Claim::Taking) => Some(Claim::Taking.local_pref()),
            None => Some(LOCAL_PREF),
        }
    }
}
