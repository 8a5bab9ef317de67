//! One synthetic packet through the real maps, by the programs that note their steps (`bpf/trace.h`).
//!
//! The kernel runs them on the packet and gives back what they made of it; nothing is sent.

use std::collections::BTreeMap;
use std::net::IpAddr;

use aya::maps::{Array, MapData};
use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use aya::{Ebpf, EbpfLoader, include_bytes_aligned};
use dataplane::event::Tuple;
use dataplane::{
    DataplaneError, Direction, DropReason, Encapsulation, Outcome, PortId, Probe, Result, Step,
    Trace, Verdict, VrfId,
};

use crate::found::semantic;
use crate::layout;
use crate::plane::EbpfPlane;
use crate::programs::Hook;
use crate::tables::{Element as _, open_tracer};

pub(crate) static OBJECT: &[u8] = include_bytes_aligned!(concat!(env!("OUT_DIR"), "/trace.bpf.o"));

const STEPS_MAX: u32 = 64;

const DECAPSULATED: u32 = 1;
const FLOW: u32 = 2;
const FILTERED: u32 = 3;
const ROUTED: u32 = 4;
const CHOSEN: u32 = 5;
const TRANSLATED: u32 = 6;
const ENCAPSULATED: u32 = 7;
const DROPPED: u32 = 8;
const DELIVERED: u32 = 9;
const SENT: u32 = 10;
const ANSWERED: u32 = 11;
const LEFT: u32 = 12;

/// `UNDERLAY` of `bpf/layout.h`, in place of a VRF.
const UNDERLAY: u32 = 0;

const ETHERNET: usize = 14;
/// IPv4 and IPv6 in an Ethernet header.
const TYPES: [[u8; 2]; 2] = [[0x08, 0x00], [0x86, 0xdd]];
const GATEWAY_MAC: [u8; 6] = [0x00, 0x00, 0x5e, 0x00, 0x01, 0x00];

/// `struct __sk_buff` of <linux/bpf.h>, of which only one field may be set.
const CONTEXT: usize = 192;
const CONTEXT_IFINDEX: usize = 40;

/// The longest packet that can come back.
const PACKET_MAX: usize = 70_000;

/// `TC_ACT_UNSPEC`: to the kernel.
const PASS: u32 = u32::MAX;

/// The tracing programs, loaded when they are first asked for.
pub(crate) struct Tracer {
    ebpf: Ebpf,
    steps: Array<MapData, layout::Step>,
    count: Array<MapData, u32>,
}

impl Tracer {
    fn open(loader: &mut EbpfLoader<'_>) -> Result<Self> {
        let cannot = |error: aya::EbpfError| {
            DataplaneError::because("cannot load the tracing programs", error)
        };
        let mut ebpf = loader.load(OBJECT).map_err(cannot)?;
        for hook in Hook::ALL {
            let missing = || DataplaneError::new("the tracing object has no programs");
            let program = ebpf.program_mut(hook.program()).ok_or_else(missing)?;
            let program: &mut SchedClassifier = program
                .try_into()
                .map_err(|error| DataplaneError::because("not a classifier", error))?;
            program.load().map_err(|error| {
                DataplaneError::because("cannot load the tracing programs", error)
            })?;
        }
        let mut take = |name: &str| {
            let missing = || DataplaneError::new(format!("the tracing object has no {name}"));
            ebpf.take_map(name).ok_or_else(missing)
        };
        let wrong = |error| DataplaneError::because("not an array", error);
        let steps = Array::try_from(take("trace_steps")?).map_err(wrong)?;
        let count = Array::try_from(take("trace_count")?).map_err(wrong)?;
        Ok(Self { ebpf, steps, count })
    }

    /// What the program says, the packet as it left it, and the steps.
    fn run(
        &mut self,
        hook: Hook,
        ifindex: u32,
        frame: &[u8],
    ) -> Result<(u32, Vec<u8>, Vec<layout::Step>)> {
        self.count.write(0, 0, "trace")?;
        for index in 0..STEPS_MAX {
            self.steps.write(index, layout::Step::default(), "trace")?;
        }
        let missing = || DataplaneError::new("the tracing object has no programs");
        let program = self.ebpf.program(hook.program()).ok_or_else(missing)?;
        let program: &SchedClassifier = program
            .try_into()
            .map_err(|error| DataplaneError::because("not a classifier", error))?;
        let mut context = [0; CONTEXT];
        context[CONTEXT_IFINDEX..CONTEXT_IFINDEX + 4].copy_from_slice(&ifindex.to_ne_bytes());
        let mut after = vec![0; PACKET_MAX];
        let options = TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut after),
            ctx_in: Some(&context),
            ..TestRunOptions::new()
        };
        let result = program.test_run(options).map_err(|error| {
            DataplaneError::because("the kernel does not run the tracing program", error)
        })?;
        after.truncate(result.data_size_out as usize);
        let mut steps = Vec::new();
        for index in 0..STEPS_MAX {
            let step = self.steps.read(index, "trace")?;
            if step.kind == 0 {
                break;
            }
            steps.push(step);
        }
        Ok((result.return_value, after, steps))
    }
}

