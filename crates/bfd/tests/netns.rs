//! Sessions in network namespaces: paths that are cut, routers between, FRR and BIRD on the other side.

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bfd::socket::{Handle, Mode, PathConfig, Speaker, Status};
use bfd::{AuthKey, AuthType, Diag, Role, State, Timing};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use testbed::{Bed, Fabric, FrrRouter, Namespace, Signal, UPLINK};
use tokio::sync::oneshot;
use tokio::time::Instant;

const ONE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const OTHER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
const SOON: Duration = Duration::from_secs(20);

/// A speaker inside a namespace, on a thread of its own as in a daemon.
struct Inside {
    speaker: Speaker,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<Result<()>>>,
}

impl Inside {
    fn start(namespace: &Namespace) -> Result<Self> {
        let file = File::open(namespace.path())?;
        let (speaker, driver) = Speaker::new();
        let (end, ended) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(driver.run(async { drop(ended.await) }));
            Ok(())
        });
        Ok(Self { speaker, end: Some(end), thread: Some(thread) })
    }

    /// Ends the sessions as a daemon that is stopped does.
    fn stop(mut self) -> Result<()> {
        drop(self.end.take());
        self.thread.take().context("it runs")?.join().ok().context("it panicked")?
    }
}

fn path(local: Ipv4Addr, remote: Ipv4Addr, interval: u64) -> Result<PathConfig> {
    let timing = Timing::new(Duration::from_millis(interval), 3)?;
    Ok(PathConfig { timing, ..PathConfig::new(local.into(), remote.into()) })
}

async fn until(
    bed: &Bed,
    handle: &Handle,
    what: &str,
    is: impl Fn(&Status) -> bool,
) -> Result<Status> {
    let mut watch = handle.watch();
    let seen = tokio::time::timeout(SOON, watch.wait_for(|status| is(status))).await;
    let status = seen.with_context(|| format!("{what}: {:?}\n{}", handle.status(), bed.logs()))?;
    Ok(status.context("the session is gone")?.clone())
}

