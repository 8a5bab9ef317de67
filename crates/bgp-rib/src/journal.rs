//! Inputs of a shard as octets: written while it runs, read back to see again what it saw.
//!
//! A journal starts with [`MAGIC`] and the configuration of the shard. Each input is its length in
//! four octets and then its octets; routes are UPDATEs as on the wire. Faults of an UPDATE, which
//! mean nothing to a shard, are not kept. A journal that was cut off, as by a crash, is read up to
//! the last whole input.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU8;
use std::sync::Arc;

use bgp_wire::afi_safi::{Afi, Safi};
use bgp_wire::capability::Role;
use bgp_wire::{AfiSafi, Message, Negotiated, RouteTarget, RtMembership, Update, frame};
use ipnet::IpNet;

use crate::decision::DecisionOptions;
use crate::peer::{
    InterestMode, Limit, MembershipsOut, PeerIx, PeerKind, PeerView, UnicastNextHop,
};
use crate::peer_policy::{LocalAs, PeerPolicy, RemovePrivate};
use crate::shard::{Input, ShardConfig};
use crate::totals::Totals;

/// The first octets of a journal; the last one is the version.
pub const MAGIC: [u8; 8] = *b"arcusrj\x04";

/// No input is longer.
const MAX: u32 = 64 << 20;

/// Writes a journal.
#[derive(Debug)]
pub struct Writer<W> {
    to: W,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Starts a journal of the shard with `config`.
    ///
    /// # Errors
    /// Those of `to`.
    pub fn new(mut to: W, config: &ShardConfig) -> io::Result<Self> {
        to.write_all(&MAGIC)?;
        let mut writer = Self { to, buffer: Vec::new() };
        config.put(&mut writer.buffer);
        writer.end_record()?;
        Ok(writer)
    }

    /// Appends one input. Call it before [`crate::Shard::handle`], so that an input that ends the
    /// process is in the journal.
    ///
    /// # Errors
    /// Those of the writer below, and an input of more than 64 MiB.
    pub fn record(&mut self, input: &Input) -> io::Result<()> {
        input.put(&mut self.buffer);
        self.end_record()
    }

