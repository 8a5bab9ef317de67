//! What a filter decides, counts and reports.

use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dataplane::event::Decided;
use dataplane::filter::Connection;
use dataplane::{
    Direction, DropReason, Event, Events, Filter, Identities, Identity, Link, NextHop, Peer,
    PortRange, Rule, Verdict, VrfId,
};
use ipnet::IpNet;

use crate::restart::Dice;
use crate::world::{CEILING, Node, Workload, World, inside};

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// Long enough for what is allowed, and what is denied has no answer at all.
const PATIENCE: Duration = Duration::from_millis(400);

pub(crate) fn allow(direction: Direction, peer: Peer, protocol: u8, ports: &[u16]) -> Rule {
    let range = || PortRange::new(*ports.first()?, *ports.last()?);
    Rule {
        name: format!("{direction:?} {protocol} {ports:?}"),
        direction,
        verdict: Verdict::Allow,
        peer,
        protocol: Some(protocol),
        ports: range(),
        log: false,
    }
}

pub(crate) fn net(text: &str) -> Peer {
    let net = text.parse::<IpNet>();
    Peer::Net(net.or_else(|_| text.parse::<IpAddr>().map(IpNet::from)).expect("a prefix"))
}

pub(crate) fn filter(rules: &[Rule], default_in: Verdict, default_out: Verdict) -> Filter {
    Filter { rules: rules.to_vec(), default_in, default_out }
}

/// Nothing but what the rules allow.
pub(crate) fn only(rules: &[Rule]) -> Filter {
    filter(rules, Verdict::Deny, Verdict::Deny)
}

/// Gives a workload's port a filter of its own.
pub(crate) fn guard(node: &mut Node, workload: &Workload, filter: Filter) {
    let id = dataplane::FilterId(format!("of {}", workload.id));
    node.wanted.filters.insert(id.clone(), filter);
    node.wanted.ports.get_mut(&workload.id).expect("the port").filter = Some(id);
}

pub(crate) fn counts(counters: &dataplane::Counters, workload: &Workload) -> Vec<u64> {
    let id = dataplane::FilterId(format!("of {}", workload.id));
    counters.rules.get(&id).cloned().unwrap_or_default()
}

/// The workload's other address.
fn v6(workload: &Workload) -> Ipv6Addr {
    let [a, b, c, d] = workload.address.octets().map(u16::from);
    Ipv6Addr::new(0xfd00, 0xa, 0, 0, a, b, c, d)
}

fn addresses(workload: &Workload) -> [IpAddr; 2] {
    [workload.address.into(), v6(workload).into()]
}

fn dual_stack(node: &mut Node, vrf: u32, workload: &Workload) {
    let port = node.wanted.ports.get_mut(&workload.id).expect("the port");
    let gateway = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    port.v6 = Some(Link { address: v6(workload), prefix_len: 128, gateway });
    node.route(vrf, &format!("{}/128", v6(workload)), [NextHop::Port(workload.id.clone())]);
}

/// TCP and UDP echoes on both versions.
fn serve(workload: &Workload, ports: &[u16]) -> Result<()> {
    for port in ports {
        let any = (Ipv6Addr::UNSPECIFIED, *port);
        let listener = inside(&workload.namespace, || TcpListener::bind(any))??;
        std::thread::spawn(move || listener.incoming().flatten().for_each(drop));
        let socket = inside(&workload.namespace, || UdpSocket::bind(any))??;
        std::thread::spawn(move || {
            let mut question = [0; 64];
            while let Ok((length, caller)) = socket.recv_from(&mut question) {
                // A caller may be gone.
                drop(socket.send_to(&question[..length], caller));
            }
        });
    }
    Ok(())
}

/// Whether there is an answer.
async fn answers(from: &Workload, to: IpAddr, protocol: u8, port: u16) -> Result<bool> {
    let to_port = SocketAddr::from((to, port));
    match protocol {
        TCP => {
            let connect = || TcpStream::connect_timeout(&to_port, PATIENCE);
            Ok(inside(&from.namespace, connect)?.is_ok())
        }
        UDP => inside(&from.namespace, || {
            let any: IpAddr = if to.is_ipv4() {
                std::net::Ipv4Addr::UNSPECIFIED.into()
            } else {
                Ipv6Addr::UNSPECIFIED.into()
            };
            let socket = UdpSocket::bind((any, 0))?;
            socket.set_read_timeout(Some(PATIENCE))?;
            socket.connect(to_port)?;
            socket.send(b"who")?;
            Ok(socket.recv(&mut [0; 8]).is_ok())
        })?,
        _ => pings(from, to, &[]).await,
    }
}

