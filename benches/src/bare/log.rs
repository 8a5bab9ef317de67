//! The output of a bare program: written once, sent to all.

/// Octets of one piece.
const PIECE: usize = 1024 * 1024;

/// Messages in the order in which they were made. Nothing is ever dropped: who comes late starts at
/// the beginning.
#[derive(Debug, Default)]
pub(super) struct Log {
    pieces: Vec<Vec<u8>>,
}

/// How far a client has come.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cursor {
    piece: usize,
    offset: usize,
}

impl Cursor {
    pub(super) fn advance(&mut self, octets: usize) {
        self.offset += octets;
    }
}

impl Log {
    /// Room for a message of `length` octets at the end.
    pub(super) fn room(&mut self, length: usize) -> &mut Vec<u8> {
        let has_room = |piece: &Vec<u8>| piece.capacity() - piece.len() >= length;
        if !self.pieces.last().is_some_and(has_room) {
            self.pieces.push(Vec::with_capacity(PIECE.max(length)));
        }
        let last = self.pieces.len() - 1;
        &mut self.pieces[last]
    }

    pub(super) fn append(&mut self, message: &[u8]) {
        self.room(message.len()).extend_from_slice(message);
    }

    /// What comes after the cursor, to the end of a piece; `None` at the end of the log.
    pub(super) fn after(&self, cursor: &mut Cursor) -> Option<&[u8]> {
        let piece = self.pieces.get(cursor.piece)?;
        if cursor.offset < piece.len() {
            return piece.get(cursor.offset..);
        }
        let next = self.pieces.get(cursor.piece + 1)?;
        *cursor = Cursor { piece: cursor.piece + 1, offset: 0 };
        Some(next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_sees_every_octet_once_and_in_order() {
        let mut log = Log::default();
        let mut cursor = Cursor::default();
        let mut seen = Vec::<u8>::new();
        let mut all = Vec::new();
        for n in 0..3_000_u32 {
            let message = n.to_be_bytes().repeat(300);
            log.append(&message);
            all.extend(message);
            if n % 7 == 0 {
                while let Some(octets) = log.after(&mut cursor) {
                    let part = octets.len().min(5_000);
                    seen.extend(&octets[..part]);
                    cursor.advance(part);
                }
            }
        }
        while let Some(octets) = log.after(&mut cursor) {
            seen.extend(octets);
            cursor.advance(octets.len());
        }
        assert_eq!(seen, all);
    }
}
