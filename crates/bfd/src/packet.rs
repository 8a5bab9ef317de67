//! The control packet.

use crate::{Diag, State};

/// Octets of a packet without authentication.
pub const LENGTH: usize = 24;

const VERSION: u8 = 1;

const POLL: u8 = 0b10_0000;
const FINAL: u8 = 0b01_0000;
const INDEPENDENT: u8 = 0b00_1000;
/// Behind the packet is an authentication section.
pub(crate) const SIGNED: u8 = 0b00_0100;
const DEMAND: u8 = 0b00_0010;
const MULTIPOINT: u8 = 0b00_0001;

/// One control packet.
///
/// RFC 5880 §4.1:
///
/// ```text
///  0                   1                   2                   3
///  0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
/// +-----+---------+---+-+-+-+-+-+-+---------------+---------------+
/// |Vers |  Diag   |Sta|P|F|C|A|D|M|  Detect Mult  |    Length     |
/// +-----+---------+---+-+-+-+-+-+-+---------------+---------------+
/// |                       My Discriminator                        |
/// +---------------------------------------------------------------+
/// |                      Your Discriminator                       |
/// +---------------------------------------------------------------+
/// |          Desired Min TX Interval, in microseconds             |
/// +---------------------------------------------------------------+
/// |          Required Min RX Interval, in microseconds            |
/// +---------------------------------------------------------------+
/// |        Required Min Echo RX Interval, in microseconds         |
/// +---------------------------------------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of the wire")]
pub struct ControlPacket {
    pub diag: Diag,
    pub state: State,
    /// The sender wants to know that its timing has arrived.
    pub poll: bool,
    /// Answers a poll.
    pub r#final: bool,
    /// The sender's session outlives its control plane.
    pub independent: bool,
    /// The sender wants us to be silent while both are up.
    pub demand: bool,
    /// Silent intervals after which the sender's session is to be taken for down; not 0.
    pub multiplier: u8,
    /// The sender's number of the session; not 0.
    pub my_discriminator: u32,
    /// Our number of the session, 0 while the sender does not know it.
    pub your_discriminator: u32,
    /// How often the sender would send, in microseconds.
    pub desired_min_tx: u32,
    /// How often the sender can be sent to, in microseconds; 0: not at all, but for answers.
    pub required_min_rx: u32,
    /// How often the sender echoes, in microseconds; 0: not at all.
    pub required_min_echo_rx: u32,
}

/// Why a packet is dropped: the checks of RFC 5880 §6.8.6 that need no session, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PacketError {
    /// Shorter than its fixed part.
    #[error("the packet ends too early")]
    Truncated,
    #[error("the version is {0}, not 1")]
    Version(u8),
    #[error("a length of {0} is too short for what the flags say")]
    TooShort(u8),
    #[error("the length of {0} is more than the datagram has")]
    TooLong(u8),
    #[error("the detect multiplier is 0")]
    Multiplier,
    #[error("the multipoint bit is set")]
    Multipoint,
    #[error("my discriminator is 0")]
    Discriminator,
    #[error("your discriminator is 0 in state {0}")]
    NobodyMeant(State),
    /// No key is configured, so it cannot be checked.
    #[error("the packet has an authentication section")]
    Authenticated,
}

impl ControlPacket {
    /// Reads the payload of a datagram where no key is configured.
    pub fn decode(datagram: &[u8]) -> Result<Self, PacketError> {
        let packet = Self::read(datagram)?;
        match Self::section(datagram) {
            None => Ok(packet),
            Some(_) => Err(PacketError::Authenticated),
        }
    }

    /// The authentication section of a packet that [`ControlPacket::read`] has taken, if it has one.
    pub fn section(datagram: &[u8]) -> Option<&[u8]> {
        let (&[_, flags, _, length, ..], _) = datagram.split_first_chunk::<LENGTH>()?;
        let section = datagram.get(LENGTH..usize::from(length))?;
        (flags & SIGNED != 0).then_some(section)
    }

    /// Reads the payload of a datagram, signed or not. What lies behind the packet's own length is
    /// ignored.
    pub fn read(datagram: &[u8]) -> Result<Self, PacketError> {
        let (fixed, _) = datagram.split_first_chunk::<LENGTH>().ok_or(PacketError::Truncated)?;
        let [first, flags, multiplier, length, numbers @ ..] = *fixed;
        let version = first >> 5;
        if version != VERSION {
            return Err(PacketError::Version(version));
        }
        let least = if flags & SIGNED == 0 { LENGTH } else { LENGTH + 2 };
        if usize::from(length) < least {
            return Err(PacketError::TooShort(length));
        }
        if usize::from(length) > datagram.len() {
            return Err(PacketError::TooLong(length));
        }
        if multiplier == 0 {
            return Err(PacketError::Multiplier);
        }
        if flags & MULTIPOINT != 0 {
            return Err(PacketError::Multipoint);
        }
        let mut words = numbers
            .chunks_exact(4)
            .map(|word| word.iter().fold(0, |number, octet| number << 8 | u32::from(*octet)));
        let mut word = || words.next().unwrap_or_default();
        let packet = Self {
            diag: Diag::from_bits(first),
            state: State::from_bits(flags >> 6),
            poll: flags & POLL != 0,
            r#final: flags & FINAL != 0,
            independent: flags & INDEPENDENT != 0,
            demand: flags & DEMAND != 0,
            multiplier,
            my_discriminator: word(),
            your_discriminator: word(),
            desired_min_tx: word(),
            required_min_rx: word(),
            required_min_echo_rx: word(),
        };
        if packet.my_discriminator == 0 {
            return Err(PacketError::Discriminator);
        }
        if packet.your_discriminator == 0 && !matches!(packet.state, State::Down | State::AdminDown)
        {
            return Err(PacketError::NobodyMeant(packet.state));
        }
        Ok(packet)
    }

