//! Many entries of a map with one system call (`bpf(2)`, `BPF_MAP_*_BATCH`, since Linux 5.6).

use std::io;
use std::mem::size_of;
use std::os::fd::{AsFd as _, AsRawFd as _};

use aya::Pod;
use aya::maps::MapData;
use rustix::io::Errno;

const LOOKUP_BATCH: libc::c_int = 24;
const UPDATE_BATCH: libc::c_int = 26;
const DELETE_BATCH: libc::c_int = 27;

/// Octets of values that are read at a time.
const READ: usize = 1 << 20;

/// The part of `union bpf_attr` that these commands use.
#[repr(C)]
#[derive(Debug, Default)]
struct Attributes {
    in_batch: u64,
    out_batch: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    elem_flags: u64,
    flags: u64,
}

/// Puts entries in order. Returns how many are there, and why the next is not.
pub(crate) fn put<K: Pod, V: Pod>(
    map: &MapData,
    keys: &[K],
    values: &[V],
) -> (usize, Option<io::Error>) {
    if keys.is_empty() {
        return (0, None);
    }
    let count = keys.len().min(values.len());
    let mut attributes = Attributes {
        keys: address(keys.as_ptr()),
        values: address(values.as_ptr()),
        ..of(map, count)
    };
    // Written only when it is known how far it came.
    let done = call(UPDATE_BATCH, &mut attributes);
    outcome(done, &attributes, count)
}

/// Removes entries in order; what is not there is removed. Returns how many are gone, and why the next is
/// not.
pub(crate) fn remove<K: Pod>(map: &MapData, keys: &[K]) -> (usize, Option<io::Error>) {
    let mut gone = 0;
    while gone < keys.len() {
        let rest = &keys[gone..];
        let mut attributes = Attributes { keys: address(rest.as_ptr()), ..of(map, rest.len()) };
        let done = call(DELETE_BATCH, &mut attributes);
        let (removed, error) = outcome(done, &attributes, rest.len());
        gone += removed;
        match error {
            Some(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => gone += 1,
            Some(error) => return (gone, Some(error)),
            None => {}
        }
    }
    (gone, None)
}

/// All entries of a hash. What changes meanwhile may be left out, or be there twice.
pub(crate) fn all<K: Pod, V: Pod>(map: &MapData) -> io::Result<Vec<(K, V)>> {
    let mut found = Vec::new();
    // Where the kernel goes on: the number of a bucket.
    let (mut from, mut to) = (0u32, 0u32);
    let mut is_first = true;
    let (mut keys, mut values) = (Vec::<K>::new(), Vec::<V>::new());
    // More than a bucket of a hash has.
    let mut room = (READ / size_of::<V>()).clamp(64, 4096);
    loop {
        keys.clear();
        values.clear();
        keys.reserve(room);
        values.reserve(room);
        let mut attributes = Attributes {
            in_batch: if is_first { 0 } else { address(&raw const from) },
            out_batch: address(&raw mut to),
            keys: address(keys.as_mut_ptr()),
            values: address(values.as_mut_ptr()),
            ..of(map, room)
        };
        let done = call(LOOKUP_BATCH, &mut attributes);
        let read = usize::try_from(attributes.count).unwrap_or_default().min(room);
        let is_last = match done {
            Ok(()) => false,
            Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => true,
            // A bucket has more than this.
            Err(error) if error.raw_os_error() == Some(Errno::NOSPC.raw_os_error()) => {
                room *= 2;
                continue;
            }
            Err(error) => return Err(error),
        };
        #[expect(unsafe_code, reason = "the kernel has written so many of each")]
        // SAFETY: both have room for `room` elements, of which the kernel has filled the first `read`; a
        // `Pod` may be any octets.
        unsafe {
            keys.set_len(read);
            values.set_len(read);
        }
        found.extend(keys.iter().copied().zip(values.iter().copied()));
        if is_last {
            return Ok(found);
        }
        (from, is_first) = (to, false);
    }
}

fn of(map: &MapData, count: usize) -> Attributes {
    Attributes {
        count: u32::try_from(count).unwrap_or(u32::MAX),
        map_fd: u32::try_from(map.fd().as_fd().as_raw_fd()).unwrap_or(u32::MAX),
        ..Attributes::default()
    }
}

fn address<T>(of: *const T) -> u64 {
    of.addr() as u64
}

fn call(command: libc::c_int, attributes: &mut Attributes) -> io::Result<()> {
    #[expect(unsafe_code, reason = "there is no other way to make this system call")]
    // SAFETY: the attributes are those of the command, and their pointers are to as many elements as they
    // say, of the sizes that the map was checked to have.
    let done = unsafe {
        libc::syscall(
            libc::SYS_bpf,
            command,
            std::ptr::from_mut(attributes),
            size_of::<Attributes>(),
        )
    };
    if done < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Without an error it came to the end. Where nothing can be read or written the kernel says no count.
fn outcome(
    done: io::Result<()>,
    attributes: &Attributes,
    count: usize,
) -> (usize, Option<io::Error>) {
    match done {
        Ok(()) => (count, None),
        Err(error) => {
            let came = usize::try_from(attributes.count).unwrap_or_default();
            (if came < count { came } else { 0 }, Some(error))
        }
    }
}