    /// # Errors
    /// Those of the writer below.
    pub fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }

    /// What is written to.
    pub fn get_ref(&self) -> &W {
        &self.to
    }

    fn end_record(&mut self) -> io::Result<()> {
        let length = u32::try_from(self.buffer.len()).ok().filter(|length| *length <= MAX);
        let length = length.ok_or_else(|| invalid("an input is too long"))?;
        self.to.write_all(&length.to_be_bytes())?;
        self.to.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

/// Reads a journal; an iterator of inputs.
#[derive(Debug)]
pub struct Reader<R> {
    from: R,
}

impl<R: Read> Reader<R> {
    /// Reads the start of a journal.
    ///
    /// # Errors
    /// Those of `from`, and octets that are no journal of this version.
    pub fn new(mut from: R) -> io::Result<(Self, ShardConfig)> {
        let mut magic = [0; MAGIC.len()];
        from.read_exact(&mut magic)?;
        if magic != MAGIC {
            return Err(invalid("not a journal of this version"));
        }
        let mut reader = Self { from };
        let record = reader.record()?.ok_or_else(|| invalid("a journal without a start"))?;
        let config = whole(&record)?;
        Ok((reader, config))
    }

    fn record(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut length = Vec::new();
        self.from.by_ref().take(4).read_to_end(&mut length)?;
        let Ok(length) = <[u8; 4]>::try_from(length) else { return Ok(None) };
        let length = u32::from_be_bytes(length);
        if length > MAX {
            return Err(invalid("an input is too long"));
        }
        let mut record = Vec::new();
        self.from.by_ref().take(length.into()).read_to_end(&mut record)?;
        Ok((record.len() == length as usize).then_some(record))
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = io::Result<Input>;

    fn next(&mut self) -> Option<Self::Item> {
        self.record().transpose().map(|record| whole(&record?))
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn whole<T: Record>(record: &[u8]) -> io::Result<T> {
    let mut rest = record;
    let value = T::get(&mut rest)?;
    if rest.is_empty() { Ok(value) } else { Err(invalid("octets after an input")) }
}

/// A value that is written and read back. Numbers are in network order.
trait Record: Sized {
    fn put(&self, out: &mut Vec<u8>);
    fn get(from: &mut &[u8]) -> io::Result<Self>;
}

fn octets<const N: usize>(from: &mut &[u8]) -> io::Result<[u8; N]> {
    let (first, rest) =
        from.split_first_chunk().ok_or_else(|| invalid("an input ends too early"))?;
    *from = rest;
    Ok(*first)
}

macro_rules! numbers {
    ($($number:ty),*) => {
        $(impl Record for $number {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend(self.to_be_bytes());
            }

            fn get(from: &mut &[u8]) -> io::Result<Self> {
                octets(from).map(Self::from_be_bytes)
            }
        })*
    };
}
numbers!(u8, u16, u32, u64);

/// A struct is its fields, one after the other.
macro_rules! fields {
    ($of:ident { $($field:ident),* $(,)? }) => {
        impl Record for $of {
            fn put(&self, out: &mut Vec<u8>) {
                $(self.$field.put(out);)*
            }

            fn get(from: &mut &[u8]) -> io::Result<Self> {
                Ok(Self { $($field: Record::get(from)?),* })
            }
        }
    };
}
fields!(ShardConfig {
    shard,
    shards,
    local_as,
    router_id,
    cluster_id,
    decision,
    client_to_client,
    hash_seed,
});
fields!(DecisionOptions { always_compare_med, missing_med_is_worst, aigp, track_next_hops });
fields!(LocalAs { asn, no_prepend, replace });
fields!(PeerPolicy {
    local_as,
    allowas_in,
    as_override,
    remove_private_as,
    preference_as_med,
    refused_ases,
    import_rewrite,
    export_rewrite,
    role,
    aigp,
    next_hop_self,
    add_path_send,
    long_lived,
    enforce_first_as,
    default_local_pref,
    max_as_path,
});
fields!(Limit { family, routes, warning });
fields!(Negotiated {
    internal,
    four_octet_as,
    extended_messages,
    families,
    add_path_receive,
    add_path_send,
    extended_next_hop,
    next_hops_taken,
    labels,
    refuse_as_sets,
});
fields!(PeerView {
    kind,
    router_id,
    address,
    local_address,
    negotiated,
    interest,
    import_targets,
    limits,
    totals,
    memberships,
    originate,
    unicast_next_hop,
    enhanced_refresh,
    policy,
});

/// An enum is the number of its variant, and then its fields.
macro_rules! variants {
    ($of:ident { $($number:literal => $variant:ident $({ $($field:ident),* })? $(($inner:ident))?),* $(,)? }) => {
        impl Record for $of {
            fn put(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant $({ $($field),* })? $(($inner))? => {
                        out.push($number);
                        $($($field.put(out);)*)?
                        $($inner.put(out);)?
                    })*
                }
            }

            fn get(from: &mut &[u8]) -> io::Result<Self> {
                match u8::get(from)? {
                    $($number => Ok(variants!(@make from $variant $({ $($field),* })? $(($inner))?)),)*
                    _ => Err(invalid("an unknown kind of value")),
                }
            }
        }
    };
    (@make $from:ident $variant:ident { $($field:ident),* }) => {
        Self::$variant { $($field: Record::get($from)?),* }
    };
    (@make $from:ident $variant:ident ($inner:ident)) => { Self::$variant(Record::get($from)?) };
    (@make $from:ident $variant:ident) => { Self::$variant };
}
variants!(PeerKind { 0 => Client, 1 => NonClient, 2 => External { asn } });
variants!(MembershipsOut { 0 => Reflected, 1 => OwnOnly });
variants!(RemovePrivate { 0 => No, 1 => Leading, 2 => All, 3 => Replace });
variants!(UnicastNextHop { 0 => Unchanged, 1 => OurselvesToExternal { link } });
variants!(InterestMode {
    0 => Everything, 1 => FromRtc, 2 => Configured(targets), 3 => Both(targets),
});
variants!(Input {
    0 => PeerUp { peer, view },
    1 => Updates { peer, updates },
    2 => EndOfRib { peer, family },
    3 => RtcTimeout { peer },
    4 => RouteRefresh { peer, family },
    5 => Drained { peer },
    6 => PeerDown { peer, retained },
    7 => StaleSweep { peer, family },
    8 => PeerGone { peer },
    9 => PeerChanged { peer, view },
    10 => RefreshMark { peer, family, begin },
    11 => LongLived { peer, family },
    12 => NextHop { next_hop, cost },
    13 => CheckLimit { peer, family },
});

/// A value that is written as another.
macro_rules! through {
    ($($of:ty as $other:ty: $put:expr, $get:expr;)*) => {
        $(impl Record for $of {
            fn put(&self, out: &mut Vec<u8>) {
                let put: fn(&Self) -> $other = $put;
                put(self).put(out);
            }

            fn get(from: &mut &[u8]) -> io::Result<Self> {
                let get: fn($other) -> Option<Self> = $get;
                get(Record::get(from)?).ok_or_else(|| invalid("an impossible value"))
            }
        })*
    };
}
through! {
    bool as u8: |v| u8::from(*v), |n| Some(n != 0);
    PeerIx as u16: |v| v.0, |n| Some(PeerIx(n));
    NonZeroU8 as u8: |v| v.get(), NonZeroU8::new;
    Role as u8: |v| v.to_u8(), Role::from_u8;
    AfiSafi as u32: |v| u32::from(v.afi.0) << 8 | u32::from(v.safi.0), |n| {
        let [_, a, b, safi] = n.to_be_bytes();
        Some(AfiSafi { afi: Afi(u16::from_be_bytes([a, b])), safi: Safi(safi) })
    };
    (AfiSafi, Afi) as u64: |(family, afi)| {
        u64::from(family.afi.0) << 32 | u64::from(family.safi.0) << 16 | u64::from(afi.0)
    }, |n| {
        let [_, _, a, b, _, safi, c, d] = n.to_be_bytes();
        let family = AfiSafi { afi: Afi(u16::from_be_bytes([a, b])), safi: Safi(safi) };
        Some((family, Afi(u16::from_be_bytes([c, d]))))
    };
    Ipv4Addr as u32: |v| (*v).into(), |n| Some(n.into());
    RouteTarget as u64: |v| u64::from_be_bytes(v.octets()), |n| {
        Some(RouteTarget::from_octets(n.to_be_bytes()))
    };
}

/// A shard that is replayed counts by itself.
impl Record for Totals {
    fn put(&self, _: &mut Vec<u8>) {}

    fn get(_: &mut &[u8]) -> io::Result<Self> {
        Ok(Self::default())
    }
}

impl Record for RtMembership {
    fn put(&self, out: &mut Vec<u8>) {
        self.length().put(out);
        self.origin_as().put(out);
        out.extend(self.target_octets());
    }

    fn get(from: &mut &[u8]) -> io::Result<Self> {
        Self::new(u8::get(from)?, u32::get(from)?, octets(from)?)
            .ok_or_else(|| invalid("an impossible membership"))
    }
}

impl Record for IpAddr {
    fn put(&self, out: &mut Vec<u8>) {
        match self {
            Self::V4(v4) => {
                out.push(4);
                out.extend(v4.octets());
            }
            Self::V6(v6) => {
                out.push(6);
                out.extend(v6.octets());
            }
        }
    }

    fn get(from: &mut &[u8]) -> io::Result<Self> {
        match u8::get(from)? {
            4 => octets::<4>(from).map(|v4| Ipv4Addr::from(v4).into()),
            6 => octets::<16>(from).map(|v6| Ipv6Addr::from(v6).into()),
            _ => Err(invalid("an unknown kind of address")),
        }
    }
}

impl Record for IpNet {
    fn put(&self, out: &mut Vec<u8>) {
        self.addr().put(out);
        self.prefix_len().put(out);
    }

    fn get(from: &mut &[u8]) -> io::Result<Self> {
        let address = IpAddr::get(from)?;
        Self::new(address, u8::get(from)?).map_err(|_| invalid("an impossible network"))
    }
}

impl<T: Record> Record for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).put(out);
        for value in self {
            value.put(out);
        }
    }

    fn get(from: &mut &[u8]) -> io::Result<Self> {
        // No room is made before the values are there: the count may be wrong.
        (0..u32::get(from)?).map(|_| T::get(from)).collect()
    }
}

