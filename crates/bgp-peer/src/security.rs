//! How strangers are kept from a session: TCP-MD5 (RFC 2385), TCP-AO (RFC 5925), GTSM (RFC 5082).

use std::fmt;
use std::sync::Arc;

/// How strangers are kept from a session. At most one of `md5` and `ao` may be set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Security {
    /// Each segment is signed with this (RFC 2385), 1 to 80 octets. The listener needs it too:
    /// [`crate::Listener::set_md5`].
    pub md5: Option<Secret>,
    /// Each segment is signed with one of these (RFC 5925). The listener needs them too:
    /// [`crate::Listener::set_ao`].
    pub ao: Option<AoKeys>,
    /// The peer is at most so many hops away, 1..=254, where 1 is a neighbour on the same link: we send
    /// with a time to live of 255 and take nothing that has come from farther (RFC 5082).
    pub ttl_security: Option<u8>,
}

impl Security {
    /// Nobody is kept out.
    pub const OPEN: Self = Self { md5: None, ao: None, ttl_security: None };
}

/// A key that never prints itself. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Secret(Arc<[u8]>);

impl Secret {
    /// Any octets; what is too long for its use is refused where it is used.
    pub fn new(octets: impl Into<Arc<[u8]>>) -> Self {
        Self(octets.into())
    }

    pub(crate) fn octets(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// The master keys of one peering (RFC 5925 §3.1). The first one signs what we send first; afterwards the
/// peer may ask for another of them (RFC 5925 §3.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AoKeys(Arc<[AoKey]>);

impl AoKeys {
    /// `None` without any key.
    pub fn new(keys: impl Into<Arc<[AoKey]>>) -> Option<Self> {
        let keys = keys.into();
        (!keys.is_empty()).then_some(Self(keys))
    }

    /// Never empty.
    pub fn keys(&self) -> &[AoKey] {
        &self.0
    }
}

/// One master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AoKey {
    /// Stands in what we send.
    pub send_id: u8,
    /// Stands in what the peer sends.
    pub receive_id: u8,
    pub algorithm: AoAlgorithm,
    /// 1 to 80 octets.
    pub secret: Secret,
    /// Whether other TCP options are left out of the signature, for boxes on the way that change them.
    pub exclude_options: bool,
}

impl AoKey {
    /// Whether the kernel would take both for the same key.
    pub(crate) fn has_ids_of(&self, other: &Self) -> bool {
        (self.send_id, self.receive_id) == (other.send_id, other.receive_id)
    }
}

/// How a key signs (RFC 5926 §3.2, and what Linux has beside).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AoAlgorithm {
    /// HMAC-SHA-1-96.
    HmacSha1,
    /// AES-128-CMAC-96.
    AesCmac,
    /// HMAC-SHA-256, cut to 96 bits; no RFC demands it.
    HmacSha256,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_never_printed() {
        let security = Security { md5: Some(Secret::new(*b"pass1234")), ..Security::OPEN };
        let text = format!("{security:?}");
        assert!(text.contains("***") && !text.contains("pass1234"), "{text}");
    }
}
