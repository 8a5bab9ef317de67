//! What becomes of connections: when rules change, the agent restarts, addresses are translated, and
//! when somebody floods.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddrV4, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use aya::maps::{HashMap, Map, MapData};
use dataplane::{Direction, DropReason, NextHop, Peer, Protocol, TranslationKind, Verdict, VrfId};
use rustix::net::{AddressFamily, SendFlags, SocketType, ipproto, sendto, socket};

use crate::filters::{TCP, UDP, allow, filter, guard, net, only, pings};
use crate::services::service;
use crate::world::{CEILING, Node, Workload, World, greeting, inside};

/// A connection, both ends held here.
struct Stream {
    client: TcpStream,
    server: TcpStream,
}

impl Stream {
    fn open(from: &Workload, to: &Workload, port: u16) -> Result<Self> {
        let listener = inside(&to.namespace, || TcpListener::bind((to.address, port)))??;
        let client = from.connect(to.address, port)?.context("nobody answers")?;
        let (server, _) = listener.accept()?;
        server.set_read_timeout(Some(CEILING))?;
        Ok(Self { client, server })
    }

    /// The server says something first: that is an answer, and no rule allows it.
    fn both_speak(&mut self) -> Result<()> {
        let mut heard = [0; 5];
        self.server.write_all(b"hello")?;
        self.client.read_exact(&mut heard).context("the client hears nothing")?;
        self.client.write_all(b"thank")?;
        self.server.read_exact(&mut heard).context("the server hears nothing")?;
        Ok(())
    }

    fn is_cut(&mut self) -> Result<()> {
        for (from, to) in [(&self.client, &self.server), (&self.server, &self.client)] {
            to.set_read_timeout(Some(Duration::from_millis(600)))?;
            (&mut &*from).write_all(b"still there?")?;
            ensure!((&mut &*to).read(&mut [0; 16]).is_err(), "it goes on");
        }
        Ok(())
    }
}

