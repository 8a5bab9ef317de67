//! Waiting for a condition, never for a time.

use std::error::Error;
use std::fmt;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use tokio::time::{Instant, sleep, timeout_at};

/// The first pause between two looks; it doubles up to [`PAUSE_MAX`].
const PAUSE_MIN: Duration = Duration::from_millis(10);
const PAUSE_MAX: Duration = Duration::from_millis(100);

/// A condition gives this when waiting any longer is of no use, as when the process that it looks at has ended.
#[derive(Debug)]
pub struct GiveUp(pub String);

impl fmt::Display for GiveUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for GiveUp {}

/// Calls `condition` until it gives `Ok`, for at most `ceiling`.
///
/// `Err` means "not yet" and says what was seen instead. The last of these is the cause of the error that a
/// missed ceiling gives. [`GiveUp`] ends the waiting at once. A look that itself hangs is cut off at the ceiling too.
pub async fn wait_for<T>(
    what: &str,
    ceiling: Duration,
    mut condition: impl AsyncFnMut() -> Result<T>,
) -> Result<T> {
    let deadline = Instant::now() + ceiling;
    let mut pause = PAUSE_MIN;
    let mut last = anyhow!("it was never seen at all");
    loop {
        match timeout_at(deadline, condition()).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(state)) if state.is::<GiveUp>() => return Err(state).context(what.to_owned()),
            Ok(Err(state)) => last = state,
            Err(_) => return Err(last).with_context(|| late(what, ceiling)),
        }
        if Instant::now() + pause >= deadline {
            return Err(last).with_context(|| late(what, ceiling));
        }
        sleep(pause).await;
        pause = (pause * 2).min(PAUSE_MAX);
    }
}

fn late(what: &str, ceiling: Duration) -> String {
    format!("not within {ceiling:?}: {what}")
}

#[cfg(test)]
mod tests {
    use anyhow::ensure;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_condition_that_comes_true_is_returned() {
        let mut looks = 0;
        let seen = wait_for("five looks", Duration::from_secs(5), async || {
            looks += 1;
            ensure!(looks == 5, "{looks} looks");
            Ok(looks)
        });
        assert_eq!(seen.await.expect("in time"), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_missed_ceiling_tells_the_last_state() {
        let late: Result<()> = wait_for("peer up", Duration::from_secs(2), async || {
            Err(anyhow!("peer is in OpenSent"))
        })
        .await;
        let text = format!("{:#}", late.expect_err("never true"));
        assert_eq!(text, "not within 2s: peer up: peer is in OpenSent");
    }

    #[tokio::test(start_paused = true)]
    async fn what_cannot_come_true_any_more_is_not_waited_for() {
        let start = Instant::now();
        let ended: Result<()> = wait_for("an answer", Duration::from_secs(2), async || {
            Err(GiveUp("the daemon has ended".to_owned()).into())
        })
        .await;
        let text = format!("{:#}", ended.expect_err("it gave up"));
        assert_eq!(text, "an answer: the daemon has ended");
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_that_hangs_is_cut_off() {
        let late: Result<()> =
            wait_for("an answer", Duration::from_secs(2), std::future::pending).await;
        assert!(late.is_err());
    }
}
