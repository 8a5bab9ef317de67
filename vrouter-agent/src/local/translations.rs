//! Floating and service addresses: who answers under them on this node.

use std::collections::BTreeMap;
use std::net::IpAddr;

use arcus_api::v1::PortId;
use dataplane::{Backend, Translation, TranslationKind, VrfId};

use super::{Given, Local, plane_id};
use crate::port::{PortSpec, Service};

impl Local {
    pub(super) fn add_targets(&mut self, given: Given<'_>, id: &PortId, spec: &PortSpec) {
        for floating in &spec.floating {
            self.add_holder(given.vrf_of[floating.network.as_str()], floating.address, id);
        }
        for service in &spec.services {
            self.add_backend(given.vrf_of[service.network.as_str()], service, id);
        }
    }

    fn add_holder(&mut self, vrf: VrfId, address: IpAddr, id: &PortId) {
        let none = || Translation {
            kind: TranslationKind::Floating { ports: Vec::new(), exclusive: true },
        };
        let translation = self.translations.entry((vrf, address)).or_insert_with(none);
        if let TranslationKind::Floating { ports, .. } = &mut translation.kind {
            ports.push(plane_id(id));
        }
    }

    /// The longest affinity that an endpoint of the address asks for counts for all.
    fn add_backend(&mut self, vrf: VrfId, service: &Service, id: &PortId) {
        let none = || Translation {
            kind: TranslationKind::Service { ports: BTreeMap::new(), affinity: None },
        };
        let translation = self.translations.entry((vrf, service.address)).or_insert_with(none);
        if let TranslationKind::Service { ports, affinity } = &mut translation.kind {
            *affinity = (*affinity).max(service.affinity);
            let backends = ports.entry((service.protocol, service.port)).or_default();
            backends.push(Backend { port: plane_id(id), target_port: service.target_port });
            backends.sort();
            backends.dedup();
        }
    }

    /// A floating address with several holders belongs to none of them alone, ready or not.
    pub(super) fn share_floating<'a>(
        &mut self,
        specs: impl Iterator<Item = &'a PortSpec>,
        given: Given<'_>,
    ) {
        let mut holders: BTreeMap<(VrfId, IpAddr), usize> = BTreeMap::new();
        for floating in specs.flat_map(|spec| &spec.floating) {
            let vrf = given.vrf_of[floating.network.as_str()];
            *holders.entry((vrf, floating.address)).or_default() += 1;
        }
        for (key, translation) in &mut self.translations {
            if let TranslationKind::Floating { exclusive, .. } = &mut translation.kind {
                *exclusive = holders.get(key) == Some(&1);
            }
        }
    }

    /// Of more targets than a data plane can take, the first in order serve: the address must not be
    /// lost because one too many wants to.
    pub(super) fn limit_targets(&mut self) {
        for translation in self.translations.values_mut() {
            match &mut translation.kind {
                TranslationKind::Floating { ports, .. } => {
                    ports.truncate(Translation::MAX_TARGETS);
                }
                TranslationKind::Service { ports, .. } => {
                    for backends in ports.values_mut() {
                        backends.truncate(Translation::MAX_TARGETS);
                    }
                }
            }
        }
    }
}
