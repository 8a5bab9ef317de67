//! RFC 4271 §8: messages in states that do not expect them; §6.8: collisions; how octets arrive.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::bed::{Bed, Sort, membership};
use crate::cases::{Case, case, run};
use crate::headers::STAGES;
use crate::octets::{self, OVERLAY, Open, VPNV4};
use crate::pace;
use crate::speaker::{CEILING, Speaker};

/// Long enough for an answer that shall not come.
const A_WHILE: Duration = Duration::from_millis(400);

#[test]
fn a_message_at_the_wrong_time_is_an_error_of_the_state() {
    let bed = Bed::start().expect("a control node");
    let wrong: [(&str, Vec<u8>, [bool; 3]); 7] = [
        ("KEEPALIVE", octets::keepalive(), [true, false, false]),
        ("UPDATE", octets::end_of_rib(VPNV4), [true, true, false]),
        ("an empty UPDATE", octets::update(&[], &[], &[]), [true, true, false]),
        ("ROUTE-REFRESH", octets::refresh(VPNV4, 0), [true, true, false]),
        ("an UPDATE that is malformed", octets::message(2, &[0, 9, 0, 9]), [true, true, false]),
        ("OPEN", vec![], [false, true, true]),
        // RFC 4271 §8.2.2, event 22: what is wrong with it does not matter any more.
        ("an OPEN of version 3", octets::message(1, &[3; 10]), [false, false, true]),
    ];
    let mut cases: Vec<Case<'_>> = Vec::new();
    for sort in [Sort::Client, Sort::Far] {
        for (name, octets, in_stages) in &wrong {
            for (stage, _) in STAGES.iter().zip(in_stages).filter(|(_, wrong)| **wrong) {
                // The subcodes of RFC 6608, and the type of the message as its data.
                let subcode = *stage as u8 + 1;
                cases.push(case(format!("{name} of {sort:?} in {stage:?}"), move |bed| {
                    let mut speaker = stage.reach(bed, sort)?;
                    let seat = crate::bed::Seat { sort, address: speaker.local };
                    let open = seat.open(&OVERLAY).octets();
                    speaker.send(if octets.is_empty() { &open } else { octets })?;
                    let kind = if octets.is_empty() { octets::OPEN } else { octets[18] };
                    let refusal = speaker.refusal(CEILING)?;
                    ensure!(refusal == (5, subcode, vec![kind]), "{refusal:?}, not 5/{subcode}");
                    Ok(())
                }));
            }
        }
    }
    cases.extend(endings());
    cases.extend(arrivals());
    cases.extend(collisions());
    run("states", &bed, cases);
}

/// One way to end a session.
type Way = fn(Speaker) -> Result<()>;

/// However a session ends, the next one comes up.
fn endings<'a>() -> Vec<Case<'a>> {
    let ends: [(&str, Way); 6] = [
        ("a NOTIFICATION", |mut speaker| {
            speaker.send(&octets::notification(6, 4, &[]))?;
            speaker.closed(CEILING)
        }),
        ("a NOTIFICATION of unknown code", |mut speaker| {
            speaker.send(&octets::notification(99, 99, &[1, 2, 3]))?;
            speaker.closed(CEILING)
        }),
        ("a shutdown message that is no UTF-8", |mut speaker| {
            speaker.send(&octets::notification(6, 2, &[3, 0xff, 0xfe, 0xfd]))?;
            speaker.closed(CEILING)
        }),
        ("a shutdown message longer than it says", |mut speaker| {
            speaker.send(&octets::notification(6, 2, &[200, b'x']))?;
            speaker.closed(CEILING)
        }),
        ("FIN", |mut speaker| {
            speaker.close();
            speaker.closed(CEILING)
        }),
        ("RST", |speaker| speaker.abort()),
    ];
    let mut cases = Vec::new();
    for stage in STAGES {
        for (name, end) in ends {
            cases.push(case(format!("{name} in {stage:?}, and once more"), move |bed| {
                let speaker = stage.reach(bed, Sort::Client)?;
                let seat = crate::bed::Seat { sort: Sort::Client, address: speaker.local };
                end(speaker)?;
                // The daemon may not have seen the end of the first one yet.
                bed.wait("the next session is up", |bed| {
                    Ok(bed.up_with(seat, &seat.open(&OVERLAY)).is_ok())
                })
            }));
        }
        cases.push(case(format!("half a message and FIN in {stage:?}"), move |bed| {
            let mut speaker = stage.reach(bed, Sort::Client)?;
            speaker.send(&octets::end_of_rib(VPNV4)[..20])?;
            speaker.close();
            speaker.closed(CEILING)?;
            bed.lives()
        }));
    }
    cases.push(case("somebody unknown gets no session", |bed| {
        // An address of loopback outside of all that the topology names.
        let stranger = std::net::Ipv4Addr::new(127, 127, 127, 127);
        let mut speaker = Speaker::connect(stranger, bed.address())?;
        let refusal = speaker.refusal(CEILING)?;
        ensure!((refusal.0, refusal.1) == (6, 5), "{refusal:?}, not connection rejected");
        Ok(())
    }));
    cases
}

