//! Filters: the rules that the programs read, their names, their counters.

use std::collections::BTreeMap;

use aya::maps::{MapError, PerCpuValues};
use dataplane::{
    DataplaneError, Direction, Filter, FilterId, Identity, Peer, PortRange, Result, Rule, Verdict,
};
use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use crate::layout::{self, FilterName, FilterNameKey};
use crate::limits;
use crate::names::{decode_filter_names, encode_filter_names};
use crate::plane::EbpfPlane;
use crate::tables::{Element as _, Entry as _};

/// A filter as it is in the maps.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    pub(crate) number: u32,
    /// Element of `rule_counts` of the first rule.
    counters: u32,
    pub(crate) filter: Filter,
}

/// Counters of the defaults, behind those of the rules.
const DEFAULTS: usize = 2;

impl EbpfPlane {
    /// One write replaces the rules. Counters begin anew: they are those of these rules.
    pub(crate) fn put_filter(&mut self, id: &FilterId, filter: &Filter) -> Result<()> {
        let was = self.filters.get(id).cloned();
        if was.as_ref().is_some_and(|was| was.filter == *filter) {
            return Ok(());
        }
        if filter.rules.len() > Filter::MAX_RULES {
            return Err(DataplaneError::new(format!(
                "filter {id}: it has {} rules, and there is room for {}",
                filter.rules.len(),
                Filter::MAX_RULES
            )));
        }
        let number = match &was {
            Some(was) => was.number,
            None => self.free_number()?,
        };
        let counters = self.free_counters(filter.rules.len() + DEFAULTS)?;
        let revision = self.revision.wrapping_add(1).max(1);
        let raw = encode(filter, revision, counters);
        let written = self
            .write_names(number, id, filter)
            .and_then(|()| self.tables.filters.put(number, raw, "filter"));
        if let Err(error) = written {
            match &was {
                Some(was) => self.write_names(number, id, &was.filter)?,
                None => self.forget_names(number, 0)?,
            }
            return Err(error);
        }
        self.revision = revision;
        self.tables.filter_revisions.write(number, revision, "filter")?;
        self.directory.put_filter(number, id);
        let installed = Installed { number, counters, filter: filter.clone() };
        self.filters.insert(id.clone(), installed);
        Ok(())
    }

    pub(crate) fn remove_filter(&mut self, id: &FilterId) -> Result<()> {
        let Some(number) = self.filters.get(id).map(|gone| gone.number) else { return Ok(()) };
        let used = self.slots.iter().find(|(_, slot)| slot.port.filter.as_ref() == Some(id));
        if let Some((port, _)) = used {
            return Err(DataplaneError::new(format!("port {port} uses filter {id}")));
        }
        self.tables.filters.delete(&number, "filter")?;
        self.forget_names(number, 0)?;
        self.directory.remove_filter(number);
        self.filters.remove(id);
        Ok(())
    }

    /// 0: it has none.
    pub(crate) fn filter_number(&self, id: Option<&FilterId>) -> u32 {
        id.and_then(|id| self.filters.get(id)).map_or(0, |filter| filter.number)
    }

    pub(crate) fn filter_of_number(&self, number: u32) -> Option<FilterId> {
        if number == 0 {
            return None;
        }
        let found = self.filters.iter().find(|(_, filter)| filter.number == number);
        Some(found.map_or_else(|| nameless(number), |(id, _)| id.clone()))
    }

    /// Reads filters back. One whose names are not whole gets a name that nobody gives.
    pub(crate) fn read_filters(&mut self) -> Result<BTreeMap<FilterId, Filter>> {
        let mut octets: BTreeMap<u32, Vec<u8>> = BTreeMap::new();
        let parts: BTreeMap<FilterNameKey, FilterName> =
            self.tables.filter_names.all()?.into_iter().collect();
        for (key, part) in parts {
            octets.entry(key.filter).or_default().extend(part.0);
        }
        if self.revision == 0 {
            let numbers = 0..self.tables.filter_revisions.len();
            for number in numbers {
                let revision = self.tables.filter_revisions.read(number, "filter")?;
                self.revision = self.revision.max(revision);
            }
        }
        self.filters.clear();
        for (number, raw) in self.tables.filters.all()? {
            // An agent may have ended between the two writes.
            if self.tables.filter_revisions.read(number, "filter")? != raw.revision {
                self.tables.filter_revisions.write(number, raw.revision, "filter")?;
            }
            let names = octets.get(&number).and_then(|octets| decode_filter_names(octets));
            let (id, names) = names.unwrap_or_else(|| (nameless(number), Vec::new()));
            let filter = decode(&raw, &names);
            let id = if self.filters.contains_key(&id) { nameless(number) } else { id };
            self.filters.insert(id, Installed { number, counters: raw.counters, filter });
        }
        let numbers = self.filters.iter().map(|(id, filter)| (filter.number, id.clone()));
        self.directory.replace_filters(numbers);
        Ok(self.filters.iter().map(|(id, found)| (id.clone(), found.filter.clone())).collect())
    }