pub(crate) async fn pings(from: &Workload, to: IpAddr, options: &[&str]) -> Result<bool> {
    let to = to.to_string();
    let words = [&["ping", "-n", "-c", "1", "-W", "0.4"], options, &[to.as_str()]].concat();
    Ok(from.namespace.output(&words).await?.status.success())
}

/// Two dual-stack workloads, on a node each.
async fn pair(world: &World) -> Result<(Node, Node, Workload, Workload)> {
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    let (to_one, to_two) = (one.gre(101), two.udp(202));
    one.vrf(1, 101).port(1, &a);
    two.vrf(7, 202).port(7, &b);
    for address in addresses(&b) {
        one.route(1, &IpNet::from(address).to_string(), [to_two.clone()]);
    }
    for address in addresses(&a) {
        two.route(7, &IpNet::from(address).to_string(), [to_one.clone()]);
    }
    dual_stack(&mut one, 1, &a);
    dual_stack(&mut two, 7, &b);
    one.reconcile().await?;
    two.reconcile().await?;
    Ok((one, two, a, b))
}

const PORTS: [u16; 3] = [80, 85, 443];

pub(crate) fn random_filter(dice: &mut Dice) -> Filter {
    let toss = |dice: &mut Dice| {
        if dice.roll(2) == 0 { Verdict::Allow } else { Verdict::Deny }
    };
    let nets = ["172.16.0.0/15", "172.16.1.0/28", "172.16.1.8/29", "10.0.0.0/8", "0.0.0.0/0"];
    let nets_v6 = ["fd00:a::/32", "fd00:a::ac:10:1:a/128", "fd00:a::ac:10:1:b/127", "::/0"];
    let mut rules = Vec::new();
    for n in 0..dice.roll(7) {
        let peer = match dice.roll(4) {
            0 => Peer::Any,
            1 => net(nets[dice.roll(nets.len()) as usize]),
            2 => net(nets_v6[dice.roll(nets_v6.len()) as usize]),
            _ => Peer::Identity(Identity(1 + dice.roll(4))),
        };
        let protocol = [None, Some(TCP), Some(UDP), Some(1), Some(58)][dice.roll(5) as usize];
        let ranges = [(80, 80), (80, 90), (86, 500), (0, 8), (128, 65_535)];
        let (first, last) = ranges[dice.roll(ranges.len()) as usize];
        rules.push(Rule {
            name: format!("rule {n}"),
            direction: if dice.roll(3) == 0 { Direction::Out } else { Direction::In },
            verdict: toss(dice),
            peer,
            protocol,
            ports: PortRange::new(first, last).filter(|_| dice.roll(2) == 0),
            log: dice.roll(2) == 0,
        });
    }
    Filter { rules, default_in: toss(dice), default_out: toss(dice) }
}

