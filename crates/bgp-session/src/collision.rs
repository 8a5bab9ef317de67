//! Two connections between the same two speakers: which one stays (RFC 4271 §6.8).

use std::net::Ipv4Addr;

/// One side of a peering, as far as collisions go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Speaker {
    pub id: Ipv4Addr,
    pub asn: u32,
}

/// Who opened a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Initiator {
    /// We connected.
    Us,
    /// The peer connected; our listener accepted.
    Peer,
}

/// Whose connection stays when both have connected and neither session is up: that of the higher BGP
/// identifier; of equal ones that of the higher AS number (RFC 6286 §2.3).
pub fn winner(us: Speaker, peer: Speaker) -> Initiator {
    if (us.id, us.asn) > (peer.id, peer.asn) { Initiator::Us } else { Initiator::Peer }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn speaker(id: [u8; 4], asn: u32) -> Speaker {
        Speaker { id: Ipv4Addr::from_octets(id), asn }
    }

    #[test]
    fn both_sides_keep_the_same_connection() {
        let (low, high) = (speaker([9, 255, 255, 255], 2), speaker([10, 0, 0, 0], 1));
        assert_eq!(winner(high, low), Initiator::Us);
        assert_eq!(winner(low, high), Initiator::Peer);
    }

    #[test]
    fn equal_identifiers_leave_it_to_the_as_number() {
        let (low, high) = (speaker([1, 1, 1, 1], 65_000), speaker([1, 1, 1, 1], 4_200_000_000));
        assert_eq!(winner(high, low), Initiator::Us);
        assert_eq!(winner(low, high), Initiator::Peer);
    }
}