async fn pair(world: &World) -> Result<(Node, Workload, Workload)> {
    let mut node = world.node(1).await?;
    let client = world.workload("client", [172, 16, 1, 10]).await?;
    let server = world.workload("server", [172, 16, 1, 11]).await?;
    node.vrf(1, 101).port(1, &client).port(1, &server);
    Ok((node, client, server))
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_connection_survives_rules_that_allow_it_and_ends_with_those_that_do_not() -> Result<()> {
    let world = World::new().await?;
    let (mut node, client, server) = pair(&world).await?;
    let web = allow(Direction::In, Peer::Any, TCP, &[80]);
    let other = allow(Direction::In, Peer::Any, UDP, &[53]);
    guard(&mut node, &server, only(std::slice::from_ref(&web)));
    // Both ends have one, and the connection needs both.
    guard(&mut node, &client, only(&[allow(Direction::Out, net("172.16.1.11"), TCP, &[80])]));
    node.reconcile().await?;
    let mut stream = Stream::open(&client, &server, 80)?;
    stream.both_speak()?;

    guard(&mut node, &server, only(&[other.clone(), web.clone()]));
    node.reconcile().await?;
    stream.both_speak()?;
    // By prefix instead of by nothing.
    guard(&mut node, &server, only(&[allow(Direction::In, net("172.16.1.8/29"), TCP, &[1, 80])]));
    node.reconcile().await?;
    stream.both_speak()?;
    // The agent is another one, and the maps are the same.
    node.close();
    node.open().await?;
    ensure!(node.list().await? == node.wanted && node.reconcile().await? == 0);
    stream.both_speak()?;
    // Without a filter everything passes; with one again, too.
    let filters = node.wanted.filters.clone();
    node.wanted.ports.values_mut().for_each(|port| port.filter = None);
    node.reconcile().await?;
    stream.both_speak()?;
    for (workload, id) in [(&client, "of client"), (&server, "of server")] {
        let filter = filters[&dataplane::FilterId(id.to_owned())].clone();
        guard(&mut node, workload, filter);
    }
    node.reconcile().await?;
    stream.both_speak()?;

    guard(&mut node, &server, only(&[other]));
    node.reconcile().await?;
    stream.is_cut()?;
    ensure!(node.drops(DropReason::Denied).await? > 1);
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn errors_about_a_connection_pass_and_others_need_a_rule() -> Result<()> {
    let world = World::new().await?;
    let (mut node, client, server) = pair(&world).await?;
    guard(&mut node, &client, filter(&[], Verdict::Deny, Verdict::Allow));
    node.reconcile().await?;
    // Nobody listens: "port unreachable" comes in, and no rule allows ICMP.
    let refused = client.ask_udp(26_000, server.address, 9).expect_err("nobody listens");
    ensure!(format!("{refused:#}").contains("refused"), "{refused:#}");
    ensure!(node.drops(DropReason::Denied).await? == 0);

    // The same error without the question.
    let mut error = vec![3, 3, 0, 0, 0, 0, 0, 0, 0x45, 0, 0, 31, 0, 0, 0x40, 0, 64, UDP, 0, 0];
    error.extend(client.address.octets());
    error.extend(server.address.octets());
    error.extend([0x65, 0x91, 0, 9, 0, 11, 0, 0]);
    let sum = !checksum(&error, 0);
    error[2..4].copy_from_slice(&sum.to_be_bytes());
    let send = || {
        let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP))?;
        sendto(&raw, &error, SendFlags::empty(), &SocketAddrV4::new(client.address, 0))?;
        anyhow::Ok(())
    };
    inside(&server.namespace, send)??;
    let denied = async || {
        let denied = node.drops(DropReason::Denied).await?;
        ensure!(denied == 1, "{denied}");
        Ok(())
    };
    testbed::wait_for("the error is denied", CEILING, denied).await?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn fragments_follow_their_first() -> Result<()> {
    let world = World::new().await?;
    let (mut node, client, server) = pair(&world).await?;
    guard(&mut node, &server, only(&[allow(Direction::In, Peer::Any, 1, &[8])]));
    node.reconcile().await?;
    let large = ["-s", "6000", "-M", "dont"];
    ensure!(pings(&client, server.address.into(), &large).await?);
    ensure!(node.drops(DropReason::Denied).await? == 0);
    guard(&mut node, &server, only(&[]));
    node.reconcile().await?;
    ensure!(!pings(&client, server.address.into(), &large).await?);
    ensure!(node.drops(DropReason::Denied).await? == 5, "all five of them");
    Ok(())
}

/// The rule of the article: nginx may use leonardo's service, and nothing else.
#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn nginx_uses_leonardos_service_and_leonardo_opens_nothing_to_nginx() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let nginx = world.workload("nginx", [172, 16, 1, 10]).await?;
    let leonardo = world.workload("leonardo", [172, 16, 2, 11]).await?;
    let address = [10, 254, 98, 15];
    one.vrf(1, 101).port(1, &nginx);
    two.vrf(2, 202).port(2, &leonardo);
    let (to_one, to_two) = (one.gre(101), two.gre(202));
    one.route(1, "10.254.98.15/32", [to_two.clone()]).route(1, "172.16.2.0/24", [to_two]);
    two.route(2, "172.16.1.0/24", [to_one]);
    two.translation(2, address, service(&[(Protocol::Tcp, 80, 8080)], &[&leonardo]));
    guard(&mut one, &nginx, only(&[allow(Direction::Out, net("10.254.98.15"), TCP, &[80])]));
    // The backend sees its own port called, by the client's own address.
    guard(
        &mut two,
        &leonardo,
        filter(
            &[allow(Direction::In, net("172.16.1.0/24"), TCP, &[8080])],
            Verdict::Deny,
            Verdict::Allow,
        ),
    );
    one.reconcile().await?;
    two.reconcile().await?;
    leonardo.serve(8080)?;
    nginx.serve(80)?;
    let stream = nginx.connect(address.into(), 80)?.context("the service answers")?;
    ensure!(greeting(&stream)? == ("leonardo".to_owned(), nginx.address));
    crate::world::echo(stream, 1 << 20)?;
    ensure!(two.drops(DropReason::Denied).await? == 0);
    // Not the pod itself, and not the other way round, from the port of the service neither.
    ensure!(nginx.connect(leonardo.address, 8080)?.is_none());
    ensure!(leonardo.connect(nginx.address, 80)?.is_none());
    ensure!(
        two.drops(DropReason::Denied).await? == 0,
        "nginx's filter has said it, not leonardo's"
    );
    ensure!(!pings(&leonardo, nginx.address.into(), &[]).await?);
    ensure!(one.drops(DropReason::Denied).await? > 2);
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_filter_sees_what_its_workload_sees_of_a_floating_address() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let pod = world.workload("pod", [172, 16, 2, 11]).await?;
    let outside = world.workload("outside", [203, 0, 113, 10]).await?;
    let floating = Ipv4Addr::from([185, 22, 97, 188]);
    node.vrf(1, 101).vrf(9, 109).port(1, &pod).port(9, &outside);
    let kind = TranslationKind::Floating { ports: [pod.id.clone()].into(), exclusive: true };
    node.translation(9, floating.octets(), kind);
    let outsides = [
        allow(Direction::In, net("185.22.97.188"), TCP, &[80]),
        allow(Direction::Out, net("185.22.97.188"), TCP, &[22]),
    ];
    guard(&mut node, &outside, only(&outsides));
    let pods = [
        allow(Direction::Out, net("203.0.113.10"), TCP, &[80]),
        allow(Direction::In, net("203.0.113.0/24"), TCP, &[22]),
    ];
    guard(&mut node, &pod, only(&pods));
    node.reconcile().await?;
    outside.serve(80)?;
    [22, 23].into_iter().try_for_each(|port| pod.serve(port))?;
    ensure!(pod.call(outside.address, 80)? == ("outside".to_owned(), floating));
    ensure!(outside.call(floating, 22)? == ("pod".to_owned(), outside.address));
    ensure!(node.drops(DropReason::Denied).await? == 0);
    ensure!(outside.connect(floating, 23)?.is_none());
    Ok(())
}

