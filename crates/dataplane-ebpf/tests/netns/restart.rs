//! What survives the agent, what is repaired, and what is left when everything is taken away.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use aya::programs::{ProgramError, ProgramInfo, SchedClassifier, TcAttachType};
use dataplane::{Dataplane as _, FilterId, NextHop, PortRange, TranslationKind, VrfId};
use dataplane_ebpf::{EbpfPlane, Options};
use testbed::{Bed, Pings, UPLINK};

use crate::filters::random_filter;
use crate::world::{CEILING, Node, Workload, World, inside};

/// Enough to last longer than what happens meanwhile.
const PINGS: u16 = u16::MAX;

/// Tells the test binary, started once more, whose plane to own.
const INSTANCE: &str = "ARCUS_TEST_INSTANCE";

async fn pair(world: &World) -> Result<(Node, Node, Workload, Workload)> {
    let (mut one, mut two) = (world.node(1).await?, world.node(2).await?);
    let a = world.workload("a", [172, 16, 1, 10]).await?;
    let b = world.workload("b", [172, 16, 2, 10]).await?;
    let (to_one, to_two) = (one.gre(101), two.udp(102));
    one.vrf(1, 101).port(1, &a).route(1, "172.16.2.0/24", [to_two]);
    two.vrf(1, 102).port(1, &b).route(1, "172.16.1.10/32", [to_one]);
    one.reconcile().await?;
    two.reconcile().await?;
    a.reaches(b.address).await?;
    Ok((one, two, a, b))
}

