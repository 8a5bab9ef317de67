//! Captures of what really was on a wire.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::packet::{Packet, read_pcap};
use crate::process::Signal;
use crate::{Bed, GiveUp, Namespace, Process};

/// How long tcpdump may take to start and to end.
const CEILING: Duration = Duration::from_secs(10);

/// A running tcpdump that writes a pcap file.
#[derive(Debug)]
pub struct Capture {
    process: Process,
    file: PathBuf,
}

impl Capture {
    /// Starts to capture what matches `filter` (tcpdump's language). On return it is listening.
    pub async fn start(
        bed: &Bed,
        namespace: &Namespace,
        interface: &str,
        filter: &str,
    ) -> Result<Self> {
        let name = format!("capture-{}-{interface}-{}", namespace.name(), bed.next_number());
        let file = bed.run_dir().join(format!("{name}.pcap"));
        let path = file.to_str().context("a run directory that is not UTF-8")?;
        // -U and immediate mode: a packet is in the file as soon as it was seen. -Z: stay root, so
        // that the file can be written where only root may. The buffer (-B, in KiB) has as much room for
        // each frame as the longest may need: with what is the default it holds eight of them.
        let options = "-n -U --immediate-mode -Z root -s 65536 -B 65536".split(' ');
        let options: Vec<&str> = options.chain(["-i", interface, "-w", path, filter]).collect();
        let mut process = bed.start(namespace, &name, "tcpdump", options)?;
        bed.wait_for("tcpdump listens", CEILING, async || {
            let output = process.output();
            ensure!(process.is_running(), GiveUp(format!("it ended: {output}")));
            ensure!(output.contains("listening on"), "it said: {output}");
            Ok(())
        })
        .await?;
        Ok(Self { process, file })
    }

    /// What was seen until now.
    pub fn packets(&self) -> Result<Vec<Packet>> {
        read_pcap(&fs::read(&self.file)?)
    }

    /// The file, which a person may open with Wireshark.
    pub fn file(&self) -> &std::path::Path {
        &self.file
    }

    /// Ends the capture.
    pub async fn stop(mut self) -> Result<Vec<Packet>> {
        self.process.signal(Signal::INT)?;
        self.process.wait(CEILING).await?;
        self.packets()
    }
}
