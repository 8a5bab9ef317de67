//! RFC 9494: routes of a peer that stays away longer, kept as the last choice.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::bed::{Bed, Seat, Sort};
use crate::cases::{case, run};
use crate::heard::{Key, key};
use crate::octets::{self, OVERLAY, Open, VPNV4, label, restart, target, vpn};
use crate::pace;
use crate::routes::with_it;
use crate::speaker::Speaker;

const STALE: [u8; 4] = [0xff, 0xff, 0, 6];
const NO_LONG_LIFE: u32 = 0xffff_0007;

/// The value of the capability: so many seconds for a family, with its F bit.
fn long_life(seconds: u32) -> Vec<u8> {
    let [_, a, b, c] = seconds.to_be_bytes();
    vec![0, 1, 128, 0x80, a, b, c]
}

fn lives_long(seat: Seat, restart_time: u16, seconds: u32) -> Open {
    seat.open(&OVERLAY).and(64, &restart(0, restart_time, &[VPNV4])).and(71, &long_life(seconds))
}

/// A peer that tells one route and goes away without a word.
fn gone(
    bed: &Bed,
    restart_time: u16,
    seconds: u32,
    more: &[Vec<u8>],
) -> Result<(Seat, Key, Vec<u8>, [u8; 8])> {
    let seat = bed.seat(Sort::Client)?;
    let mut speaker = bed.up_with(seat, &lives_long(seat, restart_time, seconds))?;
    let nlri = vpn(label(3), octets::rd(64_512, bed.number()), &[10, 4, 0, 0], 16);
    let target = target(64_512, bed.number());
    tell(&mut speaker, &nlri, target, more)?;
    let key = key(VPNV4, &nlri);
    bed.watcher(Sort::Client)?.route(&key)?;
    speaker.close();
    Ok((seat, key, nlri, target))
}

fn tell(speaker: &mut Speaker, nlri: &[u8], target: [u8; 8], more: &[Vec<u8>]) -> Result<()> {
    let mut attributes = with_it(Sort::Client, &[target]);
    attributes.push(octets::reach(VPNV4, &octets::vpn_next_hop(speaker.local), nlri));
    attributes.extend_from_slice(more);
    speaker.send(&octets::update(&[], &attributes, &[]))
}

/// One that speaks RFC 9494 and is told everything.
fn listener(bed: &Bed) -> Result<Speaker> {
    let seat = bed.seat(Sort::Client)?;
    let mut speaker = bed.up_with(seat, &lives_long(seat, 60, 60).hold(0))?;
    speaker.asks_for_all()?;
    Ok(speaker)
}

fn is_stale(heard: &crate::heard::Heard, key: &Key) -> bool {
    let of = |value: &[u8]| value.chunks(4).any(|community| community == STALE);
    heard.get(key).and_then(|told| told.value(8)).is_some_and(of)
}

