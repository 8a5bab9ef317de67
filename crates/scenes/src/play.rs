//! Plays a scene on a stage.

use std::fmt::{self, Write as _};

use dataplane::memory::{GATEWAY_MAC, Place};
use dataplane::{Counters, Desired, DropReason};

use crate::counted;
use crate::file::Scene;
use crate::packet::{Bindings, Frame, Ip, Macs};
use crate::stage::Stage;
use crate::state;
use crate::step::{Action, Expected, Placed, Step};

/// A scene that did not go as written.
#[derive(Debug)]
pub struct Failure {
    scene: String,
    step: String,
    what: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.scene)?;
        writeln!(f, "  at:       {}", self.step)?;
        self.what.lines().try_for_each(|line| writeln!(f, "  {line}"))
    }
}

/// Why a step is not as expected, in lines.
pub(crate) type Outcome = Result<(), String>;

/// Plays a scene from an empty plane.
pub fn play(scene: &Scene, stage: &mut impl Stage) -> Result<(), Failure> {
    let failure = |step: &str, what| Failure {
        scene: format!("{}: {}", scene.subject, scene.name),
        step: step.to_owned(),
        what,
    };
    let mut player = Player::begin(stage, scene).map_err(|what| failure("the beginning", what))?;
    for step in &scene.steps {
        player.step(step).map_err(|what| failure(&step.text, what))?;
    }
    player.end().map_err(|what| failure("the end", what))
}

struct Player<'a, S> {
    stage: &'a mut S,
    wanted: Desired,
    bindings: Bindings,
    before: Counters,
    /// Where the last packet came in.
    source: Place,
    /// Where each flow of the last spread went.
    spread: Option<Spread>,
}

#[derive(Clone)]
struct Spread {
    count: u16,
    packet: Placed,
    went: Vec<String>,
}

/// A packet that came out, read.
struct Seen {
    place: Place,
    packet: Packet,
}

enum Packet {
    Frame(Frame),
    Ip(Ip),
    Unreadable(String),
}

impl<'a, S: Stage> Player<'a, S> {
    fn begin(stage: &'a mut S, scene: &Scene) -> Result<Self, String> {
        stage.clear().map_err(text)?;
        stage.set_underlay_mtu(1500).map_err(text)?;
        stage.apply(&scene.state).map_err(text)?;
        // What is left of the scene before is not of this one.
        stage.collect(0).map_err(text)?;
        stage.decisions(0).map_err(text)?;
        let before = stage.counters().map_err(text)?;
        let wanted = scene.state.clone();
        Ok(Self {
            stage,
            wanted,
            bindings: Bindings::new(),
            before,
            source: Place::Underlay,
            spread: None,
        })
    }

    fn step(&mut self, step: &Step) -> Outcome {
        let previous = self.spread.clone();
        match &step.action {
            Action::In(packet) => return self.packet(packet, &step.expected),
            Action::Put(line) => {
                let line = state::name_macs(line, &self.wanted);
                state::put(&mut self.wanted, &line)?;
                self.stage.apply(&self.wanted).map_err(text)?;
            }
            Action::Remove(line) => {
                state::remove(&mut self.wanted, line)?;
                self.stage.apply(&self.wanted).map_err(text)?;
            }
            Action::Underlay(mtu) => self.stage.set_underlay_mtu(*mtu).map_err(text)?,
            Action::Wait(time) => self.stage.wait(*time).map_err(text)?,
            Action::Spread { count, packet } => self.spread(*count, packet)?,
            Action::Again => {
                let Some(Spread { count, packet, .. }) = previous.clone() else {
                    return Err("nothing was spread before".to_owned());
                };
                self.spread(count, &packet)?;
            }
        }
        self.check_spread(previous.as_ref(), &step.expected)?;
        self.check_counters(&step.expected)
    }

