//! Gateways against a cloud that is FRR and three Open vSwitches.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::app::AppBinary;
use testbed::gateway::{BgpPeer, BgpSpeaker, Frr, Gateway, GatewaySpec, Switch, VpnInstance};
use testbed::packet::{Packet, Payload};
use testbed::{Bed, Capture, Fabric, Namespace, Process, UPLINK};

const SERVICE: &str = "185.22.97.188";
const CLIENT: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
const CLOUD: Ipv4Addr = Ipv4Addr::new(10, 2, 0, 11);
const CLOUD_ASN: u32 = 64513;
const GATEWAY_ASN: u32 = 64999;
const GATEWAYS: [(&str, Ipv4Addr); 2] =
    [("mx1", Ipv4Addr::new(10, 2, 0, 1)), ("mx2", Ipv4Addr::new(10, 2, 0, 2))];
/// What the web server of a node answers to, on a link of its own.
const WEB_MAC: &str = "02:00:00:00:00:01";

/// A node of the stand-in cloud: a switch with fixed flows, and a web server that holds [`SERVICE`].
struct Node {
    _switch: Switch,
    _web: Process,
}

impl Node {
    async fn start(
        bed: &Bed,
        fabric: &Fabric,
        app: &AppBinary,
        number: u8,
        answers_by: Ipv4Addr,
    ) -> Result<Self> {
        let name = format!("node-{number}");
        let namespace = fabric.unaddressed_node(bed, &name).await?;
        let switch = Switch::start(bed, &namespace, &name).await?;
        switch.add_underlay(Ipv4Addr::new(10, 2, 1, 10 + number)).await?;
        let web = workload(bed, &namespace, &format!("web-{number}")).await?;
        switch.add_lan("lan").await?;
        let label = 20 + number;
        let inbound = format!(
            "in_port=10,dl_type=0x8847,mpls_label={label},\
             actions=pop_mpls:0x0800,set_field:{WEB_MAC}->eth_dst,output:20"
        );
        let outbound = format!(
            "in_port=20,ip,actions=push_mpls:0x8847,set_field:3000->mpls_label,\
             set_field:{answers_by}->tun_dst,output:10"
        );
        switch.ofctl("add-flow", &[&inbound]).await?;
        switch.ofctl("add-flow", &[&outbound]).await?;
        let args = app.args(&["web", "--name", &format!("web-{number}")]);
        let web = bed.start(&web, &format!("web-{number}"), app.program(), args)?;
        Ok(Self { _switch: switch, _web: web })
    }
}

async fn workload(bed: &Bed, node: &Namespace, name: &str) -> Result<Namespace> {
    let web = bed.namespace(name).await?;
    node.ip(&format!(
        "link add lan mtu 1400 type veth peer name eth0 mtu 1400 netns {}",
        web.name()
    ))
    .await?;
    node.ip("link set dev lan up").await?;
    node.offload_off("lan").await?;
    web.ip(&format!("link set dev eth0 address {WEB_MAC} up")).await?;
    web.offload_off("eth0").await?;
    web.ip(&format!("addr add {SERVICE}/32 dev eth0")).await?;
    web.ip("neigh replace 169.254.0.1 lladdr 00:00:5e:00:01:00 dev eth0").await?;
    web.ip("route replace default via 169.254.0.1 dev eth0 onlink").await?;
    Ok(web)
}

