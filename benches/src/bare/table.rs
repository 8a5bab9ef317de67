//! The table of the floor: attribute sets, and one entry per route.

use std::net::Ipv4Addr;

use anyhow::{Context, Result};
use foldhash::fast::FixedState;
use hashbrown::HashMap;

use super::log::Log;
use crate::load::wire::{self, FamilyCode, HEADER, OPTIONAL, Parts};

/// The longest key: an EVPN MAC/IP route without ESI and label.
type Key = [u8; 24];

/// Everything that is held.
pub(super) struct Table {
    cluster: Ipv4Addr,
    /// The number of an attribute set, by its octets: sender, next hop, attributes.
    sets: HashMap<Box<[u8]>, u32, FixedState>,
    /// What is sent of each: attributes, `ORIGINATOR_ID` and `CLUSTER_LIST` among them.
    encoded: Vec<Box<[u8]>>,
    /// Set and label of each route.
    routes: HashMap<Key, (u32, [u8; 3]), FixedState>,
    scratch: Vec<u8>,
}

impl Table {
    pub(super) fn new(cluster: Ipv4Addr) -> Self {
        Self {
            cluster,
            sets: HashMap::default(),
            encoded: Vec::new(),
            routes: HashMap::default(),
            scratch: Vec::new(),
        }
    }

    /// Takes a message, and appends what is to be told of it.
    pub(super) fn update(
        &mut self,
        message: &[u8],
        parts: &Parts<'_>,
        from: Ipv4Addr,
        log: &mut Log,
    ) -> Result<()> {
        let families = [(1, 1), parts.family.unwrap_or((1, 1))];
        let mut withdraws = false;
        for (family, list) in families.into_iter().zip(parts.withdrawn) {
            each(family, list, |key, _| {
                withdraws = true;
                self.routes.remove(&key);
            })?;
        }
        if withdraws {
            log.append(message);
        }
        if parts.announced.iter().all(|list| list.is_empty()) {
            return Ok(());
        }
        let set = self.intern(parts, from);
        for (family, list) in families.into_iter().zip(parts.announced) {
            each(family, list, |key, label| {
                self.routes.insert(key, (set, label));
            })?;
        }
        self.frame(parts, set, log);
        Ok(())
    }

    fn intern(&mut self, parts: &Parts<'_>, from: Ipv4Addr) -> u32 {
        self.scratch.clear();
        self.scratch.extend(from.octets());
        self.scratch.extend(parts.reach_head);
        let head = self.scratch.len();
        let mut rest = parts.attributes;
        while let [flags, code, ..] = rest {
            let header = if flags & 0x10 == 0 { 3 } else { 4 };
            let length =
                rest[2..header].iter().fold(0, |sum, octet| sum << 8 | usize::from(*octet));
            let (attribute, next) = rest.split_at(header + length);
            if !matches!(code, 14 | 15) {
                self.scratch.extend(attribute);
            }
            rest = next;
        }
        if let Some(set) = self.sets.get(self.scratch.as_slice()) {
            return *set;
        }
        let mut encoded = self.scratch[head..].to_vec();
        wire::attribute(OPTIONAL, 9, &from.octets(), &mut encoded);
        wire::attribute(OPTIONAL, 10, &self.cluster.octets(), &mut encoded);
        let set = u32::try_from(self.encoded.len()).unwrap_or(u32::MAX);
        self.encoded.push(encoded.into());
        self.sets.insert(self.scratch.as_slice().into(), set);
        set
    }

