//! Path attributes on the wire, read; every fault gets the reaction of RFC 7606.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;

use bytes::Bytes;

use super::code::{self, flag};
use super::tunnel::{self, Checked};
use super::{
    Aggregator, Entry, EntryFault, Origin, PathAttributes, RawAttribute, aigp, attr_set, entry,
    pmsi,
};
use crate::afi_safi::{Afi, AfiSafi, Safi};
use crate::as_path::{AsPath, AsWidth};
use crate::community::{Community, ExtendedCommunity, LargeCommunity};
use crate::error::{FaultKind, Part, WireError};
use crate::negotiated::Negotiated;
use crate::next_hop::NextHop;
use crate::nlri::{Routes, Withdrawals, read_routes, read_withdrawals};
use crate::open::AS_TRANS;
use crate::read::{Fault, array, be_u16, fault_of, octet, take};

/// What a list of path attributes holds.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) attributes: PathAttributes,
    /// The classic attribute.
    pub(crate) next_hop: Option<Ipv4Addr>,
    /// It is no address of a host: that counts only where the classic field has routes, since beside
    /// MP_REACH the attribute is to be ignored (RFC 4760 §3).
    pub(crate) next_hop_fault: Option<WireError>,
    pub(crate) reach: Option<(NextHop, Routes)>,
    pub(crate) unreach: Option<(AfiSafi, Withdrawals)>,
    /// There is an MP_REACH with routes in it, taken or not.
    pub(crate) has_reach: bool,
    /// In wire order.
    pub(crate) faults: Vec<WireError>,
    seen: Seen,
}

impl Found {
    /// Whether the list holds an attribute, well-formed or not.
    pub(crate) fn has(&self, code: u8) -> bool {
        self.seen.contains(code)
    }
}

/// A set of attribute codes.
#[derive(Debug, Default, Clone, Copy)]
struct Seen([u128; 2]);

impl Seen {
    const fn contains(self, code: u8) -> bool {
        let [low, high] = self.0;
        (if code < 128 { low } else { high }) >> (code % 128) & 1 == 1
    }

    const fn insert(&mut self, code: u8) {
        let [low, high] = &mut self.0;
        *(if code < 128 { low } else { high }) |= 1 << (code % 128);
    }
}

/// Reads the attributes of an UPDATE into `found`, which is large and stays where it is. `list` is a
/// part of `message`.
///
/// # Errors
/// Faults that end the session. All others are in [`Found::faults`].
pub(crate) fn read_attributes(
    message: &[u8],
    list: &[u8],
    negotiated: &Negotiated,
    found: &mut Found,
) -> Result<(), WireError> {
    let mut reader = Reader {
        message,
        negotiated,
        width: if negotiated.four_octet_as { AsWidth::Four } else { AsWidth::Two },
        found,
        as4_path: None,
        as4_aggregator: None,
    };
    let mut input = list;
    while !input.is_empty() {
        match entry(input) {
            Ok((rest, entry)) => {
                reader.entry(input, &entry)?;
                input = rest;
            }
            // §4: what follows cannot be told apart any more, but the routes behind the list can.
            Err(EntryFault::Header) => {
                reader.report(Part::Update, Fault { at: input, kind: FaultKind::AttributeHeader });
                break;
            }
            Err(EntryFault::Overrun(code)) => {
                let (part, fault) =
                    (Part::Attribute(code), Fault { at: input, kind: FaultKind::Overrun });
                // §3 j: its routes, of which one may be known already, cannot be withdrawn.
                if matches!(code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) {
                    return Err(fault.locate(message, part));
                }
                reader.report(part, fault);
                break;
            }
        }
    }
    reader.finish();
    Ok(())
}

struct Reader<'m, 'f> {
    message: &'m [u8],
    negotiated: &'m Negotiated,
    width: AsWidth,
    found: &'f mut Found,
    as4_path: Option<AsPath>,
    as4_aggregator: Option<Aggregator>,
}

