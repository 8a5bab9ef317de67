//! Numbers and labels of this node's VRFs: given out once, remembered, the same after a restart.
//!
//! Other nodes hold both: the number as part of a route distinguisher, the label in their tunnels.
//! A network that comes back gets its old ones. Another network gets them only when nothing else is
//! left, and then those that have been unused for longest.

use std::collections::{BTreeMap, BTreeSet};

use dataplane::{MplsLabel, VrfId};
use serde::{Deserialize, Serialize};

/// The highest VRF number.
const MAX_VRF: u32 = 4096;

/// The number and label of one VRF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct VrfNumbers {
    pub id: VrfId,
    pub label: MplsLabel,
    /// Since when it is not in use, counted in retirements; `None` while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    retired: Option<u64>,
}

/// Who has which, by network. Part of the state file.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    networks: BTreeMap<String, VrfNumbers>,
    /// The label given out last; the search goes on behind it, so that a freed one rests.
    #[serde(default)]
    last_label: u32,
    #[serde(default)]
    retirements: u64,
    /// Of ports of networks with `port-labels`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    ports: BTreeMap<String, MplsLabel>,
}

/// Every VRF number is in use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("all {MAX_VRF} VRFs of this node are in use; network `{0}` cannot have one")]
pub struct Exhausted(String);

impl Numbers {
    /// The numbers of a network's VRF, new ones if it never had any.
    pub fn assign(&mut self, network: &str) -> Result<VrfNumbers, Exhausted> {
        if let Some(known) = self.networks.get_mut(network) {
            known.retired = None;
            return Ok(*known);
        }
        let id = self.free_id().ok_or_else(|| Exhausted(network.to_owned()))?;
        let new = VrfNumbers { id, label: self.free_label(), retired: None };
        self.last_label = new.label.value();
        self.networks.insert(network.to_owned(), new);
        Ok(new)
    }

    /// The label of a port, a new one if it has none.
    pub fn assign_port(&mut self, port: &str) -> MplsLabel {
        if let Some(known) = self.ports.get(port) {
            return *known;
        }
        let label = self.free_label();
        self.last_label = label.value();
        self.ports.insert(port.to_owned(), label);
        label
    }

    /// Frees the labels of all other ports.
    pub fn keep_ports(&mut self, used: &BTreeSet<String>) {
        self.ports.retain(|port, _| used.contains(port));
    }

    /// The label of a port that has one of its own.
    pub fn of_port(&self, port: &str) -> Option<MplsLabel> {
        self.ports.get(port).copied()
    }

    /// The numbers of a network that has a VRF, or had one.
    pub fn of(&self, network: &str) -> Option<VrfNumbers> {
        self.networks.get(network).copied()
    }

    /// Puts the numbers of all networks but `used` to rest.
    pub fn retire_all_but(&mut self, used: &BTreeSet<&str>) {
        for (network, numbers) in &mut self.networks {
            if numbers.retired.is_none() && !used.contains(network.as_str()) {
                self.retirements += 1;
                numbers.retired = Some(self.retirements);
            }
        }
    }

    /// Whether no two networks have the same number or label, and every number is possible: what a
    /// state file must hold.
    pub fn is_consistent(&self) -> bool {
        let ids: BTreeSet<_> = self.networks.values().map(|numbers| numbers.id).collect();
        let of_ports = self.ports.values().copied();
        let labels: BTreeSet<_> =
            self.networks.values().map(|numbers| numbers.label).chain(of_ports).collect();
        ids.len() == self.networks.len()
            && labels.len() == self.networks.len() + self.ports.len()
            && ids.iter().all(|id| (1..=MAX_VRF).contains(&id.0))
    }

    fn free_id(&mut self) -> Option<VrfId> {
        // Without gaps, unless somebody edited the file.
        let next = u32::try_from(self.networks.len()).map_or(MAX_VRF, |used| used + 1);
        let is_free = |id: &u32| !self.networks.values().any(|numbers| numbers.id.0 == *id);
        if let Some(free) = (next..=MAX_VRF).chain(1..next.min(MAX_VRF)).find(is_free) {
            return Some(VrfId(free));
        }
        let (_, oldest) = self
            .networks
            .iter()
            .filter_map(|(network, numbers)| Some((numbers.retired?, network.clone())))
            .min()?;
        self.networks.remove(&oldest).map(|numbers| numbers.id)
    }

    fn free_label(&self) -> MplsLabel {
        let (first, last) = (MplsLabel::MIN.value(), MplsLabel::MAX.value());
        let start = self.last_label.saturating_add(1).max(first);
        let is_free = |label: &MplsLabel| {
            !self.networks.values().any(|n| n.label == *label)
                && !self.ports.values().any(|of| of == label)
        };
        (start..=last)
            .chain(first..start)
            .filter_map(MplsLabel::new)
            .find(is_free)
            .expect("there are more labels than VRFs and ports")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_that_comes_back_gets_its_numbers_back() {
        let mut numbers = Numbers::default();
        let (a, b) = (numbers.assign("a").unwrap(), numbers.assign("b").unwrap());
        assert_eq!((a.id, a.label.value()), (VrfId(1), 16));
        assert_eq!((b.id, b.label.value()), (VrfId(2), 17));
        numbers.retire_all_but(&BTreeSet::from(["b"]));
        let c = numbers.assign("c").unwrap();
        assert_eq!((c.id, c.label.value()), (VrfId(3), 18), "what rests is not given away");
        assert_eq!(numbers.assign("a").unwrap(), a);
    }

    #[test]
    fn only_when_nothing_else_is_left_the_longest_unused_number_is_given_away() {
        let names: Vec<String> = (1..=MAX_VRF).map(|n| n.to_string()).collect();
        let all = names.iter().zip(1..).map(|(name, id)| {
            let label = MplsLabel::new(15 + id).unwrap();
            (name.clone(), VrfNumbers { id: VrfId(id), label, retired: None })
        });
        let mut numbers =
            Numbers { networks: all.collect(), last_label: 15 + MAX_VRF, ..Numbers::default() };
        assert_eq!(numbers.assign("late"), Err(Exhausted("late".into())));

        let mut used: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        used.remove("77");
        numbers.retire_all_but(&used);
        used.remove("5");
        numbers.retire_all_but(&used);
        let late = numbers.assign("late").unwrap();
        assert_eq!(late.id, VrfId(77));
        assert_eq!(late.label.value(), 16 + MAX_VRF, "its label is one that nobody had");
        assert!(numbers.is_consistent());
    }

    #[test]
    fn labels_begin_again_at_the_bottom_when_the_top_is_reached() {
        let mut numbers = Numbers { last_label: MplsLabel::MAX.value() - 1, ..Numbers::default() };
        assert_eq!(numbers.assign("a").unwrap().label, MplsLabel::MAX);
        assert_eq!(numbers.assign("b").unwrap().label, MplsLabel::MIN);
    }
}
