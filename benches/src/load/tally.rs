//! What one receiver has, counted without decoding, and a sample looked at closely.

use std::sync::Arc;

use bgp_wire::{Message, Negotiated, NextHop, Routes, Update};

use super::latency::{Event, Sent};
use super::routes::{Kind, label, next_hop, set_of, target_octets, target_of};
use super::wire;

/// One message in so many is decoded and looked at.
const SAMPLE: u64 = 64;

/// What a receiver is to look at.
#[derive(Debug, Clone)]
pub(crate) struct Expect {
    pub(crate) kind: Kind,
    /// Routes of the run are numbered from 0 to this.
    pub(crate) routes: u32,
    /// Whether ORIGINATOR_ID and CLUSTER_LIST must be there (RFC 4456).
    pub(crate) is_reflected: bool,
    /// The only targets that may come; `None` is all.
    pub(crate) targets: Option<Arc<[u32]>>,
    /// Measure how long events take.
    pub(crate) sent: Option<Arc<Sent>>,
}

/// What has come so far.
#[derive(Debug)]
pub(crate) struct Tally {
    expect: Expect,
    have: Vec<u64>,
    pub(crate) present: u32,
    /// Announcements and withdrawals, repetitions included.
    pub(crate) announced: u64,
    pub(crate) withdrawn: u64,
    pub(crate) updates: u64,
    /// The first thing that was not as it should be.
    pub(crate) wrong: Option<String>,
    /// Microseconds that announcements and withdrawals took.
    pub(crate) took: Vec<u32>,
}

impl Tally {
    pub(crate) fn new(expect: Expect) -> Self {
        let words = (expect.routes as usize).div_ceil(64);
        Self {
            expect,
            have: vec![0; words],
            present: 0,
            announced: 0,
            withdrawn: 0,
            updates: 0,
            wrong: None,
            took: Vec::new(),
        }
    }

    /// Takes a whole UPDATE that was read at `now` (of the clock of [`Sent`]).
    pub(crate) fn update(&mut self, message: &[u8], now: u64) {
        self.updates += 1;
        let Some(parts) = wire::parts(message) else {
            return self.complain("lengths of an UPDATE that do not fit together".to_owned());
        };
        let ours = self.expect.kind.family();
        let classic = ours == (1, 1);
        let is_ours = parts.family.map_or(classic, |family| family == ours);
        if !is_ours {
            return;
        }
        for list in parts.withdrawn {
            self.list(list, Event::Withdrawn, now);
        }
        for list in parts.announced {
            self.list(list, Event::Announced, now);
        }
        let announces = parts.announced.iter().any(|list| !list.is_empty());
        if announces && (self.updates % SAMPLE == 1 || self.expect.targets.is_some()) {
            match self.look(message) {
                Ok(()) => {}
                Err(wrong) => self.complain(wrong),
            }
        }
    }

    /// Asks for the latencies of what comes from now on.
    pub(crate) fn watch(&mut self, sent: Arc<Sent>) {
        self.expect.sent = Some(sent);
    }

    fn list(&mut self, mut list: &[u8], event: Event, now: u64) {
        while !list.is_empty() {
            let Some((n, rest)) = self.expect.kind.step(list) else {
                return self.complain(format!("a route that nobody sent: {:02x?}", first(list)));
            };
            list = rest;
            let Some(word) = self.have.get_mut((n / 64) as usize) else {
                return self.complain(format!("route {n}, which nobody sent"));
            };
            let bit = 1 << (n % 64);
            match event {
                Event::Announced => {
                    self.announced += 1;
                    self.present += u32::from(*word & bit == 0);
                    *word |= bit;
                }
                Event::Withdrawn => {
                    self.withdrawn += 1;
                    self.present -= u32::from(*word & bit != 0);
                    *word &= !bit;
                }
            }
            if let Some(took) = self.expect.sent.as_ref().and_then(|sent| sent.age(now, n, event)) {
                self.took.push(took);
            }
        }
    }

    /// Decodes a message and compares each route with what its number says.
    fn look(&self, message: &[u8]) -> Result<(), String> {
        let negotiated = Negotiated { extended_messages: false, ..Negotiated::everything() };
        let update = match Message::decode(message, &negotiated) {
            Ok(Message::Update(update)) if update.faults.is_empty() => update,
            Ok(other) => return Err(format!("not a good UPDATE: {other:?}")),
            Err(error) => return Err(format!("not a good message: {error}")),
        };
        if self.expect.is_reflected {
            let attributes = &update.attributes;
            if attributes.originator_id.is_none() || attributes.cluster_list.is_empty() {
                return Err("reflected without ORIGINATOR_ID or CLUSTER_LIST".to_owned());
            }
        }
        for (hop, routes) in &update.announced {
            for (n, got) in numbered(routes) {
                self.compare(n, got, *hop, &update).map_err(|what| format!("route {n}: {what}"))?;
            }
        }
        Ok(())
    }