impl EbpfPlane {
    pub(crate) async fn trace_packet(&mut self, probe: &Probe) -> Result<Trace> {
        let (hook, ifindex, mac, packet) = match probe {
            Probe::FromPort { port, packet } => {
                let slot = self.slots.get(port);
                let slot =
                    slot.ok_or_else(|| DataplaneError::new(format!("there is no port {port}")))?;
                (Hook::Port, slot.ifindex, slot.port.mac.0, packet)
            }
            Probe::FromUplink { uplink, packet } => {
                let found = self.netlink.interface(uplink).await?;
                let found = found.ok_or_else(|| {
                    DataplaneError::new(format!("there is no interface {uplink}"))
                })?;
                (Hook::Uplink, found.ifindex, [2, 0, 0, 0, 0, 1], packet)
            }
        };
        let frame = frame(mac, packet)?;
        if self.tracer.is_none() {
            let tracer = open_tracer(&self.pins, self.kernel, Tracer::open)?;
            self.tracer = Some(tracer);
        }
        let Some(tracer) = &mut self.tracer else {
            return Err(DataplaneError::new("the tracing programs are not there"));
        };
        let (verdict, after, raw) = tracer.run(hook, ifindex, &frame)?;
        let names: BTreeMap<u32, String> = self
            .netlink
            .interfaces()
            .await?
            .into_iter()
            .map(|interface| (interface.ifindex, interface.name))
            .collect();
        let outcome = self.outcome(verdict, &raw, &names);
        let steps = raw.iter().filter_map(|step| self.step(step)).collect();
        let packet = match outcome {
            Outcome::Dropped { .. } => Vec::new(),
            _ => after.get(ETHERNET..).unwrap_or_default().to_vec(),
        };
        Ok(Trace { steps, outcome, packet })
    }

    fn outcome(
        &self,
        verdict: u32,
        steps: &[layout::Step],
        interfaces: &BTreeMap<u32, String>,
    ) -> Outcome {
        let last = |kind: u32| steps.iter().rev().find(|step| step.kind == kind);
        let dropped = last(DROPPED).and_then(|step| {
            let index = usize::try_from(step.number[0]).ok()?;
            DropReason::ALL.get(index).copied()
        });
        if let Some(step) = last(DELIVERED) {
            return Outcome::Delivered { port: self.name_of_slot(step.number[0]) };
        }
        if let Some(step) = last(SENT) {
            let interface = interfaces.get(&step.number[0]).cloned().unwrap_or_default();
            return Outcome::Sent { interface };
        }
        if last(ANSWERED).is_some() {
            return Outcome::Answered { dropped };
        }
        match dropped {
            Some(reason) => Outcome::Dropped { reason },
            None if verdict == PASS => Outcome::Passed,
            // What nobody counts: a host that talks to its link, an answer that nobody needs.
            None => Outcome::Dropped { reason: DropReason::Unsupported },
        }
    }

    /// `None`: it is the end of the way, or of a newer program.
    fn step(&self, step: &layout::Step) -> Option<Step> {
        let [first, second, third, fourth, fifth] = step.number;
        let address: IpAddr = step.address[0].into();
        let direction = |side: u32| if side == 0 { Direction::In } else { Direction::Out };
        Some(match step.kind {
            DECAPSULATED => Step::Decapsulated {
                remote: address,
                encapsulation: encapsulation(first)?,
                id: second,
                vrf: VrfId(third),
            },
            FLOW => Step::Flow { direction: direction(first) },
            FILTERED => {
                let filter = self.filter_of_number(second)?;
                let rules = self.filters.get(&filter).map_or(0, |found| found.filter.rules.len());
                let rule = usize::try_from(fourth).ok().filter(|rule| *rule < rules);
                Step::Filtered {
                    port: self.name_of_slot(first),
                    filter,
                    direction: direction(third),
                    rule,
                    verdict: if fifth == 0 { Verdict::Allow } else { Verdict::Deny },
                }
            }
            ROUTED => {
                let members = (second != 0).then_some(second);
                Step::Routed { vrf: VrfId(first), address, members }
            }
            CHOSEN => {
                let raw = self.tables.next_hops.read(first, "next hop").ok()?;
                Step::Chosen { hop: semantic(&raw, &self.names())? }
            }
            TRANSLATED => Step::Translated {
                tuple: Tuple {
                    source: address,
                    destination: step.address[1].into(),
                    protocol: step.protocol,
                    source_port: step.port[0].into(),
                    destination_port: step.port[1].into(),
                },
            },
            LEFT => {
                let vrf = (first != UNDERLAY).then_some(VrfId(first));
                Step::Left { source: address, vrf }
            }
            ENCAPSULATED => Step::Encapsulated {
                remote: address,
                encapsulation: encapsulation(first)?,
                id: second,
            },
            _ => return None,
        })
    }

    fn name_of_slot(&self, index: u32) -> PortId {
        let mut slots = self.slots.iter();
        let found = slots.find(|(_, slot)| slot.index == index).map(|(id, _)| id.clone());
        found.unwrap_or_else(|| PortId(format!("?{index}")))
    }
}

fn encapsulation(raw: u32) -> Option<Encapsulation> {
    Encapsulation::ALL.get(usize::try_from(raw).ok()?).copied()
}

/// The packet behind an Ethernet header.
fn frame(source: [u8; 6], packet: &[u8]) -> Result<Vec<u8>> {
    let kind = match packet.first().map(|octet| octet >> 4) {
        Some(4) => TYPES[0],
        Some(6) => TYPES[1],
        _ => return Err(DataplaneError::new("what is to be traced is no IP packet")),
    };
    if packet.len() > usize::from(u16::MAX) {
        return Err(DataplaneError::new("what is to be traced is longer than an IP packet can be"));
    }
    Ok([&GATEWAY_MAC[..], &source, &kind, packet].concat())
}