fn checksum(octets: &[u8], start: u32) -> u16 {
    let pairs = octets
        .chunks(2)
        .map(|pair| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or_default()));
    let sum = pairs.fold(start, |sum, pair| sum + pair);
    let folded = (sum & 0xffff) + (sum >> 16);
    u16::try_from((folded & 0xffff) + (folded >> 16)).unwrap_or_default()
}

/// A SYN as it should be.
fn syn(from: Ipv4Addr, from_port: u16, to: Ipv4Addr, port: u16) -> [u8; 20] {
    let mut header = [0; 20];
    header[0..2].copy_from_slice(&from_port.to_be_bytes());
    header[2..4].copy_from_slice(&port.to_be_bytes());
    header[4..8].copy_from_slice(&[9; 4]);
    header[12] = 5 << 4;
    header[13] = 2;
    header[14..16].copy_from_slice(&[0xff, 0xff]);
    let pseudo = [&from.octets()[..], &to.octets(), &[0, TCP, 0, 20]].concat();
    let sum = !checksum(&header, u32::from(checksum(&pseudo, 0)));
    header[16..18].copy_from_slice(&sum.to_be_bytes());
    header
}

/// Of `struct connection` in `bpf/layout.h`.
const STATE: usize = 19;
const BOTH_FINS: u8 = 0x0c;
const RESET: u8 = 0x10;

type Table = HashMap<MapData, [u8; 44], [u8; 20]>;

/// A pinned table of a node.
fn table(node: &Node, name: &str) -> Result<Table> {
    let pins = node.options.bpffs.join("arcus").join(&node.options.instance).join("v3/maps");
    let map = MapData::from_pin(pins.join(name))?;
    Ok(Table::try_from(Map::LruHashMap(map))?)
}

fn entries(node: &Node, name: &str) -> Result<usize> {
    Ok(table(node, name)?.keys().flatten().count())
}

/// Makes all that a node remembers of connections older.
fn pass_time(node: &Node, seconds: u32) -> Result<()> {
    for name in ["connections", "new_connections"] {
        let mut table = table(node, name)?;
        let keys: Vec<_> = table.keys().flatten().collect();
        for key in keys {
            let mut value = table.get(&key, 0)?;
            // Behind generation, revision and counter.
            let seen = value[12..16].try_into().map(u32::from_ne_bytes)?;
            value[12..16].copy_from_slice(&seen.wrapping_sub(seconds).to_ne_bytes());
            table.insert(key, value, 0)?;
        }
    }
    Ok(())
}

