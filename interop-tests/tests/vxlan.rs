//! VXLAN between our nodes and other people's routers: FRR with the kernel's VXLAN device, and FRR with Open
//! vSwitch in user space. Each hears EVPN routes of type 5 from the control node and tells its own.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use arcus_api::v1::{VrfNextHop, VrfTable};
use interop_tests::SmallCloud;
use testbed::evpn::{Attached, EvpnSpec, KernelRouter, SwitchRouter, Way};
use testbed::gateway::BgpPeer;
use testbed::{Bed, Capture, Fabric, Namespace, VxlanFrame, vxlan_frames};
use tokio::time::Instant;

const CEILING: Duration = Duration::from_secs(30);

/// How long a route that is withdrawn may stay where packets are sent by it.
const SOON: Duration = Duration::from_secs(2);

const ASN: u32 = 64512;
const TARGET: &str = "64512:100";
const VNI: u32 = 10100;
const OTHER_VNI: u32 = 0xab_cdef;

const CONTROL_NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const NODES: [(&str, Ipv4Addr); 2] =
    [("node-1", Ipv4Addr::new(10, 0, 1, 1)), ("node-2", Ipv4Addr::new(10, 0, 1, 2))];

const ROUTER: &str = "mx1";
const ROUTER_ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 1);
const ROUTER_MAC: &str = "02:00:5e:00:02:01";

const WORKLOAD: &str = "vm-1";
const WORKLOAD_ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(10, 100, 0, 5)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x100, 0, 0, 0, 0, 5)),
];
const HOST_ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 10)),
];
const SUBNETS: [&str; 2] = ["10.100.0.0/16", "2001:db8:100::/64"];

fn topology(vni: u32) -> String {
    let [v4, v6] = SUBNETS;
    format!(
        "[federation]\nname = \"test\"\n\n\
         [cloud.lab]\nasn = {ASN}\nencapsulations = [\"vxlan\"]\n\n\
         [cloud.lab.control-node.ctl-1]\naddress = \"{CONTROL_NODE}\"\n\n\
         [cloud.lab.nodes]\nprefixes = [\"10.0.1.0/24\"]\n\n\
         [network.blue]\nclouds = [\"lab\"]\nsubnets = [\"{v4}\", \"{v6}\"]\n\
         route-targets = [\"{TARGET}\"]\nvni = {vni}\n\n\
         [gateway.{ROUTER}]\nclouds = [\"lab\"]\naddress = \"{ROUTER_ADDRESS}\"\nasn = 65101\n\
         networks = [\"blue\"]\nfamilies = [\"evpn\"]\nencapsulations = [\"vxlan\"]\n"
    )
}

fn router() -> EvpnSpec {
    let attached = |router: &str, host, prefix_len| {
        Ok::<_, anyhow::Error>(Attached { router: router.parse()?, host, prefix_len })
    };
    let [v4, v6] = HOST_ADDRESSES;
    let networks = [attached("203.0.113.1", v4, 24), attached("2001:db8:113::1", v6, 64)];
    EvpnSpec {
        name: ROUTER.to_owned(),
        address: ROUTER_ADDRESS,
        asn: 65101,
        peers: vec![BgpPeer { address: CONTROL_NODE, asn: ASN }],
        vni: VNI,
        router_mac: ROUTER_MAC.to_owned(),
        route_target: TARGET.to_owned(),
        networks: networks.into_iter().flatten().collect(),
    }
}

async fn raise() -> Result<(SmallCloud, Namespace)> {
    let bed = Bed::fresh("arcus-test")?;
    let mut cloud = SmallCloud::raise(bed, &topology(VNI), CONTROL_NODE, &NODES).await?;
    cloud.add_workload(WORKLOAD, NODES[0].0, "blue", &WORKLOAD_ADDRESSES).await?;
    let outside = cloud.bed().namespace("outside").await?;
    Ok((cloud, outside))
}

/// A node's router's MAC, as its routes tell it: made from its address.
fn mac_of(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("02:5e:{a:02x}:{b:02x}:{c:02x}:{d:02x}")
}

