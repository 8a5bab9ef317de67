//! AIGP, the metric of a route accumulated over several IGPs (RFC 7311).

use bytes::Bytes;

use super::tlv::Tlvs;
use crate::error::FaultKind;
use crate::read::Fault;

/// The TLV that holds the metric; its length counts type and length too.
const METRIC: u16 = 1;
const METRIC_LENGTH: usize = 11;
const HEADER: usize = 3;

/// Whether the value is well-formed (RFC 7311 §3.2): other TLVs may be there, and several of a type.
/// A metric that is as large as it can be is none.
///
/// Without a TLV it is malformed, too (RFC 7606 §4).
pub(super) fn check(value: &[u8]) -> Result<(), Fault<'_>> {
    if value.is_empty() {
        return Err(Fault { at: value, kind: FaultKind::Length(0) });
    }
    let mut first = true;
    for tlv in tlvs(value) {
        let tlv = tlv?;
        if tlv.kind != METRIC {
            continue;
        }
        let wrong = || {
            let length = u16::try_from(tlv.value.len() + HEADER).unwrap_or(u16::MAX);
            Fault { at: tlv.at, kind: FaultKind::Length(length) }
        };
        let metric = metric(tlv.value).ok_or_else(wrong)?;
        if std::mem::take(&mut first) && metric == u64::MAX {
            return Err(Fault { at: tlv.at, kind: FaultKind::Metric });
        }
    }
    Ok(())
}

/// The metric: the first one counts (RFC 7311 §3).
pub(super) fn read(value: &[u8]) -> Option<u64> {
    tlvs(value)
        .filter_map(Result::ok)
        .find(|tlv| tlv.kind == METRIC)
        .and_then(|tlv| metric(tlv.value))
}

/// The value with another metric. Whatever else stands in `before` stays as it is (RFC 7311 §3).
pub(super) fn write(before: &[u8], metric: u64) -> Bytes {
    let mut value = Vec::with_capacity(before.len().max(METRIC_LENGTH));
    value.extend([1, 0, 11]);
    value.extend(metric.to_be_bytes());
    let mut replaced = false;
    for tlv in tlvs(before).filter_map(Result::ok) {
        if tlv.kind == METRIC && !std::mem::replace(&mut replaced, true) {
            continue;
        }
        value.extend(tlv.at.get(..tlv.value.len() + HEADER).unwrap_or_default());
    }
    value.into()
}

fn metric(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_be_bytes)
}

/// Type, two octets of length that count all three of them, value.
fn tlvs(value: &[u8]) -> Tlvs<'_> {
    Tlvs::new(value, |input| {
        let Some(([kind, high, low], _)) = input.split_first_chunk() else {
            return Err(FaultKind::Truncated);
        };
        let length = u16::from_be_bytes([*high, *low]);
        match usize::from(length).checked_sub(HEADER) {
            Some(length) => Ok((u16::from(*kind), HEADER, length)),
            None => Err(FaultKind::Length(length)),
        }
    })
}
