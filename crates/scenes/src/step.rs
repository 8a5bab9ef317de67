//! What happens in a scene: one line for what is done, and lines below it for what must follow.
//!
//! ```text
//! in PLACE: PACKET           a packet comes in; PLACE is a port, `wire` (the underlay) or `node`
//! put LINE, remove LINE      the state changes (module `state`)
//! underlay 1400              the MTU of the underlay changes
//! wait 5                     seconds pass
//! spread 300 PLACE: PACKET   so many packets, with `#` replaced by 1024, 1025 ..
//! again                      the last spread once more
//!
//! out PLACE: PACKET          it comes out there, as described; `node` is what is passed to the kernel
//! or PLACE: PACKET           or it comes out there
//! drop REASON [N]            so many packets (1) are dropped for that
//! count port a rx 1 tx 1/36  what is counted more than before: packets, or packets/octets
//! count tunnel 192.0.2.2 tx 1 · count vrf 1 rx 1 · count rule FILTER 0|in|out 1 · count flows 2 (more entries)
//! log FILTER RULE            a decision is reported, of the rule with that index
//! range $p 40000-40099       the number that got that name is one of these
//! share KEY WEIGHT           of the packets of a spread that share; KEY is a port, or the other node
//! together                   all of a spread goes the same way
//! moved from KEY ..          in comparison with the spread before, only flows of these moved
//! moved to KEY ..            or only to these
//! ```
//!
//! Below `in`, whatever is not expected is wrong: packets that come out, and drops.

use std::time::Duration;

use dataplane::memory::Place;
use dataplane::{DropReason, PortRange};

use crate::words::{Read, Words, parsed};

/// One thing that is done, and what must follow.
#[derive(Debug, Clone)]
pub struct Step {
    pub text: String,
    pub action: Action,
    pub expected: Vec<Expected>,
}

#[derive(Debug, Clone)]
pub enum Action {
    In(Placed),
    Put(String),
    Remove(String),
    Underlay(u16),
    Wait(Duration),
    Spread { count: u16, packet: Placed },
    Again,
}

#[derive(Debug, Clone)]
pub enum Expected {
    /// One of these.
    Out(Vec<Placed>),
    Drop(DropReason, u64),
    Count {
        what: Counter,
        more: Vec<(Way, u64, Option<u64>)>,
    },
    Log {
        filter: String,
        rule: usize,
    },
    Range {
        name: String,
        range: PortRange,
    },
    Share {
        key: String,
        weight: u32,
    },
    MovedFrom(Vec<String>),
    Together,
    MovedTo(Vec<String>),
}

/// A packet as text, and where.
#[derive(Debug, Clone)]
pub struct Placed {
    pub place: Place,
    pub packet: String,
}

#[derive(Debug, Clone)]
pub enum Counter {
    Port(String),
    Tunnel(std::net::IpAddr),
    Vrf(u32),
    /// By index; the defaults come behind the rules.
    Rule(String, RuleIndex),
    Flows,
}

#[derive(Debug, Clone, Copy)]
pub enum RuleIndex {
    Rule(usize),
    DefaultIn,
    DefaultOut,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Received,
    Sent,
    /// What has no direction.
    Number,
}

pub(crate) fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Read<Vec<Step>> {
    let mut steps: Vec<Step> = Vec::new();
    for line in lines {
        let fault = |why: String| format!("`{line}`: {why}");
        if let Some(action) = action(line).map_err(fault)? {
            steps.push(Step { text: line.to_owned(), action, expected: Vec::new() });
            continue;
        }
        let expected = &mut steps
            .last_mut()
            .ok_or_else(|| format!("`{line}` stands before anything happens"))?
            .expected;
        if let Some(rest) = line.strip_prefix("or ") {
            let Some(Expected::Out(alternatives)) = expected.last_mut() else {
                return Err(format!("`{line}` follows no `out`"));
            };
            alternatives.push(placed(rest).map_err(fault)?);
            continue;
        }
        expected.push(expectation(line).map_err(fault)?);
    }
    Ok(steps)
}