/// The way that a router has to have to a workload of this node.
fn way_to((_, end): (&str, Ipv4Addr)) -> Way {
    Way { end, router_mac: mac_of(end) }
}

/// The node sends packets for the host over VXLAN to the router.
async fn a_node_has_the_routes(cloud: &SmallCloud, node: &str) -> Result<()> {
    cloud
        .bed()
        .wait_for(&format!("{node} has the routes of the router"), CEILING, async || {
            let vrf: VrfTable = cloud.ask(node, &["vrf", "blue"]).await?;
            for host in HOST_ADDRESSES {
                let route = vrf.table.iter().find(|route| route.prefix.contains(&host));
                let route = route.with_context(|| format!("none to {host}: {vrf:?}"))?;
                let [VrfNextHop { to, vni, .. }] = route.next_hops.as_slice() else {
                    anyhow::bail!("{route:?}")
                };
                ensure!(route.programmed, "{route:?}");
                ensure!(*to == ROUTER_ADDRESS.to_string() && *vni == Some(VNI), "{route:?}");
            }
            Ok(())
        })
        .await
}

/// What one side wants of frames that come to it.
struct End {
    address: Ipv4Addr,
    mac: String,
    vni: u32,
}

impl End {
    fn node((_, address): (&str, Ipv4Addr), vni: u32) -> Self {
        Self { address, mac: mac_of(address), vni }
    }

    fn router() -> Self {
        Self { address: ROUTER_ADDRESS, mac: ROUTER_MAC.to_owned(), vni: VNI }
    }
}

/// TCP over both versions of IP, opened by either side, and nothing of it on the underlay but frames inside
/// VXLAN from the one end to the other, with what the receiver has told of itself, and with good checksums.
async fn tcp_goes_over_vxlan(cloud: &SmallCloud, outside: &Namespace, node: &End) -> Result<()> {
    let filter = "udp port 4789 or udp port 6635 or ip proto 47 or net 10.100.0.0/16 \
                  or net 203.0.113.0/24 or net 2001:db8::/32";
    let fabric = cloud.fabric().namespace();
    let capture = Capture::start(cloud.bed(), fabric, &Fabric::port(ROUTER), filter).await?;
    let workload = cloud.workload(WORKLOAD)?;
    let at = |host| SocketAddr::new(host, 9000);
    let [host4, host6] = HOST_ADDRESSES.map(at);
    let [workload4, workload6] = WORKLOAD_ADDRESSES.map(at);
    tokio::try_join!(
        cloud.transfer(outside, workload, workload4),
        cloud.transfer(outside, workload, workload6),
        cloud.transfer(workload, outside, host4),
        cloud.transfer(workload, outside, host6),
    )?;
    let file = capture.file().to_owned();
    capture.stop().await?;
    frames_are_right(&vxlan_frames(fabric, &file).await?, node)
}

fn frames_are_right(frames: &[VxlanFrame], node: &End) -> Result<()> {
    let router = End::router();
    let mut octets = BTreeMap::<(IpAddr, IpAddr), u64>::new();
    for frame in frames {
        let to_node = frame.outer.1 == node.address;
        let (from, to) = if to_node { (&router, node) } else { (node, &router) };
        ensure!(frame.outer == (from.address, to.address), "{frame:?}");
        ensure!(frame.vni == to.vni, "{frame:?}");
        ensure!(frame.macs == (from.mac.clone(), to.mac.clone()), "{frame:?}");
        *octets.entry(frame.inner).or_default() += frame.tcp_octets.unwrap_or(0);
    }
    // In a second each source has offered 800 kB.
    let pairs = HOST_ADDRESSES.into_iter().zip(WORKLOAD_ADDRESSES);
    let wanted: Vec<_> = pairs.flat_map(|(host, vm)| [(host, vm), (vm, host)]).collect();
    for pair in &wanted {
        let seen = octets.get(pair).copied().unwrap_or(0);
        ensure!(seen > 100_000, "{seen} octets of {pair:?}: {octets:?}");
    }
    ensure!(octets.len() == wanted.len(), "between others, too: {octets:?}");
    Ok(())
}

