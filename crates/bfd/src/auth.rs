//! Authentication of control packets (RFC 5880 §4.2 to §4.4, §6.7).

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use md5::Md5;
use sha1::{Digest, Sha1};

use crate::ControlPacket;
use crate::packet::{LENGTH, SIGNED};

/// Octets of a section in front of its digest.
const HEAD: usize = 8;

/// How packets are signed. The keyed digests of RFC 5880 are old ones; they keep accidents and passers-by
/// out, the meticulous ones recordings as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum AuthType {
    /// The password goes in clear.
    Password = 1,
    Md5 = 2,
    MeticulousMd5 = 3,
    Sha1 = 4,
    MeticulousSha1 = 5,
}

impl AuthType {
    /// Longest secret, in octets.
    pub const fn longest(self) -> usize {
        match self {
            Self::Password | Self::Md5 | Self::MeticulousMd5 => 16,
            Self::Sha1 | Self::MeticulousSha1 => 20,
        }
    }

    /// Whether no sequence number comes twice.
    const fn is_meticulous(self) -> bool {
        matches!(self, Self::MeticulousMd5 | Self::MeticulousSha1)
    }
}

/// A key that both sides have.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthKey {
    kind: AuthType,
    id: u8,
    secret: Vec<u8>,
}

/// No packet can be signed with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("such a key has 1 to {0} octets")]
pub struct AuthKeyError(usize);

impl AuthKey {
    pub fn new(kind: AuthType, id: u8, secret: &[u8]) -> Result<Self, AuthKeyError> {
        if secret.is_empty() || secret.len() > kind.longest() {
            return Err(AuthKeyError(kind.longest()));
        }
        Ok(Self { kind, id, secret: secret.to_vec() })
    }

    /// Puts the digest where the zeros of the secret's field are.
    fn sign(&self, packet: &mut [u8]) {
        let Some(field) = packet.get_mut(LENGTH + HEAD..) else { return };
        field.fill(0);
        for (octet, secret) in field.iter_mut().zip(&self.secret) {
            *octet = *secret;
        }
        match self.kind {
            AuthType::Password => {}
            AuthType::Md5 | AuthType::MeticulousMd5 => write(packet, &Md5::digest(&*packet)),
            AuthType::Sha1 | AuthType::MeticulousSha1 => write(packet, &Sha1::digest(&*packet)),
        }
    }
}

fn write(packet: &mut [u8], digest: &[u8]) {
    for (octet, digest) in packet.iter_mut().skip(LENGTH + HEAD).zip(digest) {
        *octet = *digest;
    }
}

/// The secret is nobody's business.
impl fmt::Debug for AuthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AuthKey")
            .field("kind", &self.kind)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// Why a packet is not believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// It has a section, and no key is configured; or the other way round.
    #[error("one side signs its packets and the other does not")]
    Presence,
    #[error("it is signed in another way, or with a key of another number")]
    Kind,
    #[error("its section has a wrong length")]
    Length,
    #[error("its sequence number has been there, or is far ahead")]
    Sequence,
    #[error("the key is another one")]
    Key,
}

/// Signs what one session sends, and checks what it hears.
#[derive(Debug)]
pub struct Authenticator {
    key: Option<Arc<AuthKey>>,
    /// Of the last packet of ours.
    sent: u32,
    /// Of the last packet of the peer, and until when that counts (`bfd.AuthSeqKnown`).
    heard: Option<(u32, Instant)>,
}

impl Authenticator {
    /// `first` is the sequence number to begin with, best a random one (RFC 5880 §6.8.1).
    pub const fn new(key: Option<Arc<AuthKey>>, first: u32) -> Self {
        Self { key, sent: first, heard: None }
    }

    /// A packet as it is sent.
    pub fn sign(&mut self, packet: &ControlPacket) -> Vec<u8> {
        let mut octets = packet.encode().to_vec();
        let Some(key) = &self.key else { return octets };
        let kind = key.kind as u8;
        if key.kind == AuthType::Password {
            let length = u8::try_from(key.secret.len() + 3).unwrap_or(u8::MAX);
            octets.extend([kind, length, key.id]);
            octets.extend(&key.secret);
        } else {
            self.sent = self.sent.wrapping_add(1);
            let length = HEAD + key.kind.longest();
            octets.extend([kind, u8::try_from(length).unwrap_or(u8::MAX), key.id, 0]);
            octets.extend(self.sent.to_be_bytes());
            octets.resize(LENGTH + length, 0);
        }
        mark(&mut octets);
        if key.kind != AuthType::Password {
            key.sign(&mut octets);
        }
        octets
    }

