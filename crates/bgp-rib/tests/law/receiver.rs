//! The far end: queues that refuse, and peers that read and remember.

use std::collections::{BTreeMap, BTreeSet};

use bgp_rib::{Batch, Full, Mark, PeerIx, PeerView, Sink};
use bgp_wire::{
    AfiSafi, Family, Message, Negotiated, NextHop, PathAttributes, PathId, Route, Withdrawal,
    for_each_family, frame,
};

use crate::oracle::{Dest, Told};

/// What one peer has been told so far.
#[derive(Debug)]
pub(crate) struct Receiver {
    /// How it reads what we send.
    pub(crate) negotiated: Negotiated,
    /// By path identifier too.
    pub(crate) knows: BTreeMap<(Dest, u32), Told>,
    /// Markers by family and shard.
    pub(crate) ends: BTreeMap<(AfiSafi, u16), u32>,
    /// The shard that told of a path.
    told_by: BTreeMap<(Dest, u32), u16>,
    /// Families in which several paths are told.
    several: Vec<AfiSafi>,
    /// What has not been repeated yet in an answer that is marked (RFC 7313 section 4), by family and
    /// shard.
    pub(crate) doubtful: BTreeMap<(AfiSafi, u16), BTreeSet<(Dest, u32)>>,
}

/// The queues of all peers, of which some refuse.
#[derive(Debug, Default)]
pub(crate) struct Queues {
    pub(crate) shard: u16,
    pub(crate) receivers: BTreeMap<PeerIx, Receiver>,
    /// Batches that a peer still takes; absent: any number.
    pub(crate) credit: BTreeMap<PeerIx, u8>,
    /// (Shard, peer) that were refused and are owed a `Drained`.
    pub(crate) refused: BTreeSet<(u16, PeerIx)>,
}

impl Sink for Queues {
    fn push(&mut self, peer: PeerIx, batch: &Batch) -> Result<(), Full> {
        if let Some(credit) = self.credit.get_mut(&peer) {
            if *credit == 0 {
                self.refused.insert((self.shard, peer));
                return Err(Full);
            }
            *credit -= 1;
        }
        let receiver = self.receivers.get_mut(&peer).expect("only peers that are up are told");
        assert!(!batch.is_empty(), "an empty batch");
        for octets in batch.slices() {
            receiver.read(self.shard, octets);
        }
        for mark in &batch.marks {
            match mark {
                Mark::EndOfRib(family) => {
                    *receiver.ends.entry((*family, self.shard)).or_default() += 1;
                }
                Mark::RefreshBegin(family) => receiver.begin(self.shard, *family),
                Mark::RefreshEnd(family) => receiver.end(self.shard, *family),
            }
        }
        Ok(())
    }
}

impl Receiver {
    pub(crate) fn new(view: &PeerView) -> Self {
        let sent = &view.negotiated;
        let negotiated = Negotiated {
            add_path_receive: sent.add_path_send.clone(),
            add_path_send: Vec::new(),
            // Else it would not see what must not be said to it.
            internal: true,
            ..sent.clone()
        };
        Self {
            negotiated,
            knows: BTreeMap::new(),
            ends: BTreeMap::new(),
            told_by: BTreeMap::new(),
            several: view
                .policy
                .add_path_send
                .iter()
                .map(|(family, _)| *family)
                .filter(|family| *family != AfiSafi::RTC)
                .filter(|family| sent.add_path_send.contains(family))
                .collect(),
            doubtful: BTreeMap::new(),
        }
    }

    /// The same peer of the same session, before it was told anything.
    pub(crate) fn anew(&self, view: &PeerView) -> Self {
        Self { several: self.several.clone(), ..Self::new(view) }
    }

    fn begin(&mut self, shard: u16, family: AfiSafi) {
        let known = self.told_by.iter().filter(|(((of, _), _), by)| *of == family && **by == shard);
        let known = known.map(|(dest, _)| dest.clone()).collect();
        self.doubtful.insert((family, shard), known);
    }

    fn end(&mut self, shard: u16, family: AfiSafi) {
        for dest in self.doubtful.remove(&(family, shard)).expect("an end after its beginning") {
            self.knows.remove(&dest);
        }
    }

    fn read(&mut self, shard: u16, mut octets: &[u8]) {
        while !octets.is_empty() {
            let length = frame::length(octets, self.negotiated.max_message())
                .expect("a valid header")
                .expect("a whole header");
            let (message, rest) = octets.split_at(length);
            octets = rest;
            let Message::Update(update) =
                Message::decode(message, &self.negotiated).expect("a message")
            else {
                panic!("not an UPDATE");
            };
            assert_eq!(update.faults, []);
            for list in update.withdrawn {
                for_each_family!(Withdrawals, list, list => self.forget(list));
            }
            for (next_hop, list) in update.announced {
                for_each_family!(Routes, list, list => self.learn(shard, list, &update.attributes, next_hop));
            }
        }
    }

    fn learn<F: Family>(
        &mut self,
        shard: u16,
        list: Vec<Route<F>>,
        attributes: &PathAttributes,
        next_hop: NextHop,
    ) {
        for Route { path_id, key, data } in list {
            self.check_id(F::AFI_SAFI, path_id);
            let told = Told { attributes: attributes.clone(), next_hop, data: format!("{data:?}") };
            let dest = ((F::AFI_SAFI, key.to_string()), path_id.0);
            if let Some(doubtful) = self.doubtful.get_mut(&(F::AFI_SAFI, shard)) {
                doubtful.remove(&dest);
            }
            self.told_by.insert(dest.clone(), shard);
            self.knows.insert(dest, told);
        }
    }

    fn forget<F: Family>(&mut self, list: Vec<Withdrawal<F>>) {
        for Withdrawal { path_id, key } in list {
            self.check_id(F::AFI_SAFI, path_id);
            self.knows.remove(&((F::AFI_SAFI, key.to_string()), path_id.0));
        }
    }

    fn check_id(&self, family: AfiSafi, path_id: PathId) {
        if self.several.contains(&family) {
            return assert!(path_id.0 > 0, "numbers begin at 1");
        }
        let expected = u32::from(self.negotiated.add_path_receive.contains(&family));
        assert_eq!(path_id.0, expected, "the same identifier in each message");
    }
}