impl<'m> Reader<'m, '_> {
    fn report(&mut self, part: Part, fault: Fault<'m>) {
        self.found.faults.push(fault.locate(self.message, part));
    }

    fn entry(&mut self, at: &'m [u8], entry: &Entry<'m>) -> Result<(), WireError> {
        let Entry { flags, code, value } = *entry;
        let part = Part::Attribute(code);
        let fault = |kind| Fault { at, kind };
        if self.found.seen.contains(code) {
            let duplicate = fault(FaultKind::Duplicate).locate(self.message, part);
            if matches!(code, code::MP_REACH_NLRI | code::MP_UNREACH_NLRI) {
                return Err(duplicate);
            }
            self.found.faults.push(duplicate);
            return Ok(());
        }
        self.found.seen.insert(code);

        let sent = flags & (flag::OPTIONAL | flag::TRANSITIVE);
        let expected = code::known_flags(code);
        match code {
            code::LOCAL_PREF | code::ORIGINATOR_ID | code::CLUSTER_LIST
                if !self.negotiated.internal =>
            {
                self.report(part, fault(FaultKind::External));
            }
            // RFC 6793 §3: between speakers of four octets they mean nothing, whatever they say.
            code::AS4_PATH | code::AS4_AGGREGATOR if self.width == AsWidth::Four => {}
            code::MP_REACH_NLRI => self.reach(fault(FaultKind::Flags(flags)), sent, value)?,
            code::MP_UNREACH_NLRI => self.unreach(fault(FaultKind::Flags(flags)), sent, value)?,
            _ if expected.is_some_and(|expected| sent != expected) => {
                self.report(part, fault(FaultKind::Flags(flags)));
            }
            _ => match self.known(code, value) {
                Ok(true) => self.partial(flags, code),
                Err(fault) => self.report(part, fault),
                Ok(false) if sent & flag::OPTIONAL == 0 => {
                    return Err(fault(FaultKind::UnknownWellKnown).locate(self.message, part));
                }
                Ok(false) => self.raw(flags, code, value),
            },
        }
        Ok(())
    }

    /// Reads an attribute into its field; `false` if it has none.
    fn known(&mut self, code: u8, value: &'m [u8]) -> Result<bool, Fault<'m>> {
        let attributes = &mut self.found.attributes;
        match code {
            code::ORIGIN => attributes.origin = origin(value)?,
            code::AS_PATH => {
                attributes.as_path = AsPath::read(value, self.width)?;
                if !self.negotiated.internal {
                    refuse_confederations(&attributes.as_path, value)?;
                }
                self.negotiated.refuse_sets(&attributes.as_path, value)?;
            }
            code::NEXT_HOP => {
                let next_hop = Ipv4Addr::from(number(value)?);
                self.found.next_hop = Some(next_hop);
                if !NextHop::V4(next_hop).is_host() {
                    let fault = Fault { at: value, kind: FaultKind::NextHopAddress };
                    let fault = fault.locate(self.message, Part::Attribute(code));
                    self.found.next_hop_fault = Some(fault);
                }
            }
            code::MULTI_EXIT_DISC => attributes.med = Some(number(value)?),
            code::LOCAL_PREF => attributes.local_pref = Some(number(value)?),
            code::ATOMIC_AGGREGATE => {
                if !value.is_empty() {
                    return Err(wrong_length(value));
                }
                attributes.atomic_aggregate = true;
            }
            code::AGGREGATOR => attributes.aggregator = Some(aggregator(value, self.width)?),
            code::COMMUNITIES => {
                let numbers = tuples(value)?.iter().map(|n| Community(u32::from_be_bytes(*n)));
                attributes.communities = numbers.collect();
            }
            code::ORIGINATOR_ID => attributes.originator_id = Some(number(value)?.into()),
            code::CLUSTER_LIST => {
                let ids = tuples(value)?.iter().map(|id: &[u8; 4]| Ipv4Addr::from(*id));
                attributes.cluster_list = ids.collect();
            }
            code::EXTENDED_COMMUNITIES => {
                let communities = tuples(value)?.iter().copied().map(ExtendedCommunity);
                attributes.extended_communities = communities.collect();
            }
            code::LARGE_COMMUNITIES => {
                let communities = tuples(value)?.iter().map(LargeCommunity::from_octets);
                attributes.large_communities = without_repetitions(communities);
            }
            code::AS4_PATH if value.is_empty() => return Err(wrong_length(value)),
            code::AS4_PATH => {
                let path = self.as4_path.insert(AsPath::read(value, AsWidth::Four)?);
                self.negotiated.refuse_sets(path, value)?;
            }
            code::AS4_AGGREGATOR => {
                self.as4_aggregator = Some(aggregator(value, AsWidth::Four)?);
            }
            code::IPV6_EXTENDED_COMMUNITIES => {
                tuples::<20>(value)?;
                return Ok(false);
            }
            // RFC 9234 §5.
            code::OTC => {
                number(value)?;
                return Ok(false);
            }
            code::AIGP => {
                aigp::check(value)?;
                return Ok(false);
            }
            code::PMSI_TUNNEL => {
                pmsi::check(value)?;
                return Ok(false);
            }
            code::ATTR_SET => {
                attr_set::check(value)?;
                return Ok(false);
            }
            code::TUNNEL_ENCAPSULATION => return self.tunnels(value),
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Notes that somebody on the way has not known an attribute that has a field.
    const fn partial(&mut self, flags: u8, code: u8) {
        if flags & flag::PARTIAL != 0
            && matches!(
                code,
                code::AGGREGATOR
                    | code::COMMUNITIES
                    | code::EXTENDED_COMMUNITIES
                    | code::LARGE_COMMUNITIES
            )
        {
            self.found.attributes.partial.insert(code);
        }
    }

    /// Tunnel encapsulation; what has to be taken out of it is gone (RFC 9012 §13).
    fn tunnels(&mut self, value: &'m [u8]) -> Result<bool, Fault<'m>> {
        match tunnel::check(value)? {
            Checked::Whole => Ok(false),
            Checked::Without(value, fault) => {
                let code = code::TUNNEL_ENCAPSULATION;
                let fault = Fault { kind: FaultKind::TunnelLeftOut, ..fault };
                self.report(Part::Attribute(code), fault);
                let flags = flag::OPTIONAL | flag::TRANSITIVE;
                self.found.attributes.others.push(RawAttribute { flags, code, value });
                Ok(true)
            }
        }
    }

    /// Keeps an attribute that is passed on unread.
    fn raw(&mut self, flags: u8, code: u8, value: &[u8]) {
        let known = code::known_flags(code).is_some();
        let transitive = flags & flag::TRANSITIVE != 0;
        if !known && !transitive {
            return;
        }
        let kept = flags & (flag::OPTIONAL | flag::TRANSITIVE | flag::PARTIAL);
        let partial = if known { 0 } else { flag::PARTIAL };
        let value = Bytes::copy_from_slice(value);
        self.found.attributes.others.push(RawAttribute { flags: kept | partial, code, value });
    }

    /// MP_REACH_NLRI (RFC 4760 §3, RFC 7606 §5.3, §7.11).
    fn reach(&mut self, flags: Fault<'m>, sent: u8, value: &'m [u8]) -> Result<(), WireError> {
        let (rest, family) = self.family(code::MP_REACH_NLRI, value)?;
        let part = Part::MpReach(family);
        if !self.negotiated.families.contains(&family) {
            // Of a family that we do not know, its next hop may have any form.
            self.found.has_reach = !rest.is_empty();
            self.report(part, Fault { at: value, kind: FaultKind::NotNegotiated });
            return Ok(());
        }
        let locate = |message, fault: Fault<'m>| fault.locate(message, part);
        if sent != flag::OPTIONAL {
            return Err(locate(self.message, flags));
        }
        let next_hop_field = || {
            let (rest, length) = octet(rest)?;
            let (rest, next_hop) = take(rest, usize::from(length))?;
            // Once a number of link-layer addresses; to be ignored (RFC 4760 §3).
            let (rest, _) = octet(rest)?;
            Ok((rest, (length, next_hop)))
        };
        let parsed: crate::read::Parsed<'m, _> = next_hop_field();
        let (nlri, (length, next_hop)) =
            parsed.map_err(|error| locate(self.message, fault_of(&error)))?;
        self.found.has_reach = !nlri.is_empty();
        let Some(hop) = NextHop::read(family, next_hop) else {
            let fault = Fault { at: rest, kind: FaultKind::NextHopLength(length) };
            return Err(locate(self.message, fault));
        };
        if hop.is_mixed(family) && !self.negotiated.takes_mixed(family) {
            self.report(part, Fault { at: rest, kind: FaultKind::NextHopFamily });
        }
        // A membership is no place to send packets to.
        if family != AfiSafi::RTC && !hop.is_host() {
            self.report(part, Fault { at: next_hop, kind: FaultKind::NextHopAddress });
        }
        let mut left_out = Vec::new();
        match read_routes(family, nlri, self.negotiated.reading(family), &mut left_out) {
            Some(Ok(routes)) => self.found.reach = Some((hop, routes)),
            Some(Err(fault)) => return Err(locate(self.message, fault)),
            None => self.report(part, Fault { at: value, kind: FaultKind::NotNegotiated }),
        }
        for fault in left_out {
            self.report(part, fault);
        }
        Ok(())
    }

    /// MP_UNREACH_NLRI (RFC 4760 §4, RFC 7606 §5.3, §7.12).
    fn unreach(&mut self, flags: Fault<'m>, sent: u8, value: &'m [u8]) -> Result<(), WireError> {
        let (nlri, family) = self.family(code::MP_UNREACH_NLRI, value)?;
        let part = Part::MpUnreach(family);
        if !self.negotiated.families.contains(&family) {
            self.report(part, Fault { at: value, kind: FaultKind::NotNegotiated });
            return Ok(());
        }
        if sent != flag::OPTIONAL {
            return Err(flags.locate(self.message, part));
        }
        let mut left_out = Vec::new();
        match read_withdrawals(family, nlri, self.negotiated.reading(family), &mut left_out) {
            Some(Ok(withdrawals)) => self.found.unreach = Some((family, withdrawals)),
            Some(Err(fault)) => return Err(fault.locate(self.message, part)),
            None => self.report(part, Fault { at: value, kind: FaultKind::NotNegotiated }),
        }
        for fault in left_out {
            self.report(part, fault);
        }
        Ok(())
    }

    fn family(&self, code: u8, value: &'m [u8]) -> Result<(&'m [u8], AfiSafi), WireError> {
        let parse = || {
            let (rest, afi) = be_u16(value)?;
            let (rest, [safi]) = array(rest)?;
            Ok((rest, AfiSafi { afi: Afi(afi), safi: Safi(safi) }))
        };
        let parsed: crate::read::Parsed<'m, _> = parse();
        parsed.map_err(|error| fault_of(&error).locate(self.message, Part::Attribute(code)))
    }

    /// Puts together what two-octet speakers had to say twice (RFC 6793 §4.2.3).
    fn finish(self) {
        let attributes = &mut self.found.attributes;
        // Aggregated by a speaker of two octets on the way: both AS4 attributes tell of before that.
        let aggregated = self.as4_aggregator.is_some()
            && attributes.aggregator.is_some_and(|a| a.asn != u32::from(AS_TRANS));
        if !aggregated {
            if let (Some(aggregator), Some(as4)) = (&mut attributes.aggregator, self.as4_aggregator)
            {
                *aggregator = as4;
            }
            if let Some(as4_path) = self.as4_path {
                let as_path = std::mem::take(&mut attributes.as_path);
                attributes.as_path = as_path.merged_with(&as4_path);
            }
        }
        attributes.others.sort_by_key(|attribute| attribute.code);
    }
}

impl Negotiated {
    /// Sets are not to be used any more (RFC 9774 §3).
    fn refuse_sets<'a>(&self, path: &AsPath, value: &'a [u8]) -> Result<(), Fault<'a>> {
        if self.refuse_as_sets && path.has_sets() {
            return Err(Fault { at: value, kind: FaultKind::AsSet });
        }
        Ok(())
    }
}

/// What is there twice is silently taken off (RFC 8092 §3).
fn without_repetitions(communities: impl Iterator<Item = LargeCommunity>) -> Vec<LargeCommunity> {
    let mut communities: Vec<_> = communities.collect();
    if communities.len() > 1 {
        let mut seen = BTreeSet::new();
        communities.retain(|community| seen.insert(*community));
    }
    communities
}

fn wrong_length(value: &[u8]) -> Fault<'_> {
    let length = u16::try_from(value.len()).unwrap_or(u16::MAX);
    Fault { at: value, kind: FaultKind::Length(length) }
}

