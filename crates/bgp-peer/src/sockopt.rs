//! Socket options of Linux that no crate we use has a safe call for.
//!
//! Keys of TCP-MD5 (RFC 2385) and TCP-AO (RFC 5925), and the smallest time to live that is taken
//! (RFC 5082). The values are laid out by hand, octet for octet as `linux/tcp.h` has them.

use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd, AsRawFd};

use ipnet::IpNet;

use crate::security::{AoAlgorithm, AoKey, Secret};

/// Longest key of either sort (`TCP_MD5SIG_MAXKEYLEN`, `TCP_AO_MAXKEYLEN`).
const MAX_KEY: usize = 80;

/// `TCP_AO_ADD_KEY`, `TCP_AO_DEL_KEY` and `TCP_AO_INFO`, Linux 6.7.
const AO_ADD_KEY: libc::c_int = 38;
const AO_DEL_KEY: libc::c_int = 39;
const AO_INFO: libc::c_int = 40;

/// `TCP_MD5SIG_FLAG_PREFIX`.
const MD5_PREFIX: u8 = 1;
/// `TCP_AO_KEYF_EXCLUDE_OPT`.
const AO_EXCLUDE_OPTIONS: u8 = 2;

/// Signs and checks what goes to and comes from a prefix; `None` takes the key away.
///
/// # Errors
/// A key that is empty or longer than 80 octets; those of the system.
pub(crate) fn set_md5(socket: &impl AsFd, peer: IpNet, key: Option<&Secret>) -> io::Result<()> {
    let key = key.map(checked).transpose()?.unwrap_or_default();
    let mut value = [0; 216];
    put(&mut value, 0, &address(peer.addr()));
    put(&mut value, 128, &[MD5_PREFIX, peer.prefix_len()]);
    put(&mut value, 130, &u16::try_from(key.len()).unwrap_or_default().to_ne_bytes());
    put(&mut value, 136, key);
    match set(socket, libc::IPPROTO_TCP, libc::TCP_MD5SIG_EXT, &value) {
        // There was none.
        Err(error) if key.is_empty() && error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        Err(error) if error.raw_os_error() == Some(libc::ENOPROTOOPT) => {
            Err(unsupported("this kernel has no TCP-MD5 (CONFIG_TCP_MD5SIG)"))
        }
        other => other,
    }
}

/// Which key of several is used at first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AoUse {
    /// This one, and the peer is asked to use it.
    First,
    /// When the peer asks for it.
    Later,
}

/// Adds a master key for a prefix.
///
/// # Errors
/// A key that is empty or longer than 80 octets; a kernel without TCP-AO; those of the system.
pub(crate) fn add_ao(socket: &impl AsFd, peer: IpNet, key: &AoKey, when: AoUse) -> io::Result<()> {
    let secret = checked(&key.secret)?;
    let mut value = [0; 288];
    put(&mut value, 0, &address(peer.addr()));
    let algorithm = match key.algorithm {
        AoAlgorithm::HmacSha1 => "hmac(sha1)",
        AoAlgorithm::AesCmac => "cmac(aes128)",
        AoAlgorithm::HmacSha256 => "hmac(sha256)",
    };
    put(&mut value, 128, algorithm.as_bytes());
    // set_current and set_rnext, the first two bits of a field of 32.
    let flags: u32 = match (when, cfg!(target_endian = "little")) {
        (AoUse::Later, _) => 0,
        (AoUse::First, true) => 3,
        (AoUse::First, false) => 3 << 30,
    };
    put(&mut value, 196, &flags.to_ne_bytes());
    let exclude = if key.exclude_options { AO_EXCLUDE_OPTIONS } else { 0 };
    let length = u8::try_from(secret.len()).unwrap_or_default();
    // A length of the signature of 0 is that of the algorithm's RFC.
    put(&mut value, 202, &[peer.prefix_len(), key.send_id, key.receive_id, 0, exclude, length]);
    put(&mut value, 208, secret);
    set(socket, libc::IPPROTO_TCP, AO_ADD_KEY, &value).map_err(no_ao)
}

