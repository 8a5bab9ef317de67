//! What becomes of the peer table of one control node.

use std::cmp::Reverse;

use super::{Change, Effect, details::Details};
use crate::{AfiSafi, ControlNode, PeerOptions, PeerRole, PeerSpec, Remote, Topology};

/// Compares the peers of one control node, the same in both topologies.
pub(super) fn compare(
    old: &Topology,
    before: &ControlNode,
    new: &Topology,
    now: &ControlNode,
    changes: &mut Vec<Change>,
) {
    let old_peers = old.peers_of(before);
    let new_peers = new.peers_of(now);
    let control_node = &now.name;
    let mut own = Details::default();
    own.value("our address", &before.address, &now.address);
    own.value("our router-id", &before.router_id, &now.router_id);
    own.value("our cluster-id", &before.cluster_id, &now.cluster_id);
    let own = own.into_texts();

    for peer in &old_peers {
        if !new_peers.iter().any(|other| is_same(peer, other)) {
            let (control_node, peer) = (control_node.clone(), Box::new(peer.clone()));
            changes.push(Change::PeerRemoved { control_node, peer });
        }
    }
    for peer in new_peers {
        let control_node = control_node.clone();
        match old_peers.iter().find(|other| is_same(other, &peer)) {
            None => {
                let peer = Box::new(peer);
                changes.push(Change::PeerAdded { control_node, peer });
            }
            Some(other) => {
                let (mut effect, mut details) = cost(other, &peer);
                if !own.is_empty() {
                    effect = Effect::Reset;
                    details.extend(own.iter().cloned());
                }
                if !details.is_empty() {
                    let (old, new) = (Box::new(other.clone()), Box::new(peer));
                    changes.push(Change::PeerChanged { control_node, old, new, effect, details });
                }
            }
        }
    }
}

/// A peer at another address is another peer: its connection cannot be kept.
fn is_same(a: &PeerSpec, b: &PeerSpec) -> bool {
    a.name == b.name
        && match (&a.remote, &b.remote) {
            (Remote::Address(a), Remote::Address(b)) => a == b,
            (Remote::Prefixes(_), Remote::Prefixes(_)) => true,
            _ => false,
        }
}

/// What is different in a peer, and what that costs.
fn cost(old: &PeerSpec, new: &PeerSpec) -> (Effect, Vec<String>) {
    // What an OPEN message says can change only with a new one.
    let mut opened = Details::default();
    opened.value("our asn", &old.local_asn, &new.local_asn);
    opened.value("asn", &old.peer_asn, &new.peer_asn);
    opened.set("families", &old.families, &new.families);
    opened.value("hold-time", &old.hold_time, &new.hold_time);
    opened.value("graceful-restart-time", &old.graceful_restart_time, &new.graceful_restart_time);
    opened.value("role", &old.role.kind(), &new.role.kind());

    // Routes that were refused before are gone: only the peer still has them.
    let mut refreshed = Details::default();
    let mut kept = Details::default();
    if let (PeerRole::Gateway(before), PeerRole::Gateway(now)) = (&old.role, &new.role) {
        refreshed.set("takes", &before.import, &now.import);
        kept.set("tells", &before.export, &now.export);
    }
    let limit = if matches!(new.role, PeerRole::Nodes { .. }) { "max-nodes" } else { "max-peers" };
    kept.option(limit, old.role.limit().as_ref(), new.role.limit().as_ref());
    if let (Remote::Prefixes(before), Remote::Prefixes(now)) = (&old.remote, &new.remote) {
        kept.set("prefixes", before, now);
    }
    kept.option("max-prefixes", old.max_prefixes.as_ref(), new.max_prefixes.as_ref());

    let own = [
        (Effect::Reset, opened.into_texts()),
        (Effect::Refresh, refreshed.into_texts()),
        (Effect::Keep, kept.into_texts()),
    ];
    let own =
        own.into_iter().flat_map(|(effect, texts)| texts.into_iter().map(move |t| (effect, t)));
    let mut options = PeerOptions::changes(&old.options, &new.options);
    if new.families.contains(&AfiSafi::RTC) {
        // What the peer has asked for so far was understood in the old way.
        let rewrites = |text: &str| {
            ["import-rewrite ", "export-rewrite "].iter().any(|key| text.starts_with(key))
        };
        options
            .iter_mut()
            .filter(|(_, text)| rewrites(text))
            .for_each(|(effect, _)| *effect = Effect::Reset);
    }
    let mut all: Vec<(Effect, String)> = own.chain(options).collect();
    // What costs most is read first.
    all.sort_by_key(|(effect, _)| Reverse(*effect));
    let effect = all.first().map_or(Effect::Keep, |(effect, _)| *effect);
    (effect, all.into_iter().map(|(_, text)| text).collect())
}