    /// Puts one packet in and looks at all that follows.
    fn packet(&mut self, placed: &Placed, expected: &[Expected]) -> Outcome {
        self.inject(placed, None)?;
        let outs: Vec<&Vec<Placed>> = expected
            .iter()
            .filter_map(|one| if let Expected::Out(any) = one { Some(any) } else { None })
            .collect();
        let mut seen = self.collect(outs.len())?;
        let all: Vec<String> = seen.iter().map(ToString::to_string).collect();
        let mut missing = Vec::new();
        for alternatives in outs {
            let mut found = None;
            for (at, seen) in seen.iter().enumerate() {
                if self.is_any(alternatives, seen)? {
                    found = Some(at);
                    break;
                }
            }
            match found {
                Some(at) => drop(seen.remove(at)),
                None => missing.push(alternatives),
            }
        }
        let drops = self.check_drops(expected);
        if missing.is_empty() && seen.is_empty() && drops.is_ok() {
            self.check_bindings(expected)?;
            self.check_decisions(expected)?;
            return self.check_counters(expected);
        }
        let mut what = String::new();
        for alternatives in missing {
            for (at, Placed { place, packet }) in alternatives.iter().enumerate() {
                let head = if at == 0 { "expected:" } else { "      or:" };
                let packet = state::name_macs(packet, &self.wanted);
                writeln!(what, "{head} {}: {packet}", Named(place)).map_err(text)?;
            }
        }
        for seen in &all {
            writeln!(what, "came out: {seen}").map_err(text)?;
        }
        if all.is_empty() {
            writeln!(what, "nothing came out").map_err(text)?;
        }
        Err(what + &drops.err().unwrap_or_default())
    }

    fn macs(&self, place: &Place) -> Macs {
        let name = if let Place::Port(id) = place { id } else { &"".into() };
        let mac = self.wanted.ports.get(name).map(|port| port.mac);
        Macs { from: mac.unwrap_or_else(|| state::usual_mac(&name.0)), to: GATEWAY_MAC }
    }

    fn inject(&mut self, placed: &Placed, number: Option<u16>) -> Outcome {
        self.source = placed.place.clone();
        let packet = state::name_macs(&placed.packet, &self.wanted);
        let packet = number.map_or(packet.clone(), |n| packet.replace('#', &n.to_string()));
        let mut frame: Frame = packet.parse().map_err(text)?;
        frame.bind(&self.bindings);
        let octets = frame.octets(self.macs(&placed.place));
        let octets = match placed.place {
            Place::Port(_) => &octets[..],
            Place::Underlay | Place::Kernel => &octets[14..],
        };
        self.stage.inject(&placed.place, octets).map_err(text)
    }

    fn collect(&mut self, expected: usize) -> Result<Vec<Seen>, String> {
        let collected = self.stage.collect(expected).map_err(text)?;
        Ok(collected.into_iter().map(|(place, octets)| Seen::read(place, &octets)).collect())
    }

