//! RFC 4271 §4.1 and §6.1: marker, length, type.

use anyhow::{Result, ensure};

use crate::bed::{Bed, Sort};
use crate::cases::{Case, case, run};
use crate::octets::{self, KEEPALIVE, NOTIFICATION, OPEN, OVERLAY, ROUTE_REFRESH, UPDATE};
use crate::speaker::{CEILING, Speaker};

/// Where a session stands when the octets come.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stage {
    /// The daemon's OPEN was read, ours not sent.
    OpenSent,
    /// Both were; our KEEPALIVE was not sent.
    OpenConfirm,
    Established,
}

pub(crate) const STAGES: [Stage; 3] = [Stage::OpenSent, Stage::OpenConfirm, Stage::Established];

impl Stage {
    pub(crate) fn reach(self, bed: &Bed, sort: Sort) -> Result<Speaker> {
        let seat = bed.seat(sort)?;
        let (mut speaker, open) = (bed.connect(seat)?, seat.open(&OVERLAY).octets());
        match self {
            Self::OpenSent => speaker.take_open()?,
            Self::OpenConfirm => speaker.confirm(&open)?,
            Self::Established => speaker.establish(&open)?,
        }
        Ok(speaker)
    }
}

/// What the octets are, the octets, and subcode and data of the NOTIFICATION of code 1.
fn wrong_headers() -> Vec<(String, Vec<u8>, u8, Vec<u8>)> {
    let mut wrong = Vec::new();
    for at in 0..16 {
        let mut octets = octets::keepalive();
        octets[at] = if at % 2 == 0 { 0xfe } else { 0 };
        wrong.push((format!("octet {at} of the marker"), octets, 1, vec![]));
    }
    let lengths = [
        ("nothing", 0, KEEPALIVE),
        ("less than a header", 18, KEEPALIVE),
        ("more than 4096", 4097, UPDATE),
        ("everything", 65_535, UPDATE),
        ("an OPEN of 28", 28, OPEN),
        ("an OPEN of 4097", 4097, OPEN),
        ("an UPDATE of 22", 22, UPDATE),
        ("a KEEPALIVE of 20", 20, KEEPALIVE),
        ("a KEEPALIVE of 4096", 4096, KEEPALIVE),
        ("a ROUTE-REFRESH of 22", 22, ROUTE_REFRESH),
        // §6.1 names it, though §6.4 says that nothing answers a NOTIFICATION.
        ("a NOTIFICATION of 20", 20, NOTIFICATION),
    ];
    for (name, length, kind) in lengths {
        let body = vec![0; length.clamp(19, 64) - 19];
        let octets = octets::with_length(kind, length, &body);
        wrong.push((format!("the length of {name}"), octets, 2, octets::be16(length).to_vec()));
    }
    for kind in [0, 6, 7, 128, 255] {
        wrong.push((format!("type {kind}"), octets::message(kind, &[]), 3, vec![kind]));
    }
    wrong
}

#[test]
fn a_wrong_header_is_refused_by_its_subcode_in_every_state() {
    let bed = Bed::start().expect("a control node");
    let wrong = wrong_headers();
    let mut cases: Vec<Case<'_>> = Vec::new();
    for stage in STAGES {
        for (name, octets, subcode, data) in &wrong {
            cases.push(case(format!("{name}, {stage:?}"), move |bed| {
                let mut speaker = stage.reach(bed, Sort::Client)?;
                speaker.send(octets)?;
                let refusal = speaker.refusal(CEILING)?;
                // A length of two octets or a whole message: RFC 7313 has an own code for the latter.
                let of_refresh = octets[18] == ROUTE_REFRESH && refusal.0 == 7 && refusal.1 == 1;
                let wanted = (1, *subcode, data.clone());
                ensure!(of_refresh || refusal == wanted, "{refusal:?}, not {wanted:?}");
                Ok(())
            }));
        }
    }
    run("header", &bed, cases);
}