impl<T: Record + Ord> Record for BTreeSet<T> {
    fn put(&self, out: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).put(out);
        for value in self {
            value.put(out);
        }
    }

    fn get(from: &mut &[u8]) -> io::Result<Self> {
        Vec::get(from).map(|values| values.into_iter().collect())
    }
}

impl<K: Record + Ord, V: Record> Record for BTreeMap<K, V> {
    fn put(&self, out: &mut Vec<u8>) {
        u32::try_from(self.len()).unwrap_or(u32::MAX).put(out);
        for (key, value) in self {
            key.put(out);
            value.put(out);
        }
    }

    fn get(from: &mut &[u8]) -> io::Result<Self> {
        Vec::get(from).map(|pairs| pairs.into_iter().collect())
    }
}

impl<A: Record, B: Record> Record for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn get(from: &mut &[u8]) -> io::Result<Self> {
        Ok((A::get(from)?, B::get(from)?))
    }
}

impl<T: Record> Record for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn get(from: &mut &[u8]) -> io::Result<Self> {
        if bool::get(from)? { T::get(from).map(Some) } else { Ok(None) }
    }
}

impl<T: Record> Record for Arc<T> {
    fn put(&self, out: &mut Vec<u8>) {
        (**self).put(out);
    }

    fn get(from: &mut &[u8]) -> io::Result<Self> {
        T::get(from).map(Self::new)
    }
}

