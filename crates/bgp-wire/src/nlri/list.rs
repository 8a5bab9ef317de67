//! Lists of routes in an UPDATE: one after the other, to the end of the field.

use super::{
    Evpn, Family, Ipv4Labeled, Ipv4Unicast, Ipv6Labeled, Ipv6Unicast, PathId, Route, Routes, Rtc,
    VpnV4, VpnV6, Withdrawal, Withdrawals,
};
use crate::afi_safi::AfiSafi;
use crate::error::FaultKind;
use crate::read::{Fault, Parsed, be_u32, fault_of};

/// Fewest octets that a list is taken to have per route when room is made for it. A list of shorter
/// ones grows as it is read.
const SHORTEST: usize = 4;

/// What the octets of a list depend on beside its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reading {
    /// Each route has its identifier in front (RFC 7911).
    pub(crate) add_path: bool,
    /// The bottom of stack bit ends a stack of labels (RFC 8277 §2.3).
    pub(crate) stacked: bool,
}

/// Reads announced routes of `family`; `None` if we know no such family. Routes that could be stepped
/// over are in `left_out`.
pub(crate) fn read_routes<'a>(
    family: AfiSafi,
    octets: &'a [u8],
    reading: Reading,
    left_out: &mut Vec<Fault<'a>>,
) -> Option<Result<Routes, Fault<'a>>> {
    fn of<'a, F: Family>(
        octets: &'a [u8],
        Reading { add_path, stacked }: Reading,
        left_out: &mut Vec<Fault<'a>>,
    ) -> Result<Routes, Fault<'a>> {
        let reader = |input| {
            let (rest, path_id) = path_id(input, add_path)?;
            let (rest, (key, data)) =
                if stacked { F::read_stacked(rest)? } else { F::read_reach(rest)? };
            Ok((rest, Route { path_id, key, data }))
        };
        let routes = list::<F, Route<F>>(octets, add_path, left_out, reader)?;
        if let Some(kind) = routes.iter().find_map(|route| F::flaw(&route.data)) {
            left_out.push(Fault { at: octets, kind });
        }
        Ok(F::into_routes(routes))
    }
    Some(match family {
        AfiSafi::IPV4_UNICAST => of::<Ipv4Unicast>(octets, reading, left_out),
        AfiSafi::IPV6_UNICAST => of::<Ipv6Unicast>(octets, reading, left_out),
        AfiSafi::IPV4_LABELED => of::<Ipv4Labeled>(octets, reading, left_out),
        AfiSafi::IPV6_LABELED => of::<Ipv6Labeled>(octets, reading, left_out),
        AfiSafi::VPNV4 => of::<VpnV4>(octets, reading, left_out),
        AfiSafi::VPNV6 => of::<VpnV6>(octets, reading, left_out),
        AfiSafi::EVPN => of::<Evpn>(octets, reading, left_out),
        AfiSafi::RTC => of::<Rtc>(octets, reading, left_out),
        _ => return None,
    })
}

/// Reads withdrawn routes, like [`read_routes`].
pub(crate) fn read_withdrawals<'a>(
    family: AfiSafi,
    octets: &'a [u8],
    reading: Reading,
    left_out: &mut Vec<Fault<'a>>,
) -> Option<Result<Withdrawals, Fault<'a>>> {
    fn of<'a, F: Family>(
        octets: &'a [u8],
        Reading { add_path, .. }: Reading,
        left_out: &mut Vec<Fault<'a>>,
    ) -> Result<Withdrawals, Fault<'a>> {
        let reader = |input| {
            let (rest, path_id) = path_id(input, add_path)?;
            let (rest, key) = F::read_unreach(rest)?;
            Ok((rest, Withdrawal { path_id, key }))
        };
        list::<F, _>(octets, add_path, left_out, reader).map(F::into_withdrawals)
    }
    Some(match family {
        AfiSafi::IPV4_UNICAST => of::<Ipv4Unicast>(octets, reading, left_out),
        AfiSafi::IPV6_UNICAST => of::<Ipv6Unicast>(octets, reading, left_out),
        AfiSafi::IPV4_LABELED => of::<Ipv4Labeled>(octets, reading, left_out),
        AfiSafi::IPV6_LABELED => of::<Ipv6Labeled>(octets, reading, left_out),
        AfiSafi::VPNV4 => of::<VpnV4>(octets, reading, left_out),
        AfiSafi::VPNV6 => of::<VpnV6>(octets, reading, left_out),
        AfiSafi::EVPN => of::<Evpn>(octets, reading, left_out),
        AfiSafi::RTC => of::<Rtc>(octets, reading, left_out),
        _ => return None,
    })
}

fn path_id(input: &[u8], add_path: bool) -> Parsed<'_, PathId> {
    if add_path {
        be_u32(input).map(|(rest, id)| (rest, PathId(id)))
    } else {
        Ok((input, PathId::default()))
    }
}

/// Reads with `reader` to the end. Routes of one list are mostly of one length, so the first one says
/// how much room to make.
fn list<'a, F: Family, T>(
    mut input: &'a [u8],
    add_path: bool,
    left_out: &mut Vec<Fault<'a>>,
    reader: impl Fn(&'a [u8]) -> Parsed<'a, T>,
) -> Result<Vec<T>, Fault<'a>> {
    let mut routes = Vec::new();
    while !input.is_empty() {
        match reader(input) {
            Ok((rest, route)) => {
                if routes.capacity() == 0 {
                    let each = (input.len() - rest.len()).max(SHORTEST);
                    routes.reserve_exact(input.len().div_ceil(each));
                }
                routes.push(route);
                input = rest;
            }
            Err(error) => {
                let rest = path_id(input, add_path).ok().and_then(|(rest, _)| F::skip(rest));
                let Some(rest) = rest else { return Err(fault_of(&error)) };
                let kind = match fault_of(&error).kind {
                    FaultKind::Multicast => FaultKind::Multicast,
                    _ => FaultKind::RouteLeftOut(
                        input.get(if add_path { 4 } else { 0 }).copied().unwrap_or_default(),
                    ),
                };
                left_out.push(Fault { at: input, kind });
                input = rest;
            }
        }
    }
    Ok(routes)
}