/// Up, and at the pace that was asked for.
async fn settled(bed: &Bed, handle: &Handle, interval: u64) -> Result<Status> {
    let detection_time = Some(Duration::from_millis(interval) * 3);
    until(bed, handle, "up", |status| {
        status.state == State::Up && status.detection_time == detection_time
    })
    .await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_cable_that_is_cut_is_missed_by_both_within_a_second() -> Result<()> {
    let bed = Bed::new("arcus-bfd")?;
    let fabric = bed.fabric().await?;
    let one = Inside::start(&fabric.node(&bed, "one", ONE).await?)?;
    let other = Inside::start(&fabric.node(&bed, "other", OTHER).await?)?;
    let port = Fabric::port("other");
    for (interval, ceiling) in [(300, 1000), (50, 300)] {
        let here = one.speaker.start(path(ONE, OTHER, interval)?);
        let there = other.speaker.start(path(OTHER, ONE, interval)?);
        // The carrier is gone for one end; no carrier is gone, and packets go nowhere.
        for (cut, mend) in [("down", "up"), ("nomaster", "master br0")] {
            settled(&bed, &here, interval).await?;
            settled(&bed, &there, interval).await?;
            let failures = (here.status().failures, there.status().failures);
            let start = Instant::now();
            fabric.namespace().ip(&format!("link set dev {port} {cut}")).await?;
            let cut_took = start.elapsed();
            for (handle, failures) in [(&here, failures.0), (&there, failures.1)] {
                let status = until(&bed, handle, cut, |status| status.state != State::Up).await?;
                ensure!(status.diag == Diag::DETECTION_TIME_EXPIRED, "{status:?}");
                ensure!(status.failures == failures + 1, "{status:?}");
            }
            let elapsed = start.elapsed().saturating_sub(cut_took);
            ensure!(elapsed < Duration::from_millis(ceiling), "{interval} ms, {cut}: {elapsed:?}");
            fabric.namespace().ip(&format!("link set dev {port} {mend}")).await?;
        }
    }
    one.stop()?;
    other.stop()
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn fifty_milliseconds_hold_beside_threads_that_compute() -> Result<()> {
    let bed = Bed::new("arcus-bfd")?;
    let fabric = bed.fabric().await?;
    let one = Inside::start(&fabric.node(&bed, "one", ONE).await?)?;
    let other = Inside::start(&fabric.node(&bed, "other", OTHER).await?)?;
    let here = one.speaker.start(path(ONE, OTHER, 50)?);
    let there = other.speaker.start(path(OTHER, ONE, 50)?);
    settled(&bed, &here, 50).await?;
    settled(&bed, &there, 50).await?;
    let is_over = Arc::new(AtomicBool::new(false));
    let cores = std::thread::available_parallelism()?.get();
    let threads: Vec<_> = (0..cores)
        .map(|_| {
            let is_over = Arc::clone(&is_over);
            std::thread::spawn(move || while !is_over.load(Relaxed) {})
        })
        .collect();
    let (sent, heard) = (here.counters().sent(), here.counters().received());
    bed.wait_for("40 packets from each", SOON, async || {
        let (sent, heard) = (here.counters().sent() - sent, here.counters().received() - heard);
        ensure!(sent >= 40 && heard >= 40, "{sent} sent, {heard} received");
        Ok(())
    })
    .await?;
    is_over.store(true, Relaxed);
    for thread in threads {
        thread.join().ok().context("it panicked")?;
    }
    ensure!(here.status().failures + there.status().failures == 0, "{:?}", here.status());
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn over_a_router_only_multihop_sessions_come_up() -> Result<()> {
    let bed = Bed::new("arcus-bfd")?;
    let router = bed.namespace("router").await?;
    router.run(&["sysctl", "-qw", "net.ipv4.ip_forward=1"]).await?;
    let mut ends = Vec::new();
    for number in [1u8, 2] {
        let end = bed.namespace(&format!("end{number}")).await?;
        router
            .ip(&format!("link add e{number} type veth peer name up netns {}", end.name()))
            .await?;
        router.ip(&format!("addr add 10.0.{number}.254/24 dev e{number}")).await?;
        router.ip(&format!("link set dev e{number} up")).await?;
        end.ip(&format!("addr add 10.0.{number}.1/24 dev up")).await?;
        end.ip("link set dev up up").await?;
        end.ip(&format!("route add default via 10.0.{number}.254")).await?;
        ends.push((Inside::start(&end)?, Ipv4Addr::new(10, 0, number, 1)));
    }
    let [(one, here), (other, there)] = &ends[..] else { unreachable!("two were made") };
    let single = one.speaker.start(path(*here, *there, 50)?);
    let _single = other.speaker.start(path(*there, *here, 50)?);
    let multi = |from: &Ipv4Addr, to: &Ipv4Addr| -> Result<PathConfig> {
        Ok(PathConfig { mode: Mode::MultiHop, ..path(*from, *to, 50)? })
    };
    let far = one.speaker.start(multi(here, there)?);
    let _far = other.speaker.start(multi(there, here)?);
    settled(&bed, &far, 50).await?;
    bed.wait_for("three packets over the router are dropped", SOON, async || {
        ensure!(one.speaker.drops().far() >= 3, "{}", one.speaker.drops().far());
        Ok(())
    })
    .await?;
    ensure!(single.status().state == State::Down && single.status().remote.is_none());
    Ok(())
}

/// What FRR says of its one session.
async fn frr_session(frr: &FrrRouter) -> Result<serde_json::Value> {
    let all = frr.json("show bfd peers json").await?;
    Ok(all.get(0).context("it has a session")?.clone())
}

async fn frr_says(bed: &Bed, frr: &FrrRouter, what: &[(&str, serde_json::Value)]) -> Result<()> {
    bed.wait_for("FRR agrees", SOON, async || {
        let session = frr_session(frr).await?;
        for (key, value) in what {
            ensure!(session[key] == *value, "{key} is not {value}: {session}");
        }
        Ok(())
    })
    .await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn frr_and_we_agree_and_miss_each_other() -> Result<()> {
    let bed = Bed::new("arcus-bfd")?;
    let fabric = bed.fabric().await?;
    let one = Inside::start(&fabric.node(&bed, "one", ONE).await?)?;
    let other = fabric.node(&bed, "other", OTHER).await?;
    for (mode, words) in [(Mode::SingleHop, ""), (Mode::MultiHop, " multihop")] {
        let name = format!("frr{}", words.trim());
        let configuration = format!(
            "bfd\n peer {ONE}{words} local-address {OTHER}\n  receive-interval 100\n  \
             transmit-interval 200\n  detect-multiplier 4\n  no shutdown\n"
        );
        let mut frr = FrrRouter::start(&bed, &other, &name, &[("bfdd", &configuration)]).await?;
        let here = one.speaker.start(PathConfig { mode, ..path(ONE, OTHER, 150)? });
        // It sends each 200 ms at most, and may lose four.
        let (ours, theirs) = (Duration::from_millis(150), Duration::from_millis(800));
        let status = until(&bed, &here, "agreed", |status| {
            (status.transmit_interval, status.detection_time) == (ours, Some(theirs))
        })
        .await?;
        ensure!(status.state == State::Up, "{status:?}");
        frr_says(
            &bed,
            &frr,
            &[
                ("status", "up".into()),
                ("remote-transmit-interval", 150.into()),
                ("remote-receive-interval", 150.into()),
                ("remote-detect-multiplier", 3.into()),
            ],
        )
        .await?;

        // A slower pace is taken over without a flap, in both directions.
        here.set_timing(Timing::new(Duration::from_millis(300), 5)?);
        frr_says(&bed, &frr, &[("remote-transmit-interval", 300.into())]).await?;
        let theirs = Duration::from_millis(300) * 4;
        until(&bed, &here, "slower", |status| status.detection_time == Some(theirs)).await?;
        ensure!((here.status().ups, here.status().failures) == (1, 0), "{:?}", here.status());

        // An operator on either side is no failure.
        here.hold_down();
        frr_says(
            &bed,
            &frr,
            &[("status", "down".into()), ("remote-diagnostic", "administratively down".into())],
        )
        .await?;
        here.release();
        until(&bed, &here, "up again", |status| status.state == State::Up).await?;
        let peer = format!("peer {ONE}{words} local-address {OTHER}");
        frr.vtysh(&["configure terminal", "bfd", &peer, "shutdown"]).await?;
        let status = until(&bed, &here, "shut down", |s| s.state == State::Down).await?;
        ensure!(status.remote.is_some_and(|remote| remote.state == State::AdminDown), "{status:?}");
        frr.vtysh(&["configure terminal", "bfd", &peer, "no shutdown"]).await?;
        let status = until(&bed, &here, "up again", |status| status.state == State::Up).await?;
        ensure!(status.failures == 0, "{status:?}");

        // Its death is missed, and so is ours: here without a word, as when a machine fails.
        here.set_timing(Timing::new(Duration::from_millis(100), 3)?);
        until(&bed, &here, "faster", |s| s.detection_time == Some(Duration::from_millis(800)))
            .await?;
        frr.daemon("bfdd")?.signal(Signal::STOP)?;
        let start = Instant::now();
        let status = until(&bed, &here, "missed", |status| status.state != State::Up).await?;
        let elapsed = start.elapsed();
        ensure!(status.diag == Diag::DETECTION_TIME_EXPIRED, "{status:?}");
        ensure!(elapsed < Duration::from_secs(1), "{elapsed:?}");
        frr.daemon("bfdd")?.signal(Signal::CONT)?;
        until(&bed, &here, "up again", |status| status.state == State::Up).await?;
        let port = Fabric::port("one");
        fabric.namespace().ip(&format!("link set dev {port} nomaster")).await?;
        frr_says(
            &bed,
            &frr,
            &[("status", "down".into()), ("diagnostic", "control detection time expired".into())],
        )
        .await?;
        fabric.namespace().ip(&format!("link set dev {port} master br0")).await?;
        until(&bed, &here, "up again", |status| status.state == State::Up).await?;
        frr.daemon("bfdd")?.kill().await?;
    }
    one.stop()
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_passive_session_waits_for_frr_over_ipv6_link_local_addresses() -> Result<()> {
    let bed = Bed::new("arcus-bfd")?;
    let fabric = bed.fabric().await?;
    let mut ends = Vec::new();
    for (name, number) in [("one", 1), ("other", 2)] {
        let node = fabric.unaddressed_node(&bed, name).await?;
        node.run(&["sysctl", "-qw", "net.ipv6.conf.uplink.disable_ipv6=0"]).await?;
        node.ip(&format!("addr add fe80::{number}/64 dev uplink nodad")).await?;
        ends.push(node);
    }
    let [one, other] = &ends[..] else { unreachable!("two were made") };
    let one = Inside::start(one)?;
    let configuration =
        "bfd\n peer fe80::1 local-address fe80::2 interface uplink\n  no shutdown\n";
    let here = one.speaker.start(PathConfig {
        interface: Some("uplink".to_owned()),
        role: Role::Passive,
        ..PathConfig::new("fe80::1".parse::<IpAddr>()?, "fe80::2".parse()?)
    });
    let frr = FrrRouter::start(&bed, other, "frr", &[("bfdd", configuration)]).await?;
    settled(&bed, &here, 300).await?;
    frr_says(&bed, &frr, &[("status", "up".into())]).await?;
    ensure!(here.status().failures == 0);
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn bird_and_we_agree_and_miss_each_other() -> Result<()> {
    let bed = Bed::new("arcus-bfd")?;
    let fabric = bed.fabric().await?;
    let one = Inside::start(&fabric.node(&bed, "one", ONE).await?)?;
    let other = fabric.node(&bed, "other", OTHER).await?;
    let (file, socket) = (bed.run_dir().join("bird.conf"), bed.run_dir().join("bird.ctl"));
    let (file, socket) = (file.display().to_string(), socket.display().to_string());
    let timing = "{ min rx interval 100 ms; min tx interval 200 ms; multiplier 4; }";
    std::fs::write(
        &file,
        format!(
            "router id {OTHER};\nprotocol device {{}}\nprotocol bfd {{\n interface \"*\" {timing};\n \
             multihop {timing};\n neighbor {ONE} dev \"{UPLINK}\" local {OTHER};\n \
             neighbor {ONE} local {OTHER} multihop on;\n}}\n"
        ),
    )?;
    let mut bird =
        bed.start(&other, "bird", "/usr/sbin/bird", ["-f", "-c", &file, "-s", &socket])?;
    for mode in [Mode::SingleHop, Mode::MultiHop] {
        let here = one.speaker.start(PathConfig { mode, ..path(ONE, OTHER, 150)? });
        let theirs = Duration::from_millis(800);
        until(&bed, &here, "agreed", |status| {
            let ours = status.transmit_interval == Duration::from_millis(150);
            status.state == State::Up && ours && status.detection_time == Some(theirs)
        })
        .await?;
        bed.wait_for("BIRD agrees", SOON, async || {
            let table = other.run(&["birdc", "-s", &socket, "show bfd sessions"]).await?;
            // Address, interface, state, since, interval and detection time in seconds.
            let agreed = table.lines().any(|line| {
                let words: Vec<_> = line.split_whitespace().collect();
                words.first() == Some(&"10.0.0.1")
                    && words.get(2) == Some(&"Up")
                    && words.ends_with(&["0.200", "0.450"])
            });
            ensure!(agreed, "{table}");
            Ok(())
        })
        .await?;
        bird.signal(Signal::STOP)?;
        let start = Instant::now();
        let status = until(&bed, &here, "missed", |status| status.state != State::Up).await?;
        ensure!(status.diag == Diag::DETECTION_TIME_EXPIRED, "{status:?}");
        ensure!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
        bird.signal(Signal::CONT)?;
        until(&bed, &here, "up again", |status| status.state == State::Up).await?;
    }
    bird.kill().await?;
    one.stop()
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn bird_and_we_believe_each_other_with_each_sort_of_key() -> Result<()> {
    let bed = Bed::new("arcus-bfd")?;
    let fabric = bed.fabric().await?;
    let one = Inside::start(&fabric.node(&bed, "one", ONE).await?)?;
    let other = fabric.node(&bed, "other", OTHER).await?;
    let (file, socket) = (bed.run_dir().join("bird.conf"), bed.run_dir().join("bird.ctl"));
    let (file, socket) = (file.display().to_string(), socket.display().to_string());
    for (kind, words) in [
        (AuthType::Password, "simple"),
        (AuthType::Md5, "keyed md5"),
        (AuthType::MeticulousMd5, "meticulous keyed md5"),
        (AuthType::Sha1, "keyed sha1"),
        (AuthType::MeticulousSha1, "meticulous keyed sha1"),
    ] {
        std::fs::write(
            &file,
            format!(
                "router id {OTHER};\nprotocol device {{}}\nprotocol bfd {{\n interface \"*\" {{\n  \
                 min rx interval 100 ms; min tx interval 100 ms; multiplier 3;\n  \
                 authentication {words};\n  password \"a secret\" {{ id 3; }};\n }};\n \
                 neighbor {ONE} dev \"{UPLINK}\" local {OTHER};\n}}\n"
            ),
        )?;
        let args = ["-f", "-c", &file, "-s", &socket];
        let mut bird = bed.start(&other, "bird", "/usr/sbin/bird", args)?;
        let key = |secret: &str| -> Result<PathConfig> {
            let key = AuthKey::new(kind, 3, secret.as_bytes())?;
            Ok(PathConfig { auth: Some(Arc::new(key)), ..path(ONE, OTHER, 100)? })
        };
        let here = one.speaker.start(key("a secret")?);
        settled(&bed, &here, 100).await.with_context(|| words.to_owned())?;
        bed.wait_for("BIRD agrees", SOON, async || {
            let table = other.run(&["birdc", "-s", &socket, "show bfd sessions"]).await?;
            ensure!(table.lines().any(|line| line.contains("10.0.0.1") && line.contains(" Up ")));
            Ok(())
        })
        .await?;
        let received = here.counters().received();
        bed.wait_for("twenty packets are believed", SOON, async || {
            ensure!(here.counters().received() >= received + 20);
            Ok(())
        })
        .await?;
        ensure!((here.status().failures, here.counters().refused()) == (0, 0), "{words}");
        drop(here);
        let stranger = one.speaker.start(key("another")?);
        bed.wait_for("BIRD is not believed", SOON, async || {
            ensure!(stranger.counters().refused() >= 2 && stranger.status().remote.is_none());
            Ok(())
        })
        .await?;
        bird.kill().await?;
    }
    one.stop()
}

/// What the data plane of a node does, in its namespace, until `ends`.
fn mirror(namespace: &Namespace, ends: &Arc<AtomicBool>) -> Result<JoinHandle<Result<()>>> {
    let (file, ends) = (File::open(namespace.path())?, Arc::clone(ends));
    Ok(std::thread::spawn(move || {
        move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
        let socket = UdpSocket::bind((OTHER, Mode::Echo.port()))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let mut room = [0; 256];
        while !ends.load(Relaxed) {
            if let Ok((length, from)) = socket.recv_from(&mut room) {
                // The cable may be cut.
                socket.send_to(&room[..length], from).ok();
            }
        }
        Ok(())
    }))
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn a_node_that_sends_back_packets_and_is_cut_off_is_missed_within_a_second() -> Result<()> {
    let bed = Bed::new("arcus-bfd")?;
    let fabric = bed.fabric().await?;
    let one = Inside::start(&fabric.node(&bed, "one", ONE).await?)?;
    let ends = Arc::new(AtomicBool::new(false));
    let node = mirror(&fabric.node(&bed, "other", OTHER).await?, &ends)?;
    let port = Fabric::port("other");
    let here = one.speaker.start(PathConfig { mode: Mode::Echo, ..path(ONE, OTHER, 300)? });
    for (cut, mend) in [("down", "up"), ("nomaster", "master br0")] {
        settled(&bed, &here, 300).await?;
        let failures = here.status().failures;
        let start = Instant::now();
        fabric.namespace().ip(&format!("link set dev {port} {cut}")).await?;
        let cut_took = start.elapsed();
        let status = until(&bed, &here, cut, |status| status.state != State::Up).await?;
        let elapsed = start.elapsed().saturating_sub(cut_took);
        ensure!(status.diag == Diag::ECHO_FAILED, "{status:?}");
        ensure!(status.failures == failures + 1, "{status:?}");
        ensure!(elapsed < Duration::from_secs(1), "{cut}: {elapsed:?}");
        fabric.namespace().ip(&format!("link set dev {port} {mend}")).await?;
    }
    ends.store(true, Relaxed);
    node.join().ok().context("it panicked")??;
    one.stop()
}
