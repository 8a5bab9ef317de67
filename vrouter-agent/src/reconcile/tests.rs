use dataplane::{Attachment, Encapsulation, Link, Mac, Memory, MplsLabel, Tunnel};

use super::faulty::Faulty;
use super::*;

fn vrf() -> Vrf {
    Vrf { name: "a".into(), label: MplsLabel::MIN, vni: None }
}

fn port() -> Port {
    Port {
        vrf: VrfId(1),
        v4: Some(Link {
            address: [10, 0, 0, 2].into(),
            prefix_len: 24,
            gateway: [10, 0, 0, 1].into(),
        }),
        v6: None,
        mac: Mac([2, 0, 10, 0, 0, 2]),
        mtu: 1450,
        allowed: BTreeSet::new(),
        label: None,
        filter: None,
        bandwidth: None,
        host_access: false,
        attachment: Attachment::Netns { path: "/run/netns/a".into(), interface: "eth0".into() },
    }
}

fn tunnel(last: u8) -> NextHop {
    let remote = IpAddr::from([192, 0, 2, last]);
    let tunnel = Tunnel::mpls(remote, Encapsulation::MplsOverGre, MplsLabel::MIN);
    NextHop::Tunnel(tunnel.expect("GRE has a label"))
}

fn net(text: &str) -> IpNet {
    text.parse().expect("a prefix")
}

