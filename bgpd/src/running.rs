//! The topology that is running, and who we are in it.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arcus_api::v1::{Reloaded, TopologyStatus};
use arcus_config::{Change, Cloud, Decision, PeerSpec, Remote, Topology};
use bgp_peer::PeerConfig;
use bgp_rib::DecisionOptions;

use crate::peering::{Identity, Others, session};
use crate::secrets::Secrets;

/// One generation of the topology file.
pub(crate) struct Running {
    file: PathBuf,
    node: String,
    shards: u16,
    topology: Topology,
    others: Arc<Others>,
    secrets: Secrets,
    generation: u64,
    loaded_at: u64,
    last_error: Option<String>,
}

/// What a new generation means for the peers.
pub(crate) struct Accepted {
    pub(crate) changes: Vec<Change>,
    /// Peers whose keys are other ones now, though their entries say the same.
    pub(crate) rekeyed: Vec<Arc<PeerSpec>>,
    pub(crate) reply: Reloaded,
}

impl Running {
    /// Reads the file and finds this control node in it.
    ///
    /// # Errors
    /// The mistake with its place, or that there is no such control node.
    pub(crate) fn read(file: PathBuf, node: &str, shards: u16) -> Result<Self, String> {
        let topology = arcus_config::read(&file).map_err(|error| error.to_string())?;
        let others = Arc::new(others(&topology, node));
        let running = Self {
            file,
            node: node.to_owned(),
            shards,
            secrets: Secrets::read(&others.peers)?,
            others,
            topology,
            generation: 1,
            loaded_at: seconds(SystemTime::now()),
            last_error: None,
        };
        running.identity_in(&running.topology).map(|_| ()).map(|()| running)
    }

    pub(crate) fn identity(&self) -> Identity {
        self.identity_in(&self.topology).expect("a topology is taken only when we are in it")
    }

    /// How long a peer remembers our routes at most when we are away (RFC 4724 §3, RFC 9494 §3).
    pub(crate) fn longest_memory(&self) -> Duration {
        let seconds = |spec: &Arc<PeerSpec>| {
            let long_lived = spec.options.long_lived_time.unwrap_or_default();
            u64::from(spec.graceful_restart_time) + u64::from(long_lived)
        };
        Duration::from_secs(self.others.peers.iter().map(seconds).max().unwrap_or_default())
    }

    pub(crate) fn port(&self) -> u16 {
        self.port_in(&self.topology)
    }

    fn port_in(&self, topology: &Topology) -> u16 {
        topology.control_node(&self.node).map_or(179, |(_, node)| node.port)
    }

    fn identity_in(&self, topology: &Topology) -> Result<Identity, String> {
        let (cloud, node) = topology.control_node(&self.node).ok_or_else(|| {
            let names: Vec<_> = topology.control_nodes().map(|(_, n)| n.name.as_str()).collect();
            format!(
                "{} has no control node `{}`; it has {}",
                self.file.display(),
                self.node,
                names.join(", ")
            )
        })?;
        Ok(Identity {
            asn: cloud.asn,
            address: node.address,
            router_id: node.router_id,
            cluster_id: node.cluster_id,
            shards: self.shards,
        })
    }

    /// Everyone this control node peers with, and what else their terms depend on.
    pub(crate) fn others(&self) -> &Arc<Others> {
        &self.others
    }

    pub(crate) fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// How the peer at an address is reached by its entry, and what our OPEN to it says.
    pub(crate) fn session(&self, spec: &PeerSpec, remote: IpAddr, restarting: bool) -> PeerConfig {
        PeerConfig {
            security: self.secrets.security(spec),
            ..session(&self.identity(), &self.node, spec, remote, restarting)
        }
    }

    /// How the shards choose among paths.
    pub(crate) fn decision(&self) -> DecisionOptions {
        self.cloud().map_or_else(DecisionOptions::default, |cloud| {
            let Decision { always_compare_med, missing_med_is_worst, aigp, track_next_hops } =
                cloud.decision;
            DecisionOptions { always_compare_med, missing_med_is_worst, aigp, track_next_hops }
        })
    }

    /// Whether the shards reflect from one client to another.
    pub(crate) fn client_to_client(&self) -> bool {
        self.cloud().is_none_or(|cloud| cloud.client_to_client)
    }

    fn cloud(&self) -> Option<&Cloud> {
        self.topology.control_node(&self.node).map(|(cloud, _)| cloud)
    }

    /// Whether peers that have no entry of their own may connect to this control node.
    pub(crate) fn has_nodes(&self) -> bool {
        self.others.peers.iter().any(|peer| matches!(peer.remote, Remote::Prefixes(_)))
    }

    /// Reads the file again and makes it the running one.
    ///
    /// # Errors
    /// Why it is refused; nothing has changed then, but the status tells of it.
    pub(crate) fn reload(&mut self) -> Result<Accepted, String> {
        let read = arcus_config::read(&self.file).map_err(|error| error.to_string());
        let new = read.and_then(|new| {
            self.may_become(&new)?;
            let others = others(&new, &self.node);
            let secrets = Secrets::read(&others.peers)?;
            Ok((new, others, secrets))
        });
        let (new, others, secrets) = match new {
            Ok(new) => new,
            Err(error) => {
                self.last_error = Some(error.clone());
                return Err(error);
            }
        };
        let changes = arcus_config::plan(&self.topology, &new);
        let rekeyed = others
            .peers
            .iter()
            .filter(|peer| self.others.peers.contains(peer))
            .filter(|peer| self.secrets.security(peer) != secrets.security(peer))
            .cloned()
            .collect();
        self.others = Arc::new(others);
        self.secrets = secrets;
        self.topology = new;
        self.generation += 1;
        self.loaded_at = seconds(SystemTime::now());
        self.last_error = None;
        let lines = changes.iter().map(ToString::to_string).collect();
        let reply = Reloaded { topology: self.status(), changes: lines };
        Ok(Accepted { changes, rekeyed, reply })
    }

    /// Refuses a topology in which we are somebody else, or choose in another way: what the tables
    /// hold was made by what we were when we started.
    fn may_become(&self, new: &Topology) -> Result<(), String> {
        let rules = |topology: &Topology| {
            let (cloud, _) = topology.control_node(&self.node)?;
            Some((cloud.decision, cloud.client_to_client))
        };
        let is_same = self.identity_in(new)? == self.identity()
            && self.port_in(new) == self.port()
            && rules(new) == rules(&self.topology);
        if is_same {
            return Ok(());
        }
        Err(format!(
            "AS, address, port, router id, cluster id, decision or client-to-client of `{}` has \
             changed in {}; restart the daemon to take it",
            self.node,
            self.file.display()
        ))
    }

    pub(crate) fn status(&self) -> TopologyStatus {
        TopologyStatus {
            file: self.file.display().to_string(),
            generation: self.generation,
            hash: format!("{:016x}", self.topology.fingerprint()),
            loaded_at: self.loaded_at,
            last_error: self.last_error.clone(),
        }
    }

    pub(crate) fn node(&self) -> &str {
        &self.node
    }
}

fn others(topology: &Topology, node: &str) -> Others {
    match topology.control_node(node) {
        Some((cloud, node)) => Others {
            peers: topology.peers_of(node).into_iter().map(Arc::new).collect(),
            ases: topology.other_ases(cloud),
        },
        None => Others { peers: Vec::new(), ases: BTreeSet::new() },
    }
}

pub(crate) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