/// Takes a master key away; that there is none is no error.
///
/// # Errors
/// A kernel without TCP-AO; those of the system.
pub(crate) fn remove_ao(socket: &impl AsFd, peer: IpNet, key: &AoKey) -> io::Result<()> {
    let mut value = [0; 144];
    put(&mut value, 0, &address(peer.addr()));
    put(&mut value, 138, &[peer.prefix_len(), key.send_id, key.receive_id]);
    match set(socket, libc::IPPROTO_TCP, AO_DEL_KEY, &value).map_err(no_ao) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// Whether the segments of a connection are signed with TCP-AO.
///
/// # Errors
/// A kernel without TCP-AO; those of the system.
pub(crate) fn is_ao(socket: &impl AsFd) -> io::Result<bool> {
    // A `tcp_ao_info_opt`; what it says is of no interest, only that there is one.
    let mut value = [0; 48];
    match get(socket, libc::IPPROTO_TCP, AO_INFO, &mut value) {
        Ok(()) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(no_ao(error)),
    }
}

/// Drops what arrives with a smaller time to live (hop limit), 1..=255.
pub(crate) fn set_min_ttl(socket: &impl AsFd, peer: IpAddr, ttl: u8) -> io::Result<()> {
    let value = i32::from(ttl).to_ne_bytes();
    match peer {
        IpAddr::V4(_) => set(socket, libc::IPPROTO_IP, libc::IP_MINTTL, &value),
        IpAddr::V6(_) => set(socket, libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT, &value),
    }
}

fn no_ao(error: io::Error) -> io::Error {
    if error.raw_os_error() == Some(libc::ENOPROTOOPT) {
        unsupported("this kernel has no TCP-AO (CONFIG_TCP_AO, Linux 6.7)")
    } else {
        error
    }
}

fn unsupported(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, what)
}

fn checked(key: &Secret) -> io::Result<&[u8]> {
    let octets = key.octets();
    if (1..=MAX_KEY).contains(&octets.len()) {
        Ok(octets)
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "a key has 1 to 80 octets"))
    }
}

/// A `sockaddr_in` or `sockaddr_in6` without a port.
fn address(address: IpAddr) -> [u8; 28] {
    let mut octets = [0; 28];
    let family = match address {
        IpAddr::V4(v4) => {
            put(&mut octets, 4, &v4.octets());
            libc::AF_INET
        }
        IpAddr::V6(v6) => {
            put(&mut octets, 8, &v6.octets());
            libc::AF_INET6
        }
    };
    put(&mut octets, 0, &u16::try_from(family).unwrap_or_default().to_ne_bytes());
    octets
}

/// Writes a field of a value at its offset.
fn put(value: &mut [u8], at: usize, field: &[u8]) {
    if let Some(place) = value.get_mut(at..at + field.len()) {
        place.copy_from_slice(field);
    }
}

#[expect(
    unsafe_code,
    reason = "the kernel reads the octets of a slice, and keeps no pointer to them"
)]
fn set(socket: &impl AsFd, level: libc::c_int, name: libc::c_int, value: &[u8]) -> io::Result<()> {
    let length = libc::socklen_t::try_from(value.len()).unwrap_or_default();
    // SAFETY: the descriptor is open as long as it is borrowed, and `value` has `length` octets.
    let done = unsafe {
        libc::setsockopt(socket.as_fd().as_raw_fd(), level, name, value.as_ptr().cast(), length)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[expect(unsafe_code, reason = "the kernel fills a slice, and keeps no pointer to it")]
fn get(
    socket: &impl AsFd,
    level: libc::c_int,
    name: libc::c_int,
    value: &mut [u8],
) -> io::Result<()> {
    let mut length = libc::socklen_t::try_from(value.len()).unwrap_or_default();
    // SAFETY: the descriptor is open as long as it is borrowed, and `value` has `length` octets, of which
    // the kernel writes no more.
    let done = unsafe {
        libc::getsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            name,
            value.as_mut_ptr().cast(),
            &raw mut length,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