fn origin(value: &[u8]) -> Result<Origin, Fault<'_>> {
    match value {
        [0] => Ok(Origin::Igp),
        [1] => Ok(Origin::Egp),
        [2] => Ok(Origin::Incomplete),
        [other] => Err(Fault { at: value, kind: FaultKind::Origin(*other) }),
        _ => Err(wrong_length(value)),
    }
}

/// A value of exactly four octets.
fn number(value: &[u8]) -> Result<u32, Fault<'_>> {
    match value {
        [a, b, c, d] => Ok(u32::from_be_bytes([*a, *b, *c, *d])),
        _ => Err(wrong_length(value)),
    }
}

/// A value of one or more times `N` octets.
fn tuples<const N: usize>(value: &[u8]) -> Result<&[[u8; N]], Fault<'_>> {
    match value.as_chunks() {
        (tuples, []) if !tuples.is_empty() => Ok(tuples),
        _ => Err(wrong_length(value)),
    }
}

/// RFC 4271 §5.1.7, RFC 6793 §3, RFC 7607 §2.
fn aggregator(value: &[u8], width: AsWidth) -> Result<Aggregator, Fault<'_>> {
    let (asn, id) = match (value, width) {
        ([asn @ .., a, b, c, d], AsWidth::Two) if asn.len() == 2 => (asn, [*a, *b, *c, *d]),
        ([asn @ .., a, b, c, d], AsWidth::Four) if asn.len() == 4 => (asn, [*a, *b, *c, *d]),
        _ => return Err(wrong_length(value)),
    };
    let asn = asn.iter().fold(0, |asn, octet| asn << 8 | u32::from(*octet));
    if asn == 0 {
        return Err(Fault { at: value, kind: FaultKind::AsZero });
    }
    Ok(Aggregator { asn, id: id.into() })
}

/// Only members of our own confederation may send its segments (RFC 5065 §5), and we are in none.
fn refuse_confederations<'a>(path: &AsPath, value: &'a [u8]) -> Result<(), Fault<'a>> {
    match path.0.iter().find(|segment| segment.is_confederation()) {
        Some(segment) => {
            let kind = FaultKind::SegmentType(segment.code());
            Err(Fault { at: value, kind })
        }
        None => Ok(()),
    }
}
