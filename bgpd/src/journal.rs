//! The inputs of a shard on disk: written while the daemon runs, replayed without it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::hash::{DefaultHasher, Hasher};
use std::io::{BufReader, BufWriter};
use std::path::Path;

use anyhow::Context;
use bgp_rib::journal::{Reader, Writer};
use bgp_rib::{Answer, Batch, Full, Input, PeerIx, Query, Shard, ShardConfig, Sink};

/// Where the inputs of one shard are written.
pub(crate) struct Journal {
    file: Writer<BufWriter<File>>,
}

impl Journal {
    pub(crate) fn create(directory: &Path, config: &ShardConfig) -> anyhow::Result<Self> {
        std::fs::create_dir_all(directory)
            .with_context(|| format!("cannot make {}", directory.display()))?;
        let path = directory.join(format!("shard-{}.journal", config.shard));
        let file =
            File::create(&path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self { file: Writer::new(BufWriter::new(file), config)? })
    }

    /// Before the shard takes the input, so that one that ends the process is in the journal.
    pub(crate) fn record(&mut self, input: &Input) -> anyhow::Result<()> {
        self.file.record(input).context("cannot write the journal")
    }

    /// At the end of a turn.
    pub(crate) fn flush(&mut self) -> anyhow::Result<()> {
        self.file.flush().context("cannot write the journal")
    }
}

/// What a peer was told in a replay: how much, and a hash over the octets in their order.
#[derive(Default)]
struct Told {
    batches: u64,
    octets: u64,
    hash: DefaultHasher,
}

#[derive(Default)]
struct Listeners(BTreeMap<PeerIx, Told>);

impl Sink for Listeners {
    fn push(&mut self, peer: PeerIx, batch: &Batch) -> Result<(), Full> {
        let told = self.0.entry(peer).or_default();
        told.batches += 1;
        for octets in batch.slices() {
            told.octets += octets.len() as u64;
            told.hash.write(octets);
        }
        Ok(())
    }
}

/// Runs a fresh shard over the inputs of a journal, one flush for each, and tells where that ends. The
/// same journal gives the same text.
pub(crate) fn replay(path: &Path) -> anyhow::Result<String> {
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let (inputs, config) = Reader::new(BufReader::new(file))
        .with_context(|| format!("{} is no journal", path.display()))?;
    let (mut shard, mut listeners, mut count) = (Shard::new(config), Listeners::default(), 0_u64);
    for input in inputs {
        shard.handle(input.with_context(|| format!("after {count} inputs"))?);
        count += 1;
        shard.flush(&mut listeners);
        while shard.has_work() {
            shard.flush(&mut listeners);
        }
    }
    let mut text = format!("{count} inputs\n\nFamily  Destinations  Paths  Attribute sets\n");
    if let Answer::Summary(tables) = shard.query(&Query::Summary) {
        for table in tables {
            let family = table.family.to_string();
            let (destinations, paths, sets) = (table.destinations, table.paths, table.buckets);
            writeln!(text, "{family:<6}  {destinations:>12}  {paths:>5}  {sets:>14}")?;
        }
    }
    text.push_str("\nPeer  Batches  Octets told  Hash\n");
    for (peer, told) in listeners.0 {
        let (batches, octets, hash) = (told.batches, told.octets, told.hash.finish());
        writeln!(text, "{peer:>4}  {batches:>7}  {octets:>11}  {hash:016x}", peer = peer.0)?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::sync::Arc;

    use bgp_rib::{PeerKind, PeerView};
    use bgp_wire::{
        Label, Negotiated, NextHop, PathAttributes, PathId, Route, Routes, Update, VpnKey, VpnV4,
    };

    use super::*;

    fn up(peer: u16) -> Input {
        let address = IpAddr::from([192, 0, 2, u8::try_from(peer).unwrap()]);
        let router_id = Ipv4Addr::new(192, 0, 2, u8::try_from(peer).unwrap());
        let local = IpAddr::from([192, 0, 2, 200]);
        let everything = Negotiated::everything();
        let view = PeerView::new(PeerKind::Client, router_id, address, local, everything);
        Input::PeerUp { peer: PeerIx(peer), view: Arc::new(view) }
    }

    #[test]
    fn a_replay_ends_where_the_shard_was() {
        let directory = tempfile::tempdir().unwrap();
        let config = ShardConfig {
            shard: 0,
            shards: 1,
            local_as: 64512,
            router_id: Ipv4Addr::new(192, 0, 2, 200),
            cluster_id: Ipv4Addr::new(192, 0, 2, 200),
            decision: bgp_rib::DecisionOptions::default(),
            client_to_client: true,
            hash_seed: 1,
        };
        let key = VpnKey { rd: "65000:7".parse().unwrap(), net: "10.0.100.0/24".parse().unwrap() };
        let route =
            Route::<VpnV4> { path_id: PathId(0), key, data: Label::mpls(16).unwrap().into() };
        let update = Update {
            withdrawn: Vec::new(),
            announced: vec![(NextHop::V4(Ipv4Addr::new(192, 0, 2, 1)), Routes::VpnV4(vec![route]))],
            attributes: Arc::new(PathAttributes { local_pref: Some(100), ..Default::default() }),
            end_of_rib: None,
            faults: Vec::new(),
        };
        let mut journal = Journal::create(directory.path(), &config).unwrap();
        for input in [up(1), up(2), Input::Updates { peer: PeerIx(1), updates: vec![update] }] {
            journal.record(&input).unwrap();
        }
        journal.flush().unwrap();
        let text = replay(&directory.path().join("shard-0.journal")).unwrap();
        assert!(text.starts_with("3 inputs\n"), "{text}");
        assert!(text.contains("vpnv4              1      1               1\n"), "{text}");
        let told = text.lines().filter(|line| line.trim_start().starts_with("2 ")).count();
        assert_eq!(told, 1, "the other client was told: {text}");
    }
}