#[test]
fn a_peer_that_stays_away_is_the_last_choice() {
    let bed = Bed::with("", "long-lived-time = 3600", "").expect("a control node");
    let cases = vec![
        case("we offer it in every family", |bed| {
            let speaker = bed.up(Sort::Client)?;
            let value = speaker.capability(71).context("it is not there")?;
            ensure!(value.len() == OVERLAY.len() * 7, "{value:?}");
            ensure!(value.chunks(7).all(|one| one[4..] == [0, 0x0e, 0x10]), "{value:?}");
            Ok(())
        }),
        case("after the restart time the route is marked, and told to who understands", |bed| {
            let mut listener = listener(bed)?;
            let (_, key, ..) = gone(bed, 1, 60, &[])?;
            listener.until("it is marked", |heard| is_stale(heard, &key))
        }),
        case("who does not understand is not told it, or as the last choice", |bed| {
            let (_, key, ..) = gone(bed, 1, 60, &[])?;
            // Withdrawn, or inside the AS with NO_EXPORT and LOCAL_PREF 0 (§4.6).
            bed.watcher(Sort::Client)?.until("it is one of both", |heard| {
                match heard.get(&key) {
                    None => Some(()),
                    Some(told) => {
                        let no_export =
                            |value: &[u8]| value.chunks(4).any(|one| one == [0xff, 0xff, 0xff, 1]);
                        (told.value(5) == Some(&[0; 4]) && told.value(8).is_some_and(no_export))
                            .then_some(())
                    }
                }
            })?;
            bed.gone(Sort::Far, &key)
        }),
        case("NO_LLGR: it goes when the restart time is over", |bed| {
            let mut listener = listener(bed)?;
            let (_, key, ..) = gone(bed, 1, 60, &[octets::communities(&[NO_LONG_LIFE])])?;
            listener.gone_after(&key)
        }),
        case("the long time ends, too", |bed| {
            let mut listener = listener(bed)?;
            let (_, key, ..) = gone(bed, 1, 2, &[])?;
            listener.until("it is marked", |heard| is_stale(heard, &key))?;
            listener.gone(&key)
        }),
        case("a restart time of 0: marked at once", |bed| {
            let mut listener = listener(bed)?;
            let (_, key, ..) = gone(bed, 0, 60, &[])?;
            listener.until("it is marked", |heard| is_stale(heard, &key))
        }),
        case("any other path is better", |bed| {
            let mut listener = listener(bed)?;
            let (_, key, nlri, target) = gone(bed, 1, 60, &[octets::local_pref(900)])?;
            listener.until("it is marked", |heard| is_stale(heard, &key))?;
            let mut other = bed.up(Sort::Client)?;
            tell(&mut other, &nlri, target, &[])?;
            let hop = octets::vpn_next_hop(other.local);
            listener.until("the other one is told", |heard| {
                heard.get(&key).is_some_and(|told| told.next_hop == hop)
            })
        }),
        case("one that others have marked is the last choice as well", |bed| {
            let mut listener = listener(bed)?;
            let (mut a, mut b) = (bed.up(Sort::Client)?, bed.up(Sort::Client)?);
            let nlri = vpn(label(3), octets::rd(64_512, bed.number()), &[10, 4, 0, 0], 16);
            let target = target(64_512, bed.number());
            let mark = octets::communities(&[u32::from_be_bytes(STALE)]);
            tell(&mut a, &nlri, target, &[mark])?;
            let key = key(VPNV4, &nlri);
            listener.until("it is told, marked", |heard| is_stale(heard, &key))?;
            tell(&mut b, &nlri, target, &[octets::as_path(&[1, 2, 3])])?;
            listener.until("the other one is told", |heard| {
                heard.get(&key).is_some() && !is_stale(heard, &key)
            })
        }),
        case("who comes back and tells it again is fresh", |bed| {
            let mut listener = listener(bed)?;
            let (seat, key, nlri, target) = gone(bed, 1, 60, &[])?;
            listener.until("it is marked", |heard| is_stale(heard, &key))?;
            let mut back = bed.up_with(seat, &lives_long(seat, 60, 60))?;
            tell(&mut back, &nlri, target, &[])?;
            listener
                .until("it is fresh", |heard| heard.get(&key).is_some() && !is_stale(heard, &key))
        }),
        case("who comes back and does not has lost it at End-of-RIB", |bed| {
            let mut listener = listener(bed)?;
            let (seat, key, ..) = gone(bed, 1, 60, &[])?;
            listener.until("it is marked", |heard| is_stale(heard, &key))?;
            let mut back = bed.up_with(seat, &lives_long(seat, 60, 60))?;
            back.end(VPNV4)?;
            listener.gone(&key)
        }),
        case("who goes again before End-of-RIB has the rest of the long time", |bed| {
            // §4.2: what is stale already is not deleted, and its time does not begin anew.
            let mut listener = listener(bed)?;
            let (seat, key, ..) = gone(bed, 1, 6, &[])?;
            listener.until("it is marked", |heard| is_stale(heard, &key))?;
            let marked = Instant::now();
            let back = bed.up_with(seat, &lives_long(seat, 1, 60))?;
            bed.is_up(seat)?;
            back.close();
            listener.listen(Duration::from_secs(3))?;
            ensure!(is_stale(&listener.heard, &key), "it is gone");
            listener.gone(&key)?;
            pace::in_time(marked, Duration::from_secs(9))?;
            Ok(())
        }),
        case("who comes back without it has lost it", |bed| {
            let mut listener = listener(bed)?;
            let (seat, key, ..) = gone(bed, 1, 60, &[])?;
            listener.until("it is marked", |heard| is_stale(heard, &key))?;
            let _back = bed.up_with(seat, &seat.open(&OVERLAY))?;
            listener.gone(&key)
        }),
    ];
    run("long-lived", &bed, cases);
}

impl Speaker {
    /// Waits until a route has been told and is gone.
    fn gone_after(&mut self, key: &Key) -> Result<()> {
        self.until("it was told", |heard| heard.announced.contains_key(key))?;
        self.listen(Duration::from_millis(100))?;
        self.gone(key)
    }
}
