//! Where connections of peers are taken: the address of the control node, and those that single peers
//! are to use instead. Peers with keys are known to the kernel, which drops what is not signed.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use arcus_config::{PeerSpec, Remote};
use bgp_peer::{AoKey, AoKeys, Incoming, Listener, Secret, Security};
use ipnet::IpNet;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tracing::{error, warn};

use crate::secrets::Secrets;

/// The listening sockets, and the keys that each has been told.
pub(crate) struct Listening {
    /// Where the control node listens, whatever the peers.
    main: SocketAddr,
    sockets: BTreeMap<IpAddr, Socket>,
    connections: mpsc::Sender<Incoming>,
}

struct Socket {
    listener: Arc<Listener>,
    accepting: JoinHandle<()>,
    passwords: BTreeMap<IpNet, Secret>,
    keys: BTreeMap<IpNet, AoKeys>,
}

/// The keys of the peers of one socket.
#[derive(Debug, Default)]
struct Wanted {
    passwords: BTreeMap<IpNet, Secret>,
    keys: BTreeMap<IpNet, AoKeys>,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Listening {
    /// Listens on `main`.
    ///
    /// # Errors
    /// Those of [`Listener::bind`].
    pub(crate) fn bind(main: SocketAddr, connections: mpsc::Sender<Incoming>) -> io::Result<Self> {
        let mut listening = Self { main, sockets: BTreeMap::new(), connections };
        listening.open(main.ip())?;
        Ok(listening)
    }

    /// Listens where these peers are to connect to, and takes them by their keys only. What cannot be
    /// done is said, with the peers that cannot connect; all else is done.
    pub(crate) fn follow(&mut self, peers: &[Arc<PeerSpec>], secrets: &Secrets) -> bool {
        let mut is_whole = true;
        let mut wanted: BTreeMap<IpAddr, Wanted> = BTreeMap::new();
        wanted.entry(self.main.ip()).or_default();
        for peer in peers {
            let at = peer.options.source_address.unwrap_or(self.main.ip());
            wanted.entry(at).or_default().add(peer, &secrets.security(peer));
        }
        let used: BTreeSet<IpAddr> = wanted.keys().copied().collect();
        self.sockets.retain(|address, _| used.contains(address));
        for (address, wanted) in wanted {
            if let Err(error) = self.open(address) {
                error!(%address, %error, "cannot listen for the peers of this source-address");
                is_whole = false;
                continue;
            }
            if let Some(socket) = self.sockets.get_mut(&address) {
                is_whole &= socket.follow(wanted);
            }
        }
        is_whole
    }

    fn open(&mut self, address: IpAddr) -> io::Result<()> {
        if self.sockets.contains_key(&address) {
            return Ok(());
        }
        let listener = Arc::new(Listener::bind(SocketAddr::new(address, self.main.port()))?);
        let (accepts, connections) = (Arc::clone(&listener), self.connections.clone());
        let accepting = tokio::spawn(async move {
            // The daemon ends when nobody takes connections any more.
            while connections.send(accepts.accept().await).await.is_ok() {}
        });
        let (passwords, keys) = (BTreeMap::new(), BTreeMap::new());
        self.sockets.insert(address, Socket { listener, accepting, passwords, keys });
        Ok(())
    }
}

impl Wanted {
    fn add(&mut self, peer: &PeerSpec, security: &Security) {
        for net in nets(&peer.remote) {
            if let Some(password) = &security.md5 {
                self.passwords.insert(net, password.clone());
            }
            if let Some(keys) = &security.ao {
                self.keys.insert(net, keys.clone());
            }
        }
    }
}

impl Socket {
    fn follow(&mut self, wanted: Wanted) -> bool {
        let mut is_whole = true;
        let mut tell = |net: &IpNet, told: io::Result<()>| {
            if let Err(error) = &told {
                warn!(peers = %net, %error, "the kernel does not take the key of these peers");
                is_whole = false;
            }
            told.is_ok()
        };
        let Wanted { passwords, keys } = wanted;
        let all: BTreeSet<IpNet> = self.passwords.keys().chain(passwords.keys()).copied().collect();
        for net in all {
            let (old, new) = (self.passwords.get(&net), passwords.get(&net));
            if old != new && tell(&net, self.listener.set_md5(net, new)) {
                match new {
                    Some(new) => drop(self.passwords.insert(net, new.clone())),
                    None => drop(self.passwords.remove(&net)),
                }
            }
        }
        let all: BTreeSet<IpNet> = self.keys.keys().chain(keys.keys()).copied().collect();
        for net in all {
            let (old, new) = (self.keys.get(&net), keys.get(&net));
            let (before, now) = (list(old), list(new));
            if old != new && tell(&net, self.listener.set_ao(net, before, now)) {
                match new {
                    Some(new) => drop(self.keys.insert(net, new.clone())),
                    None => drop(self.keys.remove(&net)),
                }
            }
        }
        is_whole
    }
}

fn list(keys: Option<&AoKeys>) -> &[AoKey] {
    keys.map_or(&[], AoKeys::keys)
}

fn nets(remote: &Remote) -> Vec<IpNet> {
    match remote {
        Remote::Address(address) => vec![IpNet::from(address.ip())],
        Remote::Prefixes(prefixes) => prefixes.clone(),
    }
}
