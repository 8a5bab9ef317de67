//! IPv4 and IPv6 of workloads, over IPv4 and IPv6 of the underlay, in every tunnel.

use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context as _, Result, ensure};
use dataplane::{
    DropReason, Encapsulation, Link, MplsLabel, NextHop, NodeConfig, Tunnel, TunnelHeader, Vni,
};
use testbed::{Capture, Fabric, UPLINK};

use crate::world::{CEILING, Node, Workload, World, inside};

/// The workload's other address.
fn v6(last: u16) -> Ipv6Addr {
    Ipv6Addr::new(0xfd00, 0xa, 0, 0, 0, 0, 0, last)
}

async fn speak_ipv6(node: &mut Node, number: u16) -> Result<()> {
    let address = Ipv6Addr::new(0xfd00, 0xb, 0, 0, 0, 0, 0, number);
    let switch = format!("net.ipv6.conf.{UPLINK}.disable_ipv6=0");
    node.namespace.run(&["sysctl", "-qw", &switch]).await?;
    node.namespace.ip(&format!("addr add {address}/64 dev {UPLINK} nodad")).await?;
    node.wanted.node.tunnel_v6 = Some(address);
    Ok(())
}

/// Gives the port of a workload IPv6, and routes to it.
fn dual_stack(node: &mut Node, vrf: u32, workload: &Workload, last: u16) {
    let port = node.wanted.ports.get_mut(&workload.id).expect("the port");
    let gateway = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
    port.v6 = Some(Link { address: v6(last), prefix_len: 128, gateway });
    node.route(vrf, &format!("{}/128", v6(last)), [NextHop::Port(workload.id.clone())]);
}

fn tunnel(to: &NodeConfig, over: Encapsulation, version: u8, id: u32) -> NextHop {
    let remote = if version == 4 {
        to.tunnel_v4.map(IpAddr::V4).expect("IPv4")
    } else {
        to.tunnel_v6.map(IpAddr::V6).expect("IPv6")
    };
    let label = MplsLabel::new(id).expect("a label");
    let header = match over {
        Encapsulation::MplsOverGre => TunnelHeader::MplsOverGre { label },
        Encapsulation::MplsOverUdp => TunnelHeader::MplsOverUdp { label },
        Encapsulation::Vxlan => {
            TunnelHeader::Vxlan { vni: Vni::new(id).expect("a VNI"), router_mac: to.router_mac }
        }
    };
    NextHop::Tunnel(Tunnel { remote, header })
}

async fn pings(from: &Workload, to: IpAddr, options: &[&str]) -> Result<(bool, String)> {
    let to = to.to_string();
    let words = [&["ping", "-n", "-c", "1", "-W", "2"], options, &[to.as_str()]].concat();
    let output = from.namespace.output(&words).await?;
    Ok((output.status.success(), String::from_utf8_lossy(&output.stdout).into_owned()))
}

fn serve_everywhere(workload: &Workload, port: u16) -> Result<()> {
    let listener =
        inside(&workload.namespace, || TcpListener::bind((Ipv6Addr::UNSPECIFIED, port)))??;
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                if let Ok(mut input) = stream.try_clone() {
                    // The caller may leave in the middle.
                    drop(std::io::copy(&mut input, &mut &stream));
                }
            });
        }
    });
    Ok(())
}

