//! What keys of a whole cloud do: RFC 4456, reflection among clients and one cluster id for all.

use std::net::Ipv4Addr;

use anyhow::{Result, ensure};

use crate::bed::{Bed, Sort};
use crate::cases::{Case, case, run};
use crate::heard::{Key, key};
use crate::octets::{self, VPNV4, label, target, vpn};
use crate::routes::with_it;
use crate::speaker::Speaker;

/// A route of a peer, with more attributes than it needs.
fn tell(bed: &Bed, speaker: &mut Speaker, sort: Sort, more: &[Vec<u8>]) -> Result<Key> {
    let nlri = vpn(label(30), octets::rd(64_512, 7), &bed.number().to_be_bytes(), 32);
    let mut attributes = with_it(sort, &[target(64_512, bed.number())]);
    attributes.push(octets::reach(VPNV4, &octets::vpn_next_hop(speaker.local), &nlri));
    attributes.extend_from_slice(more);
    speaker.send(&octets::update(&[], &attributes, &[]))?;
    Ok(key(VPNV4, &nlri))
}

#[test]
fn meshed_clients_are_not_told_of_each_other() {
    let bed = Bed::with("client-to-client = false", "", "").expect("a control node");
    let mut cases: Vec<Case<'_>> = Vec::new();
    for (from, to, told) in [
        (Sort::Client, Sort::Client, false),
        (Sort::Client, Sort::Sibling, true),
        (Sort::Client, Sort::Far, true),
        (Sort::Sibling, Sort::Client, true),
        (Sort::Sibling, Sort::Sibling, false),
        (Sort::Far, Sort::Client, true),
        (Sort::Far, Sort::Sibling, true),
    ] {
        cases.push(case(format!("{from:?} to {to:?}: {told}"), move |bed| {
            let (mut speaker, mut behind) = (bed.up(from)?, bed.up(Sort::Far)?);
            let route = tell(bed, &mut speaker, from, &[])?;
            if told {
                return bed.watcher(to)?.route(&route).map(drop);
            }
            // One that it is told of comes behind it, through the same shard.
            let seen = if from == Sort::Client { Sort::Sibling } else { Sort::Client };
            bed.watcher(seen)?.route(&route)?;
            let fence = tell(bed, &mut behind, Sort::Far, &[])?;
            bed.watcher(to)?.route(&fence)?;
            ensure!(bed.watcher(to)?.now(|heard| heard.get(&route).is_none()), "it is told");
            Ok(())
        }));
    }
    run("options", &bed, cases);
}

#[test]
fn control_nodes_may_be_one_cluster() {
    const CLUSTER: Ipv4Addr = Ipv4Addr::new(9, 9, 9, 9);
    let bed = Bed::with("cluster-id = \"9.9.9.9\"", "", "").expect("a control node");
    let cases = vec![
        case("what we reflect has the id of the cloud", |bed| {
            let mut speaker = bed.up(Sort::Client)?;
            let route = tell(bed, &mut speaker, Sort::Client, &[])?;
            for to in [Sort::Client, Sort::Sibling] {
                let told = bed.watcher(to)?.route(&route)?;
                ensure!(told.value(10) == Some(&CLUSTER.octets()), "{told:?}");
            }
            Ok(())
        }),
        case("what another of the cluster has reflected is not taken, and counted", |bed| {
            let mut speaker = bed.up(Sort::Sibling)?;
            let other = [Ipv4Addr::new(1, 1, 1, 1), CLUSTER];
            let list = |clusters: &[Ipv4Addr]| {
                [octets::originator(Ipv4Addr::new(8, 8, 8, 8)), octets::cluster_list(clusters)]
            };
            let dropped = tell(bed, &mut speaker, Sort::Sibling, &list(&other))?;
            let taken = tell(bed, &mut speaker, Sort::Sibling, &list(&other[..1]))?;
            bed.watcher(Sort::Client)?.route(&taken)?;
            let is_there =
                |key: &Key| bed.watcher(Sort::Client).map(|w| w.now(|h| h.get(key).is_some()));
            ensure!(!is_there(&dropped)?, "it is told");
            let rejected = bed.neighbor(speaker.local)?["rejected"].clone();
            let want = serde_json::json!([{ "reason": "cluster-loop", "routes": 1 }]);
            ensure!(rejected == want, "{rejected}");
            Ok(())
        }),
        case("our own id means nothing in a list of clusters", |bed| {
            let mut speaker = bed.up(Sort::Client)?;
            let route =
                tell(bed, &mut speaker, Sort::Client, &[octets::cluster_list(&[bed.id()])])?;
            bed.watcher(Sort::Sibling)?.route(&route).map(drop)
        }),
    ];
    run("options", &bed, cases);
}