    /// One message: header, `MP_REACH_NLRI` anew, the octets of the set.
    fn frame(&self, parts: &Parts<'_>, set: u32, log: &mut Log) {
        let [classic, routes] = parts.announced;
        let set = &self.encoded[set as usize];
        let reach = if routes.is_empty() { 0 } else { 4 + parts.reach_head.len() + routes.len() };
        let length = HEADER + 4 + reach + set.len() + classic.len();
        let short = |length: usize| u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes();
        let out = log.room(length);
        out.extend([0xff; 16]);
        out.extend(short(length));
        out.extend([wire::UPDATE, 0, 0]);
        out.extend(short(reach + set.len()));
        if reach > 0 {
            out.extend([OPTIONAL | 0x10, 14]);
            out.extend(short(reach - 4));
            out.extend(parts.reach_head);
            out.extend(routes);
        }
        out.extend(&**set);
        out.extend(classic);
    }
}

/// Calls `see` with key and label of each route of a list.
fn each(family: FamilyCode, mut list: &[u8], mut see: impl FnMut(Key, [u8; 3])) -> Result<()> {
    const WHAT: &str = "routes that cannot be told apart";
    while let Some(&first) = list.first() {
        let mut key = [0; 24];
        let mut label = [0; 3];
        let length = match family {
            (1, 128) => {
                let length = 1 + usize::from(first).div_ceil(8);
                label = *list.get(1..4).context(WHAT)?.first_chunk().context(WHAT)?;
                let rest = list.get(4..length).context(WHAT)?;
                key[0] = first;
                key.get_mut(1..=rest.len()).context(WHAT)?.copy_from_slice(rest);
                length
            }
            (25, 70) => {
                let length = 2 + usize::from(*list.get(1).context(WHAT)?);
                let route = list.get(2..length).context(WHAT)?;
                let (rd, rest) = route.split_at_checked(8).context(WHAT)?;
                // Behind the ESI: tag, MAC, address; then the label.
                let rest = rest.get(10..).context(WHAT)?;
                let (identity, tail) = rest.split_at_checked(16).context(WHAT)?;
                key[..8].copy_from_slice(rd);
                key[8..].copy_from_slice(identity);
                label = *tail.first_chunk().context(WHAT)?;
                length
            }
            _ => {
                let length = 1 + usize::from(first).div_ceil(8);
                let route = list.get(..length).context(WHAT)?;
                key.get_mut(..length).context(WHAT)?.copy_from_slice(route);
                length
            }
        };
        see(key, label);
        list = &list[length..];
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::look::Expect;
    use crate::load::routes::{self, Kind};
    use crate::load::tally::Tally;

    #[test]
    fn what_the_floor_says_is_what_it_was_told_and_reflected() {
        for kind in [Kind::Ipv4Unicast, Kind::VpnV4, Kind::Evpn] {
            let routes = 10 * u32::from(kind.senders());
            let mut table = Table::new(Ipv4Addr::new(9, 9, 9, 9));
            let mut log = Log::default();
            for set in [[0, 1], [10, 11], [2, 3]] {
                let message = routes::announce(kind, &set);
                let parts = wire::parts(&message).expect("a good message");
                table
                    .update(&message, &parts, kind.sender_of(set[0], routes), &mut log)
                    .expect("taken");
            }
            assert_eq!((table.routes.len(), table.encoded.len()), (6, 2), "{kind:?}");
            let expect =
                Expect { kind, routes, is_reflected: true, may_have_med: false, targets: None };
            let mut tally = Tally::new(expect, 0);
            let octets = log.after(&mut super::super::Cursor::default()).expect("output").to_vec();
            let mut rest = octets.as_slice();
            while let Some(&[high, low]) = rest.get(16..18) {
                let (message, next) = rest.split_at(usize::from(u16::from_be_bytes([high, low])));
                tally.update(message, 0);
                rest = next;
            }
            assert_eq!((tally.present, tally.wrong), (6, None), "{kind:?}");
            let message = routes::withdraw(kind, &[1, 2]);
            let parts = wire::parts(&message).expect("a good message");
            table.update(&message, &parts, Ipv4Addr::LOCALHOST, &mut log).expect("taken");
            assert_eq!(table.routes.len(), 4, "{kind:?}");
        }
    }
}
