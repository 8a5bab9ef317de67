//! The node itself: whether it is alive, what it may open, what a port may send, and its uplinks.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use dataplane::{DropReason, Mac};
use dataplane_scenes::packet::{Frame, Macs};
use nix::sys::socket::{MsgFlags, sendto};
use socket2::{Domain, Protocol, Socket, Type};

use testbed::{Fabric, UPLINK};

use crate::hosts::{answer_udp, ask};
use crate::world::{CEILING, Node, Workload, World, echo, greeting, inside};

const ECHO: u16 = 3785;

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn who_may_ask_whether_the_node_is_alive_hears_it_also_without_an_agent() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let asker = world.fabric.node(&world.bed, "ctl", Ipv4Addr::new(10, 0, 0, 99)).await?;
    let stranger = world.fabric.node(&world.bed, "other", Ipv4Addr::new(10, 0, 0, 98)).await?;
    node.wanted.node.probers = [IpAddr::from([10, 0, 0, 99])].into();
    node.reconcile().await?;
    let address = node.address;
    let ask = |namespace| -> Result<bool> {
        let socket = inside(namespace, || UdpSocket::bind((Ipv4Addr::UNSPECIFIED, ECHO)))??;
        socket.set_read_timeout(Some(Duration::from_secs(1)))?;
        socket.connect((address, ECHO))?;
        socket.send(b"are you there?")?;
        let mut back = [0; 64];
        Ok(socket.recv(&mut back).is_ok_and(|length| &back[..length] == b"are you there?"))
    };
    ensure!(ask(&asker)?);
    ensure!(!ask(&stranger)?, "nobody else is answered");
    node.close();
    ensure!(ask(&asker)?, "the agent is gone, the node is not");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn the_node_reaches_ports_that_let_it_and_they_do_not_reach_it() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let open = world.workload("open", [172, 16, 1, 10]).await?;
    let closed = world.workload("closed", [172, 16, 1, 11]).await?;
    node.vrf(1, 101).port(1, &open).port(1, &closed);
    node.wanted.ports.get_mut(&open.id).context("the port")?.host_access = true;
    node.reconcile().await?;
    [&open, &closed].into_iter().try_for_each(|workload| workload.serve(80))?;
    let call = |to: Ipv4Addr| -> Result<bool> {
        let to = SocketAddr::from((to, 80));
        let connect = || TcpStream::connect_timeout(&to, Duration::from_secs(1));
        let Ok(stream) = inside(&node.namespace, connect)? else { return Ok(false) };
        stream.set_read_timeout(Some(CEILING))?;
        let (_, caller) = greeting(&stream)?;
        ensure!(caller == node.address, "it was called by {caller}");
        echo(stream, 1 << 20)?;
        Ok(true)
    };
    ensure!(call(open.address)?);
    node.namespace.run(&["ping", "-c", "1", "-W", "1", &open.address.to_string()]).await?;
    ensure!(!call(closed.address)?);

    let listener = inside(&node.namespace, || TcpListener::bind((node.address, 8080)))??;
    listener.set_nonblocking(true)?;
    ensure!(open.connect(node.address, 8080)?.is_none(), "it opens nothing to its node");
    ensure!(node.drops(DropReason::Denied).await? > 0);
    let mut node = node;
    node.wanted.ports.get_mut(&open.id).context("the port")?.host_access = false;
    node.reconcile().await?;
    let routes = node.namespace.ip("route show").await?;
    ensure!(!routes.contains("172.16.1.10"), "{routes}");
    Ok(())
}