    /// Packets by rule, then by default.
    pub(crate) fn read_rule_counts(&self) -> Result<BTreeMap<FilterId, Vec<u64>>, MapError> {
        let count = |element| Ok(self.tables.rule_counts.get(&element, 0)?.iter().sum());
        let of_filter = |(id, found): (&FilterId, &Installed)| {
            let elements = found.counters..found.counters + length(found.filter.rules.len());
            Ok((id.clone(), elements.map(count).collect::<Result<_, MapError>>()?))
        };
        self.filters.iter().map(of_filter).collect()
    }

    fn free_number(&self) -> Result<u32> {
        let used: std::collections::BTreeSet<u32> =
            self.filters.values().map(|filter| filter.number).collect();
        let mut numbers = 1..self.tables.filter_revisions.len();
        numbers.find(|number| !used.contains(number)).ok_or_else(|| {
            limits::full("filter", "filters", self.tables.filter_revisions.len() - 1)
        })
    }

    /// So many counters in a row that nobody uses, all 0.
    fn free_counters(&mut self, count: usize) -> Result<u32> {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let mut used: Vec<(u32, u32)> = self
            .filters
            .values()
            .map(|filter| (filter.counters, length(filter.filter.rules.len())))
            .collect();
        used.sort_unstable();
        let first = first_gap(&used, count);
        if first.saturating_add(count) > self.tables.rule_counts.len() {
            let limit = self.tables.rule_counts.len();
            return Err(limits::full("filter's rules", "rule_counts", limit));
        }
        let unusable = |error| DataplaneError::because("cannot reset the counters of rules", error);
        let cpus = aya::util::nr_cpus().map_err(|(what, error)| {
            DataplaneError::because(format!("cannot read {what}"), error)
        })?;
        for element in first..first + count {
            PerCpuValues::try_from(vec![0; cpus])
                .map_err(MapError::from)
                .and_then(|nothing| self.tables.rule_counts.set(element, nothing, 0))
                .map_err(unusable)?;
        }
        Ok(first)
    }

    fn write_names(&mut self, number: u32, id: &FilterId, filter: &Filter) -> Result<()> {
        let octets = encode_filter_names(id, filter.rules.iter().map(|rule| rule.name.as_str()));
        let mut part = 0;
        for chunk in octets.chunks(size_of::<FilterName>()) {
            let mut value = FilterName([0; size_of::<FilterName>()]);
            value.0[..chunk.len()].copy_from_slice(chunk);
            let key = FilterNameKey { filter: number, part };
            self.tables.filter_names.put(key, value, "filter name")?;
            part += 1;
        }
        // Of longer names than these.
        self.forget_names(number, part)
    }

    /// All parts from this one on.
    fn forget_names(&mut self, number: u32, first: u32) -> Result<()> {
        let mut key = FilterNameKey { filter: number, part: first };
        while self.tables.filter_names.get(&key, 0).is_ok() {
            self.tables.filter_names.delete(&key, "filter name")?;
            key.part += 1;
        }
        Ok(())
    }
}

fn nameless(number: u32) -> FilterId {
    FilterId(format!("?{number}"))
}

/// So many counters a filter has.
fn length(rules: usize) -> u32 {
    u32::try_from(rules + DEFAULTS).unwrap_or(u32::MAX)
}

/// Where the first gap of `count` begins between sorted ranges of (first, length).
fn first_gap(used: &[(u32, u32)], count: u32) -> u32 {
    let mut free = 0;
    for (first, length) in used {
        if first.saturating_sub(free) >= count {
            break;
        }
        free = free.max(first.saturating_add(*length));
    }
    free
}

fn encode(filter: &Filter, revision: u32, counters: u32) -> layout::Filter {
    let by_identity = filter.rules.iter().any(|rule| matches!(rule.peer, Peer::Identity(_)));
    let mut raw = layout::Filter {
        revision,
        counters,
        count: 0,
        default_verdict: [raw_verdict(filter.default_in), raw_verdict(filter.default_out)],
        identities: u8::from(by_identity),
        unused: 0,
        rules: [layout::Rule::default(); layout::RULES_MAX],
    };
    for (place, rule) in raw.rules.iter_mut().zip(&filter.rules) {
        *place = encode_rule(rule);
        raw.count += 1;
    }
    raw
}

