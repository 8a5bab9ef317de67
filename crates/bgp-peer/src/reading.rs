//! Read buffers, lent by the worker threads: a session that is quiet holds none.

use std::cell::RefCell;
use std::io;

use tokio::net::TcpStream;

/// Octets that one read may take: several times the longest message.
const LENT: usize = 256 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; LENT]);
}

/// Reads what the socket holds, behind the start of a message that was `carried` over from the last
/// read. `take` says how many octets it has used; the rest is carried to the next read.
///
/// Gives the octets read; 0 is the end of the stream.
///
/// # Errors
/// Those of the socket, `WouldBlock` among them.
pub(crate) fn read(
    stream: &TcpStream,
    carried: &mut Vec<u8>,
    take: impl FnOnce(&[u8]) -> usize,
) -> io::Result<usize> {
    BUFFER.with_borrow_mut(|buffer| {
        let start = carried.len();
        // A complete message is never carried, so there is always room for more.
        let Some((held, free)) = buffer.split_at_mut_checked(start) else {
            return Err(io::ErrorKind::OutOfMemory.into());
        };
        let got = stream.try_read(free)?;
        if got > 0 {
            held.copy_from_slice(carried);
            let filled = buffer.get(..start + got).unwrap_or_default();
            let used = take(filled);
            let rest = filled.get(used..).unwrap_or_default();
            *carried = rest.to_vec();
        }
        Ok(got)
    })
}
