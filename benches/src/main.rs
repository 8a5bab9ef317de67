//! `arcus-bench`: how fast the reflector is, beside a floor and beside others.
//!
//! [`load`] makes and counts routes, [`bare`] is what everyone is measured by, [`subject`] starts who is
//! measured, [`scenario`] says what is done to them, [`mod@report`] says what came out.
//!
//! All of it runs on loopback addresses of a network namespace of its own.
#![expect(clippy::print_stdout, reason = "a command line that prints its results")]

mod agent;
mod bare;
mod flame;
mod forwarding;
mod load;
mod plan;
mod report;
mod scenario;
mod subject;
mod usage;

use std::fs::File;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, anyhow, ensure};
use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use testbed::{Bed, Namespace};

use crate::report::{Results, aims, chart, compare, page, table};
use crate::scenario::{ALL, Place, Scenario};
use crate::subject::Subject;
use crate::usage::Others;

/// Measures BGP route reflectors side by side.
#[derive(Debug, Parser)]
#[command(name = "arcus-bench")]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run scenarios and print what came out. Needs root: it makes a network namespace.
    Run(Run),
    /// Measure how fast a node takes routes into its data plane. Needs root, as above.
    Agent(agent::Args),
    /// Compare the JSON files of two runs.
    Compare { old: PathBuf, new: PathBuf },
    /// Write the results of a run into the documentation.
    Report(Report),
    /// Measure the eBPF data plane beside plain routing. Needs root.
    Dataplane(forwarding::Args),
    /// Draw a flame graph of what `perf script -F comm,ip,sym` prints into the standard input.
    Flame { svg: PathBuf },
    /// List the scenarios.
    List,
    /// Be one of the bare programs, until killed.
    #[command(hide = true)]
    Bare { which: bare::Which, listen: SocketAddr },
}

#[derive(Debug, clap::Args)]
struct Run {
    /// The sizes that the names speak of, instead of a tenth.
    #[arg(long, conflicts_with = "scale")]
    full: bool,
    /// Part of the full size.
    #[arg(long, default_value_t = 0.1)]
    scale: f64,
    /// How often everything is run; medians are shown.
    #[arg(long, default_value_t = 3)]
    runs: u32,
    /// In how many of these runs rivals take part, who take most of the time; all, if not said.
    #[arg(long)]
    rival_runs: Option<u32>,
    /// Only these scenarios.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Others to run beside ours.
    #[arg(long, value_delimiter = ',')]
    rivals: Vec<Subject>,
    /// Our daemon; a release build, or the numbers mean nothing.
    #[arg(long, default_value = "target/release/arcus-bgpd")]
    bgpd: PathBuf,
    /// Our daemon of another commit, to run beside this one, in turn.
    #[arg(long, value_name = "PROGRAM")]
    before: Option<PathBuf>,
    /// Write the results here, to compare with those of another commit.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Fail when ours costs more than so many times what it aims at, in multiples of the floor, or
    /// says things twice.
    #[arg(long, value_name = "TIMES")]
    within: Option<f64>,
}

#[derive(Debug, clap::Args)]
struct Report {
    /// What `run --json` has written.
    json: PathBuf,
    /// Put tables between the marks of this page.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Draw CPU time as multiples of the floor here.
    #[arg(long, value_name = "FILE")]
    svg: Option<PathBuf>,
}

/// What our beds are called.
const KIND: &str = "arcus-bench";