/// The law: what [`Filter::decide`] says of a connection is what becomes of its packets, and each is
/// counted where it says.
#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn packets_meet_the_rules_as_the_filter_says() -> Result<()> {
    let world = World::new().await?;
    let (one, mut two, a, b) = pair(&world).await?;
    serve(&b, &PORTS)?;
    let identities = [2, 3].map(Identity);
    for address in addresses(&a) {
        let table = two.wanted.fib.get_mut(&VrfId(7)).context("a table")?;
        let route = table.get_mut(&IpNet::from(address)).context("a route")?;
        route.identities = Identities::new(identities);
    }
    let mut dice = Dice(0x1234_5678);
    let (mut allowed, mut denied) = (0, 0);
    for round in 0..40 {
        let rules = random_filter(&mut dice);
        guard(&mut two, &b, rules.clone());
        two.reconcile().await?;
        // The last packets of a TCP connection come when they come.
        let mut last = None;
        for _ in 0..3 {
            let version = dice.roll(2) as usize;
            let icmp = [1, 58][version];
            let protocol = [TCP, UDP, icmp][dice.roll(3) as usize];
            let called = PORTS[dice.roll(3) as usize];
            let port = if protocol == icmp { [8, 128][version] } else { called };
            let connection = Connection {
                direction: Direction::In,
                peer: addresses(&a)[version],
                protocol,
                port,
            };
            let (want, rule) = rules.decide(&connection, |one| identities.contains(&one));
            let element = rule.unwrap_or(rules.rules.len());
            let before = counts(&two.counters().await?, &b);
            let dropped = two.drops(DropReason::Denied).await?;
            let got = answers(&a, addresses(&b)[version], protocol, called).await?;
            ensure!(
                got == (want == Verdict::Allow),
                "round {round}: {connection:?} met {rules:?}, rule {rule:?}, answer: {got}"
            );
            let after = counts(&two.counters().await?, &b);
            ensure!(after[element] > before[element], "round {round}: {before:?} {after:?}");
            let others = (0..after.len()).filter(|n| *n != element && Some(*n) != last);
            ensure!(others.into_iter().all(|n| after[n] == before[n]), "{before:?} {after:?}");
            if want == Verdict::Deny {
                let dropped = two.drops(DropReason::Denied).await? - dropped;
                ensure!(dropped >= after[element] - before[element], "{dropped} {after:?}");
            }
            last = Some(element);
            *if got { &mut allowed } else { &mut denied } += 1;
        }
    }
    ensure!(allowed > 20 && denied > 20, "{allowed} allowed, {denied} denied");
    drop(one);
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_workload_opens_what_it_may_and_its_answers_come_back() -> Result<()> {
    let world = World::new().await?;
    let (mut one, two, a, b) = pair(&world).await?;
    serve(&a, &[80])?;
    serve(&b, &[80, 81])?;
    let rules = [
        allow(Direction::Out, net(&b.address.to_string()), TCP, &[80]),
        allow(Direction::Out, net(&v6(&b).to_string()), TCP, &[80]),
        allow(Direction::Out, Peer::Any, UDP, &[80]),
        allow(Direction::Out, Peer::Any, 1, &[8]),
        allow(Direction::Out, Peer::Any, 58, &[128]),
    ];
    guard(&mut one, &a, only(&rules));
    one.reconcile().await?;
    for ([at_a, at_b], icmp) in
        std::iter::zip(addresses(&a), addresses(&b)).map(|(a, b)| [a, b]).zip([1, 58])
    {
        for protocol in [TCP, UDP, icmp] {
            ensure!(answers(&a, at_b, protocol, 80).await?, "{at_b} {protocol}");
            ensure!(!answers(&b, at_a, protocol, 80).await?, "{at_a} {protocol}");
        }
        ensure!(!answers(&a, at_b, TCP, 81).await? && !answers(&a, at_b, UDP, 81).await?);
    }
    // The gateway is the node's, not somebody that it opens a connection to.
    guard(&mut one, &a, only(&[]));
    one.reconcile().await?;
    a.reaches([172, 16, 1, 1].into()).await?;
    ensure!(!answers(&a, b.address.into(), 1, 0).await?);
    drop(two);
    Ok(())
}

