//! Cases are data with a name; many run at a time against one control node.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;

use crate::bed::Bed;

/// Cases at a time. They wait most of their time.
const WORKERS: usize = 24;

/// Beyond this a case is named as slow.
const SLOW: Duration = Duration::from_secs(10);

type Run<'a> = Box<dyn Fn(&Bed) -> Result<()> + Send + Sync + 'a>;

/// Something that is so, or is not.
pub(crate) struct Case<'a> {
    name: String,
    run: Run<'a>,
}

/// Beginnings of the names of cases that are on their way; `PENDING=1` tries them, too.
const PENDING: [&str; 0] = [];

pub(crate) fn case<'a>(
    name: impl Into<String>,
    run: impl Fn(&Bed) -> Result<()> + Send + Sync + 'a,
) -> Case<'a> {
    Case { name: name.into(), run: Box::new(run) }
}

/// Runs all, and fails with the names of those that failed. `CASE=words` runs only those whose name
/// has the words.
pub(crate) fn run(group: &str, bed: &Bed, mut cases: Vec<Case<'_>>) {
    if let Ok(only) = std::env::var("CASE") {
        cases.retain(|case| format!("{group}: {}", case.name).contains(&only));
    }
    if std::env::var_os("PENDING").is_none() {
        cases.retain(|case| {
            let name = format!("{group}: {}", case.name);
            !PENDING.iter().any(|pending| name.starts_with(pending))
        });
    }
    let (started, next) = (Instant::now(), AtomicUsize::new(0));
    let failures = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..WORKERS.min(cases.len()) {
            scope.spawn(|| {
                while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let outcome = (case.run)(bed);
                    if began.elapsed() > SLOW {
                        eprintln!("slow: {group}: {}: {:.1?}", case.name, began.elapsed());
                    }
                    if let Err(error) = outcome {
                        let failure = format!("{group}: {}: {error:#}", case.name);
                        failures.lock().unwrap_or_else(PoisonError::into_inner).push(failure);
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    if let Err(error) = bed.lives() {
        failures.push(format!("{group}: {error:#}"));
    }
    println!(
        "{group}: {} cases, {} failed, {:.1?}",
        cases.len(),
        failures.len(),
        started.elapsed()
    );
    failures.sort();
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), cases.len(), failures.join("\n"));
}
