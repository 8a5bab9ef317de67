//! RFC 7606, rule by rule: what a malformed UPDATE does, from an internal and an external peer.
//!
//! All octets are by hand from RFC 4271, RFC 4760 and the RFC of the attribute in question.

#![expect(clippy::panic, reason = "a test fails by panicking")]

mod attributes;
mod routes;
mod two_octets;

use bgp_wire::error::{FaultKind, Part};
use bgp_wire::{ErrorAction, Message, Negotiated, Update, WireError};

const ORIGIN: &[u8] = &[0x40, 1, 1, 0];
const AS_PATH: &[u8] = &[0x40, 2, 6, 2, 1, 0, 0, 0xfc, 0];
const NEXT_HOP: &[u8] = &[0x40, 3, 4, 192, 0, 2, 1];
const LOCAL_PREF: &[u8] = &[0x40, 5, 4, 0, 0, 0, 100];
/// 192.0.2.0/24 in the classic field.
const NLRI: &[u8] = &[24, 192, 0, 2];
/// 65000:7:10.0.100.0/24 with label 16 through 192.0.2.1.
const MP_REACH: &[u8] = &[
    0x80, 14, 32, 0, 1, 128, 12, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 1, 0, 0x70, 0, 1, 1, 0, 0,
    0xfd, 0xe8, 0, 0, 0, 7, 10, 0, 100,
];
const MP_UNREACH: &[u8] =
    &[0x80, 15, 18, 0, 1, 128, 0x70, 0x80, 0, 0, 0, 0, 0xfd, 0xe8, 0, 0, 0, 7, 10, 0, 101];

const INTERNAL: bool = true;
const EXTERNAL: bool = false;
const BOTH: [bool; 2] = [INTERNAL, EXTERNAL];

fn negotiated(internal: bool) -> Negotiated {
    Negotiated { internal, ..Negotiated::everything() }
}

fn update(withdrawn: &[u8], attributes: &[&[u8]], nlri: &[u8]) -> Vec<u8> {
    let attributes = attributes.concat();
    let length = |octets: &[u8]| u16::try_from(octets.len()).expect("short").to_be_bytes();
    let parts = [&length(withdrawn), withdrawn, &length(&attributes), &attributes, nlri];
    let body = parts.concat();
    let total = u16::try_from(19 + body.len()).expect("short").to_be_bytes();
    [&[0xff; 16][..], &total, &[2], &body].concat()
}

fn decode(octets: &[u8], internal: bool) -> Result<Update, WireError> {
    match Message::decode(octets, &negotiated(internal))? {
        Message::Update(update) => Ok(update),
        other => panic!("not an UPDATE: {other:?}"),
    }
}

/// What became of an UPDATE that announces one route.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Taken,
    Discarded(Part, FaultKind),
    Withdrawn(Part, FaultKind),
    Reset(Part, FaultKind),
}

fn outcome(octets: &[u8], internal: bool) -> Outcome {
    let update = match decode(octets, internal) {
        Ok(update) => update,
        Err(error) => return Outcome::Reset(error.part, error.kind),
    };
    let actions = update.faults.iter().map(|fault| fault.action(internal));
    let Some(strongest) = actions.max() else {
        assert_eq!((update.announced.len(), update.withdrawn.len()), (1, 0));
        return Outcome::Taken;
    };
    let fault =
        update.faults.iter().find(|fault| fault.action(internal) == strongest).expect("the max");
    match strongest {
        ErrorAction::AttributeDiscard => {
            assert_eq!((update.announced.len(), update.withdrawn.len()), (1, 0), "{fault}");
            Outcome::Discarded(fault.part, fault.kind)
        }
        ErrorAction::TreatAsWithdraw => {
            assert_eq!((update.announced.len(), update.withdrawn.len()), (0, 1), "{fault}");
            Outcome::Withdrawn(fault.part, fault.kind)
        }
        other => panic!("{other:?} without an error"),
    }
}

fn attribute(code: u8) -> Part {
    Part::Attribute(code)
}
