//! What two speakers agreed on in their OPEN messages, as far as reading and writing depend on it.

use crate::afi_safi::{Afi, AfiSafi};

/// All that the octets of a message depend on beside the message itself.
#[derive(Debug, Clone, PartialEq, Eq)]
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
        }
    }

    /// All families and extensions, without path identifiers: for tests, fuzzing and files.
    pub fn everything() -> Self {
        Self {
            internal: true,
            four_octet_as: true,
            extended_messages: true,
            families: AfiSafi::NAMED.iter().map(|(family, _)| *family).collect(),
            add_path_receive: Vec::new(),
            add_path_send: Vec::new(),
            extended_next_hop: Vec::new(),
        }
    }

    /// Largest message that may be sent or received, in octets, header included.
    pub const fn max_message(&self) -> usize {
        if self.extended_messages { 65_535 } else { 4_096 }
    }
}
