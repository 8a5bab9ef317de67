//! Labels of VPN routes, and how many stand before a distinguisher (RFC 8277 §2, RFC 3107 §3).

use std::fmt;

use crate::label::Label;
use crate::read::{Parsed, array, take};

pub(super) const LABEL_BITS: u8 = 24;
pub(super) const RD_BITS: u8 = 64;

/// The labels of a VPN route, outermost first, octet for octet: one, or a stack of two.
///
/// There is one of these per route of a table, so there is no room for more. That is what we say in
/// our OPEN (RFC 8277 §2.1), and what is deeper is treated as withdrawn.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct VpnLabels {
    depth: u8,
    /// The second one is zero where there is none.
    labels: [Label; Self::DEEPEST as usize],
}

impl VpnLabels {
    /// As many labels as a route may have.
    pub const DEEPEST: u8 = 2;

    const NONE: Label = Label::from_octets([0; 3]);

    pub const fn one(label: Label) -> Self {
        Self { depth: 1, labels: [label, Self::NONE] }
    }

    /// A stack; `None` without a label, or with more than [`Self::DEEPEST`].
    pub fn stack(labels: &[Label]) -> Option<Self> {
        match labels {
            [one] => Some(Self::one(*one)),
            [outermost, inner] => Some(Self { depth: 2, labels: [*outermost, *inner] }),
            _ => None,
        }
    }

    /// Of a stack that may be too deep: those that there is room for, and the depth.
    fn cut(stack: &[[u8; 3]]) -> Self {
        let mut labels = [Self::NONE; Self::DEEPEST as usize];
        for (label, octets) in labels.iter_mut().zip(stack) {
            *label = Label::from_octets(*octets);
        }
        Self { depth: u8::try_from(stack.len()).unwrap_or(u8::MAX), labels }
    }

    pub const fn outermost(&self) -> Label {
        let [outermost, _] = self.labels;
        outermost
    }

    /// How many there are. More than [`Self::DEEPEST`] only in what was just read.
    pub const fn depth(&self) -> u8 {
        self.depth
    }

    pub fn iter(&self) -> impl Iterator<Item = Label> + '_ {
        self.labels.iter().copied().take(usize::from(self.depth))
    }

    /// The same stack, of which the innermost label says that it is the last one (RFC 8277 §2.3).
    pub(super) fn with_bottom(mut self) -> Self {
        if let Some(last) = self.labels.get_mut(usize::from(self.depth).saturating_sub(1)) {
            *last = last.as_bottom();
        }
        self
    }
}

impl From<Label> for VpnLabels {
    fn from(label: Label) -> Self {
        Self::one(label)
    }
}

impl fmt::Debug for VpnLabels {
    /// One as a label, several as a list.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.depth == 1 {
            self.outermost().fmt(f)
        } else {
            f.debug_list().entries(self.iter()).finish()
        }
    }
}

impl fmt::Display for VpnLabels {
    /// `100`, or a stack as `100/200`, outermost first.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.outermost())?;
        self.iter().skip(1).try_for_each(|label| write!(f, "/{label}"))
    }
}

/// What the bottom of stack bit is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bottom {
    /// Nothing: there is one label (RFC 8277 §2.2), unless there cannot be just one.
    Ignored,
    /// It ends the stack (RFC 8277 §2.3).
    Counts,
}

/// Reads the labels of an announcement, whose length is `bits`, and says how many bits they have.
#[inline]
pub(super) fn read(rest: &[u8], bits: u8, max_prefix: u8, bottom: Bottom) -> Parsed<'_, VpnLabels> {
    let (after, first) = array(rest)?;
    let label = Label::from_octets(first);
    if label.is_bottom_of_stack() {
        return Ok((after, VpnLabels::one(label)));
    }
    read_stack(rest, bits, max_prefix, bottom)
}

/// As [`read`], where the first label does not say that it is the last.
#[cold]
fn read_stack(rest: &[u8], bits: u8, max_prefix: u8, bottom: Bottom) -> Parsed<'_, VpnLabels> {
    let depth = depth(rest, bits, max_prefix, bottom);
    let (after, stack) = take(rest, usize::from(depth) * 3)?;
    let labels = VpnLabels::cut(stack.as_chunks().0);
    Ok((after, if bottom == Bottom::Counts { labels.with_bottom() } else { labels }))
}

/// Steps over the labels of a withdrawal, and says how many there were.
///
/// Three octets stand where the label was and mean nothing, bottom of stack included (RFC 8277
/// §2.4). Speakers of RFC 3107 echo a whole stack, which is found as in an announcement, or where the
/// length leaves no other reading.
pub(super) fn skip(rest: &[u8], bits: u8, max_prefix: u8) -> Parsed<'_, u8> {
    let (_, first) = array(rest)?;
    // The withdrawal labels of RFC 8277 and RFC 3107 have no bottom of stack, and are alone.
    let is_alone =
        matches!(first, [0 | 0x80, 0, 0]) || Label::from_octets(first).is_bottom_of_stack();
    let found = if is_alone { 1 } else { depth(rest, bits, max_prefix, Bottom::Ignored) };
    let shallowest = bits.saturating_sub(max_prefix.saturating_add(RD_BITS)).div_ceil(LABEL_BITS);
    let depth = found.max(shallowest);
    take(rest, usize::from(depth) * 3).map(|(rest, _)| (rest, depth))
}

/// How many labels there are where the first one does not say that it is the last.
#[cold]
fn depth(rest: &[u8], bits: u8, max_prefix: u8, bottom: Bottom) -> u8 {
    let octets = rest.get(..usize::from(bits.div_ceil(8))).unwrap_or(rest);
    let is_possible = |depth: u8| {
        depth
            .checked_mul(LABEL_BITS)
            .and_then(|labels| bits.checked_sub(labels)?.checked_sub(RD_BITS))
            .is_some_and(|prefix| prefix <= max_prefix)
    };
    // Types 0 to 2 are all that the registry has.
    let is_distinguisher =
        |depth: u8| matches!(octets.get(usize::from(depth) * 3..), Some([0, 0..=2, ..]));
    let ends = octets.as_chunks::<3>().0.iter();
    let ends = ends.map(|octets| Label::from_octets(*octets)).position(Label::is_bottom_of_stack);
    let stack =
        ends.and_then(|last| u8::try_from(last + 1).ok()).filter(|depth| is_possible(*depth));
    match (bottom, stack) {
        (Bottom::Counts, Some(stack)) => stack,
        (Bottom::Ignored, Some(stack))
            if !is_possible(1) || is_distinguisher(stack) && !is_distinguisher(1) =>
        {
            stack
        }
        _ => 1,
    }
}
