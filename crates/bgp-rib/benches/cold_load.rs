//! Loads routes into empty shards and reflects them to clients.
//!
//! `cold_load [ROUTES] [CLIENTS] [SHARDS] [late|contended]` prints what it did, the time and the peak of
//! memory, in all and per route. With `late`, a client comes up afterwards, and a sender goes. With
//! `contended`, all four senders have a path to each route, and nobody is told.
//! `scripts/rib-cost.sh` counts the instructions of [`measured`] under callgrind, and of parts of it.

#![allow(clippy::print_stdout, reason = "that is what a benchmark is for")]
#![allow(clippy::disallowed_methods, reason = "a benchmark looks at the clock")]
#![allow(clippy::cast_precision_loss, reason = "figures for people")]

mod load;

use std::hint::black_box;
use std::time::Instant;

use bgp_rib::{Input, PeerKind, Shard};
use load::Counter;

/// What instructions are counted of: nothing but the shards.
#[inline(never)]
fn measured(shards: &mut [Shard], inputs: Vec<Input>, counter: &mut Counter) {
    load::run(shards, inputs.into_iter(), counter);
}

fn main() {
    let number = |nth, default| {
        let argument: Option<u32> = std::env::args().nth(nth).and_then(|text| text.parse().ok());
        argument.unwrap_or(default)
    };
    let (routes, clients) = (number(1, 200_000), number(2, 10));
    let clients = u16::try_from(clients).expect("at most 65,531 clients");
    let count = u16::try_from(number(3, 1)).expect("few shards");
    let has = |what: &str| std::env::args().any(|argument| argument == what);
    let senders = if has("contended") { PeerKind::NonClient } else { PeerKind::Client };
    let mut shards = load::shards(count, senders, clients);
    let mut counter = Counter::default();
    let before = load::peak_memory();
    let mut spent = std::time::Duration::ZERO;
    let mut inputs: Box<dyn Iterator<Item = Input>> = match senders {
        // What one who is no client says is not told to others who are none.
        PeerKind::NonClient => Box::new(load::contended(routes)),
        _ => Box::new(load::inputs(routes)),
    };
    loop {
        // Inputs are made a few at a time and outside of what is measured.
        let some: Vec<Input> = inputs.by_ref().take(4).collect();
        if some.is_empty() {
            break;
        }
        let start = Instant::now();
        measured(&mut shards, some, &mut counter);
        spent += start.elapsed();
    }
    let peak = load::peak_memory().saturating_sub(before);
    let Counter { batches, octets, messages } = counter;
    println!(
        "routes {routes} clients {clients} batches {batches} octets {octets} messages {messages}"
    );
    println!("nanoseconds-per-route {:.1}", spent.as_nanos() as f64 / f64::from(routes));
    println!("peak-octets-per-route {:.1}", peak as f64 / f64::from(routes));
    if has("late") {
        let (view, peer) = load::late(clients);
        let start = Instant::now();
        let mut counter = Counter::default();
        let up = Input::PeerUp { peer, view };
        load::run(&mut shards, std::iter::once(up), &mut counter);
        println!(
            "late-joiner-milliseconds {:.1} octets {}",
            start.elapsed().as_secs_f64() * 1e3,
            counter.octets
        );
        let start = Instant::now();
        let mut counter = Counter::default();
        let down = Input::PeerDown { peer: bgp_rib::PeerIx(0), retained: Vec::new() };
        load::run(&mut shards, std::iter::once(down), &mut counter);
        println!(
            "loss-of-sender-milliseconds {:.1} octets {}",
            start.elapsed().as_secs_f64() * 1e3,
            counter.octets
        );
    }
    black_box(&shards);
}