/// TCP divides as it likes.
fn arrivals<'a>() -> Vec<Case<'a>> {
    let all = |bed: &Bed| -> Result<_> {
        let seat = bed.seat(Sort::Client)?;
        let asks = membership(crate::bed::HOME, seat.address, &octets::DEFAULT_TARGET);
        let octets = [
            seat.open(&OVERLAY).octets(),
            octets::keepalive(),
            asks,
            octets::end_of_rib(octets::RTC),
            octets::end_of_rib(VPNV4),
        ];
        Ok((bed.connect(seat)?, octets.concat()))
    };
    let is_up = |bed: &Bed, mut speaker: Speaker| {
        speaker.take_open()?;
        bed.wait("all was read", |bed| {
            let neighbor = bed.neighbor(speaker.local)?;
            let ended = |family: &serde_json::Value| family["end_of_rib"] == true;
            Ok(neighbor["memberships"][0] == "default"
                && neighbor["families"].as_array().is_some_and(|f| f.iter().any(ended)))
        })
    };
    vec![
        case("all at once", move |bed| {
            let (mut speaker, octets) = all(bed)?;
            speaker.send(&octets)?;
            is_up(bed, speaker)
        }),
        case("octet by octet", move |bed| {
            let (mut speaker, octets) = all(bed)?;
            for octet in octets {
                speaker.send(&[octet])?;
            }
            is_up(bed, speaker)
        }),
        case("headers and bodies apart", move |bed| {
            let (mut speaker, octets) = all(bed)?;
            for some in octets.chunks(19) {
                speaker.send(some)?;
                std::thread::sleep(Duration::from_millis(2));
            }
            is_up(bed, speaker)
        }),
        case("a message of 4096 octets", move |bed| {
            let mut speaker = bed.up(Sort::Client)?;
            let unknown = octets::attribute(octets::TRANSITIVE, 200, &vec![7; 4096 - 19 - 4 - 4]);
            let long = octets::update(&[], &[unknown], &[]);
            ensure!(long.len() == 4096);
            speaker.send(&long)?;
            speaker.send(&octets::refresh(VPNV4, 0))?;
            speaker.listen(A_WHILE)?;
            bed.lives()
        }),
    ]
}

fn collisions<'a>() -> Vec<Case<'a>> {
    let mut cases = vec![
        case("a second connection while the first is up is refused", |bed| {
            let seat = bed.seat(Sort::Client)?;
            let open = seat.open(&OVERLAY);
            let mut first = bed.up_with(seat, &open)?;
            bed.is_up(seat)?;
            let mut second = bed.connect(seat)?;
            second.try_send(&open.octets());
            let refusal = second.refusal(CEILING)?;
            ensure!((refusal.0, refusal.1) == (6, 7), "{refusal:?}");
            first.listen(A_WHILE)?;
            bed.is_up(seat)
        }),
        case("a second connection of a peer that keeps state replaces the first", |bed| {
            // RFC 4724 §4.2: the peer has restarted, and we have not noticed.
            let seat = bed.seat(Sort::Client)?;
            let open = seat.open(&OVERLAY).and(64, &octets::restart(8, 30, &OVERLAY));
            let mut first = bed.up_with(seat, &open)?;
            bed.is_up(seat)?;
            let mut second = bed.connect(seat)?;
            second.establish(&open.octets())?;
            first.until("it ends", |_| false).err();
            second.listen(A_WHILE)?;
            bed.is_up(seat)
        }),
    ];
    // Both connect: that of the higher identifier stays.
    for (name, id, ours_stays) in [
        ("the peer's identifier is higher", std::net::Ipv4Addr::new(223, 0, 0, 1), true),
        ("the peer's identifier is lower", std::net::Ipv4Addr::new(1, 0, 0, 1), false),
    ] {
        for sort in [Sort::Sibling, Sort::Far] {
            cases.push(case(format!("both connect, {name}, {sort:?}"), move |bed| {
                let seat = bed.seat(sort)?;
                let listener = seat.listen()?;
                let mut theirs = Speaker::accept(&listener, seat.address)?;
                theirs.take_open()?;
                let mut ours = bed.connect(seat)?;
                ours.take_open()?;
                let open = Open { id, ..seat.open(&OVERLAY) }.octets();
                theirs.send(&open)?;
                ours.try_send(&open);
                let (mut stays, mut goes) =
                    if ours_stays { (ours, theirs) } else { (theirs, ours) };
                let refusal = goes.refusal(CEILING)?;
                ensure!((refusal.0, refusal.1) == (6, 7), "{refusal:?}");
                stays.send(&octets::keepalive())?;
                stays.until("it is confirmed", |heard| heard.keepalives > 0)?;
                bed.is_up(seat)?;
                stays.listen(A_WHILE)
            }));
        }
    }
    cases.push(case("the daemon connects by itself", |bed| {
        let seat = bed.seat(Sort::Far)?;
        let listener = seat.listen()?;
        let mut speaker = Speaker::accept(&listener, seat.address)?;
        speaker.take_open()?;
        speaker.send(&[seat.open(&OVERLAY).octets(), octets::keepalive()].concat())?;
        speaker.until("it is confirmed", |heard| heard.keepalives > 0)?;
        speaker.close();
        // And again when the connection was lost.
        let mut again = Speaker::accept(&listener, seat.address)?;
        again.take_open()?;
        Ok(())
    }));
    cases
}