/// A VRF with port `p`, its route, and a route to another node.
fn work(seq: u64) -> Work {
    Work {
        seq,
        vrfs: [(VrfId(1), Some(vrf()))].into(),
        ports: [("p".into(), Some(port()))].into(),
        routes: [
            ((VrfId(1), net("10.0.0.2/32")), Some(Route::from(NextHop::Port("p".into())))),
            ((VrfId(1), net("10.0.0.3/32")), Some(tunnel(3).into())),
        ]
        .into(),
        ..Work::default()
    }
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

#[test]
fn one_failure_does_not_stop_the_rest_and_is_tried_again() {
    run(async {
        let plane = Faulty { broken: Some("p".into()), ..Faulty::default() };
        let mut reconciler = Reconciler::adopt(plane).await.expect("listed");
        let start = Instant::now();
        let report = reconciler.apply(start, work(1)).await;
        let failed: Vec<_> = report.failed.iter().map(|(item, _)| item.clone()).collect();
        let route = Item::Route(VrfId(1), net("10.0.0.2/32"));
        assert_eq!(failed, [Item::Port("p".into()), route.clone()]);
        assert_eq!(report.failed[0].1, "port p cannot be attached: no such namespace");
        assert_eq!(reconciler.plane().memory.state.fib[&VrfId(1)].len(), 1, "the other route");

        reconciler.plane_mut().broken = None;
        let early = reconciler.retry(start + FIRST_WAIT / 2).await;
        assert_eq!(early, Report { seq: 1, ..Report::default() });
        let report = reconciler.retry(start + FIRST_WAIT).await;
        assert_eq!(report.recovered, [Item::Port("p".into()), route]);
        assert_eq!((reconciler.failing(), reconciler.deadline()), (0, None));
        assert_eq!(reconciler.plane().memory.state.fib[&VrfId(1)].len(), 2);
    });
}

#[test]
fn attempts_become_rarer_and_are_reported_once() {
    run(async {
        let plane = Faulty { broken: Some("p".into()), ..Faulty::default() };
        let mut reconciler = Reconciler::adopt(plane).await.expect("listed");
        let mut now = Instant::now();
        reconciler.apply(now, work(1)).await;
        let mut waits = Vec::new();
        for _ in 0..10 {
            let next = reconciler.deadline().expect("it is tried again");
            waits.push((next - now).as_millis());
            now = next;
            let report = reconciler.retry(now).await;
            assert!(report.failed.is_empty(), "nothing new");
        }
        assert_eq!(waits[..4], [500, 1000, 2000, 4000]);
        assert_eq!(waits[9], LONGEST_WAIT.as_millis());
    });
}

#[test]
fn what_is_no_longer_wanted_is_no_longer_tried() {
    run(async {
        let plane = Faulty { broken: Some("p".into()), ..Faulty::default() };
        let mut reconciler = Reconciler::adopt(plane).await.expect("listed");
        reconciler.apply(Instant::now(), work(1)).await;
        let mut gone = Work { seq: 2, ports: [("p".into(), None)].into(), ..Work::default() };
        gone.routes.insert((VrfId(1), net("10.0.0.2/32")), None);
        let report = reconciler.apply(Instant::now(), gone).await;
        assert_eq!((report.recovered.len(), reconciler.failing()), (2, 0));
    });
}

#[test]
fn an_audit_repairs_what_somebody_else_changed() {
    run(async {
        let mut reconciler = Reconciler::adopt(Faulty::default()).await.expect("listed");
        reconciler.apply(Instant::now(), work(1)).await;
        let want = reconciler.plane().memory.state.clone();
        let state = &mut reconciler.plane_mut().memory.state;
        state.fib.entry(VrfId(1)).or_default().remove(&net("10.0.0.3/32"));
        state.fib.entry(VrfId(1)).or_default().insert(net("10.0.0.9/32"), tunnel(9).into());
        reconciler.audit(Instant::now()).await.expect("listed");
        assert_eq!(reconciler.plane().memory.state, want);
        let tried = reconciler.plane().tried;
        reconciler.audit(Instant::now()).await.expect("listed");
        assert_eq!(reconciler.plane().tried, tried, "what is right is left alone");
    });
}

#[test]
fn what_an_earlier_run_left_stays_until_the_sweep() {
    run(async {
        let mut earlier = Reconciler::adopt(Faulty::default()).await.expect("listed");
        let mut more = work(1);
        more.routes.insert((VrfId(1), net("10.0.0.9/32")), Some(tunnel(9).into()));
        let shared = NextHopGroup::new([tunnel(3), tunnel(4)]).map(Into::into);
        more.routes.insert((VrfId(1), net("10.0.0.3/32")), shared);
        earlier.apply(Instant::now(), more).await;
        let left = earlier.plane().memory.state.clone();

        let plane = Faulty::from(Memory::left_by_an_earlier_run(left.clone()));
        let mut reconciler = Reconciler::adopt(plane).await.expect("listed");
        reconciler.apply(Instant::now(), work(1)).await;
        assert_eq!(reconciler.plane().memory.state, left);
        reconciler.audit(Instant::now()).await.expect("listed");
        assert_eq!(reconciler.plane().memory.state, left, "also after an audit");
        assert_eq!(reconciler.plane().tried, 0, "nothing was even touched");

        let sweep = Work { seq: 2, sweep: true, ..Work::default() };
        reconciler.apply(Instant::now(), sweep).await;
        let table = &reconciler.plane().memory.state.fib[&VrfId(1)];
        assert_eq!(table.len(), 2);
        assert_eq!(table[&net("10.0.0.3/32")], tunnel(3).into());
    });
}

#[test]
fn what_happens_to_interfaces_is_repaired_without_a_look_at_routes() {
    run(async {
        let mut reconciler = Reconciler::adopt(Faulty::default()).await.expect("listed");
        let start = Instant::now();
        reconciler.plane_mut().memory.state.ports.insert("left".into(), port());
        let early = reconciler.look_at_devices(start).await.expect("listed");
        assert_eq!(early, Report::default());
        assert_eq!(reconciler.plane().tried, 0, "nobody has said what is wanted");

        reconciler.apply(start, work(1)).await;
        let state = &mut reconciler.plane_mut().memory.state;
        state.ports.get_mut(&"p".into()).expect("the port").mtu = 1280;
        state.fib.clear();
        reconciler.plane_mut().tried = 0;
        let report = reconciler.look_at_devices(start).await.expect("listed");
        assert_eq!((report.failed.len(), report.seq), (0, 1));
        assert_eq!(reconciler.plane().memory.state.ports[&"p".into()], port());
        assert_eq!(reconciler.plane().memory.state.fib, Fib::new(), "that is for an audit");
        assert_eq!(reconciler.plane().tried, 2, "a port is repaired, one that is left over goes");
    });
}

#[test]
fn an_audit_repairs_everything_and_compares_no_routes_that_are_as_they_were_left() {
    run(async {
        let mut reconciler = Reconciler::adopt(Faulty::default()).await.expect("listed");
        let start = Instant::now();
        reconciler.apply(start, work(1)).await;
        for as_left in [true, false] {
            let plane = reconciler.plane_mut();
            plane.memory.state.ports.get_mut(&"p".into()).expect("the port").mtu = 1280;
            plane.memory.state.vrfs.insert(VrfId(7), vrf());
            plane.memory.state.fib.clear();
            (plane.are_routes_as_left, plane.tried) = (as_left, 0);
            reconciler.audit(start).await.expect("listed");
            let plane = reconciler.plane();
            assert_eq!(plane.memory.state.ports[&"p".into()], port());
            assert!(!plane.memory.state.vrfs.contains_key(&VrfId(7)), "nobody wants it");
            assert_eq!(plane.tried, if as_left { 2 } else { 4 }, "two routes");
        }
    });
}