fn echo_over_tcp(from: &Workload, to: SocketAddr, octets: usize) -> Result<()> {
    let connect = || TcpStream::connect_timeout(&to, CEILING);
    let mut stream = inside(&from.namespace, connect)?.with_context(|| format!("{to}"))?;
    stream.set_read_timeout(Some(CEILING))?;
    let data: Vec<u8> = (0..=u8::MAX).cycle().take(octets).collect();
    let (mut output, sent) = (stream.try_clone()?, data.clone());
    let writer = std::thread::spawn(move || output.write_all(&sent));
    let mut back = vec![0; octets];
    stream.read_exact(&mut back).context("the echo stopped")?;
    writer.join().map_err(|_| anyhow::anyhow!("the writer panicked"))??;
    ensure!(back == data, "the echo is not what was sent");
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn both_versions_pass_in_every_tunnel_over_both_versions() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    speak_ipv6(&mut one, 1).await?;
    speak_ipv6(&mut two, 2).await?;
    one.vrf(1, 101).port(1, &a);
    two.vrf(7, 202).port(7, &b);
    dual_stack(&mut one, 1, &a, 1);
    dual_stack(&mut two, 7, &b, 2);
    one.reconcile().await?;
    two.reconcile().await?;
    serve_everywhere(&b, 80)?;
    let wire = Fabric::port("node2");
    for over in Encapsulation::ALL {
        for underlay in [4, 6] {
            let (to_one, to_two) = (
                tunnel(&one.wanted.node, over, underlay, 101),
                tunnel(&two.wanted.node, over, underlay, 202),
            );
            one.route(1, "172.16.2.0/24", [to_two.clone()]).route(1, "fd00:a::/64", [to_two]);
            two.route(7, "172.16.1.0/24", [to_one.clone()]).route(7, "fd00:a::/64", [to_one]);
            one.reconcile().await?;
            two.reconcile().await?;
            let name = format!("{over} over IPv{underlay}");
            let filter = if underlay == 4 { "ip" } else { "ip6" };
            let capture =
                Capture::start(&world.bed, world.fabric.namespace(), &wire, filter).await?;
            let file = capture.file().display().to_string();
            for to in [IpAddr::V4(b.address), IpAddr::V6(v6(2))] {
                let (answered, text) = pings(&a, to, &[]).await?;
                ensure!(answered, "{name}: {to}: {text}");
                echo_over_tcp(&a, (to, 80).into(), 1 << 20).with_context(|| name.clone())?;
            }
            capture.stop().await?;
            let text = a.namespace.run(&["tcpdump", "-nvvr", &file]).await?;
            // Tunnels over IPv6 have no checksum of their own, either (RFC 6935).
            let is_wrong = |line: &&str| {
                line.contains("incorrect")
                    || line.contains("[bad ") && !line.contains("[bad udp cksum 0x0000")
            };
            let wrong = text.lines().find(is_wrong);
            ensure!(wrong.is_none(), "{name}: {wrong:?}");
        }
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_packet_of_ipv6_that_is_too_big_or_too_old_is_answered() -> Result<()> {
    let world = World::new().await?;
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    one.vrf(1, 101).port(1, &a);
    two.vrf(1, 202).port(1, &b);
    dual_stack(&mut one, 1, &a, 1);
    dual_stack(&mut two, 1, &b, 2);
    let (to_one, to_two) = (one.vxlan(101), two.vxlan(202));
    one.route(1, "fd00:a::/64", [to_two]);
    two.route(1, "fd00:a::/64", [to_one]);
    one.reconcile().await?;
    two.reconcile().await?;
    serve_everywhere(&b, 80)?;

    for node in [&one, &two] {
        node.namespace.ip(&format!("link set dev {UPLINK} mtu 1400")).await?;
        ensure!(node.list().await? == node.wanted);
    }
    let (_, text) = pings(&a, v6(2).into(), &["-M", "do", "-s", "1330"]).await?;
    ensure!(text.contains("mtu=1350") || text.contains("mtu = 1350"), "{text}");
    ensure!(one.drops(DropReason::TooBig).await? == 1);
    echo_over_tcp(&a, (IpAddr::V6(v6(2)), 80).into(), 1 << 20)?;
    ensure!(one.drops(DropReason::TooBig).await? == 1, "segments were clamped");

    let (answered, text) = pings(&a, v6(2).into(), &["-t", "1"]).await?;
    ensure!(!answered && text.contains("Hop limit"), "{text}");
    let (answered, text) = pings(&a, "fd00:ffff::1".parse()?, &[]).await?;
    ensure!(!answered && text.contains("No route"), "{text}");
    let gateway = format!("fe80::1%{}", "eth0");
    let words = ["ping", "-n", "-c", "1", "-W", "2", gateway.as_str()];
    let output = a.namespace.output(&words).await?;
    ensure!(output.status.success(), "the gateway answers: {output:?}");
    Ok(())
}
