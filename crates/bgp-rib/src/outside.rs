//! What another AS is told instead of what we know.

use bgp_wire::as_path::Segment;
use bgp_wire::{AfiSafi, AsPath, PathAttributes};

use bgp_wire::capability::Role;

use crate::peer::PeerView;
use crate::peer_policy::{LocalAs, RemovePrivate};
use crate::policy;

/// What one external peer's policy makes of attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Outside {
    local_as: Option<LocalAs>,
    /// Our AS takes the place of this one.
    overridden: Option<u32>,
    remove_private: RemovePrivate,
    /// Of the peer, where it makes a difference: peers of different ASes may share a group.
    kept: Option<u32>,
    preference_as_med: bool,
    aigp: bool,
    /// It is below us, or beside: what it is told may only go further down (RFC 9234 §5).
    only_to_customers: bool,
}

impl Outside {
    /// Towards a peer of AS `asn`.
    pub(crate) fn of(view: &PeerView, family: AfiSafi, asn: u32) -> Self {
        let policy = &view.policy;
        let removes = policy.remove_private_as != RemovePrivate::No;
        Self {
            local_as: policy.local_as,
            overridden: policy.as_override.then_some(asn),
            remove_private: policy.remove_private_as,
            kept: removes.then_some(asn),
            preference_as_med: policy.preference_as_med,
            aigp: policy.aigp,
            only_to_customers: policy::has_roles(family)
                && matches!(policy.role, Some(Role::Provider | Role::RouteServer | Role::Peer)),
        }
    }

    /// RFC 4271 §5.1, RFC 4456 §8, RFC 4360 §6, RFC 7311 §3.4: what stays inside an AS is taken out.
    pub(crate) fn attributes(&self, inside: &PathAttributes, own_as: u32) -> PathAttributes {
        let mut out = inside.clone();
        let preference = out.local_pref.take();
        out.originator_id = None;
        out.cluster_list = Vec::new();
        // Set by us or by a client of ours it may go one AS further; set by another AS it may not.
        if !inside.as_path.0.is_empty() {
            out.med = None;
        } else if self.preference_as_med {
            out.med = preference.map(policy::preference_to_med);
        }
        out.extended_communities.retain(|community| community.is_transitive());
        if !self.aigp {
            out.set_aigp(None);
        }
        if self.only_to_customers && out.otc().is_none() {
            out.set_otc(Some(self.local_as.map_or(own_as, |local| local.asn)));
        }
        self.change_path(&mut out.as_path, own_as);
        out
    }

    fn change_path(&self, path: &mut AsPath, own_as: u32) {
        // RFC 5065 §5: they are for members of a confederation, which no other AS is.
        path.0.retain(|segment| !segment.is_confederation());
        let shown = self.local_as.map_or(own_as, |local| local.asn);
        if let Some(overridden) = self.overridden {
            each_number(path, |asn| Some(if asn == overridden { shown } else { asn }));
        }
        let is_private = |asn| is_private(asn) && Some(asn) != self.kept;
        match self.remove_private {
            RemovePrivate::No => {}
            RemovePrivate::Leading => {
                let mut leading = true;
                each_number(path, |asn| {
                    leading &= is_private(asn);
                    (!leading).then_some(asn)
                });
            }
            RemovePrivate::All => each_number(path, |asn| (!is_private(asn)).then_some(asn)),
            RemovePrivate::Replace => {
                each_number(path, |asn| Some(if is_private(asn) { shown } else { asn }));
            }
        }
        if self.local_as.is_none_or(|local| !local.replace) {
            path.prepend(own_as);
        }
        if let Some(local) = self.local_as {
            path.prepend(local.asn);
        }
    }
}

/// RFC 6996 §5.
fn is_private(asn: u32) -> bool {
    matches!(asn, 64_512..=65_534 | 4_200_000_000..=4_294_967_294)
}