/// What a control node of the cloud would say: one address, three nodes, three labels.
fn cloud() -> BgpSpeaker {
    let instance = |number: u8| VpnInstance {
        name: format!("node-{number}"),
        rd: format!("10.2.1.{}:1", 10 + number),
        route_target: "64512:900".to_owned(),
        label: u32::from(20 + number),
        next_hop: Ipv4Addr::new(10, 2, 1, 10 + number),
        networks: vec![format!("{SERVICE}/32")],
    };
    BgpSpeaker {
        name: "cloud".to_owned(),
        asn: CLOUD_ASN,
        router_id: CLOUD,
        peers: GATEWAYS.iter().map(|(_, a)| BgpPeer { address: *a, asn: GATEWAY_ASN }).collect(),
        instances: (1..=3).map(instance).collect(),
    }
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_client_outside_is_spread_over_three_nodes_and_answered_by_either_gateway() -> Result<()>
{
    let bed = Bed::new("arcus-test")?;
    let app = AppBinary::new(env!("CARGO_BIN_EXE_bed-app"), &[]);
    let fabric = bed.fabric().await?;
    let cloud_node = fabric.node(&bed, "cloud", CLOUD).await?;
    let frr = Frr::start(&bed, &cloud_node, &cloud()).await?;
    let [(_, mx1), (_, mx2)] = GATEWAYS;
    let mut nodes = Vec::new();
    for (number, answers_by) in [(1, mx1), (2, mx2), (3, mx2)] {
        nodes.push(Node::start(&bed, &fabric, &app, number, answers_by).await?);
    }

    let outside = bed.namespace("outside").await?;
    let mut gateways = Vec::new();
    for (name, address) in GATEWAYS {
        let spec = GatewaySpec {
            name: name.to_owned(),
            address,
            asn: GATEWAY_ASN,
            peers: vec![BgpPeer { address: CLOUD, asn: CLOUD_ASN }],
            route_target: "64512:900".to_owned(),
            label: 3000,
        };
        gateways.push(Gateway::start(&bed, &fabric, &app, &spec, &outside).await?);
    }
    Gateway::route_from_outside(&outside, "185.22.97.0/24", CLIENT, &["mx1", "mx2"]).await?;

    for gateway in &mut gateways {
        bed.wait_for("the flows follow the table", Duration::from_secs(20), async || {
            let log = gateway.follower().output();
            let programs = "10.2.1.11 label 21; 10.2.1.12 label 22; 10.2.1.13 label 23;";
            let has_own = log.contains("label 3000;");
            ensure!(log.contains(programs) && has_own, "the follower said: {log}");
            Ok(())
        })
        .await?;
    }

    let capture = Capture::start(&bed, gateways[0].namespace(), UPLINK, "ip proto 47").await?;
    let answers = fetch(&bed, &app, &outside, 60).await?;
    let names: BTreeSet<&str> = answers.lines().collect();
    assert_eq!(names, BTreeSet::from(["web-1", "web-2", "web-3"]));
    let packets = capture.stop().await?;
    assert_encapsulated(&packets, mx1)?;

    // A route that goes away takes its share of the clients with it, and nothing else.
    frr.configure(
        &["router bgp 64513 vrf node-2", "address-family ipv4 unicast"],
        "no network 185.22.97.188/32",
    )
    .await?;
    for gateway in &gateways {
        bed.wait_for("node-2 leaves the group", Duration::from_secs(20), async || {
            let groups = gateway.switch().ofctl("dump-groups", &[]).await?;
            ensure!(!groups.contains("10.2.1.12"), "{groups}");
            ensure!(groups.contains("10.2.1.11") && groups.contains("10.2.1.13"), "{groups}");
            Ok(())
        })
        .await?;
    }
    let answers = fetch(&bed, &app, &outside, 30).await?;
    let names: BTreeSet<&str> = answers.lines().collect();
    assert_eq!(names, BTreeSet::from(["web-1", "web-3"]));
    Ok(())
}

/// New connections until `count` answers came; the first may wait for an ARP of a stand-in node.
async fn fetch(bed: &Bed, app: &AppBinary, outside: &Namespace, count: u32) -> Result<String> {
    let to = format!("{SERVICE}:80");
    let program = app.program().to_str().context("a path that is not UTF-8")?;
    let args = app.args(&["fetch", &to, "--count", &count.to_string()]);
    let mut words = vec![program];
    words.extend(args.iter().map(String::as_str));
    bed.wait_for("every request is answered", Duration::from_secs(30), async || {
        outside.run(&words).await
    })
    .await
}

/// Every packet is MPLS over GRE with one label: one of ours outbound, 3000 inbound.
fn assert_encapsulated(packets: &[Packet], gateway: Ipv4Addr) -> Result<()> {
    let mut labels = BTreeSet::new();
    for packet in packets {
        let Payload::Gre { flags: 0, protocol: 0x8847, mpls: Some(mpls) } = &packet.payload else {
            anyhow::bail!("not MPLS over GRE: {packet}");
        };
        ensure!(mpls.labels.len() == 1 && mpls.labels[0].is_bottom, "{packet}");
        let inner = mpls.inner.as_ref().context("no packet inside")?;
        let is_outbound = packet.source == gateway;
        ensure!(is_outbound || packet.destination == gateway, "{packet}");
        ensure!(
            if is_outbound { inner.source == CLIENT } else { inner.destination == CLIENT },
            "{packet}"
        );
        labels.insert(mpls.labels[0].label);
    }
    assert_eq!(labels, BTreeSet::from([21, 22, 23, 3000]));
    Ok(())
}