fn send_tcp(from: &Workload, to: &Workload, header: &[u8]) -> Result<()> {
    inside(&from.namespace, || {
        let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::TCP))?;
        sendto(&raw, header, SendFlags::empty(), &SocketAddrV4::new(to.address, 0))?;
        Ok(())
    })?
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_flood_of_openings_takes_no_more_than_its_place_and_harms_no_connection() -> Result<()> {
    const SYNS: u32 = 200_000;
    let world = World::new().await?;
    let (mut node, client, server) = pair(&world).await?;
    let flooder = world.workload("flooder", [172, 16, 1, 12]).await?;
    node.port(1, &flooder);
    guard(&mut node, &server, only(&[allow(Direction::In, Peer::Any, TCP, &[80, 99])]));
    node.reconcile().await?;
    let mut streams: Vec<_> =
        (80..90).map(|port| Stream::open(&client, &server, port)).collect::<Result<_>>()?;
    streams.iter_mut().try_for_each(Stream::both_speak)?;
    server.serve(95)?;

    let flood = || -> Result<()> {
        let raw = socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::TCP))?;
        for n in 0..SYNS {
            let (from_port, port) =
                (u16::try_from(1024 + n % 60_000)?, u16::try_from(93 + n / 60_000)?);
            let octets = syn(flooder.address, from_port, server.address, port);
            sendto(&raw, &octets, SendFlags::empty(), &SocketAddrV4::new(server.address, 0))?;
        }
        Ok(())
    };
    inside(&flooder.namespace, flood)??;
    let sent = node.counters().await?.ports[&flooder.id].rx_packets;
    ensure!(sent >= SYNS.into(), "{sent}");
    let (connections, openings) =
        (entries(&node, "connections")?, entries(&node, "new_connections")?);
    ensure!(connections == 10, "{connections} connections");
    ensure!(openings <= 16_384 && openings > 1_000, "{openings} openings");
    streams.iter_mut().try_for_each(Stream::both_speak)?;
    ensure!(client.call(server.address, 95)?.0 == "server", "new ones are served, too");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_port_of_a_connection_is_not_open_to_the_other_side() -> Result<()> {
    let world = World::new().await?;
    let (mut node, client, server) = pair(&world).await?;
    guard(&mut node, &client, filter(&[], Verdict::Deny, Verdict::Allow));
    node.reconcile().await?;
    let mut stream = Stream::open(&client, &server, 80)?;
    stream.both_speak()?;
    let local = stream.client.local_addr()?.port();
    let denied = node.drops(DropReason::Denied).await?;
    send_tcp(&server, &client, &syn(server.address, 80, client.address, local))?;
    let counted = async || {
        ensure!(node.drops(DropReason::Denied).await? == denied + 1, "not yet");
        Ok(())
    };
    testbed::wait_for("the SYN is denied", CEILING, counted).await?;
    stream.both_speak()?;

    // UDP that it has asked may answer; from another port it may not.
    let bind = |workload: &Workload, port| {
        let socket = inside(&workload.namespace, || UdpSocket::bind((workload.address, port)))??;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        anyhow::Ok(socket)
    };
    let (client_end, server_end, stranger) =
        (bind(&client, 5000)?, bind(&server, 5001)?, bind(&server, 5002)?);
    client_end.send_to(b"who", (server.address, 5001))?;
    let (_, caller) = server_end.recv_from(&mut [0; 8])?;
    stranger.send_to(b"me", caller)?;
    ensure!(client_end.recv_from(&mut [0; 8]).is_err(), "a stranger answers");
    server_end.send_to(b"I", caller)?;
    ensure!(client_end.recv_from(&mut [0; 8]).map_err(|_| anyhow!("no answer"))?.0 == 1);
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn what_is_quiet_for_long_is_over_and_tcp_that_is_open_is_not() -> Result<()> {
    let world = World::new().await?;
    let (mut node, client, server) = pair(&world).await?;
    guard(&mut node, &client, filter(&[], Verdict::Deny, Verdict::Allow));
    node.reconcile().await?;
    let bind = |workload: &Workload, port| {
        let socket = inside(&workload.namespace, || UdpSocket::bind((workload.address, port)))??;
        socket.set_read_timeout(Some(Duration::from_millis(500)))?;
        anyhow::Ok(socket)
    };
    let (client_end, server_end) = (bind(&client, 5000)?, bind(&server, 5001)?);
    let mut stream = Stream::open(&client, &server, 80)?;
    stream.both_speak()?;
    for (quiet, heard) in [(170, true), (190, false)] {
        client_end.send_to(b"who", (server.address, 5001))?;
        let (_, caller) = server_end.recv_from(&mut [0; 8])?;
        pass_time(&node, quiet)?;
        server_end.send_to(b"I", caller)?;
        ensure!(client_end.recv_from(&mut [0; 8]).is_ok() == heard, "after {quiet} seconds");
    }
    pass_time(&node, 7 * 24 * 3600)?;
    stream.both_speak()?;
    // Both say that they end it, and soon nobody may speak any more.
    drop(stream);
    let fin = async || {
        let over = |value: &[u8; 20]| value[STATE] & BOTH_FINS == BOTH_FINS;
        let table = table(&node, "connections")?;
        let values: Vec<_> = table.keys().flatten().map(|key| table.get(&key, 0)).collect();
        ensure!(values.iter().flatten().any(over), "{values:?}");
        Ok(())
    };
    testbed::wait_for("both have ended it", CEILING, fin).await?;
    let connections = entries(&node, "connections")?;
    pass_time(&node, 11)?;
    let mut late = syn(server.address, 80, client.address, 5000);
    late[13] = 0x10;
    send_tcp(&server, &client, &late)?;
    ensure!(entries(&node, "connections")? == connections, "another port's");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_connection_that_is_over_is_another_one_when_it_is_opened_again() -> Result<()> {
    let world = World::new().await?;
    let (mut node, client, server) = pair(&world).await?;
    let web = allow(Direction::In, Peer::Any, TCP, &[80]);
    guard(&mut node, &server, only(&[dataplane::Rule { log: true, ..web }]));
    node.reconcile().await?;
    let mut events = node.events().await?;
    // Nobody listens, so each is answered with a reset.
    for _ in 0..3 {
        send_tcp(&client, &server, &syn(client.address, 4000, server.address, 80))?;
        let event = tokio::time::timeout(CEILING, events.next()).await?;
        ensure!(matches!(&event, dataplane::Event::Decided(one) if one.tuple.source_port == 4000));
        let reset = async || {
            let table = table(&node, "new_connections")?;
            let values: Vec<_> = table.keys().flatten().map(|key| table.get(&key, 0)).collect();
            ensure!(values.iter().flatten().any(|value| value[STATE] & RESET != 0), "{values:?}");
            Ok(())
        };
        testbed::wait_for("it is refused", CEILING, reset).await?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn identities_come_from_the_route_of_the_address_that_the_workload_talks_to() -> Result<()> {
    use dataplane::{Identities, Identity};
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    one.vrf(1, 101).port(1, &a).route(1, "172.16.2.0/24", [two.vxlan(202)]);
    let to_one: Vec<NextHop> = vec![one.vxlan(101)];
    two.vrf(1, 202).port(1, &b).route(1, "172.16.1.0/24", to_one);
    guard(&mut two, &b, only(&[allow(Direction::In, Peer::Identity(Identity(7)), TCP, &[80])]));
    one.reconcile().await?;
    two.reconcile().await?;
    b.serve(80)?;
    ensure!(a.connect(b.address, 80)?.is_none(), "nobody says who it is");
    for (identities, want) in [(&[7][..], true), (&[1, 2, 8], false), (&[1, 7, 9], true)] {
        let table = two.wanted.fib.get_mut(&VrfId(1)).context("a table")?;
        let route = table.get_mut(&"172.16.1.0/24".parse()?).context("the route")?;
        route.identities = Identities::new(identities.iter().copied().map(Identity));
        two.reconcile().await?;
        ensure!(a.connect(b.address, 80)?.is_some() == want, "{identities:?}");
    }
    Ok(())
}
