//! Who gets no connection at all: keys (RFC 2385) and hops (RFC 5082), over loopback.
//!
//! Right and wrong keys are tried in `crates/bgp-peer/tests/transport.rs`: a socket is given one by a call
//! that is not safe.

use std::os::unix::fs::PermissionsExt as _;

use anyhow::{Result, bail, ensure};
use socket2::Socket;

use crate::bed::{Bed, Knob};
use crate::cases::{Case, case, run};
use crate::octets::IPV4;
use crate::speaker::{CEILING, Got, Speaker};

const PEER: u32 = 65_010;

/// A connection of this neighbor, over a socket that was prepared.
fn connect(
    bed: &Bed,
    name: &str,
    prepare: impl FnOnce(&Socket) -> Result<()>,
) -> Result<(Speaker, Vec<u8>)> {
    let seat = bed.neighbor_seat(name)?;
    let speaker = Speaker::connect_with(seat.address, bed.address(), prepare)?;
    Ok((speaker, seat.open(&[IPV4]).octets()))
}

fn keys<'a>() -> Vec<Case<'a>> {
    vec![
        case("TCP-MD5: no key, no connection", |bed| {
            ensure!(connect(bed, "signed", |_| Ok(())).is_err(), "connected");
            bed.lives()
        }),
        case("TCP-MD5: a key is asked of nobody else", |bed| {
            let (mut speaker, open) = connect(bed, "plain", |_| Ok(()))?;
            speaker.establish(&open)
        }),
    ]
}

fn hops<'a>() -> Vec<Case<'a>> {
    let mut cases = Vec::new();
    for (name, ttl, is_taken) in [
        ("near", 255, true),
        ("near", 254, false),
        ("near", 64, false),
        ("near", 1, false),
        ("three-hops", 253, true),
        ("three-hops", 252, false),
        ("plain", 1, true),
    ] {
        cases.push(case(format!("{name}: a SYN with a time to live of {ttl}"), move |bed| {
            let prepare = |socket: &Socket| Ok(socket.set_ttl_v4(ttl)?);
            let (mut speaker, open) = connect(bed, name, prepare)?;
            if is_taken {
                return speaker.establish(&open);
            }
            speaker.try_send(&open);
            match speaker.next(CEILING)? {
                Got::Closed => Ok(()),
                other => bail!("not closed without a word: {other:?}"),
            }
        }));
    }
    cases
}

#[test]
fn strangers_get_no_connection() {
    let secrets = tempfile::tempdir().expect("a folder");
    let password = secrets.path().join("password");
    std::fs::write(&password, "a key\n").expect("a file");
    let private = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(&password, private).expect("a private file");
    let signed = format!("families = [\"ipv4\"]\npassword-file = \"{}\"", password.display());
    let neighbor = |name, keys| Knob { name, asn: PEER, keys };
    let neighbors = [
        neighbor("plain", "families = [\"ipv4\"]"),
        neighbor("signed", signed.leak()),
        neighbor("near", "families = [\"ipv4\"]\nttl-security = 1"),
        neighbor("three-hops", "families = [\"ipv4\"]\nttl-security = 3"),
    ];
    let bed = Bed::with_neighbors("", "", &neighbors).expect("a control node");
    let mut cases = keys();
    cases.extend(hops());
    run("protection", &bed, cases);
}
