//! VXLAN between our nodes and other people's routers: FRR with the kernel's VXLAN device, and FRR with Open
//! vSwitch in user space. Each hears EVPN routes of type 5 from the control node and tells its own.

use std::collections::{BTreeMap, BTreeSet};
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
/// Towards the host.
const ROUTER_INSIDE: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 1)),
];
const HOST_ADDRESSES: [IpAddr; 2] = [
    IpAddr::V4(Ipv4Addr::new(203, 0, 113, 10)),
    IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 0x113, 0, 0, 0, 0, 10)),
];
const SUBNETS: [&str; 2] = ["10.100.0.0/16", "2001:db8:100::/64"];

const OTHER_WORKLOAD: &str = "vm-2";
const OTHER_ADDRESS: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 100, 0, 6));
/// Of both workloads.
const SERVICE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 101, 0, 1));
const SERVICES: &str = "10.101.0.0/24";

fn topology(vni: u32) -> String {
    let [v4, v6] = SUBNETS;
    format!(
        "[federation]\nname = \"test\"\n\n\
         [cloud.lab]\nasn = {ASN}\nencapsulations = [\"vxlan\"]\n\n\
         [cloud.lab.control-node.ctl-1]\naddress = \"{CONTROL_NODE}\"\n\n\
         [cloud.lab.nodes]\nprefixes = [\"10.0.1.0/24\"]\n\n\
         [network.blue]\nclouds = [\"lab\"]\nsubnets = [\"{v4}\", \"{v6}\"]\n\
         service-subnets = [\"{SERVICES}\"]\n\
         route-targets = [\"{TARGET}\"]\nvni = {vni}\n\n\
         [gateway.{ROUTER}]\nclouds = [\"lab\"]\naddress = \"{ROUTER_ADDRESS}\"\nasn = 65101\n\
         networks = [\"blue\"]\nfamilies = [\"evpn\"]\nencapsulations = [\"vxlan\"]\n"
    )
}

fn router() -> EvpnSpec {
    let sides = ROUTER_INSIDE.into_iter().zip(HOST_ADDRESSES).zip([24, 64]);
    let networks =
        sides.map(|((router, host), prefix_len)| Attached { router, host, prefix_len }).collect();
    EvpnSpec {
        name: ROUTER.to_owned(),
        address: ROUTER_ADDRESS,
        asn: 65101,
        peers: vec![BgpPeer { address: CONTROL_NODE, asn: ASN }],
        vni: VNI,
        router_mac: ROUTER_MAC.to_owned(),
        route_target: TARGET.to_owned(),
        networks,
    }
}