    /// Whether a datagram that holds `packet` is the peer's (RFC 5880 §6.7.2 to §6.7.4). `ours` is the
    /// interval that we ask for: sequence numbers are forgotten after twice the detection time.
    pub fn check(
        &mut self,
        now: Instant,
        datagram: &[u8],
        packet: &ControlPacket,
        ours: Duration,
    ) -> Result<(), AuthError> {
        let Some(section) = ControlPacket::section(datagram) else {
            return if self.key.is_none() { Ok(()) } else { Err(AuthError::Presence) };
        };
        let key = self.key.as_ref().ok_or(AuthError::Presence)?;
        let &[kind, length, id, ref rest @ ..] = section else { return Err(AuthError::Length) };
        if (kind, id) != (key.kind as u8, key.id) {
            return Err(AuthError::Kind);
        }
        if usize::from(length) != section.len() {
            return Err(AuthError::Length);
        }
        if key.kind == AuthType::Password {
            return if is_equal(rest, &key.secret) { Ok(()) } else { Err(AuthError::Key) };
        }
        if section.len() != HEAD + key.kind.longest() {
            return Err(AuthError::Length);
        }
        let &[_reserved, a, b, c, d, ref digest @ ..] = rest else { return Err(AuthError::Length) };
        let sequence = u32::from_be_bytes([a, b, c, d]);
        if let Some((last, _)) = self.heard.filter(|(_, until)| now < *until) {
            let ahead = sequence.wrapping_sub(last);
            let most = 3 * u32::from(packet.multiplier);
            if ahead < u32::from(key.kind.is_meticulous()) || ahead > most {
                return Err(AuthError::Sequence);
            }
        }
        let mut expected = datagram.get(..LENGTH + section.len()).unwrap_or(datagram).to_vec();
        key.sign(&mut expected);
        if !is_equal(digest, expected.get(LENGTH + HEAD..).unwrap_or_default()) {
            return Err(AuthError::Key);
        }
        let theirs = Duration::from_micros(packet.desired_min_tx.into());
        let detection_time = ours.max(theirs) * u32::from(packet.multiplier);
        self.heard = Some((sequence, now + detection_time * 2));
        Ok(())
    }
}

/// Sets the flag and the length of a packet that has a section now.
fn mark(octets: &mut [u8]) {
    let whole = u8::try_from(octets.len()).unwrap_or(u8::MAX);
    if let [_, flags, _, length, ..] = octets {
        *flags |= SIGNED;
        *length = whole;
    }
}

