//! ROUTE-REFRESH (RFC 2918, RFC 7313).

use crate::afi_safi::AfiSafi;

/// A request for all routes of a family, or the marks around the answer (RFC 7313 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteRefresh {
    pub family: AfiSafi,
    /// 0 request, 1 begin, 2 end.
    pub subtype: u8,
}
