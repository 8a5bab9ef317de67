//! The budget of memory (architecture, section 6): at most 200 octets a route at the peak of a load.

#[allow(dead_code, reason = "some of it is for benchmarks alone")]
#[path = "../benches/load/mod.rs"]
mod load;

/// Alone in its process, since it looks at the peak of the process.
#[test]
fn a_route_costs_at_most_200_octets_at_the_peak_of_a_load() {
    const ROUTES: u32 = 1_000_000;
    let mut shards = load::shards(1, bgp_rib::PeerKind::Client, 10);
    let mut counter = load::Counter::default();
    let before = load::peak_memory();
    load::run(&mut shards, load::inputs(ROUTES), &mut counter);
    let peak = (load::peak_memory() - before) / u64::from(ROUTES);
    assert!(peak <= 200, "{peak} octets a route");
    // A load that did not happen would be cheap too.
    assert!(
        counter.batches > 0 && counter.messages > 0 && counter.octets > u64::from(ROUTES) * 10 * 20
    );
    let late = load::late(10);
    let mut counter = load::Counter::default();
    let up = bgp_rib::Input::PeerUp { peer: late.1, view: late.0 };
    load::run(&mut shards, std::iter::once(up), &mut counter);
    assert!(counter.octets > u64::from(ROUTES) * 20);
}