/// In a time that does not tell where the difference is.
fn is_equal(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).fold(0, |different, (a, b)| different | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::State;

    const OURS: Duration = Duration::from_millis(300);

    fn packet() -> ControlPacket {
        ControlPacket {
            state: State::Up,
            multiplier: 3,
            my_discriminator: 7,
            your_discriminator: 9,
            desired_min_tx: 300_000,
            required_min_rx: 300_000,
            ..ControlPacket::default()
        }
    }

    const KINDS: [AuthType; 5] = [
        AuthType::Password,
        AuthType::Md5,
        AuthType::MeticulousMd5,
        AuthType::Sha1,
        AuthType::MeticulousSha1,
    ];

    fn side(kind: AuthType, id: u8, secret: &str, first: u32) -> Authenticator {
        let key = AuthKey::new(kind, id, secret.as_bytes()).unwrap();
        Authenticator::new(Some(Arc::new(key)), first)
    }

    #[expect(clippy::disallowed_methods, reason = "an `Instant` can only be made from a clock")]
    fn start() -> Instant {
        Instant::now()
    }

    fn hear(side: &mut Authenticator, now: Instant, octets: &[u8]) -> Result<(), AuthError> {
        let packet = ControlPacket::read(octets).unwrap();
        side.check(now, octets, &packet, OURS)
    }

    /// By hand from RFC 5880 §4.2 to §4.4; the digests by `md5sum` and `sha1sum`.
    #[test]
    fn sections_are_those_of_the_pictures() {
        let head = |flags, length| {
            let mut octets = packet().encode();
            (octets[1], octets[3]) = (flags, length);
            octets.to_vec()
        };
        let signed = side(AuthType::Password, 5, "secret", 0).sign(&packet());
        assert_eq!(signed, [head(0xc4, 33), b"\x01\x09\x05secret".to_vec()].concat());
        let signed = side(AuthType::Md5, 5, "secret", 0x0102_0303).sign(&packet());
        assert_eq!(signed[..32], [head(0xc4, 48), vec![2, 24, 5, 0, 1, 2, 3, 4]].concat());
        assert_eq!(signed[32..], MD5);
        let signed = side(AuthType::MeticulousSha1, 5, "secret", u32::MAX).sign(&packet());
        assert_eq!(signed[..32], [head(0xc4, 52), vec![5, 28, 5, 0, 0, 0, 0, 0]].concat());
        assert_eq!(signed[32..], SHA1);
    }

    const MD5: [u8; 16] = [
        0xb3, 0x0b, 0xbb, 0x16, 0x27, 0x96, 0x00, 0x18, 0xf8, 0xf3, 0x98, 0x8f, 0x3e, 0x9f, 0x17,
        0xf8,
    ];
    const SHA1: [u8; 20] = [
        0xa2, 0x1a, 0x32, 0x3d, 0xeb, 0xf0, 0xb2, 0x81, 0xd2, 0xe4, 0x7a, 0x86, 0x04, 0x69, 0x8b,
        0x1d, 0x61, 0xca, 0x1e, 0x76,
    ];

    #[test]
    fn who_has_the_key_is_heard_and_who_has_another_is_not() {
        let now = start();
        for kind in KINDS {
            let mut here = side(kind, 1, "a secret", 10);
            let signed = side(kind, 1, "a secret", 77).sign(&packet());
            assert_eq!(hear(&mut here, now, &signed), Ok(()), "{kind:?}");
            let other = side(kind, 1, "another", 78).sign(&packet());
            assert_eq!(hear(&mut here, now, &other), Err(AuthError::Key), "{kind:?}");
            let numbered = side(kind, 2, "a secret", 77).sign(&packet());
            assert_eq!(hear(&mut here, now, &numbered), Err(AuthError::Kind), "{kind:?}");
            let plain = packet().encode();
            assert_eq!(hear(&mut here, now, &plain), Err(AuthError::Presence), "{kind:?}");
            let mut open = Authenticator::new(None, 0);
            assert_eq!(hear(&mut open, now, &signed), Err(AuthError::Presence), "{kind:?}");
            assert_eq!(hear(&mut open, now, &plain), Ok(()));
            let others = KINDS.into_iter().filter(|other| *other != kind);
            for other in others {
                let signed = side(other, 1, "a secret", 77).sign(&packet());
                assert_eq!(hear(&mut here, now, &signed), Err(AuthError::Kind), "{kind:?}");
            }
        }
    }

    #[test]
    fn no_octet_of_a_signed_packet_may_change() {
        let now = start();
        for kind in KINDS.into_iter().filter(|kind| *kind != AuthType::Password) {
            let signed = side(kind, 1, "a secret", 77).sign(&packet());
            for at in 0..signed.len() {
                let mut changed = signed.clone();
                changed[at] ^= 1;
                let Ok(packet) = ControlPacket::read(&changed) else { continue };
                let mut here = side(kind, 1, "a secret", 0);
                let heard = here.check(now, &changed, &packet, OURS);
                assert!(heard.is_err(), "{kind:?}, octet {at}");
            }
        }
    }

    /// RFC 5880 §6.7.3, §6.7.4: three times the multiplier of 3 ahead, and not back; the same one again
    /// where it is not meticulous.
    #[test]
    fn a_packet_that_was_recorded_is_not_heard_again() {
        let now = start();
        for kind in KINDS.into_iter().filter(|kind| *kind != AuthType::Password) {
            let signed =
                |sequence: u32| side(kind, 1, "a secret", sequence.wrapping_sub(1)).sign(&packet());
            let again = if kind.is_meticulous() { Err(AuthError::Sequence) } else { Ok(()) };
            // (what was heard last, what comes, what becomes of it)
            for (last, sequence, want) in [
                (u32::MAX, u32::MAX, again),
                (u32::MAX, u32::MAX - 1, Err(AuthError::Sequence)),
                (u32::MAX, 9, Err(AuthError::Sequence)),
                (u32::MAX, 8, Ok(())),
                (8, 9, Ok(())),
            ] {
                let mut here = side(kind, 1, "a secret", 0);
                hear(&mut here, now, &signed(last)).unwrap();
                assert_eq!(hear(&mut here, now, &signed(sequence)), want, "{kind:?}, {sequence}");
                // A peer that has started anew begins anywhere, after twice the detection time.
                let later = now + OURS * 3 * 2;
                assert_eq!(hear(&mut here, later, &signed(1_000)), Ok(()), "{kind:?}");
            }
        }
    }

    #[test]
    fn sections_of_wrong_lengths_are_refused() {
        let now = start();
        for kind in KINDS {
            let signed = side(kind, 1, "a secret", 77).sign(&packet());
            for (change, at) in [(1u8, 25), (0u8.wrapping_sub(1), 25)] {
                let mut octets = signed.clone();
                octets[at] = octets[at].wrapping_add(change);
                let mut here = side(kind, 1, "a secret", 0);
                assert_eq!(hear(&mut here, now, &octets), Err(AuthError::Length), "{kind:?}");
            }
            let mut octets = signed[..26].to_vec();
            (octets[3], octets[25]) = (26, 2);
            let mut here = side(kind, 1, "a secret", 0);
            assert!(hear(&mut here, now, &octets).is_err(), "{kind:?}");
        }
    }

    #[test]
    fn keys_have_their_bounds_and_are_not_shown() {
        for kind in KINDS {
            let key = |octets: usize| AuthKey::new(kind, 1, &vec![b'x'; octets]);
            assert!(key(0).is_err() && key(1).is_ok());
            assert!(key(kind.longest()).is_ok() && key(kind.longest() + 1).is_err());
        }
        let shown = format!("{:?}", side(AuthType::Sha1, 1, "a secret", 0));
        assert!(!shown.contains("secret") && !shown.contains("97"), "{shown}");
    }
}
