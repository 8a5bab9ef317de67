//! What others do otherwise, and why it is not tried. A row each.

use std::env;

use super::{Kind, Role, Way};

/// A case that a daemon cannot pass, whoever it talks to.
#[derive(Debug)]
pub(super) struct Known {
    /// As [`super::Speaker::NAME`].
    pub(super) peer: &'static str,
    /// In these roles.
    pub(super) roles: &'static [Role],
    /// As [`super::Case::name`].
    pub(super) cases: &'static [&'static str],
    pub(super) ways: &'static [Way],
    pub(super) kinds: &'static [Kind],
    pub(super) why: &'static str,
}

const VPN: &[Kind] = &[Kind::Vpnv4, Kind::Vpnv6];
const OVERLAY: &[Kind] =
    &[Kind::Vpnv4, Kind::Vpnv6, Kind::EvpnMacIp, Kind::EvpnMulticast, Kind::EvpnPrefix];

pub(super) const KNOWN: &[Known] = &[
    Known {
        peer: "FRR 8.4",
        roles: &Role::ALL,
        cases: &["relabel"],
        ways: &[Way::Hears],
        kinds: &[Kind::EvpnMulticast],
        why: "an update that differs in the label of the PMSI tunnel alone is a duplicate to FRR",
    },
    Known {
        peer: "FRR 8.4",
        roles: &[Role::Reflector],
        cases: &["relabel"],
        ways: &[Way::Sends],
        kinds: &[Kind::EvpnMulticast],
        why: "likewise",
    },
    Known {
        peer: "FRR 8.4",
        roles: &[Role::Reflector],
        cases: &["graceful restart", "our graceful restart"],
        ways: &[Way::Sends],
        kinds: VPN,
        why: "while it waits for End-of-RIB of all its peers, after a start, it puts routes with a \
              distinguisher aside, and never takes them up again",
    },
    Known {
        peer: "GoBGP 3.10",
        roles: &[Role::ControlNode, Role::FarControlNode],
        cases: &["route target", "route target of an old route"],
        ways: &[Way::Sends],
        kinds: OVERLAY,
        why: "a route whose new target its peer did not ask for is not withdrawn, its peer keeps the old one",
    },
    Known {
        peer: "OpenBGPD 7.7",
        roles: &Role::ALL,
        cases: &["withdraw", "relabel", "route target", "route target of an old route"],
        ways: &[Way::Hears],
        kinds: VPN,
        why: "a VPN withdrawal with the label 0x800000 (RFC 8277 section 2.4) is not taken",
    },
    Known {
        peer: "OpenBGPD 7.7",
        roles: &[Role::Reflector],
        cases: &["withdraw", "relabel"],
        ways: &[Way::Sends],
        kinds: VPN,
        why: "likewise, from its client",
    },
];

/// `KNOWN=1`: tries them all the same, to see what each row says. Takes longer.
pub(super) fn tries_known() -> bool {
    env::var_os("KNOWN").is_some()
}

impl Known {
    pub(super) fn find(
        peer: &str,
        role: Role,
        case: &str,
        way: Way,
        kind: Kind,
    ) -> Option<&'static Self> {
        KNOWN.iter().find(|known| {
            known.peer == peer
                && known.roles.contains(&role)
                && known.cases.contains(&case)
                && known.ways.contains(&way)
                && known.kinds.contains(&kind)
        })
    }
}
