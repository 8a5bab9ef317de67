//! The Internet checksum (RFC 1071), whole and by difference (RFC 1624).

use std::net::IpAddr;

/// Adds up big-endian words; an odd octet at the end counts as the high one.
fn add(octets: &[u8]) -> u64 {
    let word = |pair: &[u8]| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0));
    octets.chunks(2).map(word).sum()
}

fn fold(mut sum: u64) -> u16 {
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    u16::try_from(sum).unwrap_or(u16::MAX)
}

/// The checksum of some octets, whose own checksum field is 0.
pub(super) fn of(octets: &[u8]) -> u16 {
    !fold(add(octets))
}

/// The checksum of a message with the pseudo-header of its version of IP.
pub(super) fn with_pseudo_header(
    source: IpAddr,
    destination: IpAddr,
    protocol: u8,
    message: &[u8],
) -> u16 {
    let addresses = [source, destination].map(|address| match address {
        IpAddr::V4(address) => add(&address.octets()),
        IpAddr::V6(address) => add(&address.octets()),
    });
    let length = u64::try_from(message.len()).unwrap_or_default();
    !fold(addresses.iter().sum::<u64>() + length + u64::from(protocol) + add(message))
}

/// The checksum after some octets that it covers, at an even offset, have become others. One that
/// was wrong stays wrong.
pub(super) fn after(checksum: u16, was: &[u8], is: &[u8]) -> u16 {
    let taken: u64 = was.chunks(2).map(|pair| u64::from(!fold(add(pair)))).sum();
    !fold(u64::from(!checksum) + taken + add(is))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_gives_what_the_whole_gives() {
        let mut octets = [0x45, 0, 0, 54, 1, 2, 0x40, 0, 64, 6, 0, 0, 10, 0, 1, 2, 10, 0, 1, 3];
        let before = of(&octets);
        let was = octets[12..16].to_vec();
        octets[12..16].copy_from_slice(&[192, 0, 2, 255]);
        assert_eq!(after(before, &was, &octets[12..16]), of(&octets));
    }
}