#[test]
fn timers_run_as_they_were_negotiated() {
    let bed = Bed::start().expect("a control node");
    let short = |bed: &Bed| -> Result<_> {
        let seat = bed.seat(Sort::Client)?;
        Ok((bed.connect(seat)?, seat.open(&OVERLAY).hold(3).octets()))
    };
    let expires = |speaker: &mut Speaker| {
        let began = std::time::Instant::now();
        let refusal = speaker.refusal(CEILING)?;
        ensure!((refusal.0, refusal.1) == (4, 0), "{refusal:?}");
        pace::between(began, 2.8, 4.5)
    };
    let cases = vec![
        case("a peer that is silent loses its session after the hold time", move |bed| {
            let (mut speaker, open) = short(bed)?;
            speaker.establish(&open)?;
            expires(&mut speaker)
        }),
        case("a peer that never confirms loses it too", move |bed| {
            let (mut speaker, open) = short(bed)?;
            speaker.confirm(&open)?;
            expires(&mut speaker)
        }),
        case("half a message is silence", move |bed| {
            let (mut speaker, open) = short(bed)?;
            speaker.establish(&open)?;
            speaker.send(&octets::end_of_rib(VPNV4)[..22])?;
            expires(&mut speaker)
        }),
        case("KEEPALIVEs come every third of the hold time", move |bed| {
            let (mut speaker, open) = short(bed)?;
            speaker.establish(&open)?;
            let began = std::time::Instant::now();
            for _ in 0..5 {
                speaker.listen(Duration::from_secs(1))?;
                speaker.send(&octets::keepalive())?;
            }
            // Three quarters of a second to a second apart (RFC 4271 §10), and one on its way.
            let (took, count) = (began.elapsed().as_secs_f64(), speaker.heard.keepalives);
            let late = pace::slack().as_secs_f64();
            let (fewest, most) = (took - 2.0 - late, took / 0.75 + 2.0 + late);
            let count = f64::from(u32::try_from(count)?);
            ensure!((fewest..=most).contains(&count), "{count} in {took} s");
            Ok(())
        }),
        case("UPDATEs prove that a peer lives", move |bed| {
            let (mut speaker, open) = short(bed)?;
            speaker.establish(&open)?;
            for _ in 0..5 {
                speaker.listen(Duration::from_secs(1))?;
                speaker.send(&octets::end_of_rib(VPNV4))?;
            }
            Ok(())
        }),
        case("no hold time, no KEEPALIVE and no end", |bed| {
            let seat = bed.seat(Sort::Client)?;
            let mut speaker = bed.up_with(seat, &seat.open(&OVERLAY).hold(0))?;
            bed.is_up(seat)?;
            speaker.listen(Duration::from_secs(5))?;
            ensure!(speaker.heard.keepalives == 0, "{}", speaker.heard.keepalives);
            ensure!(bed.neighbor(seat.address)?["hold_time"] == 0);
            Ok(())
        }),
        case("who has not sent an OPEN is waited for longer than a hold time", |bed| {
            let mut speaker = bed.connect(bed.seat(Sort::Client)?)?;
            speaker.take_open()?;
            speaker.listen(Duration::from_secs(5))
        }),
        case("the shorter of both hold times counts", |bed| {
            let seat = bed.seat(Sort::Client)?;
            let _speaker = bed.up_with(seat, &seat.open(&OVERLAY).hold(30))?;
            bed.is_up(seat)?;
            ensure!(bed.neighbor(seat.address)?["hold_time"] == 30);
            let seat = bed.seat(Sort::Client)?;
            let _speaker = bed.up_with(seat, &seat.open(&OVERLAY).hold(300))?;
            bed.is_up(seat)?;
            ensure!(bed.neighbor(seat.address)?["hold_time"] == 90);
            Ok(())
        }),
    ];
    run("timers", &bed, cases);
}
