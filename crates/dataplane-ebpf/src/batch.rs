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

/// `BPF_NOEXIST`.
const NEW_ONLY: u64 = 1;

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
    put_raw(map, address(keys.as_ptr()), address(values.as_ptr()), keys.len().min(values.len()), 0)
}

fn put_raw(
    map: &MapData,
    keys: u64,
    values: u64,
    count: usize,
    elem_flags: u64,
) -> (usize, Option<io::Error>) {
    if count == 0 {
        return (0, None);
    }
    let mut attributes = Attributes { keys, values, elem_flags, ..of(map, count) };
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
            Some(error) if is(&error, Errno::NOENT) => gone += 1,
            Some(error) => return (gone, Some(error)),
            None => {}
        }
    }
    (gone, None)
}

/// All entries of a hash. What changes meanwhile may be left out, or be there twice.
pub(crate) fn all<K: Pod, V: Pod>(map: &MapData) -> io::Result<Vec<(K, V)>> {
    let mut found = Vec::new();
    let mut walk = Walk::new(size_of::<K>(), size_of::<V>());
    while let Some(count) = walk.next(map)? {
        let keys = walk.keys.chunks_exact(size_of::<K>()).take(count);
        let values = walk.values.chunks_exact(size_of::<V>()).take(count);
        found.extend(keys.zip(values).map(|(key, value)| {
            #[expect(unsafe_code, reason = "aya reads its values in the same way")]
            // SAFETY: both have as many octets as the type, which may be any.
            unsafe {
                (
                    key.as_ptr().cast::<K>().read_unaligned(),
                    value.as_ptr().cast::<V>().read_unaligned(),
                )
            }
        }));
    }
    Ok(found)
}

/// Which entries are copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Copied {
    All,
    /// Those that are not there yet.
    Missing,
}

/// Copies the entries of a map of any kind into another of the kind. `value_size` is what the kernel
/// gives out of an entry, which of one for each CPU is all of them.
pub(crate) fn copy(
    from: &MapData,
    to: &MapData,
    (key_size, value_size): (usize, usize),
    what: Copied,
) -> io::Result<()> {
    let flags = if what == Copied::Missing { NEW_ONLY } else { 0 };
    let mut walk = Walk::new(key_size, value_size);
    while let Some(count) = walk.next(from)? {
        let mut done = 0;
        while done < count {
            let keys = address(walk.keys[done * key_size..].as_ptr());
            let values = address(walk.values[done * value_size..].as_ptr());
            let (put, error) = put_raw(to, keys, values, count - done, flags);
            done += put;
            match error {
                Some(error) if is(&error, Errno::EXIST) => done += 1,
                Some(error) => return Err(error),
                None => {}
            }
        }
    }
    Ok(())
}

/// How many entries a map of any kind has; sizes as in [`copy`].
pub(crate) fn count(map: &MapData, (key_size, value_size): (usize, usize)) -> io::Result<usize> {
    let mut walk = Walk::new(key_size, value_size);
    let mut all = 0;
    while let Some(count) = walk.next(map)? {
        all += count;
    }
    Ok(all)
}

/// A walk through a map, many entries at a time.
struct Walk {
    keys: Vec<u8>,
    values: Vec<u8>,
    room: usize,
    /// Where the kernel goes on: a bucket of a hash, a key of others.
    from: Vec<u8>,
    is_first: bool,
    is_over: bool,
    sizes: (usize, usize),
}

impl Walk {
    fn new(key_size: usize, value_size: usize) -> Self {
        // More than a bucket of a hash has.
        let room = (READ / value_size.max(1)).clamp(64, 4096);
        Self {
            keys: vec![0; room * key_size],
            values: vec![0; room * value_size],
            room,
            from: vec![0; key_size.max(size_of::<u32>())],
            is_first: true,
            is_over: false,
            sizes: (key_size, value_size),
        }
    }

    /// How many entries the buffers begin with now.
    fn next(&mut self, map: &MapData) -> io::Result<Option<usize>> {
        if self.is_over {
            return Ok(None);
        }
        loop {
            let mut to = self.from.clone();
            let mut attributes = Attributes {
                in_batch: if self.is_first { 0 } else { address(self.from.as_ptr()) },
                out_batch: address(to.as_mut_ptr()),
                keys: address(self.keys.as_mut_ptr()),
                values: address(self.values.as_mut_ptr()),
                ..of(map, self.room)
            };
            match call(LOOKUP_BATCH, &mut attributes) {
                Ok(()) => {}
                Err(error) if is(&error, Errno::NOENT) => self.is_over = true,
                // A bucket has more than this.
                Err(error) if is(&error, Errno::NOSPC) => {
                    self.room *= 2;
                    self.keys.resize(self.room * self.sizes.0, 0);
                    self.values.resize(self.room * self.sizes.1, 0);
                    continue;
                }
                Err(error) => return Err(error),
            }
            (self.from, self.is_first) = (to, false);
            return Ok(Some(usize::try_from(attributes.count).unwrap_or_default().min(self.room)));
        }
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

fn is(error: &io::Error, what: Errno) -> bool {
    error.raw_os_error() == Some(what.raw_os_error())
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
