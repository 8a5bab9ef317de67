//! One BGP session for each control node of this cloud: started, changed and stopped as the topology
//! says.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arcus_config::{Cloud, ControlNode};
use bgp_peer::{Established, Mode, Peer, PeerConfig, PeerEvent, Push, PushError, Writer};
use bgp_session::{HoldTime, SessionConfig};
use bgp_wire::capability::GracefulRestart;
use bgp_wire::update::Form;
use bgp_wire::{Afi, AfiSafi, Messages};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::info;

use crate::core::{Core, SessionDetails, SessionUp};
use crate::node::Node;
use crate::originate::ROUTE_FAMILIES;

/// Families that we announce and understand.
const FAMILIES: [AfiSafi; 4] = [AfiSafi::VPNV4, AfiSafi::VPNV6, AfiSafi::EVPN, AfiSafi::RTC];

/// How long closing all connections may take when the agent ends.
const CLOSING: Duration = Duration::from_secs(2);

/// What sessions report, with the address of the control node.
pub type Event = (IpAddr, PeerEvent);

/// The running sessions.
pub struct Sessions {
    running: BTreeMap<IpAddr, Running>,
    events: mpsc::Sender<Event>,
    /// Packets went on being forwarded while there was no agent.
    was_forwarding: bool,
}

struct Running {
    peer: Peer,
    config: PeerConfig,
    writer: Option<Writer>,
}

impl Sessions {
    pub const fn new(events: mpsc::Sender<Event>, was_forwarding: bool) -> Self {
        Self { running: BTreeMap::new(), events, was_forwarding }
    }

    /// Makes the sessions those of the topology.
    pub fn set(&mut self, node: &Node, cloud: &Cloud) {
        let wanted: BTreeMap<IpAddr, PeerConfig> = cloud
            .control_nodes
            .values()
            .map(|control| (control.address, self.config(node, cloud, control)))
            .collect();
        // What is dropped tells its peer that it is no longer configured.
        self.running.retain(|address, running| wanted.get(address) == Some(&running.config));
        for (address, config) in wanted {
            if !self.running.contains_key(&address) {
                let deliver = (address, self.events.clone());
                let peer = bgp_peer::spawn(config.clone(), deliver);
                self.running.insert(address, Running { peer, config, writer: None });
            }
        }
    }

    fn config(&self, node: &Node, cloud: &Cloud, control: &ControlNode) -> PeerConfig {
        let seconds = cloud.hold_time.seconds();
        let session = SessionConfig {
            hold_time: HoldTime::try_from(seconds).unwrap_or_default(),
            families: FAMILIES.to_vec(),
            restart: Some(GracefulRestart {
                restarted: self.was_forwarding,
                notification: true,
                restart_time: cloud.graceful_restart_time,
                families: FAMILIES.iter().map(|family| (*family, self.was_forwarding)).collect(),
            }),
            // A next hop of the other version (RFC 8950); VPNv6 has a form for IPv4 of its own.
            extended_next_hop: vec![(AfiSafi::VPNV4, Afi::IPV6)],
            ..SessionConfig::internal(cloud.asn, node.router_id)
        };
        PeerConfig {
            port: control.port,
            local: Some(node.address),
            mode: Mode::Active,
            ..PeerConfig::new(session, control.address)
        }
    }

    /// Hands an event of a session to the core.
    pub fn handle(&mut self, core: &mut Core, (address, event): Event) {
        let now = std::time::Instant::now();
        match event {
            PeerEvent::Up(established, writer) => {
                let Some(running) = self.running.get_mut(&address) else { return };
                info!(
                    peer = %address,
                    families = ?established.agreement.negotiated.families,
                    hold_time = established.agreement.hold_time.secs(),
                    "session up"
                );
                running.writer = Some(writer);
                core.peer_up(now, address, session_up(&established));
            }
            PeerEvent::Updates(updates) => {
                for update in &updates {
                    core.update(address, update);
                }
            }
            PeerEvent::Refresh(refresh) => core.refresh(address, refresh),
            PeerEvent::Drained => core.drained(address),
            // Its one family with routes is never given up: the session would be reset instead.
            PeerEvent::Disabled(_) => {}
            PeerEvent::Down(down) => {
                let kept = down.retained.as_ref().map(|retained| retained.restart_time.as_secs());
                info!(peer = %address, reason = %down.reason, kept_seconds = kept, "session down");
                if let Some(running) = self.running.get_mut(&address) {
                    running.writer = None;
                }
                let keep = down
                    .retained
                    .filter(|retained| {
                        ROUTE_FAMILIES.iter().any(|family| retained.families.contains(family))
                    })
                    .map(|retained| retained.restart_time);
                core.peer_down(now, address, down.reason.to_string(), keep);
            }
        }
    }

    /// Writes what each session is owed, as far as its queue takes it.
    pub fn send(&self, core: &mut Core) {
        for (address, running) in &self.running {
            let Some(writer) = &running.writer else { continue };
            while let Some(mut chunk) = core.next_chunk(*address) {
                let messages = Messages::all(std::mem::take(&mut chunk.octets).into());
                match writer.try_push(Push::Messages(Arc::new(messages))) {
                    Ok(()) => {}
                    Err(PushError::Full) => core.blocked(*address, chunk),
                    // What it was owed is owed to the next session, like everything else.
                    Err(PushError::Closed) => break,
                }
            }
        }
    }

    /// Octets that wait for a control node to read them.
    pub fn queued_octets(&self, address: IpAddr) -> usize {
        let writer = self.running.get(&address).and_then(|running| running.writer.as_ref());
        writer.map_or(0, Writer::queued_octets)
    }

    /// Where a session stands, also while it is not up.
    pub fn status(&self, address: IpAddr) -> Option<bgp_peer::Status> {
        self.running.get(&address).map(|running| running.peer.status())
    }

    /// Closes every connection without a NOTIFICATION: the control nodes keep our routes, and packets
    /// go on, until the agent is back or its restart time is over (RFC 4724).
    pub async fn close(self) {
        let mut closing: JoinSet<()> =
            self.running.into_values().map(|running| running.peer.restart()).collect();
        let all = async { while closing.join_next().await.is_some() {} };
        if tokio::time::timeout(CLOSING, all).await.is_err() {
            info!("a session did not close in time");
        }
    }
}

fn session_up(established: &Established) -> SessionUp {
    let agreement = &established.agreement;
    let negotiated = &agreement.negotiated;
    let forms = negotiated.families.iter().map(|family| (*family, Form::of(negotiated, *family)));
    let yes = |said: bool, name: &str| said.then(|| name.to_owned());
    let capabilities = [
        yes(negotiated.four_octet_as, "4-octet-as"),
        yes(negotiated.extended_messages, "extended-messages"),
        yes(agreement.route_refresh, "route-refresh"),
        yes(agreement.enhanced_route_refresh, "enhanced-route-refresh"),
        yes(agreement.restart.is_some(), "graceful-restart"),
    ];
    let restart_time = agreement.restart.as_ref().map(|restart| restart.restart_time.as_secs());
    SessionUp {
        forms: forms.collect(),
        details: SessionDetails {
            router_id: Some(agreement.peer.router_id),
            hold_time: Some(agreement.hold_time.secs()),
            families: negotiated.families.clone(),
            capabilities: capabilities.into_iter().flatten().collect(),
            restart_time: restart_time.and_then(|seconds| u16::try_from(seconds).ok()),
        },
    }
}
