//! Answers to requests for all routes of a family, which are marked at both ends (RFC 7313 §4).

use crate::peer::PeerIx;

/// Peers that have asked, and those that are being answered. Few: most tables, most of the time, none.
#[derive(Debug, Default)]
pub(crate) struct Answers {
    asked: Vec<PeerIx>,
    under_way: Vec<PeerIx>,
}

impl Answers {
    /// A peer has asked. One that is being answered gets a new answer, with one end for both.
    pub(crate) fn ask(&mut self, peer: PeerIx) {
        self.under_way.retain(|other| *other != peer);
        if !self.asked.contains(&peer) {
            self.asked.push(peer);
        }
    }

    /// Those that have not been told that their answer begins.
    pub(crate) fn asked(&self) -> Vec<PeerIx> {
        self.asked.clone()
    }

    /// Those whose answer has begun and has no end yet.
    pub(crate) fn under_way(&self) -> impl Iterator<Item = PeerIx> + '_ {
        self.under_way.iter().copied()
    }

    pub(crate) fn begin(&mut self, peer: PeerIx) {
        self.asked.retain(|other| *other != peer);
        self.under_way.push(peer);
    }

    pub(crate) fn end(&mut self, peer: PeerIx) {
        self.under_way.retain(|other| *other != peer);
    }

    pub(crate) fn forget(&mut self, peer: PeerIx) {
        self.asked.retain(|other| *other != peer);
        self.end(peer);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.asked.is_empty() && self.under_way.is_empty()
    }
}