/// The workload leaves its node, and with it, soon, whatever `is_there` looks at.
async fn leaves_soon(
    cloud: &SmallCloud,
    mut is_there: impl AsyncFnMut() -> Result<bool>,
) -> Result<()> {
    ensure!(is_there().await?, "it was never there");
    let start = Instant::now();
    cloud.remove_workload(WORKLOAD).await?;
    while is_there().await? {
        ensure!(start.elapsed() < CEILING, "it stays\n{}", cloud.bed().logs());
    }
    let elapsed = start.elapsed();
    ensure!(elapsed < SOON, "it stays for {elapsed:?}");
    Ok(())
}

async fn the_kernel_sends_to(
    cloud: &SmallCloud,
    router: &KernelRouter,
    node: (&str, Ipv4Addr),
) -> Result<()> {
    cloud
        .bed()
        .wait_for(&format!("the kernel of the router sends to {}", node.0), CEILING, async || {
            for workload in WORKLOAD_ADDRESSES {
                let ways = router.ways_to(workload).await?;
                ensure!(ways == [way_to(node)], "to {workload}: {ways:?}");
            }
            Ok(())
        })
        .await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn frr_with_the_kernels_vxlan_and_a_node_reach_each_other() -> Result<()> {
    let (mut cloud, outside) = raise().await?;
    let router =
        KernelRouter::start(cloud.bed(), cloud.fabric(), &router(), &outside, &SUBNETS).await?;
    for (number, node) in NODES.into_iter().enumerate() {
        if number > 0 {
            cloud.add_workload(WORKLOAD, node.0, "blue", &WORKLOAD_ADDRESSES).await?;
        }
        a_node_has_the_routes(&cloud, node.0).await?;
        the_kernel_sends_to(&cloud, &router, node).await?;
        tcp_goes_over_vxlan(&cloud, &outside, &End::node(node, VNI)).await.context(node.0)?;
        leaves_soon(&cloud, async || {
            let told = router.frr().vtysh(&["show bgp l2vpn evpn route type prefix"]).await?;
            let mut is_there = false;
            for workload in WORKLOAD_ADDRESSES {
                is_there |= told.contains(&format!("[{workload}]"));
                is_there |= !router.ways_to(workload).await?.is_empty();
            }
            Ok(is_there)
        })
        .await?;
    }
    Ok(())
}

/// The switch has groups for the workload with exactly this VNI.
async fn the_switch_uses(cloud: &SmallCloud, router: &SwitchRouter, vni: u32) -> Result<()> {
    let mark = format!("set_field:{vni:#x}->tun_id");
    cloud
        .bed()
        .wait_for(&format!("the switch uses VNI {vni}"), CEILING, async || {
            let groups = router.switch().ofctl("dump-groups", &[]).await?;
            let found = groups.matches("->tun_id").count();
            ensure!(found == 2 && groups.matches(&mark).count() == 2, "{groups}");
            Ok(())
        })
        .await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn open_vswitch_and_a_node_reach_each_other_over_vxlan() -> Result<()> {
    let (cloud, outside) = raise().await?;
    let (bed, fabric, app) = (cloud.bed(), cloud.fabric(), cloud.app());
    let router = SwitchRouter::start(bed, fabric, &app, &router(), &outside, &SUBNETS).await?;
    a_node_has_the_routes(&cloud, NODES[0].0).await?;
    for vni in [VNI, OTHER_VNI] {
        if vni != VNI {
            cloud.reload(&topology(vni)).await?;
        }
        the_switch_uses(&cloud, &router, vni).await?;
        let node = End::node(NODES[0], vni);
        tcp_goes_over_vxlan(&cloud, &outside, &node).await.with_context(|| format!("VNI {vni}"))?;
    }
    leaves_soon(&cloud, async || {
        let groups = router.switch().ofctl("dump-groups", &[]).await?;
        let flows = router.switch().ofctl("dump-flows", &[]).await?;
        Ok(groups.contains("->tun_id") || flows.contains("group:"))
    })
    .await
}
