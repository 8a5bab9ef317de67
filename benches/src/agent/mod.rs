//! How fast a node takes routes: an agent with its eBPF data plane, and a control node that this is.
//!
//! [`control`] speaks BGP, [`node`] starts the agent, [`maps`] looks at what it wrote. Times are from the
//! first octet that is sent until the last entry is right. What is held against limits is CPU time in
//! multiples of a floor that is measured in the same run: the same entries put into a map of the same
//! kind one by one.

mod control;
mod maps;
mod node;

use std::fs::File;
use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use testbed::{Bed, Namespace};

use control::{Control, Routes, Way};
use maps::Maps;
use node::Node;

/// How long anything may take before it counts as never.
const CEILING: Duration = Duration::from_mins(2);

/// Measures an agent and its data plane.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The agent; a release build, or the numbers mean nothing.
    #[arg(long, default_value = "target/release/arcus-vrouter-agent")]
    agent: PathBuf,
    #[arg(long, default_value_t = 100_000)]
    routes: u32,
    /// How often everything is run; medians are shown.
    #[arg(long, default_value_t = 3)]
    runs: usize,
    /// Fail when a step costs more CPU time than so many times the floor.
    #[arg(long, value_name = "TIMES")]
    within: Option<f64>,
}

/// What is done, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Load,
    /// Everything is said once more.
    Repeat,
    Relabel,
    /// All are behind another node.
    Move,
    Withdraw,
}

impl Step {
    const ALL: [Self; 5] = [Self::Load, Self::Repeat, Self::Relabel, Self::Move, Self::Withdraw];

    const fn name(self) -> &'static str {
        match self {
            Self::Load => "load",
            Self::Repeat => "repeat",
            Self::Relabel => "relabel",
            Self::Move => "move",
            Self::Withdraw => "withdraw",
        }
    }
}

/// One step of one run.
#[derive(Debug, Clone, Copy)]
struct Took {
    wall: Duration,
    cpu: Duration,
    /// Octets of the agent's memory afterwards.
    resident: u64,
}

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(args.routes > 0 && args.runs > 0, "nothing to do");
    let bed = Bed::fresh("arcus-bench")?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let (namespace, workload) = runtime.block_on(async {
        let namespace = bed.namespace("node").await?;
        // The underlay: nobody is there, and packets are not what is measured.
        namespace.ip(&format!("link add {} type veth peer name far", node::UPLINK)).await?;
        namespace.ip("link set dev far up").await?;
        namespace.ip(&format!("addr add {}/16 dev {}", node::ADDRESS, node::UPLINK)).await?;
        namespace.ip(&format!("link set dev {} up", node::UPLINK)).await?;
        namespace.ip(&format!("addr add {}/32 dev lo", control::ADDRESS)).await?;
        anyhow::Ok((namespace, bed.namespace("workload").await?))
    })?;
    // The bed ends everything that is in its namespaces; so this thread stays where it is.
    let measured = std::thread::scope(|scope| {
        let inside = || {
            let file = File::open(namespace.path())?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            measure(args, &bed, &namespace, &workload)
        };
        scope.spawn(inside).join().map_err(|_| anyhow!("the measuring thread panicked"))
    });
    measured?
}

fn measure(
    args: &Args,
    bed: &Bed,
    namespace: &Namespace,
    workload: &Namespace,
) -> Result<ExitCode> {
    let floor = median((0..args.runs).map(|_| maps::floor(args.routes)).collect::<Result<_>>()?);
    println!("{} routes; one by one into a map: {} ms", args.routes, millis(floor));
    println!(
        "{:12} {:9} {:>8} {:>8} {:>6} {:>10}",
        "ways", "step", "wall ms", "CPU ms", "floor", "RSS MiB"
    );
    let mut is_good = true;
    for way in Way::ALL {
        let mut runs = Vec::new();
        for _ in 0..args.runs {
            runs.push(once(args, way, bed, namespace, workload)?);
        }
        for (index, step) in Step::ALL.into_iter().enumerate() {
            let of_step = || runs.iter().map(|run| run[index]);
            let wall = median(of_step().map(|took| took.wall).collect());
            let cpu = median(of_step().map(|took| took.cpu).collect());
            let resident = of_step().map(|took| took.resident).max().unwrap_or_default();
            let times = cpu.as_secs_f64() / floor.as_secs_f64();
            println!(
                "{:12} {:9} {:>8} {:>8} {times:>6.1} {:>10}",
                way.name(),
                step.name(),
                millis(wall),
                millis(cpu),
                resident >> 20
            );
            is_good &= args.within.is_none_or(|most| times <= most);
        }
    }
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// All steps with a new agent.
fn once(
    args: &Args,
    way: Way,
    bed: &Bed,
    namespace: &Namespace,
    workload: &Namespace,
) -> Result<Vec<Took>> {
    let mut control = Control::listen()?;
    let node = Node::start(&args.agent, args.routes, bed, namespace)?;
    node.add_port(workload)?;
    control.accept()?;
    let maps = Maps::open(node.instance())?;
    let mut routes = Routes { count: args.routes, way, ..Routes::default() };
    let mut all = Vec::new();
    for step in Step::ALL {
        match step {
            Step::Load | Step::Repeat => {}
            Step::Relabel => routes.labels += 1,
            Step::Move => routes.nodes += 1,
            Step::Withdraw => routes.are_gone = true,
        }
        let octets = routes.encode();
        let before = node.usage()?;
        let began = Instant::now();
        control.send(&octets)?;
        let wall = if step == Step::Repeat {
            // Nothing is to be seen of it in the maps.
            node.wait_until_idle(CEILING)?;
            began.elapsed()
        } else {
            maps.wait(&routes, began, CEILING).with_context(|| step.name())?
        };
        node.wait_until_idle(CEILING)?;
        let after = node.usage()?;
        let cpu = after.cpu().saturating_sub(before.cpu());
        all.push(Took { wall, cpu, resident: after.resident });
    }
    node.purge()?;
    Ok(all)
}

fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all.get(all.len() / 2).copied().unwrap_or_default()
}

fn millis(time: Duration) -> u128 {
    time.as_millis()
}