async fn raise() -> Result<(SmallCloud, Namespace)> {
    let bed = Bed::fresh("arcus-test")?;
    let cloud = SmallCloud::raise(bed, &topology(VNI), CONTROL_NODE, &NODES).await?;
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
    let capture = capture(cloud).await?;
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
    let octets = octets_of(&frames(cloud, capture).await?, std::slice::from_ref(node))?;
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

/// Begins to capture what is between the router and the others, but for BGP and ARP: whatever encapsulation
/// it has, or none.
async fn capture(cloud: &SmallCloud) -> Result<Capture> {
    let filter = "udp or ip proto 47 or ip6 or src net 10.100.0.0/15 or dst net 10.100.0.0/15 \
                  or host 203.0.113.10";
    let (bed, fabric) = (cloud.bed(), cloud.fabric().namespace());
    Capture::start(bed, fabric, &Fabric::port(ROUTER), filter).await
}

async fn frames(cloud: &SmallCloud, capture: Capture) -> Result<Vec<VxlanFrame>> {
    let file = capture.file().to_owned();
    capture.stop().await?;
    vxlan_frames(cloud.fabric().namespace(), &file).await
}

/// Octets of TCP by their addresses, of frames that are all between the router and one of `nodes`.
fn octets_of(frames: &[VxlanFrame], nodes: &[End]) -> Result<BTreeMap<(IpAddr, IpAddr), u64>> {
    let router = End::router();
    let mut octets = BTreeMap::new();
    for frame in frames {
        let (source, destination) = frame.outer;
        let node = nodes.iter().find(|node| [source, destination].contains(&node.address));
        let node = node.with_context(|| format!("of no node: {frame:?}"))?;
        let to_node = destination == node.address;
        let (from, to) = if to_node { (&router, node) } else { (node, &router) };
        ensure!(frame.outer == (from.address, to.address), "{frame:?}");
        ensure!(frame.vni == to.vni, "{frame:?}");
        ensure!(frame.macs == (from.mac.clone(), to.mac.clone()), "{frame:?}");
        *octets.entry(frame.inner).or_default() += frame.tcp_octets.unwrap_or(0);
    }
    Ok(octets)
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
    for node in NODES {
        cloud.add_workload(WORKLOAD, node.0, "blue", &WORKLOAD_ADDRESSES, &[]).await?;
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

/// Who answers under the service's address, of so many connections as make it sure that all do.
async fn who_answers(cloud: &SmallCloud, outside: &Namespace) -> Result<BTreeSet<String>> {
    let answers = cloud.fetch(outside, SocketAddr::new(SERVICE, 80), 40).await?;
    Ok(answers.into_iter().collect())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn frr_spreads_a_service_over_two_nodes() -> Result<()> {
    let (mut cloud, outside) = raise().await?;
    let (bed, fabric) = (cloud.bed(), cloud.fabric());
    let far = [SUBNETS[0], SERVICES];
    let router = KernelRouter::start(bed, fabric, &router(), &outside, &far).await?;
    let workloads = [(WORKLOAD, WORKLOAD_ADDRESSES[0]), (OTHER_WORKLOAD, OTHER_ADDRESS)];
    let service = ["--service", &format!("blue/{SERVICE}:80=8080")];
    let mut webs = Vec::new();
    for ((workload, address), node) in workloads.into_iter().zip(NODES) {
        cloud.add_workload(workload, node.0, "blue", &[address], &service).await?;
        webs.push(cloud.serve(workload, SocketAddr::new(address, 8080))?);
        a_node_has_the_routes(&cloud, node.0).await?;
    }
    cloud
        .bed()
        .wait_for("the kernel of the router has two ways", CEILING, async || {
            let ways = router.ways_to(SERVICE).await?;
            ensure!(ways == NODES.map(way_to), "{ways:?}");
            Ok(())
        })
        .await?;
    let capture = capture(&cloud).await?;
    let names = who_answers(&cloud, &outside).await?;
    ensure!(names == [WORKLOAD, OTHER_WORKLOAD].map(str::to_owned).into(), "{names:?}");
    let frames = frames(&cloud, capture).await?;
    let octets = octets_of(&frames, &NODES.map(|node| End::node(node, VNI)))?;
    let [host, _] = HOST_ADDRESSES;
    ensure!(octets.keys().eq(&[(SERVICE, host), (host, SERVICE)]), "{octets:?}");

    leaves_soon(&cloud, async || Ok(router.ways_to(SERVICE).await?.contains(&way_to(NODES[0]))))
        .await?;
    let names = who_answers(&cloud, &outside).await?;
    ensure!(names == [OTHER_WORKLOAD.to_owned()].into(), "{names:?}");
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

/// The network gets another VNI while octets are on their way in both directions; all of them arrive.
async fn becomes(cloud: &SmallCloud, outside: &Namespace, vni: u32) -> Result<()> {
    let workload = cloud.workload(WORKLOAD)?;
    let topology = topology(vni);
    let (there, back) = (WORKLOAD_ADDRESSES[0], HOST_ADDRESSES[0]);
    tokio::try_join!(
        cloud.transfer(outside, workload, SocketAddr::new(there, 9000)),
        cloud.transfer(workload, outside, SocketAddr::new(back, 9000)),
        cloud.reload(&topology),
    )
    .map(drop)
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn open_vswitch_and_a_node_reach_each_other_over_vxlan() -> Result<()> {
    let (mut cloud, outside) = raise().await?;
    cloud.add_workload(WORKLOAD, NODES[0].0, "blue", &WORKLOAD_ADDRESSES, &[]).await?;
    let (bed, fabric, app) = (cloud.bed(), cloud.fabric(), cloud.app());
    let router = SwitchRouter::start(bed, fabric, &app, &router(), &outside, &SUBNETS).await?;
    a_node_has_the_routes(&cloud, NODES[0].0).await?;
    for vni in [VNI, OTHER_VNI] {
        if vni != VNI {
            becomes(&cloud, &outside, vni).await.context("while it becomes another one")?;
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