/// A train of pings, one each millisecond, that has begun.
async fn start_pings(bed: &Bed, from: &Workload, to: &Workload) -> Result<Pings> {
    let pings = Pings::start(bed, &from.namespace, to.address, PINGS, Duration::from_millis(1))?;
    let started = async || (pings.answered() > 10).then_some(()).context("no pings yet");
    bed.wait_for("pings are answered", CEILING, started).await?;
    Ok(pings)
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_plane_that_is_closed_and_opened_loses_nothing() -> Result<()> {
    closed_and_opened(World::new().await?).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_plane_on_filters_that_is_closed_and_opened_loses_nothing() -> Result<()> {
    closed_and_opened(World::on_filters().await?).await
}

async fn closed_and_opened(world: World) -> Result<()> {
    let (mut one, mut two, a, b) = pair(&world).await?;
    ensure!(!one.was_found(), "there was nothing to find");
    for _ in 0..5 {
        let pings = start_pings(&world.bed, &a, &b).await?;
        for node in [&mut one, &mut two] {
            node.close();
            node.open().await?;
            ensure!(node.was_found());
            ensure!(node.list().await? == node.wanted, "what was left is what was wanted");
            ensure!(node.reconcile().await? == 0, "there was nothing to repair");
        }
        let report = pings.stop().await?;
        ensure!(report.lost.is_empty(), "{report:?}");
    }
    Ok(())
}

/// As if another version, whose maps this one cannot read, had made what is pinned.
fn make_another_version(node: &Node) -> Result<()> {
    let instance = node.options.bpffs.join("arcus").join(&node.options.instance);
    let versions: Vec<_> = fs::read_dir(&instance)?.collect::<Result<_, _>>()?;
    ensure!(versions.len() == 1, "{versions:?}");
    fs::rename(versions[0].path(), instance.join("v0"))?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn another_version_forwards_until_the_maps_of_this_one_are_filled() -> Result<()> {
    upgraded(World::new().await?).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn another_version_on_filters_forwards_until_the_maps_of_this_one_are_filled() -> Result<()> {
    upgraded(World::on_filters().await?).await
}

async fn upgraded(world: World) -> Result<()> {
    let (mut one, mut two, a, b) = pair(&world).await?;
    let pings = start_pings(&world.bed, &a, &b).await?;
    for node in [&mut one, &mut two] {
        node.close();
        make_another_version(node)?;
        node.open().await?;
        ensure!(node.was_found(), "packets flow");
        let found = node.list().await?;
        ensure!(found.fib.is_empty() && found.ports.is_empty(), "of the other version's maps");
        node.reconcile().await?;
    }
    for node in [&one, &two] {
        node.take_over().await?;
        ensure!(node.list().await? == node.wanted);
        let instance = node.options.bpffs.join("arcus").join(&node.options.instance);
        ensure!(!instance.join("v0").exists(), "the other version is gone");
    }
    // Now it is these maps that packets go by.
    let before = one.counters().await?.ports[&a.id].rx_packets;
    a.reaches(b.address).await?;
    ensure!(one.counters().await?.ports[&a.id].rx_packets > before);
    let report = pings.stop().await?;
    ensure!(report.lost.is_empty(), "{report:?}");
    Ok(())
}

/// Not a test of its own: the process that is killed by the one below.
#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn owns_a_plane() -> Result<()> {
    let Ok(instance) = std::env::var(INSTANCE) else { return Ok(()) };
    let mut plane = EbpfPlane::open(&Options::new(instance)).await?;
    plane.list().await?;
    eprintln!("{}", if plane.was_found() { "found its plane" } else { "found nothing" });
    std::future::pending().await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn an_agent_that_is_killed_loses_nothing() -> Result<()> {
    let world = World::new().await?;
    let (mut one, _two, a, b) = pair(&world).await?;
    one.close();
    let pings = start_pings(&world.bed, &a, &b).await?;
    let exe = std::env::current_exe()?;
    for round in 0..3 {
        let args = ["--ignored", "--exact", "restart::owns_a_plane", "--nocapture"];
        let name = format!("agent-{round}");
        let environment = [(INSTANCE, Path::new(&one.options.instance))];
        let bed = &world.bed;
        let mut agent = bed.start_with(&one.namespace, &name, &exe, args, &environment)?;
        let found = async || {
            let said = agent.output();
            said.contains("found its plane").then_some(()).with_context(|| said.clone())
        };
        bed.wait_for("the agent finds its plane", CEILING, found).await?;
        agent.kill().await?;
    }
    let report = pings.stop().await?;
    ensure!(report.lost.is_empty(), "{report:?}");
    one.open().await?;
    ensure!(one.list().await? == one.wanted);
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn what_is_broken_behind_the_planes_back_is_found_and_repaired() -> Result<()> {
    let world = World::new().await?;
    let (one, _two, a, b) = pair(&world).await?;
    let pins = one.options.bpffs.join("arcus").join(&one.options.instance).join("v3/links");
    let host_end = async || -> Result<String> {
        let links = one.namespace.ip("-o link show type veth").await?;
        let mut names = links.split_whitespace().filter(|word| word.starts_with("arc"));
        let name = names.next().with_context(|| links.clone())?;
        Ok(name.split('@').next().unwrap_or_default().to_owned())
    };

    one.namespace.ip(&format!("link del dev {}", host_end().await?)).await?;
    ensure!(one.reconcile().await? == 1);
    a.reaches(b.address).await?;

    one.namespace.ip(&format!("link set dev {} down", host_end().await?)).await?;
    ensure!(one.reconcile().await? == 1);
    a.reaches(b.address).await?;

    let links = fs::read_dir(&pins)?.collect::<Result<Vec<_>, _>>()?;
    // The third is that of the device by which VXLAN is merged; nothing needs it.
    ensure!(links.len() == 3, "{links:?}");
    for link in links {
        fs::remove_file(link.path())?;
    }
    for interface in [UPLINK, &host_end().await?] {
        has_attached(&world.bed, &one, interface, 0).await?;
    }
    ensure!(one.reconcile().await? == 2, "the port and the uplink");
    has_attached(&world.bed, &one, "arcus-vxlan", 1).await?;
    a.reaches(b.address).await?;
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_plane_is_open_once() -> Result<()> {
    let world = World::new().await?;
    let (mut one, _two, a, b) = pair(&world).await?;
    let open = inside(&one.namespace, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(async { EbpfPlane::open(&one.options).await.map(drop) })?;
        anyhow::Ok(())
    })?;
    let refused = open.expect_err("it is open already");
    ensure!(format!("{refused:#}").contains("another process"), "{refused:#}");
    a.reaches(b.address).await?;
    one.close();
    one.open().await?;
    ensure!(one.was_found() && one.reconcile().await? == 0);
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn programs_of_an_earlier_plane_are_swept_from_the_uplink() -> Result<()> {
    renamed(World::new().await?).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_filter_of_an_earlier_plane_is_swept_from_the_uplink() -> Result<()> {
    renamed(World::on_filters().await?).await
}

async fn renamed(world: World) -> Result<()> {
    let mut node = world.node(1).await?;
    node.vrf(1, 101);
    node.reconcile().await?;
    node.close();
    let earlier = node.options.clone();
    node.options.instance.push_str("-renamed");
    world.bed.remove_at_end(node.options.bpffs.join("arcus").join(&node.options.instance))?;
    node.open().await?;
    node.reconcile().await?;
    has_attached(&world.bed, &node, UPLINK, 1).await?;
    purge(&node, &earlier)?;
    has_attached(&world.bed, &node, UPLINK, 1).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_purge_leaves_nothing() -> Result<()> {
    purged(World::new().await?).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_purge_leaves_no_filter() -> Result<()> {
    purged(World::on_filters().await?).await
}

async fn purged(world: World) -> Result<()> {
    let (mut one, mut two, a, b) = pair(&world).await?;
    for node in [&mut one, &mut two] {
        has_attached(&world.bed, node, UPLINK, 1).await?;
        let refused = purge(node, &node.options).expect_err("it is open");
        ensure!(format!("{refused:#}").contains("another process"), "{refused:#}");
        node.close();
        purge(node, &node.options)?;
        ensure!(!node.options.bpffs.join("arcus").join(&node.options.instance).exists());
        has_attached(&world.bed, node, UPLINK, 0).await?;
        let links = node.namespace.ip("-o link show").await?;
        ensure!(links.lines().count() == 2, "lo and the uplink: {links}");
        purge(node, &node.options).context("what is not there is no error")?;
    }
    ensure!(!a.ping(b.address, &[]).await?.0);
    // From nothing again.
    one.open().await?;
    ensure!(!one.was_found());
    one.reconcile().await?;
    Ok(())
}

/// Waits until so many programs of ours are on the interface, and no others. The kernel takes a
/// moment to let go of a link that nothing holds any more.
async fn has_attached(bed: &Bed, node: &Node, interface: &str, count: usize) -> Result<()> {
    let look = async || {
        let names = attached(node, interface).await?;
        let ours = names.iter().filter(|name| name.starts_with("arcus_")).count();
        ensure!((ours, names.len()) == (count, count), "{interface} has {names:?}");
        Ok(())
    };
    bed.wait_for("the programs are as they should be", CEILING, look).await
}

/// Names of the programs on an interface's ingress: those that links hold, and those that filters do.
async fn attached(node: &Node, interface: &str) -> Result<Vec<String>> {
    let name = |program: &ProgramInfo| program.name_as_str().unwrap_or_default().to_owned();
    let linked = inside(&node.namespace, || {
        match SchedClassifier::query_tcx(interface, TcAttachType::Ingress) {
            Ok((_, programs)) => Ok(programs.iter().map(name).collect()),
            // Before Linux 6.6 there are no such links.
            Err(ProgramError::SyscallError(error))
                if error.io_error.kind() == ErrorKind::InvalidInput =>
            {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    })?;
    let mut names = linked?;
    let filters =
        node.namespace.run(&["tc", "filter", "show", "dev", interface, "ingress"]).await?;
    let filters = filters.lines().filter_map(|line| line.split_once(" name ")?.1.split(' ').next());
    names.extend(filters.map(str::to_owned));
    Ok(names)
}

fn purge(node: &Node, options: &Options) -> Result<()> {
    inside(&node.namespace, || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(runtime.block_on(dataplane_ebpf::purge(options))?)
    })?
}

/// The law of the plane in memory, here with maps and interfaces. `reconcile` checks it.
#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn any_state_turns_into_any_other_and_rests() -> Result<()> {
    let world = World::new().await?;
    let mut node = world.node(1).await?;
    let mut workloads = Vec::new();
    for n in 0..3u8 {
        workloads.push(world.workload(&format!("w{n}"), [172, 16, n, 10]).await?);
    }
    let mut dice = Dice(0x2545_f491);
    for step in 0..40 {
        if step % 8 == 7 {
            node.close();
            node.open().await?;
        }
        random_state(&mut node, &workloads, &mut dice);
        node.reconcile().await.with_context(|| format!("step {step}"))?;
        ensure!(node.list().await? == node.wanted, "step {step}");
    }
    Ok(())
}

fn random_state(node: &mut Node, workloads: &[Workload], dice: &mut Dice) {
    node.wanted.vrfs.clear();
    node.wanted.ports.clear();
    node.wanted.fib.clear();
    node.wanted.translations.clear();
    node.wanted.filters.clear();
    for n in 0..dice.roll(3) {
        node.wanted.filters.insert(FilterId(format!("filter-{n}")), random_filter(dice));
    }
    let filters: Vec<_> = node.wanted.filters.keys().cloned().collect();
    let vrfs = 1 + dice.roll(3);
    for vrf in 1..=vrfs {
        // Labels change hands.
        node.vrf(vrf, 100 + (vrf + dice.0 % 3) % 3);
    }
    node.wanted.node.masquerade_ports =
        PortRange::new(50_000, 50_000 + u16::try_from(dice.roll(3)).unwrap_or(0));
    let mut hops =
        vec![NextHop::Discard, NextHop::Masquerade, node.gre(500), node.udp(501), node.gre(502)];
    let mut holders = Vec::new();
    for workload in workloads {
        if dice.roll(3) > 0 {
            node.port(1 + dice.roll(vrfs), workload);
            if let Some(port) = node.wanted.ports.get_mut(&workload.id) {
                port.filter = filters.get(dice.roll(3) as usize).cloned();
            }
            hops.push(NextHop::Port(workload.id.clone()));
            holders.push(workload.id.clone());
        }
    }
    for n in 0..dice.roll(3) {
        let (vrf, address) = (1 + dice.roll(vrfs), [10, 254, 0, u8::try_from(n).unwrap_or(0)]);
        let kind = if dice.roll(2) == 0 {
            TranslationKind::Floating { ports: holders.clone(), exclusive: dice.roll(2) == 0 }
        } else {
            let backend = |port: &dataplane::PortId| dataplane::Backend {
                port: port.clone(),
                target_port: 8080,
            };
            let backends: Vec<_> = holders.iter().map(backend).collect();
            let protocol = if n == 0 { dataplane::Protocol::Tcp } else { dataplane::Protocol::Udp };
            let affinity = Some(60).filter(|_| dice.roll(2) == 0);
            TranslationKind::Service { ports: [((protocol, 80), backends)].into(), affinity }
        };
        node.translation(vrf, address, kind);
        hops.push(NextHop::Translate { vrf: VrfId(vrf), address: address.into() });
    }
    for _ in 0..dice.roll(12) {
        let length = [0, 8, 24, 32][dice.roll(4) as usize];
        let net = format!("10.{}.0.0/{length}", dice.roll(2));
        let net: ipnet::Ipv4Net = net.parse().expect("a prefix");
        let to = (0..=dice.roll(4)).map(|_| hops[dice.roll(hops.len()) as usize].clone());
        let to: Vec<_> = to.collect();
        node.route(1 + dice.roll(vrfs), &net.trunc().to_string(), to);
    }
}

/// Xorshift: the same states on every run.
pub(crate) struct Dice(pub(crate) u32);

impl Dice {
    /// 0 to `sides` - 1.
    pub(crate) fn roll(&mut self, sides: impl TryInto<u32>) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0 % sides.try_into().ok().filter(|sides| *sides > 0).unwrap_or(1)
    }
}
