//! How late this machine is: it may have other work than these tests, and what is due at an instant comes
//! later then, here and in the daemon.

use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

/// Between two looks.
const TICK: Duration = Duration::from_millis(20);

/// What is waited for hangs on so many threads, one after the other, that each may wake up late.
const THREADS: u32 = 10;

/// How late a thread that only sleeps has woken up at most, in microseconds.
static LATEST: AtomicU64 = AtomicU64::new(0);

/// Begins to look, once for all tests.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        std::thread::spawn(|| {
            loop {
                let began = Instant::now();
                std::thread::sleep(TICK);
                let late = began.elapsed().saturating_sub(TICK).as_micros();
                LATEST.fetch_max(u64::try_from(late).unwrap_or(u64::MAX), Ordering::Relaxed);
            }
        });
    });
}

/// How much later than due something may come.
pub(crate) fn slack() -> Duration {
    THREADS * Duration::from_micros(LATEST.load(Ordering::Relaxed))
}

/// Whether not more than `most` have passed since `began`, as far as the machine lets us tell.
pub(crate) fn in_time(began: Instant, most: Duration) -> Result<()> {
    let (took, slack) = (began.elapsed(), slack());
    ensure!(
        took < most + slack,
        "after {took:?}, more than {most:?} with {slack:?} for the machine"
    );
    Ok(())
}

/// Whether something came between these two, in seconds.
pub(crate) fn between(began: Instant, least: f64, most: f64) -> Result<()> {
    let took = began.elapsed();
    ensure!(took.as_secs_f64() >= least, "after {took:?}, less than {least} s");
    in_time(began, Duration::from_secs_f64(most))
}
