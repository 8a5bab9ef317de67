//! What one receiver has, counted without decoding, and a sample looked at closely.

use std::sync::Arc;

use super::latency::{Event, Sent};
use super::look::{Expect, look};
use super::wire::{self, Parts};

/// One message in so many is looked at, the first one always.
const SAMPLE: u64 = 64;

/// What has come so far.
#[derive(Debug)]
pub(crate) struct Tally {
    expect: Expect,
    salt: u16,
    /// Measure how long events take.
    sent: Option<Arc<Sent>>,
    have: Vec<u64>,
    pub(crate) present: u32,
    /// Announcements and withdrawals, repetitions included.
    pub(crate) announced: u64,
    pub(crate) withdrawn: u64,
    pub(crate) updates: u64,
    /// Routes that were compared octet for octet.
    pub(crate) looked_at: u64,
    /// The first thing that was not as it should be.
    pub(crate) wrong: Option<String>,
    /// Microseconds that announcements and withdrawals took.
    pub(crate) took: Vec<u32>,
}

impl Tally {
    /// Of the receiver with this number.
    pub(crate) fn new(expect: Expect, salt: u16) -> Self {
        let words = (expect.routes as usize).div_ceil(64);
        Self {
            expect,
            salt,
            sent: None,
            have: vec![0; words],
            present: 0,
            announced: 0,
            withdrawn: 0,
            updates: 0,
            looked_at: 0,
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
        // Which ones differs between receivers that are told the same.
        let nth = self.updates + u64::from(self.salt);
        let is_due =
            self.looked_at == 0 || nth.is_multiple_of(SAMPLE) || self.expect.targets.is_some();
        if announces && is_due {
            self.look(&parts);
        }
    }

    /// Asks for the latencies of what comes from now on.
    pub(crate) fn watch(&mut self, sent: Arc<Sent>) {
        self.sent = Some(sent);
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
            if let Some(took) = self.sent.as_ref().and_then(|sent| sent.age(now, n, event)) {
                self.took.push(took);
            }
        }
    }

    fn look(&mut self, parts: &Parts<'_>) {
        match look(&self.expect, parts) {
            Ok(routes) => self.looked_at += u64::from(routes),
            Err(wrong) => self.complain(wrong),
        }
    }

    fn complain(&mut self, what: String) {
        self.wrong.get_or_insert(what);
    }
}

/// The first octets of a list, for a complaint.
fn first(list: &[u8]) -> &[u8] {
    list.get(..list.len().min(20)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::routes::{Kind, announce, label, withdraw};
    use super::*;

    fn tally() -> Tally {
        let expect = Expect {
            kind: Kind::VpnV4,
            routes: 1_000,
            is_reflected: false,
            may_have_med: false,
            targets: None,
        };
        Tally::new(expect, 0)
    }

    #[test]
    fn a_route_told_twice_is_one_route() {
        let mut tally = tally();
        tally.update(&announce(Kind::VpnV4, &[3, 4]), 0);
        tally.update(&announce(Kind::VpnV4, &[4, 5]), 0);
        tally.update(&withdraw(Kind::VpnV4, &[3]), 0);
        tally.update(&withdraw(Kind::VpnV4, &[3]), 0);
        assert_eq!((tally.present, tally.announced, tally.withdrawn), (2, 4, 2));
        assert_eq!(tally.wrong, None);
    }

    #[test]
    fn a_wrong_label_is_seen() {
        let mut tally = tally();
        let mut message = announce(Kind::VpnV4, &[3]);
        let at = message.windows(3).position(|octets| octets == label(3)).expect("the label");
        message[at + 1] ^= 0x10;
        tally.update(&message, 0);
        assert!(tally.wrong.expect("a complaint").contains("label"));
    }

    #[test]
    fn of_many_messages_a_sample_is_looked_at() {
        let mut tally = tally();
        for _ in 0..10 * SAMPLE {
            tally.update(&announce(Kind::VpnV4, &[3]), 0);
        }
        assert_eq!((tally.looked_at, tally.wrong), (11, None));
    }
}