    /// As it is sent.
    pub fn encode(&self) -> [u8; LENGTH] {
        let flag = |set, bit| if set { bit } else { 0 };
        let flags = self.state.bits() << 6
            | flag(self.poll, POLL)
            | flag(self.r#final, FINAL)
            | flag(self.independent, INDEPENDENT)
            | flag(self.demand, DEMAND);
        let mut octets = [0; LENGTH];
        let (head, numbers) = octets.split_at_mut(4);
        head.copy_from_slice(&[VERSION << 5 | self.diag.bits(), flags, self.multiplier, 24]);
        let words = [
            self.my_discriminator,
            self.your_discriminator,
            self.desired_min_tx,
            self.required_min_rx,
            self.required_min_echo_rx,
        ];
        for (octets, word) in numbers.chunks_exact_mut(4).zip(words) {
            octets.copy_from_slice(&word.to_be_bytes());
        }
        octets
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// By hand from RFC 5880 §4.1: Up, poll, 300 ms, three times.
    const UP: [u8; LENGTH] = [
        0x20, 0xe0, 3, 24, 0, 0, 0, 7, 0, 0, 0, 9, 0, 0x04, 0x93, 0xe0, 0, 0x04, 0x93, 0xe0, 0, 0,
        0xc3, 0x50,
    ];

    fn up() -> ControlPacket {
        ControlPacket {
            state: State::Up,
            poll: true,
            multiplier: 3,
            my_discriminator: 7,
            your_discriminator: 9,
            desired_min_tx: 300_000,
            required_min_rx: 300_000,
            required_min_echo_rx: 50_000,
            ..ControlPacket::default()
        }
    }

    #[test]
    fn octets_are_those_of_the_picture() {
        assert_eq!(ControlPacket::decode(&UP), Ok(up()));
        assert_eq!(up().encode(), UP);
    }

    /// RFC 5880 §6.8.6. Each case is `UP` with octets changed, and may break a later rule as well:
    /// the first one counts.
    #[test]
    fn packets_are_dropped_by_the_first_rule_that_they_break() {
        type Changes = &'static [(usize, u8)];
        let cases: &[(&str, Changes, PacketError)] = &[
            ("version 0", &[(0, 0x00), (3, 1)], PacketError::Version(0)),
            ("version 2", &[(0, 0x40), (3, 0)], PacketError::Version(2)),
            ("23 octets", &[(3, 23), (2, 0)], PacketError::TooShort(23)),
            ("authenticated in 25", &[(1, 0xe4), (3, 25)], PacketError::TooShort(25)),
            ("beyond the datagram", &[(3, 25), (2, 0)], PacketError::TooLong(25)),
            ("no multiplier", &[(2, 0), (1, 0xe1)], PacketError::Multiplier),
            ("multipoint", &[(1, 0xe1), (7, 0)], PacketError::Multipoint),
            ("nobody's", &[(7, 0), (11, 0)], PacketError::Discriminator),
            ("to nobody, up", &[(11, 0)], PacketError::NobodyMeant(State::Up)),
            ("to nobody, init", &[(11, 0), (1, 0x80)], PacketError::NobodyMeant(State::Init)),
        ];
        for (what, changes, want) in cases {
            let mut octets = UP;
            for (at, octet) in *changes {
                octets[*at] = *octet;
            }
            assert_eq!(ControlPacket::decode(&octets), Err(*want), "{what}");
        }
    }

    #[test]
    fn a_packet_with_authentication_is_dropped_while_there_is_no_key() {
        let mut octets = UP.to_vec();
        octets[1] |= SIGNED;
        octets[3] = 26;
        octets.extend([1, 2]);
        assert_eq!(ControlPacket::decode(&octets), Err(PacketError::Authenticated));
    }

    #[test]
    fn down_may_be_said_to_a_peer_whose_discriminator_is_not_known() {
        for flags in [0x00, 0x40] {
            let mut octets = UP;
            (octets[1], octets[11]) = (flags, 0);
            assert!(ControlPacket::decode(&octets).is_ok(), "{flags:#x}");
        }
    }

    #[test]
    fn what_lies_behind_a_packet_is_ignored_and_what_is_missing_is_not() {
        let mut octets = UP.to_vec();
        octets.push(0xff);
        assert_eq!(ControlPacket::decode(&octets), Ok(up()));
        for length in 0..LENGTH {
            assert_eq!(ControlPacket::decode(&UP[..length]), Err(PacketError::Truncated));
        }
    }

    proptest! {
        /// What is read and written again is the same packet; nothing makes reading panic.
        #[test]
        fn what_is_accepted_round_trips(
            flags in any::<u8>(), first in 0x20u8..0x40, length in 20u8..30, rest in any::<[u8; 24]>(),
        ) {
            let mut octets = rest;
            (octets[0], octets[1], octets[3]) = (first, flags, length);
            if let Ok(packet) = ControlPacket::decode(&octets) {
                prop_assert_eq!(ControlPacket::decode(&packet.encode()), Ok(packet));
                prop_assert_eq!(packet.encode(), octets);
            }
        }
    }
}
