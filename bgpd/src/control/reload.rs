//! How the peers follow an edited topology.

use std::sync::Arc;

use arcus_config::{Change, Effect, PeerSpec, Remote};
use bgp_peer::Then;
use bgp_rib::PeerIx;
use bgp_session::cease::Cease;
use tracing::warn;

use super::{Control, Ending};
use crate::peering::Terms;
use crate::running::Accepted;

impl Control {
    /// Makes the peers follow the running topology.
    pub(super) fn apply(&mut self, accepted: &Accepted) {
        // Before anybody connects anew.
        let (peers, secrets) = (&self.running.others().peers, self.running.secrets());
        self.listening.follow(peers, secrets);
        let me = self.running.node().to_owned();
        for change in &accepted.changes {
            match change {
                Change::PeerAdded { control_node, peer } if *control_node == me => {
                    if let Remote::Address(address) = &peer.remote {
                        let spec = self.shared(peer);
                        self.add(spec, address.ip(), false);
                    }
                }
                Change::PeerRemoved { control_node, peer } if *control_node == me => {
                    for number in self.running_by(peer) {
                        self.remove(number);
                    }
                }
                Change::PeerChanged { control_node, new, effect, .. } if *control_node == me => {
                    self.change(new, *effect);
                }
                _ => {}
            }
        }
        for spec in &accepted.rekeyed {
            self.change(spec, Effect::Reset);
        }
        // A path may have another key, though its entry says the same.
        let watched = self.peers.iter().filter(|(_, entry)| entry.path.is_some());
        for number in watched.map(|(number, _)| number).collect::<Vec<_>>() {
            self.watch_path(number);
        }
        self.renew_terms();
        self.send_away_misplaced();
    }

    /// A peer from a prefix whose address is another entry's now finds its place by coming back.
    fn send_away_misplaced(&mut self) {
        let misplaced: Vec<_> = self
            .peers
            .iter()
            .filter(|(_, entry)| entry.dynamic)
            .filter(|(_, entry)| {
                let now = self.by_prefix(entry.address).map(|spec| spec.name.clone());
                now.as_deref() != Some(entry.spec().name.as_str())
            })
            .map(|(number, _)| number)
            .collect();
        for number in misplaced {
            self.remove(number);
        }
    }

    /// The one copy of an entry that all its peers share.
    fn shared(&self, spec: &PeerSpec) -> Arc<PeerSpec> {
        let all = self.running.others().peers.iter();
        let same = all.clone().find(|other| ***other == *spec);
        same.map_or_else(|| Arc::new(spec.clone()), Arc::clone)
    }

    /// What is asked of other control nodes on behalf of gateways follows the gateways.
    fn renew_terms(&mut self) {
        let others = Arc::clone(self.running.others());
        let numbers: Vec<_> = self.peers.iter().map(|(number, _)| number).collect();
        for number in numbers {
            let Some(entry) = self.peers.get_mut(number) else { continue };
            let terms = Terms::new(entry.spec(), &others);
            if *entry.terms.borrow() != terms {
                entry.terms.send_replace(terms);
                self.retell(number);
            }
        }
    }

    fn change(&mut self, new: &PeerSpec, effect: Effect) {
        let new = self.shared(new);
        let terms = Terms::new(Arc::clone(&new), self.running.others());
        let restarting = self.convergence.is_restarting();
        for number in self.running_by(&new) {
            let Some(entry) = self.peers.get_mut(number) else { continue };
            let moved = !new.accepts(entry.address);
            let was_shut_down = entry.spec().is_shut_down();
            entry.terms.send_replace(terms.clone());
            if moved {
                self.remove(number);
                if let Remote::Address(address) = &new.remote {
                    self.add(Arc::clone(&new), address.ip(), false);
                }
                continue;
            }
            let config = self.opens.share(self.running.session(&new, entry.address, restarting));
            if entry.peer.reconfigure(config).is_err() {
                warn!(peer = %entry.address, "the session is busy and goes on as it was");
            } else if new.is_shut_down() {
                self.end(number, Ending::shutdown());
            } else if was_shut_down {
                self.start(number);
            } else if effect == Effect::Reset {
                self.end(
                    number,
                    Ending {
                        why: Cease::ConfigurationChange,
                        text: "the topology has changed",
                        then: Then::Reconnect,
                    },
                );
            }
            self.watch_path(number);
            self.retell(number);
        }
    }

    /// The peers that run by this entry of the topology.
    fn running_by(&self, spec: &PeerSpec) -> Vec<PeerIx> {
        // A control node may be called as the nodes of a cloud are.
        let dynamic = matches!(spec.remote, Remote::Prefixes(_));
        let all = self.peers.iter();
        all.filter(|(_, entry)| entry.dynamic == dynamic && entry.spec().name == spec.name)
            .map(|(number, _)| number)
            .collect()
    }
}