/// `None`: the line is none of what is done.
fn action(line: &str) -> Read<Option<Action>> {
    let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
    Ok(Some(match verb {
        "in" => Action::In(placed(rest)?),
        "put" => Action::Put(rest.to_owned()),
        "remove" => Action::Remove(rest.to_owned()),
        "underlay" => Action::Underlay(parsed(rest)?),
        "wait" => Action::Wait(Duration::from_secs(parsed(rest)?)),
        "spread" => {
            let (count, packet) = rest.split_once(' ').ok_or("it ends too early")?;
            Action::Spread { count: parsed(count)?, packet: placed(packet)? }
        }
        "again" => Action::Again,
        _ => return Ok(None),
    }))
}

fn placed(text: &str) -> Read<Placed> {
    let (place, packet) = text.split_once(": ").ok_or("it names no place")?;
    let place = match place {
        "wire" => Place::Underlay,
        "node" => Place::Kernel,
        port => Place::Port(port.into()),
    };
    Ok(Placed { place, packet: packet.trim().to_owned() })
}

fn expectation(line: &str) -> Read<Expected> {
    if let Some(rest) = line.strip_prefix("out ") {
        return Ok(Expected::Out(vec![placed(rest)?]));
    }
    Words::whole(line, |words| match words.next()? {
        "drop" => {
            let name = words.next()?;
            let reason = DropReason::ALL.into_iter().find(|reason| reason.name() == name);
            let reason = reason.ok_or_else(|| format!("nothing is dropped for `{name}`"))?;
            Ok(Expected::Drop(reason, words.maybe().unwrap_or(1)))
        }
        "count" => count(words),
        "log" => Ok(Expected::Log { filter: words.value()?, rule: words.value()? }),
        "range" => {
            let name = words.next()?.trim_start_matches('$').to_owned();
            let (first, last) = words.next()?.split_once('-').ok_or("it is no range")?;
            let range = PortRange::new(parsed(first)?, parsed(last)?).ok_or("it is empty")?;
            Ok(Expected::Range { name, range })
        }
        "share" => Ok(Expected::Share { key: words.value()?, weight: words.value()? }),
        "together" => Ok(Expected::Together),
        "moved" => {
            let from = words.has("from");
            if !from {
                words.expect("to")?;
            }
            let keys = words.rest().into_iter().map(str::to_owned).collect();
            Ok(if from { Expected::MovedFrom(keys) } else { Expected::MovedTo(keys) })
        }
        other => Err(format!("`{other}` neither is done nor can be expected")),
    })
}

fn count(words: &mut Words<'_>) -> Read<Expected> {
    let what = match words.next()? {
        "port" => Counter::Port(words.value()?),
        "tunnel" => Counter::Tunnel(words.value()?),
        "vrf" => Counter::Vrf(words.value()?),
        "flows" => Counter::Flows,
        "rule" => {
            let filter = words.value()?;
            let index = match words.next()? {
                "in" => RuleIndex::DefaultIn,
                "out" => RuleIndex::DefaultOut,
                index => RuleIndex::Rule(parsed(index)?),
            };
            Counter::Rule(filter, index)
        }
        other => return Err(format!("`{other}` is not counted")),
    };
    let mut more = Vec::new();
    while !words.is_empty() {
        let way = match &what {
            Counter::Rule(..) | Counter::Flows => Way::Number,
            _ => match words.next()? {
                "rx" => Way::Received,
                "tx" => Way::Sent,
                other => return Err(format!("`{other}` is neither rx nor tx")),
            },
        };
        let number = words.next()?;
        let (packets, octets) =
            number.split_once('/').map_or((number, None), |(p, o)| (p, Some(o)));
        more.push((way, parsed(packets)?, octets.map(parsed).transpose()?));
    }
    Ok(Expected::Count { what, more })
}
