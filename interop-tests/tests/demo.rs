//! The demo program as its user meets it: what it leaves behind when it is stopped.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use interop_tests::left::{ensure_nothing_left, left_of};
use testbed::wait_for;

const CEILING: Duration = Duration::from_mins(1);
const PROGRAM: &str = env!("CARGO_BIN_EXE_arcus-demo");

/// A demo that runs, with its output in a file.
struct Demo {
    child: Child,
    output: tempfile::NamedTempFile,
}

impl Demo {
    fn start(args: &[&str]) -> Result<Self> {
        let output = tempfile::NamedTempFile::new()?;
        let child = Command::new(PROGRAM)
            .args(args)
            .stdin(Stdio::null())
            .stdout(output.reopen()?)
            .stderr(output.reopen()?)
            .spawn()?;
        Ok(Self { child, output })
    }

    fn said(&self) -> String {
        fs::read_to_string(self.output.path()).unwrap_or_default()
    }

    /// The run directory, once it is announced.
    async fn run_dir(&self) -> Result<PathBuf> {
        wait_for("the run directory is announced", CEILING, async || {
            let said = self.said();
            let path = said.split_whitespace().find(|word| word.starts_with("/run/arcus-demo-"));
            Ok(PathBuf::from(path.with_context(|| said.clone())?))
        })
        .await
    }

    async fn ended(&mut self) -> Result<bool> {
        wait_for("the demo ends", CEILING, async || {
            Ok(self.child.try_wait()?.context("it still runs")?.success())
        })
        .await
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            let _gone = self.child.kill();
            let _status = self.child.wait();
        }
    }
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn ctrl_c_in_the_middle_removes_everything() -> Result<()> {
    for moment in ["control nodes", "gateways", "Proofs"] {
        let mut demo = Demo::start(&["run"])?;
        let run_dir = demo.run_dir().await?;
        wait_for(moment, CEILING, async || {
            ensure!(demo.said().contains(moment), "it said:\n{}", demo.said());
            Ok(())
        })
        .await?;
        ensure!(!left_of(&run_dir)?.is_empty(), "it runs, so something must be there");
        let pid = demo.child.id().to_string();
        Command::new("kill").args(["-INT", &pid]).status()?;
        ensure!(!demo.ended().await?, "an interrupted demo is no success");
        ensure_nothing_left(&run_dir)?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn what_up_leaves_and_what_a_killed_run_leaves_is_removed_by_down() -> Result<()> {
    let mut up = Demo::start(&["up"])?;
    let up_dir = up.run_dir().await?;
    ensure!(up.ended().await?, "it said:\n{}", up.said());
    ensure!(up.said().contains("It is up"), "it said:\n{}", up.said());

    let mut killed = Demo::start(&["run"])?;
    let killed_dir = killed.run_dir().await?;
    wait_for("something is there", CEILING, async || {
        ensure!(killed.said().contains("gateways"), "it said:\n{}", killed.said());
        Ok(())
    })
    .await?;
    killed.child.kill()?;
    killed.child.wait()?;

    // Only these two: somebody else may have a demo up on this machine.
    for run_dir in [&up_dir, &killed_dir] {
        ensure!(!left_of(run_dir)?.is_empty(), "{} must be there", run_dir.display());
        let status = Command::new(PROGRAM).arg("down").arg(run_dir).status()?;
        ensure!(status.success(), "down {}", run_dir.display());
        ensure_nothing_left(run_dir)?;
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn two_demos_at_once_do_not_meet() -> Result<()> {
    let mut demos = [Demo::start(&["run"])?, Demo::start(&["run", "--encap", "mpls-over-udp"])?];
    for demo in &mut demos {
        ensure!(demo.ended().await?, "it said:\n{}", demo.said());
    }
    for demo in &demos {
        ensure_nothing_left(&demo.run_dir().await?)?;
    }
    Ok(())
}
