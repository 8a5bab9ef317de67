//! OPEN (RFC 4271 §4.2, RFC 5492, RFC 9072).

use std::net::Ipv4Addr;

use crate::capability::Capability;
use crate::error::{FaultKind, Part, WireError};
use crate::frame::{HEADER, kind};
use crate::read::{Parsed, array, be_u16, fault, fault_of, octet, take};
use crate::write;

/// Stands for a four-octet AS number where there is room for two octets (RFC 6793 §9).
pub const AS_TRANS: u16 = 23_456;

const VERSION: u8 = 4;

/// The optional parameter that holds capabilities (RFC 5492 §4).
const CAPABILITIES: u8 = 2;

/// Instead of the type of the first parameter: lengths have two octets (RFC 9072 §2).
const EXTENDED: u8 = 255;

/// An OPEN message. `asn` is the four-octet number where the capability gives one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    pub asn: u32,
    /// Seconds; 0 or at least 3 in a valid message.
    pub hold_time: u16,
    /// Never 0 in a message that was read (RFC 6286 §2.2).
    pub router_id: Ipv4Addr,
    /// In wire order, duplicates included.
    pub capabilities: Vec<Capability>,
}

impl Open {
    /// Reads a whole message whose header has been checked.
    ///
    /// Faults are looked for in the order of RFC 4271 §6.2: a peer of another version is told about
    /// that, whatever follows.
    pub(crate) fn decode(message: &[u8]) -> Result<Self, WireError> {
        let body = message.get(HEADER..).unwrap_or_default();
        match read_open(body) {
            Ok((_, open)) => Ok(open),
            Err(error) => Err(fault_of(&error).locate(message, Part::Open)),
        }
    }

    /// Appends the whole message. All capabilities stand in one parameter, which is what every
    /// speaker reads; more than 253 octets of them take the extended form.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut capabilities = Vec::new();
        for capability in &self.capabilities {
            let before = capabilities.len();
            capability.write(&mut capabilities);
            // Version to parameter length, and the parameter's own header in the extended form.
            if capabilities.len() > crate::frame::MAX - HEADER - 10 - 6 {
                capabilities.truncate(before);
                break;
            }
        }
        write::message(kind::OPEN, out, |out| {
            out.push(VERSION);
            out.extend(u16::try_from(self.asn).unwrap_or(AS_TRANS).to_be_bytes());
            out.extend(self.hold_time.to_be_bytes());
            out.extend(self.router_id.octets());
            match u8::try_from(capabilities.len()) {
                Ok(0) => out.push(0),
                Ok(length @ 1..=253) => {
                    out.extend([length + 2, CAPABILITIES, length]);
                    out.extend(&capabilities);
                }
                _ => {
                    out.extend([EXTENDED, EXTENDED]);
                    write::with_length(out, |out| {
                        out.push(CAPABILITIES);
                        write::with_length(out, |out| out.extend(&capabilities));
                    });
                }
            }
        });
    }
}

fn read_open(body: &[u8]) -> Parsed<'_, Open> {
    let (rest, version) = octet(body)?;
    if version != VERSION {
        return Err(fault(body, FaultKind::Version(version)));
    }
    let (at_hold_time, short_asn) = be_u16(rest)?;
    let at_asn = rest;
    let (at_router_id, hold_time) = be_u16(at_hold_time)?;
    let (rest, router_id) = array::<4>(at_router_id)?;
    let (rest, capabilities) = parameters(rest)?;
    let four_octets = capabilities.iter().find_map(|capability| match capability {
        Capability::FourOctetAs(asn) => Some(*asn),
        _ => None,
    });
    let asn = four_octets.unwrap_or(u32::from(short_asn));
    // RFC 7607 §2: 0 is no AS number, not even where another one takes its place.
    if asn == 0 || short_asn == 0 {
        return Err(fault(at_asn, FaultKind::AsZero));
    }
    if matches!(hold_time, 1 | 2) {
        return Err(fault(at_hold_time, FaultKind::HoldTime(hold_time)));
    }
    if router_id == [0; 4] {
        return Err(fault(at_router_id, FaultKind::RouterId));
    }
    Ok((rest, Open { asn, hold_time, router_id: router_id.into(), capabilities }))
}

/// The optional parameters, which must fill the message.
fn parameters(input: &[u8]) -> Parsed<'_, Vec<Capability>> {
    let (rest, short_length) = octet(input)?;
    let extended = short_length != 0 && rest.first() == Some(&EXTENDED);
    let (rest, length) = if extended {
        let (rest, _) = octet(rest)?;
        be_u16(rest)?
    } else {
        (rest, u16::from(short_length))
    };
    let (end, mut rest) = take(rest, usize::from(length))?;
    if !end.is_empty() {
        return Err(fault(end, FaultKind::Trailing));
    }
    let mut capabilities = Vec::new();
    while !rest.is_empty() {
        let (after, kind) = octet(rest)?;
        if kind != CAPABILITIES {
            return Err(fault(rest, FaultKind::OptionalParameter(kind)));
        }
        let (after, length) = if extended {
            be_u16(after)?
        } else {
            octet(after).map(|(rest, length)| (rest, u16::from(length)))?
        };
        let (after, mut value) = take(after, usize::from(length))?;
        while !value.is_empty() {
            let (after, capability) = Capability::read(value)?;
            capabilities.push(capability);
            value = after;
        }
        rest = after;
    }
    Ok((end, capabilities))
}
