//! What a sender says, encoded before the clock starts.

use std::ops::Range;
use std::sync::Arc;
use std::thread;

use anyhow::{Result, anyhow};

use super::crowd::Peer;
use super::routes::{Kind, PER_SET, announce};
use super::wire::HEADER;

/// Octets given to the socket at a time; between two, a keepalive may go out.
const CHUNK: usize = 256 * 1024;

/// The octets that announce a range of routes.
pub(crate) fn encode(kind: Kind, routes: Range<u32>) -> Vec<u8> {
    let mut out = Vec::new();
    let numbers: Vec<u32> = routes.collect();
    for set in numbers.chunks(PER_SET as usize) {
        out.extend(announce(kind, set));
    }
    out
}

/// Sends to all peers at the same time, a thread for each, and waits for all.
pub(crate) fn send_all(feeds: &[(Arc<Peer>, Vec<u8>)]) -> Result<()> {
    thread::scope(|scope| {
        let threads: Vec<_> = feeds
            .iter()
            .map(|(peer, octets)| {
                scope.spawn(move || chunks(octets).try_for_each(|chunk| peer.send(chunk)))
            })
            .collect();
        threads
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow!("a sender panicked"))?)
    })
}

/// Whole messages, about [`CHUNK`] octets of them at a time.
fn chunks(mut octets: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let mut end = 0;
        while end < CHUNK
            && let Some(&[high, low]) = octets.get(end + HEADER - 3..end + HEADER - 1)
        {
            end += usize::from(u16::from_be_bytes([high, low]));
        }
        let (chunk, rest) = octets.split_at_checked(end).filter(|_| end > 0)?;
        octets = rest;
        Some(chunk)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_ends_where_a_message_ends() {
        let octets = encode(Kind::VpnV4, 0..50_000);
        let parts: Vec<_> = chunks(&octets).collect();
        assert!(parts.len() > 3);
        for part in &parts {
            assert_eq!(part[..16], [0xff; 16]);
        }
        assert_eq!(parts.concat(), octets);
    }
}
