//! AS_PATH (RFC 4271 §4.3, RFC 5065, RFC 6793).

use std::fmt;

use crate::error::FaultKind;
use crate::open::AS_TRANS;
use crate::read::{Fault, fault, fault_of, octet, take};

/// One segment of an AS_PATH; the numbers are in wire order, nearest AS first.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Segment {
    Sequence(Vec<u32>),
    Set(Vec<u32>),
    ConfedSequence(Vec<u32>),
    ConfedSet(Vec<u32>),
}

/// The ASes a route has passed, nearest first. Empty for a route that has not left its AS.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct AsPath(pub Vec<Segment>);

impl AsPath {
    /// For best path selection: a set counts as one, confederation segments as none
    /// (RFC 4271 §9.1.2.2 a, RFC 5065 §5.3).
    pub fn length(&self) -> usize {
        self.0
            .iter()
            .map(|segment| match segment {
                Segment::Sequence(numbers) => numbers.len(),
                Segment::Set(_) => 1,
                Segment::ConfedSequence(_) | Segment::ConfedSet(_) => 0,
            })
            .sum()
    }

    /// Every number in it, segment borders ignored.
    pub fn numbers(&self) -> impl Iterator<Item = u32> + '_ {
        self.0.iter().flat_map(|segment| match segment {
            Segment::Sequence(n)
            | Segment::Set(n)
            | Segment::ConfedSequence(n)
            | Segment::ConfedSet(n) => n.iter().copied(),
        })
    }

    pub fn contains(&self, asn: u32) -> bool {
        self.numbers().any(|number| number == asn)
    }

    /// The AS the route came from last, if the path starts with a sequence.
    pub fn first(&self) -> Option<u32> {
        match self.0.first() {
            Some(Segment::Sequence(numbers)) => numbers.first().copied(),
            _ => None,
        }
    }

    /// Puts `asn` in front, as towards an external peer (RFC 4271 §5.1.2). A full sequence of 255
    /// gets a new one before it.
    pub fn prepend(&mut self, asn: u32) {
        match self.0.first_mut() {
            Some(Segment::Sequence(numbers)) if numbers.len() < 255 => numbers.insert(0, asn),
            _ => self.0.insert(0, Segment::Sequence(vec![asn])),
        }
    }
}

/// Most AS numbers of one segment: its count has one octet.
const SEGMENT_MAX: usize = 255;

/// How many octets an AS number has on the wire (RFC 6793).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AsWidth {
    Two,
    Four,
}

impl Segment {
    const SET: u8 = 1;
    const SEQUENCE: u8 = 2;
    const CONFED_SEQUENCE: u8 = 3;
    const CONFED_SET: u8 = 4;

    fn parts(&self) -> (u8, &[u32]) {
        match self {
            Self::Set(numbers) => (Self::SET, numbers),
            Self::Sequence(numbers) => (Self::SEQUENCE, numbers),
            Self::ConfedSequence(numbers) => (Self::CONFED_SEQUENCE, numbers),
            Self::ConfedSet(numbers) => (Self::CONFED_SET, numbers),
        }
    }

    /// The type on the wire.
    pub(crate) fn code(&self) -> u8 {
        self.parts().0
    }

    pub const fn is_confederation(&self) -> bool {
        matches!(self, Self::ConfedSequence(_) | Self::ConfedSet(_))
    }
}

