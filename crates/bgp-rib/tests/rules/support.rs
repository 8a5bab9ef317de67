//! A shard, peers by name, and what they hear.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::sync::Arc;

use bgp_rib::{
    Batch, Full, Input, InterestMode, Mark, MembershipsOut, PeerIx, PeerKind, PeerView, Shard,
    ShardConfig, Sink,
};
use bgp_wire::{
    AfiSafi, Family, Label, Message, Negotiated, NextHop, PathAttributes, PathId, Route,
    RouteTarget, RtMembership, Rtc, Update, VpnKey, VpnLabels, Withdrawal, frame,
};

pub(crate) const AGENT: PeerIx = PeerIx(0);
pub(crate) const OTHER: PeerIx = PeerIx(1);
pub(crate) const THIRD: PeerIx = PeerIx(2);

/// Every UPDATE and every marker, in order.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) updates: Vec<(PeerIx, Update)>,
    /// Each with how many updates anyone had heard before.
    pub(crate) marks: Vec<(PeerIx, Mark, usize)>,
    pub(crate) full: BTreeSet<PeerIx>,
    /// Those that are told identifiers of paths.
    pub(crate) numbered: BTreeSet<PeerIx>,
}

impl Sink for Heard {
    fn push(&mut self, peer: PeerIx, batch: &Batch) -> Result<(), Full> {
        if self.full.contains(&peer) {
            return Err(Full);
        }
        let mut negotiated = Negotiated::everything();
        if self.numbered.contains(&peer) {
            negotiated.add_path_receive.clone_from(&negotiated.families);
        }
        for octets in batch.slices() {
            let mut rest = octets;
            while let Some(length) = frame::length(rest, 65_535).unwrap() {
                let (message, others) = rest.split_at(length);
                rest = others;
                if let Message::Update(update) = Message::decode(message, &negotiated).unwrap() {
                    self.updates.push((peer, update));
                }
            }
        }
        let heard = self.updates.len();
        self.marks.extend(batch.marks.iter().map(|mark| (peer, *mark, heard)));
        Ok(())
    }
}

impl Heard {
    pub(crate) fn has(&self, peer: PeerIx, mark: Mark) -> bool {
        self.marks.iter().any(|(of, other, _)| (*of, *other) == (peer, mark))
    }

    /// Families of the routes that `peer` was announced and withdrawn, as `+vpnv4`, `-rtc`.
    pub(crate) fn by(&self, peer: PeerIx) -> Vec<String> {
        let mut said = Vec::new();
        for (_, update) in self.updates.iter().filter(|(to, _)| *to == peer) {
            said.extend(update.withdrawn.iter().map(|list| format!("-{}", list.family())));
            said.extend(update.announced.iter().map(|(_, list)| format!("+{}", list.family())));
        }
        said
    }

    pub(crate) fn last(&self, peer: PeerIx) -> &Update {
        &self.updates.iter().rfind(|(to, _)| *to == peer).expect("something was said").1
    }
}

pub(crate) fn shard() -> Shard {
    Shard::new(ShardConfig {
        shard: 0,
        shards: 1,
        local_as: 64_512,
        router_id: Ipv4Addr::new(10, 0, 0, 1),
        cluster_id: Ipv4Addr::new(10, 0, 0, 1),
        decision: bgp_rib::DecisionOptions::default(),
        client_to_client: true,
        hash_seed: 0,
    })
}

pub(crate) fn view(peer: PeerIx, kind: PeerKind) -> PeerView {
    let address = Ipv4Addr::new(10, 1, 0, u8::try_from(peer.0).unwrap());
    let local = Ipv4Addr::new(10, 0, 0, 1).into();
    PeerView::new(kind, address, address.into(), local, Negotiated::everything())
}

/// An agent that speaks RTC and is told only the default target.
pub(crate) fn agent(peer: PeerIx) -> PeerView {
    PeerView {
        interest: InterestMode::FromRtc,
        memberships: MembershipsOut::OwnOnly,
        originate: BTreeSet::from([RtMembership::DEFAULT]),
        ..view(peer, PeerKind::Client)
    }
}

pub(crate) fn up(shard: &mut Shard, peer: PeerIx, view: PeerView) {
    shard.handle(Input::PeerUp { peer, view: Arc::new(view) });
}

pub(crate) fn flush(shard: &mut Shard) -> Heard {
    let mut heard = Heard::default();
    flush_into(shard, &mut heard);
    heard
}

pub(crate) fn flush_into(shard: &mut Shard, heard: &mut Heard) {
    shard.flush(heard);
    while shard.has_work() {
        shard.flush(heard);
    }
}

pub(crate) fn update() -> Update {
    Update {
        withdrawn: Vec::new(),
        announced: Vec::new(),
        attributes: Arc::default(),
        end_of_rib: None,
        faults: Vec::new(),
    }
}

pub(crate) fn announce<F: Family>(
    shard: &mut Shard,
    peer: PeerIx,
    attributes: PathAttributes,
    key: F::Key,
    data: F::Data,
) {
    announce_by::<F>(shard, peer, NextHop::V4([192, 0, 2, 1].into()), attributes, key, data);
}

pub(crate) fn announce_by<F: Family>(
    shard: &mut Shard,
    peer: PeerIx,
    next_hop: NextHop,
    attributes: PathAttributes,
    key: F::Key,
    data: F::Data,
) {
    let route = Route { path_id: PathId(0), key, data };
    let updates = vec![Update {
        announced: vec![(next_hop, F::into_routes(vec![route]))],
        attributes: Arc::new(attributes),
        ..update()
    }];
    shard.handle(Input::Updates { peer, updates });
}

pub(crate) fn withdraw<F: Family>(shard: &mut Shard, peer: PeerIx, key: F::Key) {
    let list = F::into_withdrawals(vec![Withdrawal { path_id: PathId(0), key }]);
    let updates = vec![Update { withdrawn: vec![list], ..update() }];
    shard.handle(Input::Updates { peer, updates });
}

pub(crate) fn vpn(number: u8) -> VpnKey<ipnet::Ipv4Net> {
    VpnKey { rd: "64512:1".parse().unwrap(), net: format!("10.0.{number}.0/24").parse().unwrap() }
}

pub(crate) fn label(value: u32) -> VpnLabels {
    Label::mpls(value).unwrap().into()
}

pub(crate) fn target(number: u32) -> RouteTarget {
    RouteTarget::as2(64_512, number)
}

pub(crate) fn with_target(number: u32) -> PathAttributes {
    PathAttributes {
        extended_communities: vec![target(number).into()],
        ..PathAttributes::default()
    }
}

pub(crate) fn wants(shard: &mut Shard, peer: PeerIx, number: u32) {
    let key = RtMembership::exact(64_512, target(number));
    announce::<Rtc>(shard, peer, PathAttributes::default(), key, ());
}

pub(crate) fn end_of_rib(shard: &mut Shard, peer: PeerIx, family: AfiSafi) {
    shard.handle(Input::EndOfRib { peer, family });
}