    fn is_any(&mut self, alternatives: &[Placed], seen: &Seen) -> Result<bool, String> {
        for Placed { place, packet } in alternatives.iter().filter(|one| one.place == seen.place) {
            let packet = state::name_macs(packet, &self.wanted);
            let mut bindings = self.bindings.clone();
            let matches = match &seen.packet {
                Packet::Frame(seen) => {
                    let Macs { from: workload, to: gateway } = self.macs(place);
                    // What the node's kernel sends has the address of its interface.
                    let is_own = self.source == Place::Kernel;
                    let usual =
                        |macs: Macs| macs.to == workload && (macs.from == gateway || is_own);
                    let expected: Frame = packet.parse().map_err(text)?;
                    expected.matches(seen, usual, &mut bindings)
                }
                Packet::Ip(seen) => {
                    let expected: Ip = packet.parse().map_err(text)?;
                    expected.matches(seen, &mut bindings)
                }
                Packet::Unreadable(_) => false,
            };
            if matches {
                self.bindings = bindings;
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// All drops since the step before, those that nobody expects included.
    fn check_drops(&mut self, expected: &[Expected]) -> Outcome {
        let now = self.stage.counters().map_err(text)?;
        let mut what = String::new();
        for reason in DropReason::ALL {
            let count = |counters: &Counters| *counters.drops.get(&reason).unwrap_or(&0);
            let more = count(&now) - count(&self.before);
            let wanted: u64 = expected
                .iter()
                .filter_map(|one| match one {
                    Expected::Drop(dropped, number) if *dropped == reason => Some(*number),
                    _ => None,
                })
                .sum();
            if more != wanted {
                writeln!(what, "dropped {more} for {reason}, expected {wanted}").map_err(text)?;
            }
        }
        if what.is_empty() { Ok(()) } else { Err(what) }
    }

    fn check_counters(&mut self, expected: &[Expected]) -> Outcome {
        let now = self.stage.counters().map_err(text)?;
        let outcome = counted::check(&self.before, &now, &self.wanted, expected);
        self.before = now;
        outcome
    }

    fn check_bindings(&self, expected: &[Expected]) -> Outcome {
        expected.iter().try_for_each(|one| {
            let Expected::Range { name, range } = one else { return Ok(()) };
            match self.bindings.get(name) {
                Some(number) if range.contains(*number) => Ok(()),
                Some(number) => Err(format!("expected: ${name} in {range}\ncame out: {number}")),
                None => Err(format!("nothing is called ${name}")),
            }
        })
    }

    fn check_decisions(&mut self, expected: &[Expected]) -> Outcome {
        let wanted: Vec<(&str, usize)> = expected
            .iter()
            .filter_map(|one| match one {
                Expected::Log { filter, rule } => Some((filter.as_str(), *rule)),
                _ => None,
            })
            .collect();
        let decisions = self.stage.decisions(wanted.len()).map_err(text)?;
        let seen: Vec<(&str, usize)> =
            decisions.iter().map(|one| (one.filter.0.as_str(), one.rule)).collect();
        if seen == wanted {
            return Ok(());
        }
        Err(format!("expected: decisions of {wanted:?}\nreported: {decisions:?}"))
    }

    fn spread(&mut self, count: u16, packet: &Placed) -> Outcome {
        let mut went = Vec::new();
        for flow in 0..count {
            self.inject(packet, Some(1024 + flow))?;
            let seen = self.collect(1)?;
            match seen.as_slice() {
                [one] => went.push(one.key()),
                [] => went.push("nowhere".to_owned()),
                many => {
                    let all: Vec<String> = many.iter().map(ToString::to_string).collect();
                    return Err(format!("of one packet came out:\n{}", all.join("\n")));
                }
            }
        }
        self.spread = Some(Spread { count, packet: packet.clone(), went });
        Ok(())
    }

    fn check_spread(&self, previous: Option<&Spread>, expected: &[Expected]) -> Outcome {
        let Some(Spread { went, .. }) = &self.spread else { return Ok(()) };
        counted::check_shares(went, expected)?;
        let was = previous.map_or(&went[..], |previous| &previous.went[..]);
        let moved: Vec<(&String, &String)> =
            was.iter().zip(went).filter(|(was, is)| was != is).collect();
        let unexpected = |one: &Expected| match one {
            Expected::MovedFrom(keys) => moved.iter().find(|(was, _)| !keys.contains(was)),
            Expected::MovedTo(keys) => moved.iter().find(|(_, is)| !keys.contains(is)),
            _ => None,
        };
        match expected.iter().find_map(unexpected) {
            Some((was, is)) => Err(format!("a flow has moved from {was} to {is}")),
            None => Ok(()),
        }
    }

    /// Nothing may come after the last step.
    fn end(&mut self) -> Outcome {
        match self.collect(0)?.as_slice() {
            [] => Ok(()),
            [one, ..] => Err(format!("came out: {one}")),
        }
    }
}

impl Seen {
    fn read(place: Place, octets: &[u8]) -> Self {
        let packet = match &place {
            Place::Port(_) => Frame::read(octets).map(Packet::Frame),
            Place::Underlay | Place::Kernel => Ip::read(octets).map(Packet::Ip),
        };
        let unreadable = |why| Packet::Unreadable(format!("{why}: {octets:02x?}"));
        Self { place, packet: packet.unwrap_or_else(unreadable) }
    }

    /// Which of several ways a packet went: the port, or the other node.
    fn key(&self) -> String {
        match &self.packet {
            Packet::Ip(ip) if self.place == Place::Underlay => ip.destination.to_string(),
            _ => Named(&self.place).to_string(),
        }
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", Named(&self.place))?;
        match &self.packet {
            Packet::Frame(frame) => frame.fmt(f),
            Packet::Ip(ip) => ip.fmt(f),
            Packet::Unreadable(why) => f.write_str(why),
        }
    }
}

/// A place as scenes call it.
struct Named<'a>(&'a Place);

impl fmt::Display for Named<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Place::Port(id) => id.fmt(f),
            Place::Underlay => f.write_str("wire"),
            Place::Kernel => f.write_str("node"),
        }
    }
}

fn text(error: impl fmt::Display) -> String {
    error.to_string()
}
