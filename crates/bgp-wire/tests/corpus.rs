//! Messages of other people's daemons, and what they say; and the same messages, damaged.
//!
//! A file of `corpus/` starts with comments: who sent it and what was configured. The line
//! `# peer: ..` says what was negotiated. Each message stands as hexadecimal digits, and below it
//! after `=` what it says, compared with what was configured at the sender when it was recorded.

mod law;

use std::fmt::Write as _;
use std::path::Path;

use bgp_wire::{AfiSafi, Message, Negotiated, Update, for_each_family};

struct Recorded {
    octets: Vec<u8>,
    says: String,
}

struct Corpus {
    name: String,
    negotiated: Negotiated,
    messages: Vec<Recorded>,
}

fn corpora() -> Vec<Corpus> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus");
    let mut corpora: Vec<Corpus> = std::fs::read_dir(folder)
        .expect("the folder of the corpus")
        .map(|file| read(&file.expect("a file").path()))
        .collect();
    corpora.sort_by(|a, b| a.name.cmp(&b.name));
    corpora
}

fn read(path: &Path) -> Corpus {
    let text = std::fs::read_to_string(path).expect("a text");
    let mut negotiated = Negotiated::everything();
    let mut messages: Vec<Recorded> = Vec::new();
    for line in text.lines() {
        if let Some(peer) = line.strip_prefix("# peer: ") {
            for word in peer.split_whitespace() {
                match word {
                    "internal" => negotiated.internal = true,
                    "external" => negotiated.internal = false,
                    "two-octet-as" => negotiated.four_octet_as = false,
                    "add-path-ipv4" => negotiated.add_path_receive = vec![AfiSafi::IPV4_UNICAST],
                    other => unreachable!("{}: peer {other}", path.display()),
                }
            }
        } else if let Some(says) = line.strip_prefix("= ") {
            let message = messages.last_mut().expect("a message above");
            writeln!(message.says, "{says}").expect("a string takes all");
        } else if !line.starts_with('#') && !line.is_empty() {
            messages.push(Recorded { octets: octets(line), says: String::new() });
        }
    }
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned());
    Corpus { name: name.expect("a name"), negotiated, messages }
}

fn octets(hex: &str) -> Vec<u8> {
    let pairs = hex.as_bytes().as_chunks::<2>().0.iter();
    pairs
        .map(|pair| std::str::from_utf8(pair).expect("digits"))
        .map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal digits"))
        .collect()
}

/// What a message says, a line a fact.
fn says(message: &Message) -> String {
    let mut text = String::new();
    let mut line = |line: String| writeln!(text, "{line}").expect("a string takes all");
    match message {
        Message::Open(open) => {
            let (asn, hold_time, id) = (open.asn, open.hold_time, open.router_id);
            line(format!("open AS {asn}, hold time {hold_time}, id {id}"));
            for capability in &open.capabilities {
                line(format!("can {capability:?}"));
            }
        }
        Message::Update(update) => says_update(update, &mut line),
        Message::Notification(notification) => line(format!("notification {notification}")),
        Message::Keepalive => line("keepalive".to_owned()),
        Message::RouteRefresh(refresh) => line(format!("{refresh:?}")),
    }
    text
}

fn says_update(update: &Update, line: &mut impl FnMut(String)) {
    for list in &update.withdrawn {
        let family = list.family();
        for_each_family!(Withdrawals, list, list => for route in list {
            line(format!("withdraw {family} {} path {}", route.key, route.path_id.0));
        });
    }
    for (next_hop, list) in &update.announced {
        let family = list.family();
        for_each_family!(Routes, list, list => for route in list {
            let (key, data, path_id) = (&route.key, &route.data, route.path_id.0);
            line(format!("announce {family} {key} path {path_id} via {next_hop} with {data:?}"));
        });
        let a = &update.attributes;
        line(format!(
            "path \"{}\" {:?} med {:?} pref {:?}",
            a.as_path, a.origin, a.med, a.local_pref
        ));
        if a.atomic_aggregate || a.aggregator.is_some() {
            line(format!("aggregated {} {:?}", a.atomic_aggregate, a.aggregator));
        }
        if a.originator_id.is_some() || !a.cluster_list.is_empty() {
            line(format!("reflected {:?} {:?}", a.originator_id, a.cluster_list));
        }
        for community in &a.communities {
            line(format!("community {community}"));
        }
        for community in &a.extended_communities {
            line(format!("extended community {community}"));
        }
        for community in &a.large_communities {
            line(format!("large community {community}"));
        }
        for raw in &a.others {
            line(format!(
                "attribute {} flags 0x{:02x} {:02x?}",
                raw.code,
                raw.flags,
                &raw.value[..]
            ));
        }
    }
    if let Some(family) = update.end_of_rib {
        line(format!("end of rib {family}"));
    }
    for fault in &update.faults {
        line(format!("fault {fault}"));
    }
}

