//! Graceful restart with 100,000 routes each way, through a reflector of somebody else's: it restarts and
//! we help, then we restart and it helps. Both ends are by hand and count every route that they are told.

use std::fs;
use std::net::Ipv4Addr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use testbed::{Bed, Namespace, Signal};
use tokio::time::Instant;

use super::control_node::NAME;
use super::lab::{machine, topology};
use super::{ASN, CONTROL_NODE, ControlNode, Kind, Life, Member, Role, Speaker};
use crate::Binaries;
use crate::by_hand::heard::{Key, key};
use crate::by_hand::octets::{self, EVPN, Family, IPV4, IPV6, Open, VPNV4, VPNV6};
use crate::by_hand::{ByHand, Session, most_memory};

/// Routes of each end.
pub const ROUTES: u32 = 100_000;
/// What all sessions speak: GoBGP waits for End-of-RIB of whatever it is configured for.
const FAMILIES: [Family; 5] = [IPV4, IPV6, VPNV4, VPNV6, EVPN];
/// So many fit into 4096 octets.
const IN_A_MESSAGE: usize = 230;
/// For each thing that is waited for.
const CEILING: Duration = Duration::from_mins(2);
/// What our daemon may take at most, built for debugging: two tables of this size, and one of them twice
/// while it is announced anew.
const MEMORY: u64 = 600 << 20;

/// The far end: a node, a client of ours.
const FAR: Member = Member::new("far-end", Role::Node, [1, 9], ASN, Life::Graceful);

/// The first octet of the routes of each end.
const NEAR_END: u8 = 11;
const FAR_END: u8 = 12;

/// What it took.
#[derive(Debug)]
pub struct Restarts {
    /// None of a daemon that helps only.
    pub theirs: Option<Duration>,
    pub ours: Duration,
    /// The most that our daemon had in memory, in octets.
    pub memory: u64,
}

/// Where the routes on the side of the daemon under test come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// The near end: the daemon has to learn them again before it says End-of-RIB.
    NearEnd,
    /// Its own configuration.
    Itself,
}

/// An IPv4 route of [`Source::Itself`].
pub fn own_route(number: u32) -> String {
    let [_, b, c, d] = number.to_be_bytes();
    format!("{NEAR_END}.{b}.{c}.{d}/32")
}

/// Both restarts with one daemon between the near end and us. One with [`Life::Plain`] is not restarted, it
/// only helps.
pub async fn restart_at_scale<S: Speaker>(
    kind: Kind,
    life: Life,
    source: Source,
) -> Result<Restarts> {
    let mut member = Member::under_test(Role::Reflector, life);
    if source == Source::Itself {
        member.own_routes = ROUTES;
    }
    let near = Member::behind(&member);
    let bed = Bed::new("interop")?;
    let binaries = Binaries::find()?;
    let nodes = "prefixes = [\"10.0.1.0/24\"]";
    let families = "families = [\"ipv4\", \"ipv6\", \"vpnv4\", \"vpnv6\", \"evpn\"]";
    let topology = topology(&member)?.replace(nodes, &format!("{nodes}\n{families}"));
    fs::write(bed.run_dir().join("topology.toml"), topology)?;
    let fabric = bed.fabric().await?;
    let namespace = machine(&bed, &fabric, NAME, CONTROL_NODE).await?;
    let mut ours = ControlNode::start(&bed, &binaries, &namespace)?;
    ours.wait_until_it_answers(&bed).await?;
    let theirs = machine(&bed, &fabric, member.name, member.address).await?;
    let speaker = S::start(&bed, &theirs, &member).await?;
    let mut ends = Vec::new();
    for (end, first) in [(near, NEAR_END), (FAR, FAR_END)] {
        let namespace = machine(&bed, &fabric, end.name, end.address).await?;
        let addresses = (end.name, end.address.into(), end.upstream.into());
        let mut peer = ByHand::start(&bed, &namespace, &binaries.demo, addresses, &open(&end))?;
        if first == FAR_END || source == Source::NearEnd {
            peer.say(&all_routes(kind, first, end.address))?;
        }
        peer.say(&FAMILIES.map(octets::end_of_rib))?;
        ends.push(peer);
    }
    let far = ends.pop().context("the second")?;
    let near = ends.pop().context("the first")?;
    let speaker = Some(speaker);
    let mut scale = Scale { bed, kind, member, theirs, speaker, ours, near, far, memory: 0 };
    let outcome = scale.both(life).await;
    outcome.map_err(|error| error.context(format!("{}\n---", scale.bed.logs())))
}

