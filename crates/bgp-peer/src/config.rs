//! What a peer is told before it starts.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bgp_session::SessionConfig;

use crate::security::Security;

/// Where BGP listens (RFC 4271 §8.2.1).
const BGP_PORT: u16 = 179;

/// Who opens the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Mode {
    /// We connect, and refuse the peer's connections.
    Active,
    /// We wait for the peer.
    Passive,
    /// Both may; a collision is resolved as RFC 4271 §6.8 says.
    Both,
}

/// One peer: how to reach it and what to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerConfig {
    /// Shared with its sessions.
    pub session: Arc<SessionConfig>,
    pub remote: IpAddr,
    /// Where the peer listens.
    pub port: u16,
    /// Our address; `None` leaves it to the routing table.
    pub local: Option<IpAddr>,
    /// The interface that packets must leave and enter by, by its name; `None` leaves it to the routing
    /// table. Needs `CAP_NET_RAW`, or Linux 5.7.
    pub local_interface: Option<String>,
    pub mode: Mode,
    /// Time to live of what we send, 1..=255. With [`Security::ttl_security`] it is 255 whatever is here.
    pub ttl: u8,
    /// Wait after the first failed attempt; it doubles twice. `None` is one second.
    pub connect_retry: Option<Duration>,
    /// After a session that did not last, and after a fault on the way to one: how long the peer's
    /// connections are refused, and none is opened; it doubles twice (`IdleHoldTimer`,
    /// `DampPeerOscillations`, RFC 4271 §8.1.1). `None` takes them at once.
    pub idle_hold: Option<Duration>,
    /// How strangers are kept out.
    pub security: Security,
    /// Octets that may wait for the peer to read them. One push of each shard may go beyond.
    pub queue_octets: usize,
    /// How many shards write: each marks its End-of-RIB, and the last mark sends it. At least 1.
    pub shards: u16,
}

impl PeerConfig {
    /// Port 179, both sides may connect, any number of hops, 1 MiB of queue, one shard.
    pub fn new(session: impl Into<Arc<SessionConfig>>, remote: IpAddr) -> Self {
        Self {
            session: session.into(),
            remote,
            port: BGP_PORT,
            local: None,
            local_interface: None,
            mode: Mode::Both,
            ttl: 255,
            connect_retry: None,
            idle_hold: None,
            security: Security::OPEN,
            queue_octets: 1 << 20,
            shards: 1,
        }
    }
}