fn encode_rule(rule: &Rule) -> layout::Rule {
    let ports = rule.ports.map(|ports| (ports.first(), ports.last()));
    let (first_port, last_port) = ports.unwrap_or_default();
    let raw = layout::Rule {
        side: match rule.direction {
            Direction::In => layout::SIDE_IN,
            Direction::Out => layout::SIDE_OUT,
        },
        verdict: raw_verdict(rule.verdict),
        log: u8::from(rule.log),
        protocol: rule.protocol.map_or(layout::ANY_PROTOCOL, u16::from),
        any_port: u8::from(ports.is_none()),
        first_port,
        last_port,
        ..layout::Rule::default()
    };
    match rule.peer {
        Peer::Any => layout::Rule { peer: layout::PEER_ANY, ..raw },
        Peer::Identity(identity) => {
            layout::Rule { peer: layout::PEER_IDENTITY, identity: identity.0, ..raw }
        }
        Peer::Net(net) => {
            let (peer, before) = match net {
                IpNet::V4(_) => (layout::PEER_NET_V4, 96),
                IpNet::V6(_) => (layout::PEER_NET_V6, 0),
            };
            let prefix_len = before + net.prefix_len();
            layout::Rule { peer, prefix_len, net: net.addr().into(), ..raw }
        }
    }
}

const fn raw_verdict(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Allow => layout::ALLOW,
        Verdict::Deny => layout::DENY,
    }
}

pub(crate) const fn verdict(raw: u8) -> Verdict {
    if raw == layout::ALLOW { Verdict::Allow } else { Verdict::Deny }
}

pub(crate) const fn direction(raw: u8) -> Direction {
    if raw == layout::SIDE_IN { Direction::In } else { Direction::Out }
}

fn decode(raw: &layout::Filter, names: &[String]) -> Filter {
    let rules = raw.rules.iter().take(raw.count as usize).enumerate();
    let decode = |(index, rule)| decode_rule(rule, names.get(index).cloned().unwrap_or_default());
    Filter {
        rules: rules.map(decode).collect(),
        default_in: verdict(raw.default_verdict[0]),
        default_out: verdict(raw.default_verdict[1]),
    }
}

fn decode_rule(raw: &layout::Rule, name: String) -> Rule {
    let address = std::net::Ipv6Addr::from(raw.net);
    let net = match raw.peer {
        layout::PEER_NET_V4 => address
            .to_ipv4_mapped()
            .and_then(|v4| Ipv4Net::new(v4, raw.prefix_len.checked_sub(96)?).ok().map(IpNet::from)),
        layout::PEER_NET_V6 => Ipv6Net::new(address, raw.prefix_len).ok().map(IpNet::from),
        _ => None,
    };
    let peer = match (net, raw.peer) {
        (Some(net), _) => Peer::Net(net),
        (None, layout::PEER_IDENTITY) => Peer::Identity(Identity(raw.identity)),
        (None, _) => Peer::Any,
    };
    Rule {
        name,
        direction: direction(raw.side),
        verdict: verdict(raw.verdict),
        peer,
        protocol: u8::try_from(raw.protocol).ok(),
        ports: PortRange::new(raw.first_port, raw.last_port).filter(|_| raw.any_port == 0),
        log: raw.log != 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(peer: Peer, protocol: Option<u8>, ports: Option<PortRange>) -> Rule {
        let (direction, verdict) = (Direction::Out, Verdict::Deny);
        Rule { name: "r".to_owned(), direction, verdict, peer, protocol, ports, log: true }
    }

    #[test]
    fn a_rule_reads_back_what_it_was() {
        let net = |text: &str| Peer::Net(text.parse().unwrap());
        let rules = [
            rule(Peer::Any, None, None),
            rule(Peer::Identity(Identity(8_000_001)), Some(6), PortRange::new(80, 89)),
            rule(net("10.1.2.3/8"), Some(17), PortRange::new(0, 65_535)),
            rule(net("0.0.0.0/0"), Some(0), PortRange::new(0, 0)),
            rule(net("2001:db8::/32"), Some(255), None),
            rule(net("::/0"), None, None),
            Rule { direction: Direction::In, log: false, ..rule(net("10.0.0.1/32"), None, None) },
        ];
        for rule in rules {
            assert_eq!(decode_rule(&encode_rule(&rule), "r".to_owned()), rule);
        }
    }

    #[test]
    fn a_filter_reads_back_what_it_was() {
        let filter = Filter {
            rules: vec![rule(Peer::Any, None, None); 3],
            default_in: Verdict::Deny,
            default_out: Verdict::Allow,
        };
        let names = vec!["r".to_owned(); 3];
        let raw = encode(&filter, 7, 90);
        assert_eq!((raw.revision, raw.counters, raw.count, raw.identities), (7, 90, 3, 0));
        assert_eq!(decode(&raw, &names), filter);
    }

    #[test]
    fn counters_go_where_there_is_room() {
        for (used, count, first) in [
            (&[][..], 5, 0),
            (&[(0, 3)][..], 5, 3),
            (&[(4, 3)][..], 4, 0),
            (&[(4, 3)][..], 5, 7),
            (&[(0, 3), (5, 2), (12, 4)][..], 5, 7),
            (&[(0, 3), (5, 2), (12, 4)][..], 6, 16),
        ] {
            assert_eq!(first_gap(used, count), first, "{used:?} {count}");
        }
    }
}