    fn compare(
        &self,
        n: u32,
        got: Option<[u8; 3]>,
        hop: NextHop,
        update: &Update,
    ) -> Result<(), String> {
        let set = set_of(n);
        if hop.address() != Some(next_hop(set).into()) {
            return Err(format!("next hop {hop:?}, not {}", next_hop(set)));
        }
        if let Some(got) = got
            && value(got) != value(label(n))
        {
            return Err(format!("label {got:02x?}, not {:02x?}", label(n)));
        }
        if self.expect.kind == Kind::Ipv4Unicast {
            let (got, want) = (update.attributes.med, Some(target_of(set)));
            return (got == want).then_some(()).ok_or(format!("MED {got:?}, not {want:?}"));
        }
        let targets: Vec<_> = update.attributes.route_targets().map(|t| t.octets()).collect();
        if targets != [target_octets(target_of(set))] {
            return Err(format!("route targets {targets:02x?}, not number {}", target_of(set)));
        }
        match &self.expect.targets {
            Some(asked) if !asked.contains(&target_of(set)) => {
                Err(format!("target {} was not asked for", target_of(set)))
            }
            _ => Ok(()),
        }
    }

    fn complain(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }
}

/// The label itself: what stands in the four bits behind it is the next hop's affair, and some set it.
fn value(label: [u8; 3]) -> u32 {
    let [a, b, c] = label;
    u32::from_be_bytes([0, a, b, c]) >> 4
}

/// The first octets of a list, for a complaint.
fn first(list: &[u8]) -> &[u8] {
    list.get(..list.len().min(20)).unwrap_or_default()
}

/// Number and label of each route, by what `bgp-wire` has read.
fn numbered(routes: &Routes) -> Vec<(u32, Option<[u8; 3]>)> {
    let low = |address: std::net::Ipv4Addr| u32::from(address) & 0x00ff_ffff;
    match routes {
        Routes::Ipv4(list) => list
            .iter()
            .map(|route| ((u32::from(route.key.addr()) >> 8) - (16 << 16), None))
            .collect(),
        Routes::VpnV4(list) => list
            .iter()
            .map(|route| (low(route.key.net.addr()), Some(route.data.octets())))
            .collect(),
        Routes::Evpn(list) => {
            let address = |key: &bgp_wire::EvpnKey| match key {
                bgp_wire::EvpnKey::MacIp { ip: Some(std::net::IpAddr::V4(ip)), .. } => low(*ip),
                _ => u32::MAX,
            };
            list.iter().map(|route| (address(&route.key), None)).collect()
        }
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::routes::{announce, withdraw};
    use super::*;

    fn tally(targets: Option<&[u32]>) -> Tally {
        let targets = targets.map(Arc::from);
        let kind = Kind::VpnV4;
        Tally::new(Expect { kind, routes: 1_000, is_reflected: false, targets, sent: None })
    }

    #[test]
    fn a_route_told_twice_is_one_route() {
        let mut tally = tally(None);
        tally.update(&announce(Kind::VpnV4, &[3, 4]), 0);
        tally.update(&announce(Kind::VpnV4, &[4, 5]), 0);
        tally.update(&withdraw(Kind::VpnV4, &[3]), 0);
        tally.update(&withdraw(Kind::VpnV4, &[3]), 0);
        assert_eq!((tally.present, tally.announced, tally.withdrawn), (2, 4, 2));
        assert_eq!(tally.wrong, None);
    }

    #[test]
    fn a_wrong_label_is_seen() {
        let mut tally = tally(None);
        let mut message = announce(Kind::VpnV4, &[3]);
        let at = message.windows(3).position(|octets| octets == label(3)).expect("the label");
        message[at + 1] ^= 0x10;
        tally.update(&message, 0);
        assert!(tally.wrong.expect("a complaint").contains("label"));
    }

    #[test]
    fn a_target_that_was_not_asked_for_is_seen() {
        let mut tally = tally(Some(&[7]));
        tally.update(&announce(Kind::VpnV4, &[70]), 0);
        assert_eq!(tally.wrong, None);
        tally.update(&announce(Kind::VpnV4, &[80]), 0);
        assert_eq!(tally.wrong.as_deref(), Some("route 80: target 8 was not asked for"));
    }

    #[test]
    fn a_route_that_is_not_reflected_is_seen() {
        let mut tally = tally(None);
        tally.expect.is_reflected = true;
        tally.update(&announce(Kind::VpnV4, &[1]), 0);
        assert!(tally.wrong.expect("a complaint").contains("ORIGINATOR_ID"));
    }
}
