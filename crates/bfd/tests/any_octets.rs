//! Whatever arrives, the law of `law` holds.

use proptest::prelude::*;

mod law;

/// Octets that mostly are packets: the right version and length, and flags that are not refused.
fn packets() -> impl Strategy<Value = Vec<u8>> {
    let packet = (any::<[u8; 26]>(), 0u8..20).prop_map(|(mut octets, odd)| {
        if odd > 0 {
            octets[2] = 0x20 | octets[2] & 0x1f;
            octets[3] &= !0b101;
            octets[5] = 24;
        }
        if odd > 10 {
            octets[10..14].copy_from_slice(&[0, 0, 0, 1]);
        }
        octets
    });
    proptest::collection::vec(packet, 0..60).prop_map(|packets| packets.concat())
}

proptest! {
    #[test]
    fn the_law_holds_for_packets(octets in packets()) {
        law::check(&octets);
    }

    #[test]
    fn the_law_holds_for_noise(octets in proptest::collection::vec(any::<u8>(), 0..200)) {
        law::check(&octets);
    }
}
