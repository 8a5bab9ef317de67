//! What two speakers agreed on in their OPEN messages, as far as reading and writing depend on it.

use crate::afi_safi::{Afi, AfiSafi};
use crate::nlri::Reading;

/// All that the octets of a message depend on beside the message itself.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each was agreed on, or not, by itself")]
pub struct Negotiated {
    /// Same AS on both sides: RFC 7606 reacts differently to LOCAL_PREF, ORIGINATOR_ID, CLUSTER_LIST.
    pub internal: bool,
    /// RFC 6793: AS numbers in AS_PATH and AGGREGATOR have four octets.
    pub four_octet_as: bool,
    /// RFC 8654: messages other than OPEN and KEEPALIVE up to 65,535 octets.
    pub extended_messages: bool,
    /// Families that both sides announced.
    pub families: Vec<AfiSafi>,
    /// Families in which the peer sends us path identifiers (RFC 7911).
    pub add_path_receive: Vec<AfiSafi>,
    /// Families in which we send path identifiers.
    pub add_path_send: Vec<AfiSafi>,
    /// Families in which both sides take next hops of this other address family (RFC 8950).
    pub extended_next_hop: Vec<(AfiSafi, Afi)>,
    /// Families in which we have said that we take next hops of this other address family. The peer may
    /// then send them, whatever it takes itself (RFC 8950 §4).
    pub next_hops_taken: Vec<(AfiSafi, Afi)>,
    /// Families in which both sides may send stacks of labels, and how many the peer takes at most (RFC
    /// 8277 §2.1).
    pub labels: Vec<(AfiSafi, u8)>,
    /// What has an `AS_SET` or an `AS_CONFED_SET` in its path is treated as withdrawn (RFC 9774 §3).
    pub refuse_as_sets: bool,
}

impl Negotiated {
    /// Before any OPEN was exchanged.
    pub const fn nothing() -> Self {
        Self {
            internal: false,
            four_octet_as: false,
            extended_messages: false,
            families: Vec::new(),
            add_path_receive: Vec::new(),
            add_path_send: Vec::new(),
            extended_next_hop: Vec::new(),
            next_hops_taken: Vec::new(),
            labels: Vec::new(),
            refuse_as_sets: false,
        }
    }

    /// All families and extensions, without path identifiers: for tests, fuzzing and files.
    pub fn everything() -> Self {
        let families = AfiSafi::NAMED.iter().map(|(family, _)| *family);
        Self {
            internal: true,
            four_octet_as: true,
            extended_messages: true,
            families: families.clone().collect(),
            add_path_receive: Vec::new(),
            add_path_send: Vec::new(),
            extended_next_hop: Vec::new(),
            next_hops_taken: families.map(|family| (family, Afi::IPV6)).collect(),
            labels: Vec::new(),
            refuse_as_sets: false,
        }
    }

    /// Whether the peer may send routes of this family of IPv4 with next hops of IPv6 (RFC 8950 §4).
    pub(crate) fn takes_mixed(&self, family: AfiSafi) -> bool {
        self.next_hops_taken.contains(&(family, Afi::IPV6))
    }

    /// What the peer's lists of routes of a family depend on.
    pub(crate) fn reading(&self, family: AfiSafi) -> Reading {
        Reading {
            add_path: self.add_path_receive.contains(&family),
            stacked: self.most_labels(family) > 1,
        }
    }

    /// How many labels the peer takes in a route of the family.
    pub(crate) fn most_labels(&self, family: AfiSafi) -> u8 {
        self.labels.iter().find(|(with, _)| *with == family).map_or(1, |(_, most)| *most)
    }

    /// Largest message that may be sent or received, in octets, header included.
    pub const fn max_message(&self) -> usize {
        if self.extended_messages { 65_535 } else { 4_096 }
    }
}