struct Scale<S> {
    bed: Bed,
    kind: Kind,
    member: Member,
    theirs: Namespace,
    speaker: Option<S>,
    ours: ControlNode,
    /// A client of the daemon under test.
    near: ByHand,
    /// A client of ours.
    far: ByHand,
    memory: u64,
}

impl<S: Speaker> Scale<S> {
    async fn both(&mut self, life: Life) -> Result<Restarts> {
        self.all_is_told().await.context("at first")?;
        let theirs = match life {
            Life::Graceful => Some(self.they_restart().await.context("it restarts")?),
            Life::Plain => None,
        };
        let ours = self.we_restart().await.context("we restart")?;
        Ok(Restarts { theirs, ours, memory: self.memory })
    }

    /// Waits until both ends have all routes of each other.
    async fn all_is_told(&mut self) -> Result<()> {
        let (near, far) = (&mut self.near, &mut self.far);
        self.bed
            .wait_for("both ends have all routes", CEILING, async || {
                let (near, far) = (count(near.now()?, FAR_END), count(far.now()?, NEAR_END));
                ensure!((near, far) == (ROUTES, ROUTES), "near {near}, far {far}");
                Ok(())
            })
            .await?;
        self.memory = self.memory.max(most_memory(self.ours.pid())?);
        ensure!(self.memory <= MEMORY, "{} MiB in memory", self.memory >> 20);
        Ok(())
    }

    /// The far end is a third party to this: it may not notice anything.
    async fn they_restart(&mut self) -> Result<Duration> {
        let lives = self.far.sessions.len();
        let mut speaker = self.speaker.take().context("it runs")?;
        speaker.process().signal(Signal::KILL)?;
        speaker.process().kill().await?;
        let kept = self.ours.wait_until_stale(&self.bed, &self.member).await?;
        let stale = kept.graceful_restart.stale;
        ensure!(stale == u64::from(ROUTES), "{stale} routes are kept");
        let began = Instant::now();
        self.speaker = Some(S::start_again(&self.bed, &self.theirs, &self.member).await?);
        self.ours.wait_until_fresh(&self.bed, &self.member).await?;
        let took = began.elapsed();
        self.all_is_told().await?;
        is_undisturbed(&self.far, lives).context("the far end")?;
        Ok(took)
    }

    /// The near end is a third party to this. What we say to the far end has its End-of-RIB last.
    async fn we_restart(&mut self) -> Result<Duration> {
        let (near_lives, far_lives) = (self.near.sessions.len(), self.far.sessions.len());
        self.ours.kill().await?;
        let began = Instant::now();
        self.ours.start_again(&self.bed).await?;
        let (family, far) = (family(self.kind), &mut self.far);
        self.bed
            .wait_for("the far end has all routes, and End-of-RIB", CEILING, async || {
                far.listen()?;
                ensure!(far.sessions.len() > far_lives, "no new session yet");
                let session = far.now()?;
                ensure!(
                    session.heard.has_end(family),
                    "{} routes, no mark",
                    count(session, NEAR_END)
                );
                Ok(())
            })
            .await?;
        let took = began.elapsed();
        let session = far.now()?;
        let (heard, told) = (&session.heard, count(session, NEAR_END));
        ensure!(told == ROUTES, "{told} routes before the mark");
        let end = heard.ends.iter().find(|(ended, _)| *ended == family).context("the mark")?.1;
        let late = heard.routes.values().filter(|told| told.update > end).count();
        ensure!(late == 0, "{late} routes behind the mark");
        // One route goes and another comes: when that is through, everything before it is.
        let (gone, new) = (nlri(self.kind, FAR_END, 0), nlri(self.kind, FAR_END, ROUTES));
        far.say(&[withdraw(self.kind, &gone), announce(self.kind, &new, FAR.address)])?;
        let (gone, new) = (key(family, &gone), key(family, &new));
        let near = &mut self.near;
        self.bed
            .wait_for("the near end has the last route", CEILING, async || {
                let heard = &near.now()?.heard;
                ensure!(heard.get(&new).is_some(), "not yet");
                ensure!(heard.get(&gone).is_none(), "not gone yet");
                Ok(())
            })
            .await?;
        self.all_is_told().await?;
        let withdrawn: Vec<&Key> = self.near.now()?.heard.withdrawn.keys().collect();
        ensure!(withdrawn == [&gone], "{} routes were withdrawn", withdrawn.len());
        ensure!(self.near.sessions.len() == near_lives, "the near end lost its session");
        Ok(took)
    }
}