impl AsPath {
    /// Reads the value of an AS_PATH or AS4_PATH (RFC 7606 §7.2, RFC 7607 §2).
    pub(crate) fn read(mut input: &[u8], width: AsWidth) -> Result<Self, Fault<'_>> {
        let mut segments = Vec::new();
        while !input.is_empty() {
            let (rest, segment) = read_segment(input, width).map_err(|error| fault_of(&error))?;
            segments.push(segment);
            input = rest;
        }
        Ok(Self(segments))
    }

    /// Appends the value of an AS_PATH. Numbers that have no room are written as AS_TRANS; sequences
    /// and sets beyond 255 numbers become several, empty segments none.
    pub(crate) fn write(&self, width: AsWidth, out: &mut Vec<u8>) {
        for (kind, numbers) in self.0.iter().map(Segment::parts) {
            for chunk in numbers.chunks(SEGMENT_MAX) {
                out.push(kind);
                out.extend(u8::try_from(chunk.len()));
                for asn in chunk {
                    match width {
                        AsWidth::Four => out.extend(asn.to_be_bytes()),
                        AsWidth::Two => {
                            out.extend(u16::try_from(*asn).unwrap_or(AS_TRANS).to_be_bytes());
                        }
                    }
                }
            }
        }
    }

    /// Whether there are sets in it, of a confederation or not (RFC 9774).
    pub(crate) fn has_sets(&self) -> bool {
        self.0.iter().any(|segment| matches!(segment, Segment::Set(_) | Segment::ConfedSet(_)))
    }

    /// Whether a number has no room in two octets.
    pub(crate) fn needs_four_octets(&self) -> bool {
        self.numbers().any(|asn| u16::try_from(asn).is_err())
    }

    /// Without confederation segments: what an AS4_PATH may hold (RFC 6793 §3).
    pub(crate) fn without_confederations(&self) -> Self {
        Self(self.0.iter().filter(|segment| !segment.is_confederation()).cloned().collect())
    }

    /// The path that `self`, an AS_PATH of two-octet numbers, and an AS4_PATH say together (RFC 6793
    /// §4.2.3): as many ASes in front as passed the route on without knowing of AS4_PATH.
    pub(crate) fn merged_with(self, as4_path: &Self) -> Self {
        let as4_path = as4_path.without_confederations();
        let Some(mut missing) = self.length().checked_sub(as4_path.length()) else {
            return self;
        };
        let mut merged = Vec::with_capacity(self.0.len());
        for segment in self.0 {
            match segment {
                confed if confed.is_confederation() => merged.push(confed),
                _ if missing == 0 => break,
                Segment::Sequence(mut numbers) => {
                    numbers.truncate(missing);
                    missing -= numbers.len();
                    merged.push(Segment::Sequence(numbers));
                }
                set => {
                    missing -= 1;
                    merged.push(set);
                }
            }
        }
        for segment in as4_path.0 {
            match (merged.last_mut(), segment) {
                // One sequence that was cut in two by the merge is one again.
                (Some(Segment::Sequence(front)), Segment::Sequence(back))
                    if front.len() + back.len() <= SEGMENT_MAX =>
                {
                    front.extend(back);
                }
                (_, segment) => merged.push(segment),
            }
        }
        Self(merged)
    }
}

fn read_segment(input: &[u8], width: AsWidth) -> crate::read::Parsed<'_, Segment> {
    let (rest, kind) = octet(input)?;
    let make = match kind {
        Segment::SET => Segment::Set,
        Segment::SEQUENCE => Segment::Sequence,
        Segment::CONFED_SEQUENCE => Segment::ConfedSequence,
        Segment::CONFED_SET => Segment::ConfedSet,
        _ => return Err(fault(input, FaultKind::SegmentType(kind))),
    };
    let (rest, count) = octet(rest)?;
    if count == 0 {
        return Err(fault(input, FaultKind::EmptySegment));
    }
    let octets_each = match width {
        AsWidth::Two => 2,
        AsWidth::Four => 4,
    };
    let (after, octets) = take(rest, usize::from(count) * octets_each)?;
    let numbers: Vec<u32> = match width {
        AsWidth::Two => {
            octets.as_chunks().0.iter().map(|n| u32::from(u16::from_be_bytes(*n))).collect()
        }
        AsWidth::Four => octets.as_chunks().0.iter().map(|n| u32::from_be_bytes(*n)).collect(),
    };
    if numbers.contains(&0) {
        return Err(fault(rest, FaultKind::AsZero));
    }
    Ok((after, make(numbers)))
}

impl fmt::Display for AsPath {
    /// `64512 64513 {65001,65002}`, confederation segments as `(64600 64601)` and `[64600,64601]`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, segment) in self.0.iter().enumerate() {
            let (open, between, close) = match segment {
                Segment::Sequence(_) => ("", " ", ""),
                Segment::Set(_) => ("{", ",", "}"),
                Segment::ConfedSequence(_) => ("(", " ", ")"),
                Segment::ConfedSet(_) => ("[", ",", "]"),
            };
            write!(f, "{}{open}", if i == 0 { "" } else { " " })?;
            for (j, asn) in segment.parts().1.iter().enumerate() {
                write!(f, "{}{asn}", if j == 0 { "" } else { between })?;
            }
            f.write_str(close)?;
        }
        Ok(())
    }
}
