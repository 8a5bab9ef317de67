//! What a trace says of a packet is what becomes of it: every packet of every scene is traced first.

use std::time::Duration;

use anyhow::{Result, ensure};
use dataplane::event::Decided;
use dataplane::memory::Place;
use dataplane::{Counters, Desired, Outcome, Probe, Trace};
use dataplane_scenes::{Result as Played, Stage, UPLINK, play_all};

use crate::stage::NetnsStage;

struct Foretold {
    stage: NetnsStage,
    said: Option<(Place, Trace)>,
    traced: usize,
    /// What has a whole IP header, and was not traced.
    refused: Vec<String>,
}

impl Foretold {
    /// Traces a packet, unless a trace knows none like it: its frame is made from the port's own.
    fn foretell(&mut self, at: &Place, octets: &[u8]) {
        let probe = match at {
            Place::Port(id) if self.stage.is_own_frame(id, octets) => {
                Probe::FromPort { port: id.clone(), packet: octets[14..].to_vec() }
            }
            Place::Underlay => {
                Probe::FromUplink { uplink: UPLINK.to_owned(), packet: octets.to_vec() }
            }
            _ => return,
        };
        match self.stage.trace(probe) {
            Ok(trace) => self.said = Some((at.clone(), trace)),
            // The kernel runs no program on less.
            Err(_) if !has_header(at, octets) => {}
            Err(error) => self.refused.push(format!("{error} of {octets:02x?}")),
        }
    }
}

fn has_header(at: &Place, octets: &[u8]) -> bool {
    let packet = if matches!(at, Place::Port(_)) { octets.get(14..) } else { Some(octets) };
    let of_version = |first: &u8| if first >> 4 == 6 { 40 } else { 20 };
    packet.is_some_and(|packet| packet.first().map(of_version).is_some_and(|h| packet.len() >= h))
}

/// Whether that came out which was said.
fn is_so(from: &Place, trace: &Trace, out: &[(Place, Vec<u8>)]) -> bool {
    let packet = |place: &Place, octets: &[u8]| {
        let header = if matches!(place, Place::Port(_)) { 14 } else { 0 };
        octets[header..] == trace.packet
    };
    match (&trace.outcome, out) {
        (Outcome::Dropped { .. }, []) | (Outcome::Passed, [(Place::Kernel, _)]) => true,
        (Outcome::Answered { .. }, [(place, _)]) => place == from,
        (Outcome::Delivered { port }, [(place, octets)]) => {
            *place == Place::Port(port.clone()) && packet(place, octets)
        }
        (Outcome::Sent { .. }, [(place, octets)]) => {
            *place == Place::Underlay && packet(place, octets)
        }
        _ => false,
    }
}

impl Stage for Foretold {
    fn name(&self) -> &'static str {
        self.stage.name()
    }

    fn clear(&mut self) -> Played<()> {
        self.stage.clear()
    }

    fn apply(&mut self, wanted: &Desired) -> Played<()> {
        self.stage.apply(wanted)
    }

    fn set_underlay_mtu(&mut self, mtu: u16) -> Played<()> {
        self.stage.set_underlay_mtu(mtu)
    }

    fn inject(&mut self, at: &Place, octets: &[u8]) -> Played<()> {
        self.foretell(at, octets);
        self.stage.inject(at, octets)
    }

    fn collect(&mut self, expected: usize) -> Played<Vec<(Place, Vec<u8>)>> {
        let out = self.stage.collect(expected)?;
        if let Some((from, trace)) = self.said.take() {
            self.traced += 1;
            if !is_so(&from, &trace, &out) {
                return Err(format!("a trace says {trace:02x?}\nand out came {out:02x?}").into());
            }
        }
        Ok(out)
    }

    fn counters(&mut self) -> Played<Counters> {
        self.stage.counters()
    }

    fn decisions(&mut self, expected: usize) -> Played<Vec<Decided>> {
        self.stage.decisions(expected)
    }

    fn wait(&mut self, time: Duration) -> Played<()> {
        self.stage.wait(time)
    }
}

#[test]
#[ignore = "needs root: make test-netns"]
fn a_trace_says_what_becomes_of_the_packets_of_all_scenes() -> Result<()> {
    let mut stage =
        Foretold { stage: NetnsStage::new()?, said: None, traced: 0, refused: Vec::new() };
    let (played, failures) = play_all(&mut stage);
    ensure!(failures.is_empty(), "{} of {played} fail\n\n{}", failures.len(), failures.join("\n"));
    ensure!(stage.traced > 0, "nothing was traced");
    ensure!(
        stage.refused.is_empty(),
        "{} of {}: {:?}",
        stage.refused.len(),
        stage.traced,
        stage.refused
    );
    eprintln!("{} packets of {played} scenes", stage.traced);
    Ok(())
}
