//! How fast our nodes forward, beside plain routing on the same machine in the same run.
//!
//! [`way`] lists the ways that packets take and what is aimed at, [`yard`] builds them, [`traffic`] sends and
//! receives, [`cpu`] says what it took, [`results`] how that compares.
//!
//! A way and plain routing send in turn, some milliseconds each, so that both see the same machine; of several such
//! pairs the middle one counts.

mod cold;
mod cpu;
mod ours;
mod results;
mod traffic;
mod way;
mod yard;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use dataplane_ebpf::Timing;
use testbed::Bed;

use self::cpu::Clock;
use self::results::{Program, Results};
use self::traffic::Traffic;
use self::way::{ALL, Kind, Load, Metric, PLAIN, Way};
use self::yard::Yard;
use crate::report::Machine;
use crate::{KIND, write, write_tables};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many pairs of each.
    #[arg(long, default_value_t = 9)]
    rounds: u32,
    /// Part of the usual amount that is sent.
    #[arg(long, default_value_t = 1.0)]
    scale: f64,
    /// Only these ways.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The CPU that all of it runs on.
    #[arg(long, default_value_t = 1)]
    cpu: usize,
    /// Measure look-ups among so many host routes, too; they take some 100 MB for a million.
    #[arg(long, default_value_t = 0)]
    routes: u32,
    /// Write the results here.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Put the tables between the marks of this page.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Fail when a ratio of CPU times misses its aim by more than this part of it, or when a program takes the
    /// verifier far more than it should.
    #[arg(long, value_name = "PART")]
    slack: Option<f64>,
}

/// What each half of a pair sends: octets, datagrams in batches, single datagrams.
const OCTETS: usize = 256 << 20;
const CUT_OCTETS: usize = 128 << 20;
const DATAGRAMS: usize = 50_000;
const SINGLES: usize = 20_000;
/// In so many parts, in turn with plain routing.
const SLICES: usize = 25;

pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    ensure!(args.rounds > 0 && args.scale > 0.0, "there must be something to measure");
    for name in &args.only {
        ensure!(ALL.iter().any(|way| way.name == name), "no way is called `{name}`");
    }
    let is_wanted =
        |way: &&Way| args.only.is_empty() || args.only.iter().any(|one| one == way.name);
    let ways: Vec<Way> = [PLAIN].iter().chain(ALL.iter().filter(is_wanted)).copied().collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let machine = Machine::here();
    let (mut yard, traffic) = runtime.block_on(Yard::new(Bed::fresh(KIND)?, &ways, args.routes))?;
    let mut field = Field { clock: Clock::pin(args.cpu)?, scale: args.scale, ways, traffic };

    let plain = &field.traffic[0];
    field.clock.check(|| plain.datagrams(DATAGRAMS))?;
    let mut results = Results { machine, ..Results::default() };
    for is_cut in [false, true] {
        runtime.block_on(yard.cut(is_cut))?;
        let loads = Load::ALL.into_iter().filter(|load| load.is_cut() == is_cut);
        field.measure(args.rounds, &loads.collect::<Vec<_>>(), &mut results)?;
        if !is_cut {
            results.programs = field.programs(&yard)?;
        }
    }
    if args.routes > 0 {
        let ours = field.ways.iter().position(|way| matches!(way.kind, Kind::Ours(..)));
        let ours = ours.context("none of our ways is measured")?;
        let (way, traffic) = (field.ways[ours], &field.traffic[ours]);
        results.cold = Some(cold::measure(&mut yard, way, traffic, args.routes)?);
    }
    print!("{}", results.tables());
    if let Some(path) = &args.json {
        write(path, serde_json::to_string_pretty(&results)? + "\n")?;
    }
    if let Some(path) = &args.page {
        write_tables(path, &results.tables())?;
    }
    let excesses = args.slack.map_or_else(Vec::new, |slack| results.excesses(slack));
    for excess in &excesses {
        println!("{excess}");
    }
    Ok(if excesses.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What one half of a pair has taken.
#[derive(Debug, Default)]
struct Taken {
    cpu: Duration,
    /// Octets or datagrams.
    count: usize,
    /// Of single datagrams, in nanoseconds.
    times: Vec<u64>,
}

impl Taken {
    #[expect(clippy::cast_precision_loss, reason = "counts far below 2^52")]
    fn each(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e9 / self.count as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "nanoseconds of some seconds")]
    fn percentile(&mut self, percent: usize) -> f64 {
        self.times.sort_unstable();
        self.times[self.times.len() * percent / 100] as f64
    }
}