#[test]
fn messages_of_others_say_what_was_configured() {
    let corpora = corpora();
    assert!(corpora.len() >= 5, "the corpus is there");
    for Corpus { name, negotiated, messages } in corpora {
        for (number, recorded) in messages.iter().enumerate() {
            let message = Message::decode(&recorded.octets, &negotiated);
            let message = message.unwrap_or_else(|error| unreachable!("{name} {number}: {error}"));
            assert_eq!(says(&message), recorded.says, "{name}, message {number}");
        }
    }
}

#[test]
fn messages_of_others_keep_the_law() {
    for corpus in corpora() {
        for recorded in &corpus.messages {
            law::check(&recorded.octets);
        }
    }
}

/// The corpora of the fuzz targets, where also goes what they find.
#[test]
fn the_corpora_of_the_fuzz_targets_keep_the_law() {
    for (name, target) in law::targets::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        let files: Vec<_> = std::fs::read_dir(folder).expect("the corpus").collect();
        assert!(files.len() >= 3, "the corpus of {name} is there");
        for file in files {
            target(&std::fs::read(file.expect("a file").path()).expect("octets"));
        }
    }
}

/// As [`damaged_messages_keep_the_law`], for the targets whose octets are a part of a message.
#[test]
fn damaged_parts_of_messages_keep_the_law() {
    let mut random = Random(0x0123_4567_89ab_cdef);
    for (name, target) in law::targets::TARGETS {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name);
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .expect("the corpus")
            .map(|file| file.expect("a file").path())
            .collect();
        files.sort();
        for file in files {
            let octets = std::fs::read(file).expect("octets");
            for _ in 0..20 {
                let mut octets = octets.clone();
                for _ in 0..=random.below(3) {
                    change(&mut octets, 0, &mut random);
                }
                target(&octets);
            }
        }
    }
}

/// Thousands of damaged messages, the same ones each time.
#[test]
fn damaged_messages_keep_the_law() {
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    for corpus in corpora() {
        for recorded in &corpus.messages {
            for _ in 0..300 {
                law::check(&damage(&recorded.octets, &mut random));
            }
        }
    }
}

/// One to four octets changed, added or removed behind the header, whose length stays right.
fn damage(octets: &[u8], random: &mut Random) -> Vec<u8> {
    let mut octets = octets.to_vec();
    for _ in 0..=random.below(4) {
        change(&mut octets, 19, random);
    }
    let length = u16::try_from(octets.len()).expect("short").to_be_bytes();
    octets[16..18].copy_from_slice(&length);
    octets
}

/// One octet changed, added or removed at `from` or behind it.
fn change(octets: &mut Vec<u8>, from: usize, random: &mut Random) {
    let at = from + random.below((octets.len() + 1).saturating_sub(from).max(1));
    let value = match random.below(4) {
        0 => 0,
        1 => 0xff,
        2 => octets.get(at).map_or(1, |octet| octet ^ (1 << random.below(8))),
        _ => u8::try_from(random.below(256)).expect("below 256"),
    };
    match random.below(3) {
        0 if octets.len() > from + 1 && at < octets.len() => drop(octets.remove(at)),
        1 if at <= octets.len() => octets.insert(at, value),
        _ if at < octets.len() => octets[at] = value,
        _ => octets.push(value),
    }
}

/// Xorshift: it only has to be the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % bound
    }
}
