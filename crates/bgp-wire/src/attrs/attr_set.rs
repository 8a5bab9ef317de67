//! ATTR_SET (RFC 6368): the attributes of a customer's route, carried through the provider.

use super::code;
use super::{EntryFault, entry};
use crate::error::FaultKind;
use crate::read::Fault;

/// Octets of the origin AS before the attributes.
const ORIGIN_AS: usize = 4;

/// Whether the value can be carried: an AS number and attributes that can be told apart, without the
/// ones that hold routes (RFC 6368 §5). What the attributes say is the customer's.
pub(super) fn check(value: &[u8]) -> Result<(), Fault<'_>> {
    let Some(mut list) = value.get(ORIGIN_AS..) else {
        let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
        return Err(Fault { at: value, kind: FaultKind::Length(length) });
    };
    while !list.is_empty() {
        let kind = match entry(list) {
            Ok((_, entry)) if matches!(entry.code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) => {
                FaultKind::Routes
            }
            Ok((rest, _)) => {
                list = rest;
                continue;
            }
            Err(EntryFault::Header | EntryFault::Overrun(_)) => FaultKind::Truncated,
        };
        return Err(Fault { at: list, kind });
    }
    Ok(())
}