/// Changes or removes each number of a path; segments that are empty then go.
fn each_number(path: &mut AsPath, mut change: impl FnMut(u32) -> Option<u32>) {
    for segment in &mut path.0 {
        let (Segment::Sequence(numbers)
        | Segment::Set(numbers)
        | Segment::ConfedSequence(numbers)
        | Segment::ConfedSet(numbers)) = segment;
        *numbers = numbers.iter().filter_map(|asn| change(*asn)).collect();
    }
    path.0.retain(|segment| {
        let (Segment::Sequence(numbers)
        | Segment::Set(numbers)
        | Segment::ConfedSequence(numbers)
        | Segment::ConfedSet(numbers)) = segment;
        !numbers.is_empty()
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Outside = Outside {
        local_as: None,
        overridden: None,
        remove_private: RemovePrivate::No,
        kept: None,
        preference_as_med: false,
        aigp: false,
        only_to_customers: false,
    };

    fn path(outside: Outside, numbers: &[u32]) -> String {
        let as_path = AsPath(vec![Segment::Sequence(numbers.to_vec())]);
        let inside = PathAttributes { as_path, ..PathAttributes::default() };
        outside.attributes(&inside, 3_000).as_path.to_string()
    }

    #[test]
    fn the_path_is_what_the_policy_says() {
        let local = |replace| Some(LocalAs { asn: 5_000, no_prepend: false, replace });
        let private = |remove_private| Outside { remove_private, kept: Some(64_600), ..PLAIN };
        let cases = [
            ("plain", PLAIN, "3000 65000 7 64600 65001"),
            (
                "local-as",
                Outside { local_as: local(false), ..PLAIN },
                "5000 3000 65000 7 64600 65001",
            ),
            ("replaced", Outside { local_as: local(true), ..PLAIN }, "5000 65000 7 64600 65001"),
            (
                "as-override",
                Outside { overridden: Some(7), ..PLAIN },
                "3000 65000 3000 64600 65001",
            ),
            ("leading", private(RemovePrivate::Leading), "3000 7 64600 65001"),
            ("all", private(RemovePrivate::All), "3000 7 64600"),
            ("in place", private(RemovePrivate::Replace), "3000 3000 7 64600 3000"),
        ];
        for (name, outside, expected) in cases {
            assert_eq!(path(outside, &[65_000, 7, 64_600, 65_001]), expected, "{name}");
        }
        let all = Outside { remove_private: RemovePrivate::All, ..PLAIN };
        assert_eq!(path(all, &[64_511, 64_512, 65_534, 65_535]), "3000 64511 65535", "borders");
        assert_eq!(path(all, &[4_199_999_999, 4_200_000_000, 4_294_967_294]), "3000 4199999999");
        assert_eq!(path(all, &[64_512]), "3000", "no empty segment is left");
    }

    /// RFC 5065 §5.
    #[test]
    fn segments_of_a_confederation_stay_inside() {
        let mut path = AsPath(vec![
            Segment::ConfedSequence(vec![65_500]),
            Segment::Sequence(vec![7]),
            Segment::ConfedSet(vec![65_501]),
        ]);
        PLAIN.change_path(&mut path, 3_000);
        assert_eq!(path.to_string(), "3000 7");
    }

    #[test]
    fn preference_travels_as_med_from_our_own_as_only() {
        let told = |local_pref, path: &[u32]| {
            let inside = PathAttributes {
                local_pref: Some(local_pref),
                med: Some(5),
                as_path: AsPath(path.iter().map(|asn| Segment::Sequence(vec![*asn])).collect()),
                ..PathAttributes::default()
            };
            Outside { preference_as_med: true, ..PLAIN }.attributes(&inside, 3_000).med
        };
        assert_eq!(told(200, &[]), Some(100));
        assert_eq!(told(100, &[]), Some(200));
        assert_eq!(told(150, &[]), Some(u32::MAX - 150));
        assert_eq!(told(200, &[7]), None);
    }
}
