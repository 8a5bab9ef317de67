//! AS_PATH (RFC 4271 §4.3, RFC 5065, RFC 6793).

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
