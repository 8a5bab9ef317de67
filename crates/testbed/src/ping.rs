//! Pings that are counted by their sequence numbers.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::process::tail;
use crate::{Bed, GiveUp, Namespace, Process, Signal, wait_for};

const CEILING: Duration = Duration::from_secs(20);

/// Pings that may be on their way at one moment.
const IN_FLIGHT: usize = 50;

/// A running train of pings.
#[derive(Debug)]
pub struct Pings {
    process: Process,
    count: u32,
    interval: Duration,
}

/// What came back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PingReport {
    pub sent: u32,
    /// The sequence numbers that were never answered.
    pub lost: Vec<u32>,
}

impl Pings {
    /// Starts `count` pings, one each `interval`. At most 65535, so that no number is used twice.
    pub fn start(
        bed: &Bed,
        from: &Namespace,
        to: Ipv4Addr,
        count: u16,
        interval: Duration,
    ) -> Result<Self> {
        let args = [
            "-n".to_owned(),
            "-c".to_owned(),
            count.to_string(),
            "-i".to_owned(),
            format!("{:.3}", interval.as_secs_f64()),
            // How long the last answers may take.
            "-W".to_owned(),
            "2".to_owned(),
            to.to_string(),
        ];
        let name = format!("ping-{}-{to}-{}", from.name(), bed.next_number());
        let process = bed.start(from, &name, "ping", args)?;
        Ok(Self { process, count: count.into(), interval })
    }

    /// How many answers there were so far.
    pub fn answered(&self) -> usize {
        sequence_numbers(&self.process.output()).len()
    }

    /// Ends the train, once what it was to cover is over: it must still run, and be answered.
    pub async fn stop(mut self) -> Result<PingReport> {
        let answered = self.answered();
        let process = &mut self.process;
        wait_for("the path works at the end", CEILING, async || {
            let output = process.output();
            let is_running = process.is_running();
            ensure!(is_running, GiveUp(format!("the train has ended before:\n{}", tail(&output))));
            ensure!(sequence_numbers(&output).len() > answered, "no answer more than {answered}");
            Ok(())
        })
        .await?;
        self.process.signal(Signal::INT)?;
        self.process.wait(CEILING).await?;
        let mut report = report(&self.process.output())?;
        report.forgive_in_flight();
        Ok(report)
    }

    /// Waits for the end of the train.
    pub async fn finish(mut self) -> Result<PingReport> {
        // `ping` may be slower than asked on a busy machine; only a stuck one is an error.
        let ceiling = self.interval * self.count * 4 + Duration::from_secs(10);
        self.process.wait(ceiling).await?;
        report(&self.process.output())
    }
}

impl PingReport {
    /// The last ones may have been on their way when the train was ended. More than a few were not.
    fn forgive_in_flight(&mut self) {
        let mut last = self.sent;
        let mut kept = self.lost.clone();
        while kept.pop_if(|lost| *lost == last).is_some() {
            last -= 1;
        }
        if self.lost.len() - kept.len() <= IN_FLIGHT {
            self.lost = kept;
        }
    }
}

fn report(output: &str) -> Result<PingReport> {
    let sent = output
        .lines()
        .find_map(|line| line.split_once(" packets transmitted"))
        .and_then(|(sent, _)| sent.parse().ok())
        .with_context(|| format!("no summary in:\n{output}"))?;
    let answered = sequence_numbers(output);
    Ok(PingReport { sent, lost: (1..=sent).filter(|number| !answered.contains(number)).collect() })
}

fn sequence_numbers(output: &str) -> BTreeSet<u32> {
    output
        .lines()
        .filter(|line| line.contains(" bytes from "))
        .filter_map(|line| line.split_once("icmp_seq=")?.1.split(' ').next()?.parse().ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unanswered_number_is_lost_and_a_second_answer_does_not_make_up_for_it() {
        let output = "\
PING 10.0.100.4 (10.0.100.4) 56(84) bytes of data.
64 bytes from 10.0.100.4: icmp_seq=1 ttl=64 time=0.1 ms
64 bytes from 10.0.100.4: icmp_seq=3 ttl=64 time=0.1 ms
64 bytes from 10.0.100.4: icmp_seq=3 ttl=64 time=0.2 ms (DUP!)
From 10.0.100.1 icmp_seq=2 Destination Host Unreachable

--- 10.0.100.4 ping statistics ---
4 packets transmitted, 2 received, +1 duplicates, +1 errors, 50% packet loss, time 3ms
";
        let want = PingReport { sent: 4, lost: vec![2, 4] };
        assert_eq!(report(output).expect("a summary"), want);
    }

    #[test]
    fn only_a_few_at_the_end_are_on_their_way() {
        // (sent, lost, what is still lost when the train was ended by hand)
        let cases: [(u32, Vec<u32>, Vec<u32>); 3] = [
            (100, vec![7, 99, 100], vec![7]),
            (100, vec![7, 98], vec![7, 98]),
            (200, (101..=200).collect(), (101..=200).collect()),
        ];
        for (sent, lost, want) in cases {
            let mut report = PingReport { sent, lost };
            report.forgive_in_flight();
            assert_eq!(report.lost, want);
        }
    }
}