/// Megabits a second of 1,200-octet datagrams from `from`, as fast as it can, that arrive within a second.
fn rate(from: &Workload, to: &Workload) -> Result<f64> {
    let receiver = inside(&to.namespace, || UdpSocket::bind((to.address, 9000)))??;
    receiver.set_read_timeout(Some(Duration::from_millis(200)))?;
    let sender = inside(&from.namespace, || UdpSocket::bind((from.address, 9001)))??;
    sender.connect((to.address, 9000))?;
    let flood = std::thread::spawn(move || {
        let start = Instant::now();
        while start.elapsed() < Duration::from_secs(1) {
            // What is dropped on the way is what is measured.
            drop(sender.send(&[0; 1200]));
        }
    });
    let (mut octets, mut buffer, start) = (0u32, [0; 2048], Instant::now());
    while let Ok(length) = receiver.recv(&mut buffer) {
        octets += u32::try_from(length + 28)?;
    }
    let seconds = start.elapsed().as_secs_f64().min(1.0);
    flood.join().map_err(|_| anyhow::anyhow!("the sender panicked"))?;
    Ok(f64::from(octets) * 8.0 / seconds / 1e6)
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_port_sends_no_more_than_its_bandwidth() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 1, 11]).await?;
    node.vrf(1, 101).port(1, &a).port(1, &b);
    node.wanted.ports.get_mut(&a.id).context("the port")?.bandwidth = Some(20_000_000);
    node.reconcile().await?;
    // On a busy machine one of them may have had no time to send.
    let limited = [rate(&a, &b)?, rate(&a, &b)?, rate(&a, &b)?];
    // A burst of 50 ms comes on top of the second.
    ensure!(limited.iter().all(|rate| *rate < 23.0), "{limited:?} Mbit/s of 20");
    ensure!(limited.iter().any(|rate| *rate > 15.0), "{limited:?} Mbit/s of 20");
    let dropped = node.drops(DropReason::RateLimit).await?;
    ensure!(dropped > 0);
    let free = rate(&b, &a)?;
    let more = node.drops(DropReason::RateLimit).await? - dropped;
    ensure!(free > 0.0 && more == 0, "the other direction has no limit: {free} Mbit/s, {more}");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn with_several_uplinks_the_kernels_routes_choose_at_once() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    // The tunnel address is on loopback, behind two cables.
    let (own, far) = (Ipv4Addr::new(192, 0, 2, 1), Ipv4Addr::new(192, 0, 2, 2));
    let fabric = world.fabric.namespace();
    for (node, number, own) in [(&one, 1, own), (&two, 2, far)] {
        let port = format!("b-{}", Fabric::port(&node.name));
        let name = node.namespace.name();
        fabric.ip(&format!("link add {port} type veth peer name second netns {name}")).await?;
        fabric.ip(&format!("link set dev {port} master br0 up")).await?;
        node.namespace.ip("link set dev second up").await?;
        node.namespace.offload_off("second").await?;
        node.namespace.ip(&format!("addr add 11.0.0.{number}/8 dev second")).await?;
        node.namespace.ip(&format!("addr add {own}/32 dev lo")).await?;
    }
    for (node, own, far, via) in [(&mut one, own, far, 2), (&mut two, far, own, 1)] {
        node.wanted.node.tunnel_v4 = Some(own);
        node.wanted.node.uplinks = vec![UPLINK.to_owned(), "second".to_owned()];
        node.namespace.ip(&format!("route add {far}/32 via 10.0.0.{via} metric 10")).await?;
        node.namespace.ip(&format!("route add {far}/32 via 11.0.0.{via} metric 20")).await?;
        // Answers may come by the other cable.
        for filter in ["all", UPLINK, "second"] {
            let switch = format!("net.ipv4.conf.{filter}.rp_filter=0");
            node.namespace.run(&["sysctl", "-qw", &switch]).await?;
        }
    }
    one.address = own;
    two.address = far;
    let (to_one, to_two) = (one.gre(101), two.udp(202));
    one.vrf(1, 101).port(1, &a).route(1, "172.16.2.0/24", [to_two]);
    two.vrf(1, 202).port(1, &b).route(1, "172.16.1.0/24", [to_one]);
    one.reconcile().await?;
    two.reconcile().await?;
    b.serve(80)?;
    let stream = a.connect(b.address, 80)?.context("b answers")?;
    greeting(&stream)?;
    for node in [&one, &two] {
        node.namespace.ip(&format!("link set dev {UPLINK} down")).await?;
    }
    a.reaches(b.address).await?;
    echo(stream, 1 << 20).context("the connection goes on over the other cable")?;
    Ok(())
}

/// Puts a frame on the wire, to everybody.
fn send_frame(node: &Node, text: &str) -> Result<()> {
    let macs = Macs { from: Mac([2, 0, 0, 0, 0, 0x77]), to: Mac([0xff; 6]) };
    let octets = text.parse::<Frame>()?.octets(macs);
    inside(&node.namespace, || {
        let raw = Socket::new(Domain::PACKET, Type::RAW, Some(Protocol::from(0)))?;
        let interface = nix::ifaddrs::getifaddrs()?
            .filter(|one| one.interface_name == UPLINK)
            .find_map(|one| one.address?.as_link_addr().copied())
            .context("the uplink")?;
        sendto(raw.as_raw_fd(), &octets, &interface, MsgFlags::empty())?;
        Ok(())
    })?
}

/// A VLAN's interface has a program of its own, if it is an uplink, too.
#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_frame_of_a_vlan_is_not_the_uplinks_own() -> Result<()> {
    let world = World::new().await?;
    let (mut one, two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    one.vrf(1, 101).port(1, &a);
    one.reconcile().await?;
    let packet = format!(
        "{} > {} gre mpls 101 {{ 172.16.2.10 > {} reply }}",
        two.address, one.address, a.address
    );
    for (tag, arrives) in [("vlan 100 ", false), ("", true), ("vlan 0 ", true)] {
        let before = one.counters().await?;
        send_frame(&two, &format!("{tag}{packet}"))?;
        // What is not to come has time to come.
        tokio::time::sleep(Duration::from_millis(50)).await;
        let now = one.counters().await?;
        let came = now.ports[&a.id].tx_packets - before.ports[&a.id].tx_packets;
        ensure!(came == u64::from(arrives), "{came} came with `{tag}`");
        ensure!(now.drops == before.drops, "{:?} with `{tag}`", now.drops);
    }
    Ok(())
}

/// A node cannot see what its own sockets have sent, but whom they are connected to.
#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_datagram_that_a_socket_of_the_node_has_asked_for_reaches_it() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    node.vrf(1, 101).port(1, &a);
    node.wanted.ports.get_mut(&a.id).context("the port")?.host_access = true;
    node.reconcile().await?;
    answer_udp(&a.namespace, "a", 53)?;
    for octets in [20, 4000] {
        ask(&node.namespace, 5000, (a.address, 53).into(), octets)?;
    }
    ensure!(node.drops(DropReason::Denied).await? == 0);
    // Who serves is asked for by nobody, and who is connected only by that one.
    let serves = inside(&node.namespace, || UdpSocket::bind((node.address, 7000)))??;
    let connected = inside(&node.namespace, || UdpSocket::bind((node.address, 7001)))??;
    connected.connect((a.address, 54))?;
    for (denied, port) in (1..).zip([7000, 7001]) {
        let stranger = inside(&a.namespace, || UdpSocket::bind((a.address, 0)))??;
        stranger.send_to(b"let me in", (node.address, port))?;
        ensure!(node.drops(DropReason::Denied).await? == denied, "port {port}");
    }
    drop(serves);
    Ok(())
}