async fn next_event(events: &mut dyn Events) -> Result<Event> {
    Ok(tokio::time::timeout(CEILING, events.next()).await?)
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn packets_are_counted_and_what_a_rule_decides_is_reported_once() -> Result<()> {
    let world = World::new().await?;
    let (_one, mut two, a, b) = pair(&world).await?;
    let log = |rule: Rule| Rule { log: true, ..rule };
    let mut rules = [
        log(allow(Direction::In, Peer::Any, UDP, &[80, 89])),
        log(allow(Direction::In, Peer::Any, TCP, &[22])),
        allow(Direction::In, Peer::Any, 1, &[8]),
    ];
    rules[1].verdict = Verdict::Deny;
    guard(&mut two, &b, only(&rules));
    two.reconcile().await?;
    let mut events = two.events().await?;
    b.serve_udp(85)?;

    for _ in 0..5 {
        a.ask_udp(20_000, b.address, 85)?;
    }
    let Event::Decided(decided) = next_event(&mut *events).await? else {
        anyhow::bail!("another event");
    };
    let Decided { tuple, .. } = decided.clone();
    ensure!(decided.port == b.id && decided.filter.0 == "of b" && decided.rule == 0, "{decided:?}");
    ensure!(decided.direction == Direction::In && decided.verdict == Verdict::Allow);
    ensure!(tuple.source == a.address && tuple.destination == b.address && tuple.protocol == UDP);
    ensure!((tuple.source_port, tuple.destination_port) == (20_000, 85));

    // A denied one tries again and again.
    let caller = || {
        let socket = UdpSocket::bind((a.address, 20_001))?;
        (0..4).try_for_each(|_| socket.send_to(b"who", (b.address, 79)).map(drop))
    };
    inside(&a.namespace, caller)??;
    let connect = || TcpStream::connect_timeout(&(b.address, 22).into(), Duration::from_secs(3));
    ensure!(inside(&a.namespace, connect)?.is_err(), "it is denied");
    let Event::Decided(decided) = next_event(&mut *events).await? else {
        anyhow::bail!("another event");
    };
    ensure!(decided.rule == 1 && decided.verdict == Verdict::Deny, "{decided:?}");
    a.reaches(b.address).await?;
    a.ask_udp(20_002, b.address, 85)?;
    let Event::Decided(decided) = next_event(&mut *events).await? else {
        anyhow::bail!("another event");
    };
    ensure!(decided.tuple.source_port == 20_002, "once for each connection: {decided:?}");

    let counters = two.counters().await?;
    let rules = counts(&counters, &b);
    // Five questions with their answers and one more; SYN and its repetitions; a ping.
    ensure!(rules[0] == 12 && rules[2] == 2 && rules[3..] == [4, 0], "{rules:?}");
    ensure!(rules[1] >= 2, "{rules:?}");
    ensure!(counters.drops[&DropReason::Denied] == rules[1] + rules[3]);

    // Another agent goes on counting.
    two.close();
    two.open().await?;
    ensure!(counts(&two.counters().await?, &b) == rules);
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn what_nobody_takes_in_time_is_counted_as_lost() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 1, 11]).await?;
    node.vrf(1, 101).port(1, &a).port(1, &b);
    let rule = allow(Direction::In, Peer::Any, UDP, &[1, 40_000]);
    guard(&mut node, &b, only(&[Rule { verdict: Verdict::Deny, log: true, ..rule }]));
    node.reconcile().await?;
    let mut events = node.events().await?;
    let send = || {
        let socket = UdpSocket::bind((a.address, 0))?;
        (1..=40_000).try_for_each(|port| socket.send_to(b"who", (b.address, port)).map(drop))
    };
    inside(&a.namespace, send)??;
    let decided = async || {
        let decided = counts(&node.counters().await?, &b)[0];
        ensure!(decided > 39_000, "{decided}");
        Ok(decided)
    };
    let all = testbed::wait_for("all are decided", CEILING, decided).await?;
    let (mut reported, mut lost) = (0, 0);
    while reported + lost < all {
        match next_event(&mut *events).await? {
            Event::Decided(_) => reported += 1,
            Event::Lost(more) => lost += more,
            other => anyhow::bail!("{other:?}"),
        }
    }
    ensure!(reported + lost == all && reported > 10_000 && lost > 10_000, "{reported} {lost}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_filter_is_there_before_its_ports_and_goes_after_them() -> Result<()> {
    use dataplane::Op;
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    node.vrf(1, 101).port(1, &a);
    guard(&mut node, &a, only(&[]));
    let (id, rules) = node.wanted.filters.pop_first().context("the filter")?;
    let found = node.list().await?;
    let ops = dataplane::diff(&node.wanted, &found, dataplane::Scope::Everything);
    let refused = node.apply(ops).await?;
    ensure!(refused[0].1.contains("there is no filter of a"), "{refused:?}");

    let long = vec![allow(Direction::In, Peer::Any, TCP, &[80]); Filter::MAX_RULES + 1];
    let too_many = node.apply(vec![Op::PutFilter(id.clone(), only(&long))]).await?;
    ensure!(too_many[0].1.contains("256"), "{too_many:?}");
    node.wanted.filters.insert(id.clone(), only(&long[1..]));
    node.reconcile().await?;
    let refused = node.apply(vec![Op::RemoveFilter(id.clone())]).await?;
    ensure!(refused[0].1.contains("port a uses filter of a"), "{refused:?}");
    node.wanted.filters.insert(id, rules);
    node.reconcile().await?;
    node.wanted.filters.clear();
    node.wanted.ports.get_mut(&a.id).context("the port")?.filter = None;
    node.reconcile().await?;
    ensure!(node.counters().await?.rules.is_empty());
    Ok(())
}
