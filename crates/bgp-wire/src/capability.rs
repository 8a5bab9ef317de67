//! Capabilities (RFC 5492).

use bytes::Bytes;

use crate::afi_safi::AfiSafi;

/// One capability of an OPEN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Capability {
    /// RFC 4760.
    Multiprotocol(AfiSafi),
    /// RFC 2918.
    RouteRefresh,
    /// RFC 7313.
    EnhancedRouteRefresh,
    /// RFC 8654.
    ExtendedMessage,
    /// RFC 6793.
    FourOctetAs(u32),
    /// RFC 4724, RFC 8538.
    GracefulRestart(GracefulRestart),
    /// RFC 7911.
    AddPath(Vec<AddPath>),
    /// Any other, kept as it is.
    Unknown { code: u8, value: Bytes },
}

/// RFC 4724 §3.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GracefulRestart {
    /// The speaker has restarted (R bit).
    pub restarted: bool,
    /// A NOTIFICATION also keeps routes (N bit, RFC 8538 §2).
    pub notification: bool,
    /// Seconds until the peer may drop what it kept, 0..=4095.
    pub restart_time: u16,
    /// Families, and whether forwarding state was preserved (F bit).
    pub families: Vec<(AfiSafi, bool)>,
}

/// RFC 7911 §4.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AddPath {
    pub family: AfiSafi,
    pub receive: bool,
    pub send: bool,
}