fn main() -> Result<ExitCode> {
    match Args::parse().command {
        Command::Run(args) => run(&args),
        Command::Agent(args) => agent::run(&args),
        Command::Compare { old, new } => {
            print!("{}", compare::compare(&Results::read(&old)?, &Results::read(&new)?));
            Ok(ExitCode::SUCCESS)
        }
        Command::Dataplane(args) => forwarding::run(&args),
        Command::Report(args) => report(&args).map(|()| ExitCode::SUCCESS),
        Command::Flame { svg } => {
            let (picture, table) = flame::draw(std::io::stdin().lock())?;
            print!("{table}");
            write(&svg, picture).map(|()| ExitCode::SUCCESS)
        }
        Command::List => {
            for scenario in ALL {
                println!("{:17} {}", scenario.name, scenario.about);
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Bare { which, listen } => bare::serve(which, listen).map(|()| ExitCode::SUCCESS),
    }
}

fn run(args: &Run) -> Result<ExitCode> {
    let scenarios = chosen(&args.only)?;
    let scale = if args.full { 1.0 } else { args.scale };
    ensure!(scale > 0.0 && scale <= 1.0, "a scale is above 0 and at most 1");
    let mut subjects = vec![Subject::Floor, Subject::Relay, Subject::Arcus];
    subjects.extend(args.before.is_some().then_some(Subject::Before));
    subjects.extend(
        args.rivals.iter().filter(|rival| !subjects.contains(rival)).copied().collect::<Vec<_>>(),
    );

    raise_descriptors()?;
    let bed = Bed::fresh(KIND)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let namespace = runtime.block_on(async {
        let namespace = bed.namespace("bench").await?;
        // Next hops are nobody's addresses; some daemons want a route to them all the same.
        namespace.ip("route add 10.200.0.0/16 dev lo").await?;
        anyhow::Ok(namespace)
    })?;
    // The bed ends everything that is in its namespaces; so this thread stays where it is.
    let measured = std::thread::scope(|scope| {
        let inside = || {
            // Every thread that is made from here on is in there too.
            let file = File::open(namespace.path())?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            measure(args, scale, &scenarios, &subjects, &bed, &namespace)
        };
        scope.spawn(inside).join().map_err(|_| anyhow!("the measuring thread panicked"))
    });
    let results = measured??;
    print!("{}", table::table(&results));
    let excesses = args.within.map_or_else(Vec::new, |slack| aims::excesses(&results, slack));
    for excess in &excesses {
        println!("{excess}");
    }
    let is_good = excesses.is_empty() && !results.has_failed(Subject::Arcus);
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn report(args: &Report) -> Result<()> {
    let results = Results::read(&args.json)?;
    if let Some(path) = &args.page {
        write_tables(path, &page::tables(&results))?;
    }
    if let Some(path) = &args.svg {
        write(path, chart::chart(&results))?;
    }
    Ok(())
}

/// Every session is a descriptor here and one in the daemon, which inherits the limit.
fn raise_descriptors() -> Result<()> {
    /// Sessions of the largest scenario and what both need beside them.
    const ENOUGH: u64 = 6_000;
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current.is_some_and(|current| current < ENOUGH) {
        let current = Some(maximum.map_or(ENOUGH, |maximum| maximum.min(ENOUGH)));
        setrlimit(Resource::Nofile, Rlimit { current, maximum }).context("RLIMIT_NOFILE")?;
    }
    Ok(())
}

/// Runs everything, in the namespace that this thread is in.
fn measure(
    args: &Run,
    scale: f64,
    scenarios: &[&Scenario],
    subjects: &[Subject],
    bed: &Bed,
    namespace: &Namespace,
) -> Result<Results> {
    let mut results = Results::new(scale, args.runs);
    let began = Others::now()?;
    for run in 0..args.runs {
        let takes_part =
            |subject: &&Subject| !subject.is_rival() || run < args.rival_runs.unwrap_or(args.runs);
        for scenario in scenarios {
            let admitted = subjects.iter().filter(|subject| scenario.admits(**subject));
            for subject in admitted.filter(takes_part) {
                // What took too long once is not waited for again.
                let is_hopeless = !subject.is_ours()
                    && results
                        .row(scenario.name, *subject)
                        .is_some_and(|row| !row.failures.is_empty());
                if is_hopeless {
                    continue;
                }
                let before = args.before.as_deref().filter(|_| *subject == Subject::Before);
                let arcus = before.unwrap_or(&args.bgpd);
                let place = Place { bed, namespace, arcus, subject: *subject, scale };
                let (number, name) = (run + 1, subject.name());
                eprintln!("run {number} of {}: {} {name}", args.runs, scenario.name);
                let outcome = (scenario.run)(&place);
                if let Err(error) = &outcome {
                    eprintln!("  {error:#}");
                }
                results.add(scenario.name, *subject, outcome);
            }
        }
        results.others_percent = Others::now()?.percent_since(&began);
        // What there is so far: a long run may be ended by hand.
        if let Some(path) = &args.json {
            write(path, serde_json::to_string_pretty(&results)? + "\n")?;
        }
    }
    Ok(results)
}

/// Between the marks of a page.
fn write_tables(path: &Path, tables: &str) -> Result<()> {
    let page = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    write(path, page::replace(&page, tables).with_context(|| path.display().to_string())?)
}

fn write(path: &Path, text: String) -> Result<()> {
    std::fs::write(path, text).with_context(|| path.display().to_string())
}

fn chosen(names: &[String]) -> Result<Vec<&'static Scenario>> {
    for name in names {
        let is_known = ALL.iter().any(|scenario| scenario.name == name);
        ensure!(is_known, "no scenario is called `{name}`; see `arcus-bench list`");
    }
    let wanted =
        |scenario: &&Scenario| names.is_empty() || names.iter().any(|name| name == scenario.name);
    Ok(ALL.iter().filter(wanted).collect())
}
