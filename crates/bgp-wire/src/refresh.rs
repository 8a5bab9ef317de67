//! ROUTE-REFRESH (RFC 2918, RFC 7313).

use crate::afi_safi::{Afi, AfiSafi, Safi};
use crate::error::{FaultKind, Part, WireError};
use crate::frame::{HEADER, kind};
use crate::write;

/// A request for all routes of a family, or the marks around the answer (RFC 7313 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteRefresh {
    pub family: AfiSafi,
    /// 0 request, 1 begin, 2 end; others are to be ignored (RFC 7313 §5).
    pub subtype: u8,
}

impl RouteRefresh {
    pub const REQUEST: u8 = 0;
    pub const BEGIN: u8 = 1;
    pub const END: u8 = 2;

    /// Reads a whole message whose header has been checked.
    ///
    /// What follows a request is a filter of RFC 5291, which we never offer: it is ignored. The
    /// marks have a fixed length (RFC 7313 §5).
    pub(crate) fn decode(message: &[u8]) -> Result<Self, WireError> {
        let error = |kind| WireError { part: Part::RouteRefresh, offset: HEADER, kind };
        let body = message.get(HEADER..).unwrap_or_default();
        let [afi_high, afi_low, subtype, safi, filter @ ..] = body else {
            return Err(error(FaultKind::Truncated));
        };
        if matches!(*subtype, Self::BEGIN | Self::END) && !filter.is_empty() {
            let length = u16::try_from(body.len()).unwrap_or(u16::MAX);
            return Err(error(FaultKind::Length(length)));
        }
        let afi = Afi(u16::from_be_bytes([*afi_high, *afi_low]));
        Ok(Self { family: AfiSafi { afi, safi: Safi(*safi) }, subtype: *subtype })
    }

    /// Appends the whole message.
    pub(crate) fn encode(self, out: &mut Vec<u8>) {
        write::message(kind::ROUTE_REFRESH, out, |out| {
            out.extend(self.family.afi.0.to_be_bytes());
            out.extend([self.subtype, self.family.safi.0]);
        });
    }
}