/// All extensions, so that nothing of an UPDATE is lost.
fn negotiated() -> Negotiated {
    let everything = Negotiated::everything();
    let labels = everything.families.iter().map(|family| (*family, u8::MAX));
    Negotiated {
        add_path_receive: everything.families.clone(),
        add_path_send: everything.families.clone(),
        labels: labels.collect(),
        ..everything
    }
}

/// The messages of an UPDATE, however many it takes, with their length before them.
impl Record for Update {
    fn put(&self, out: &mut Vec<u8>) {
        let mut messages = Vec::new();
        Message::Update(self.clone()).encode(&negotiated(), &mut messages);
        messages.put(out);
    }

    fn get(from: &mut &[u8]) -> io::Result<Self> {
        let messages: Vec<u8> = Record::get(from)?;
        let negotiated = negotiated();
        let mut rest = &messages[..];
        let mut whole: Option<Self> = None;
        while !rest.is_empty() {
            let length = frame::length(rest, negotiated.max_message())
                .ok()
                .flatten()
                .filter(|length| *length <= rest.len())
                .ok_or_else(|| invalid("an UPDATE that is none"))?;
            let (message, others) = rest.split_at(length);
            rest = others;
            let Ok(Message::Update(update)) = Message::decode(message, &negotiated) else {
                return Err(invalid("an UPDATE that is none"));
            };
            match &mut whole {
                None => whole = Some(update),
                Some(whole) => whole.absorb(update),
            }
        }
        Ok(whole.unwrap_or_else(|| Self {
            withdrawn: Vec::new(),
            announced: Vec::new(),
            attributes: Arc::default(),
            end_of_rib: None,
            faults: Vec::new(),
        }))
    }
}

/// Puts the messages of one UPDATE together again.
trait Absorb {
    fn absorb(&mut self, other: Self);
}

impl Absorb for Update {
    fn absorb(&mut self, other: Self) {
        if self.announced.is_empty() {
            self.attributes = other.attributes;
        }
        self.withdrawn.extend(other.withdrawn);
        self.announced.extend(other.announced);
        self.end_of_rib = self.end_of_rib.or(other.end_of_rib);
    }
}
