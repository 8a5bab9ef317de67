//! Several paths of a destination to one peer (RFC 7911).

use std::num::NonZeroU8;
use std::sync::Arc;

use bgp_rib::{Input, PeerIx, PeerKind, PeerPolicy, PeerView, Shard};
use bgp_wire::{AfiSafi, Family, Negotiated, PathAttributes, VpnV4};

use crate::support::*;

/// A peer that is told up to `paths` paths.
fn told(peer: PeerIx, paths: u8) -> PeerView {
    let all = Negotiated::everything();
    let add_path_send = vec![(AfiSafi::VPNV4, NonZeroU8::new(paths).unwrap())];
    PeerView {
        negotiated: Negotiated { add_path_send: all.families.clone(), ..all },
        policy: Arc::new(PeerPolicy { add_path_send, ..PeerPolicy::default() }),
        ..view(peer, PeerKind::Client)
    }
}

/// What the first peer hears: number and label of each path, `None` for a withdrawal.
fn hears(shard: &mut Shard) -> Vec<(u32, Option<u32>)> {
    let mut heard = Heard { numbered: [AGENT].into(), ..Heard::default() };
    flush_into(shard, &mut heard);
    let mut said = Vec::new();
    for (_, update) in heard.updates.into_iter().filter(|(to, _)| *to == AGENT) {
        for list in update.withdrawn.into_iter().flat_map(VpnV4::from_withdrawals) {
            said.extend(list.iter().map(|route| (route.path_id.0, None)));
        }
        for (_, list) in update.announced {
            let list = VpnV4::from_routes(list).into_iter().flatten();
            said.extend(
                list.map(|route| (route.path_id.0, Some(route.data.outermost().mpls_value()))),
            );
        }
    }
    said.sort_unstable();
    said
}

fn says(shard: &mut Shard, peer: u16, preference: u32, value: u32) {
    let attributes = PathAttributes { local_pref: Some(preference), ..with_target(1) };
    announce::<VpnV4>(shard, PeerIx(peer), attributes, vpn(1), label(value));
}

#[test]
fn a_path_keeps_its_number_and_the_next_one_moves_up() {
    let mut shard = shard();
    up(&mut shard, AGENT, told(AGENT, 2));
    for peer in 1..4 {
        up(&mut shard, PeerIx(peer), view(PeerIx(peer), PeerKind::Client));
    }
    flush(&mut shard);
    says(&mut shard, 1, 300, 31);
    assert_eq!(hears(&mut shard), [(1, Some(31))]);
    says(&mut shard, 2, 200, 32);
    assert_eq!(hears(&mut shard), [(2, Some(32))], "the first is not said again");
    says(&mut shard, 3, 100, 33);
    assert_eq!(hears(&mut shard), [], "no room for a third");
    says(&mut shard, 2, 400, 42);
    assert_eq!(hears(&mut shard), [(2, Some(42))], "the best by now, with the number it had");
    withdraw::<VpnV4>(&mut shard, PeerIx(1), vpn(1));
    let heard = hears(&mut shard);
    assert_eq!(heard, [(1, None), (3, Some(33))]);
    says(&mut shard, 1, 500, 51);
    assert_eq!(hears(&mut shard), [(1, Some(51)), (3, None)], "a free number is used again");
}

#[test]
fn fewer_paths_are_asked_for_while_the_session_is_up() {
    let mut shard = shard();
    up(&mut shard, AGENT, told(AGENT, 3));
    for (peer, preference) in [(1, 300), (2, 200), (3, 100)] {
        up(&mut shard, PeerIx(peer), view(PeerIx(peer), PeerKind::Client));
        says(&mut shard, peer, preference, 30 + u32::from(peer));
    }
    assert_eq!(hears(&mut shard), [(1, Some(31)), (2, Some(32)), (3, Some(33))]);
    shard.handle(Input::PeerChanged { peer: AGENT, view: Arc::new(told(AGENT, 1)) });
    let heard = hears(&mut shard);
    assert!(heard.contains(&(2, None)) && heard.contains(&(3, None)), "{heard:?}");
}