/// All ways, the plain one first, ready to send.
struct Field {
    clock: Clock,
    scale: f64,
    ways: Vec<Way>,
    traffic: Vec<Traffic>,
}

impl Field {
    /// All pairs, after one of each that does not count.
    fn measure(&mut self, rounds: u32, loads: &[Load], results: &mut Results) -> Result<()> {
        for round in 0..=rounds {
            eprintln!("round {round} of {rounds}");
            for (index, way) in self.ways.clone().into_iter().enumerate().skip(1) {
                for load in loads {
                    let pair = self.pair(index, *load).with_context(|| way.name)?;
                    for (metric, plain, own) in pair {
                        if round > 0 {
                            results.add(way, metric, plain, own);
                        }
                    }
                }
            }
        }
        Ok(())
    }

    fn scaled(&self, count: usize) -> usize {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a positive part of a number far below 2^52"
        )]
        let scaled = (count as f64 * self.scale) as usize;
        scaled.max(1_000)
    }

    /// Plain routing's numbers and the way's.
    fn pair(&mut self, way: usize, load: Load) -> Result<Vec<(Metric, f64, f64)>> {
        let count = self.scaled(match load {
            Load::Large => OCTETS,
            Load::Frames => CUT_OCTETS,
            Load::Small => DATAGRAMS,
            Load::Single => SINGLES,
        });
        let (mut plain, mut own) = (Taken::default(), Taken::default());
        for _ in 0..SLICES {
            self.slice(0, load, count / SLICES, &mut plain)?;
            self.slice(way, load, count / SLICES, &mut own)?;
        }
        let all = [(Metric::Half, 50), (Metric::P99, 99)];
        Ok(match load {
            Load::Large => vec![(Metric::Large, plain.each() * 1024.0, own.each() * 1024.0)],
            Load::Frames => vec![(Metric::Frames, plain.each() * 1024.0, own.each() * 1024.0)],
            Load::Small => vec![(Metric::Small, plain.each(), own.each())],
            Load::Single => all
                .map(|(metric, part)| (metric, plain.percentile(part), own.percentile(part)))
                .into(),
        })
    }

    fn slice(&mut self, way: usize, load: Load, count: usize, taken: &mut Taken) -> Result<()> {
        let traffic = &mut self.traffic[way];
        let before = self.clock.now()?;
        match load {
            Load::Large | Load::Frames => traffic.stream(count)?,
            Load::Small => traffic.datagrams(count)?,
            Load::Single => taken.times.extend(traffic.one_by_one(count)?),
        }
        taken.cpu += self.clock.now()?.saturating_sub(before);
        taken.count += count;
        Ok(())
    }

    /// What the programs take for a small datagram of each of our ways.
    fn programs(&self, yard: &Yard) -> Result<Vec<Program>> {
        let timing = Timing::start()?;
        let mut programs = Vec::new();
        for (way, traffic) in self.ways.iter().zip(&self.traffic) {
            let Kind::Ours(..) = way.kind else { continue };
            let before = yard.costs()?;
            traffic.datagrams(self.scaled(DATAGRAMS))?;
            for (before, after) in before.into_iter().zip(yard.costs()?) {
                let runs = after.runs - before.runs;
                if runs > 0 {
                    #[expect(clippy::cast_precision_loss, reason = "a count far below 2^52")]
                    let run =
                        after.time.saturating_sub(before.time).as_secs_f64() * 1e9 / runs as f64;
                    programs.push(Program {
                        way: way.name.to_owned(),
                        name: after.program.to_owned(),
                        run,
                        code: after.code,
                        verified: after.verified,
                    });
                }
            }
        }
        drop(timing);
        Ok(programs)
    }
}
