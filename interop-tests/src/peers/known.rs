//! What others do otherwise, and why it is not tried. A row each.

use super::{Kind, Way};

/// A case that a daemon cannot pass, whoever it talks to.
#[derive(Debug)]
pub(super) struct Known {
    /// As [`super::Speaker::NAME`].
    pub(super) peer: &'static str,
    /// As [`super::Case::name`].
    pub(super) case: &'static str,
    pub(super) way: Way,
    pub(super) kinds: &'static [Kind],
    pub(super) why: &'static str,
}

const VPN: &[Kind] = &[Kind::Vpnv4, Kind::Vpnv6];

pub(super) const KNOWN: &[Known] = &[
    Known {
        peer: "FRR 8.4",
        case: "relabel",
        way: Way::Sends,
        kinds: VPN,
        why: "a static VPN route has to be removed and made again for another label; when both fall \
              into one round of updates FRR finds equal attributes and sends nothing",
    },
    Known {
        peer: "FRR 8.4",
        case: "relabel",
        way: Way::Hears,
        kinds: &[Kind::EvpnMulticast],
        why: "an update that differs in the label of the PMSI tunnel alone is a duplicate to FRR",
    },
    openbgpd("withdraw"),
    openbgpd("relabel"),
    openbgpd("route target"),
];

const fn openbgpd(case: &'static str) -> Known {
    Known {
        peer: "OpenBGPD 7.7",
        case,
        way: Way::Hears,
        kinds: VPN,
        why: "a VPN withdrawal with the label 0x800000 (RFC 8277 section 2.4) is not taken",
    }
}

impl Known {
    pub(super) fn find(peer: &str, case: &str, way: Way, kind: Kind) -> Option<&'static Self> {
        KNOWN.iter().find(|known| {
            (known.peer, known.case, known.way) == (peer, case, way) && known.kinds.contains(&kind)
        })
    }
}