/// Nothing was ever withdrawn, and the session is the one that it was.
fn is_undisturbed(end: &ByHand, lives: usize) -> Result<()> {
    ensure!(end.sessions.len() == lives, "it lost its session");
    let session = end.sessions.last().context("a session")?;
    let withdrawn = session.heard.withdrawn.len();
    ensure!(withdrawn == 0, "{withdrawn} routes were withdrawn");
    ensure!(session.ended.is_none(), "its session has ended");
    Ok(())
}

/// How many routes of one end were told and are there still. Some reflectors tell their clients also what
/// they have from them.
fn count(session: &Session, end: u8) -> u32 {
    let of_it = |key: &&Key| key.2.get(key.2.len() - 4) == Some(&end);
    u32::try_from(session.heard.routes.keys().filter(of_it).count()).unwrap_or(u32::MAX)
}

/// It keeps state, and asks for the same.
fn open(end: &Member) -> Open {
    let open = Open::new(ASN, end.address, &FAMILIES).hold(9);
    open.and(64, &octets::restart(0, 120, &FAMILIES))
}

const fn family(kind: Kind) -> Family {
    if kind.is_unicast() { IPV4 } else { VPNV4 }
}

fn all_routes(kind: Kind, end: u8, next_hop: Ipv4Addr) -> Vec<Vec<u8>> {
    let numbers: Vec<u32> = (0..ROUTES).collect();
    let messages = numbers.chunks(IN_A_MESSAGE).map(|some| {
        let nlri: Vec<_> = some.iter().flat_map(|number| nlri(kind, end, *number)).collect();
        announce(kind, &nlri, next_hop)
    });
    messages.collect()
}

fn announce(kind: Kind, nlri: &[u8], next_hop: Ipv4Addr) -> Vec<u8> {
    let mut attributes = vec![octets::origin(0), octets::as_path(&[]), octets::local_pref(100)];
    if kind.is_unicast() {
        attributes.push(octets::next_hop(next_hop));
        return octets::update(&[], &attributes, nlri);
    }
    attributes.push(octets::extended_communities(&[octets::target(64_512, 100)]));
    attributes.push(octets::reach(VPNV4, &octets::vpn_next_hop(next_hop), nlri));
    octets::update(&[], &attributes, &[])
}

fn withdraw(kind: Kind, nlri: &[u8]) -> Vec<u8> {
    if kind.is_unicast() {
        octets::update(nlri, &[], &[])
    } else {
        octets::update(&[], &[octets::unreach(VPNV4, nlri)], &[])
    }
}

fn nlri(kind: Kind, end: u8, number: u32) -> Vec<u8> {
    let [_, b, c, d] = number.to_be_bytes();
    let address = [end, b, c, d];
    if kind.is_unicast() {
        return octets::prefix(&address, 32);
    }
    octets::vpn(octets::label(16 + number), octets::rd(64_512, 1), &address, 32)
}
