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

/// Octets of a `tcp_ao_info_opt`.
const AO_INFO_LENGTH: usize = 48;

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
    let value = tcp_ao_add(peer, key, when)?;
    set(socket, libc::IPPROTO_TCP, AO_ADD_KEY, &value).map_err(no_ao)
}

/// A `tcp_ao_add` of `linux/tcp.h`.
fn tcp_ao_add(peer: IpNet, key: &AoKey, when: AoUse) -> io::Result<[u8; 288]> {
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
    Ok(value)
}

/// Takes a master key away; that there is none is no error.
///
/// # Errors
/// A kernel without TCP-AO; those of the system.
pub(crate) fn remove_ao(socket: &impl AsFd, peer: IpNet, key: &AoKey) -> io::Result<()> {
    match set(socket, libc::IPPROTO_TCP, AO_DEL_KEY, &tcp_ao_del(peer, key)).map_err(no_ao) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(()),
        other => other,
    }
}

/// A `tcp_ao_del` of `linux/tcp.h`.
fn tcp_ao_del(peer: IpNet, key: &AoKey) -> [u8; 144] {
    let mut value = [0; 144];
    put(&mut value, 0, &address(peer.addr()));
    put(&mut value, 138, &[peer.prefix_len(), key.send_id, key.receive_id]);
    value
}

/// Whether the segments of a connection are signed with TCP-AO.
///
/// # Errors
/// A kernel without TCP-AO; those of the system.
pub(crate) fn is_ao(socket: &impl AsFd) -> io::Result<bool> {
    // A `tcp_ao_info_opt`; what it says is of no interest, only that there is one.
    let mut value = [0; AO_INFO_LENGTH];
    match get(socket, libc::IPPROTO_TCP, AO_INFO, &mut value) {
        Ok(_) => Ok(true),
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

/// Has the kernel keep the headers of the SYN of each connection that a listener accepts, until they are
/// asked for or the connection ends.
pub(crate) fn save_syn(listener: &impl AsFd) -> io::Result<()> {
    set(listener, libc::IPPROTO_TCP, libc::TCP_SAVE_SYN, &1_i32.to_ne_bytes())
}

/// The time to live (hop limit) of the SYN of a connection that was accepted. `None` where the kernel has
/// not kept it.
pub(crate) fn syn_ttl(socket: &impl AsFd) -> io::Result<Option<u8>> {
    // The longest header of IPv4 and of TCP has 60 octets each; IPv6 has 40, and may have extensions.
    let mut headers = [0; 512];
    let length = get(socket, libc::IPPROTO_TCP, libc::TCP_SAVED_SYN, &mut headers)?;
    Ok(ttl_of(headers.get(..length).unwrap_or_default()))
}

/// The time to live of a packet (RFC 791 §3.1), or its hop limit (RFC 8200 §3).
fn ttl_of(packet: &[u8]) -> Option<u8> {
    match packet.first()? >> 4 {
        4 => packet.get(8).copied(),
        6 => packet.get(7).copied(),
        _ => None,
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
) -> io::Result<usize> {
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
    if done == 0 {
        Ok(usize::try_from(length).unwrap_or_default())
    } else {
        Err(io::Error::last_os_error())
    }
}

#[cfg(test)]
mod tests {
    use std::mem::{offset_of, size_of};

    use super::*;

    /// `struct tcp_ao_add` as the interface of Linux 6.7 has it; its bit fields are one number.
    #[repr(C, align(8))]
    struct TcpAoAdd {
        addr: libc::sockaddr_storage,
        alg_name: [u8; 64],
        ifindex: i32,
        set_current_set_rnext: u32,
        reserved2: u16,
        prefix: u8,
        sndid: u8,
        rcvid: u8,
        maclen: u8,
        keyflags: u8,
        keylen: u8,
        key: [u8; MAX_KEY],
    }

    /// `struct tcp_ao_del`.
    #[repr(C, align(8))]
    struct TcpAoDel {
        addr: libc::sockaddr_storage,
        ifindex: i32,
        set_current_set_rnext_del_async: u32,
        reserved2: u16,
        prefix: u8,
        sndid: u8,
        rcvid: u8,
        current_key: u8,
        rnext: u8,
        keyflags: u8,
    }

    /// `struct tcp_ao_info_opt`.
    #[repr(C, align(8))]
    struct TcpAoInfoOpt {
        bits: u32,
        reserved2: u16,
        current_key: u8,
        rnext: u8,
        packets: [u64; 5],
    }

    fn key() -> AoKey {
        AoKey {
            send_id: 0x51,
            receive_id: 0x52,
            algorithm: AoAlgorithm::AesCmac,
            secret: Secret::new(*b"a secret"),
            exclude_options: true,
        }
    }

    /// What the octets between two offsets are, and that all others are zero.
    fn assert_fields(value: &[u8], fields: &[(usize, &[u8])]) {
        let mut want = vec![0; value.len()];
        for (at, field) in fields {
            want[*at..*at + field.len()].copy_from_slice(field);
        }
        assert_eq!(value, want);
    }

    /// No kernel here has TCP-AO: at least each octet stands where the kernel looks for it.
    #[test]
    fn keys_of_tcp_ao_are_laid_out_as_the_kernel_reads_them() {
        let family = |family: libc::c_int| u16::try_from(family).unwrap_or_default().to_ne_bytes();
        let v4 = |octets: [u8; 4]| [&family(libc::AF_INET)[..], &[0, 0], &octets].concat();
        let peer: IpNet = "192.0.2.0/24".parse().expect("a prefix");
        let secret = &b"a secret"[..];
        for (when, first) in [(AoUse::First, 0b11_u8), (AoUse::Later, 0)] {
            let value = tcp_ao_add(peer, &key(), when).expect("a key");
            assert_eq!(value.len(), size_of::<TcpAoAdd>());
            // The first two bits of the field, from the end where the machine begins to count.
            let bits = if cfg!(target_endian = "little") { first } else { first << 6 };
            assert_fields(
                &value,
                &[
                    (offset_of!(TcpAoAdd, addr), &v4([192, 0, 2, 0])),
                    (offset_of!(TcpAoAdd, alg_name), b"cmac(aes128)"),
                    (offset_of!(TcpAoAdd, set_current_set_rnext), &[bits]),
                    (offset_of!(TcpAoAdd, prefix), &[24]),
                    (offset_of!(TcpAoAdd, sndid), &[0x51]),
                    (offset_of!(TcpAoAdd, rcvid), &[0x52]),
                    (offset_of!(TcpAoAdd, keyflags), &[AO_EXCLUDE_OPTIONS]),
                    (offset_of!(TcpAoAdd, keylen), &[8]),
                    (offset_of!(TcpAoAdd, key), secret),
                ],
            );
        }
        let value = tcp_ao_del(peer, &key());
        assert_eq!(value.len(), size_of::<TcpAoDel>());
        assert_fields(
            &value,
            &[
                (offset_of!(TcpAoDel, addr), &v4([192, 0, 2, 0])),
                (offset_of!(TcpAoDel, prefix), &[24]),
                (offset_of!(TcpAoDel, sndid), &[0x51]),
                (offset_of!(TcpAoDel, rcvid), &[0x52]),
            ],
        );
        assert_eq!(size_of::<TcpAoInfoOpt>(), AO_INFO_LENGTH);
    }

    #[test]
    fn the_time_to_live_is_found_in_both_headers() {
        let mut v4 = [0; 40];
        (v4[0], v4[8]) = (0x45, 254);
        let mut v6 = [0; 60];
        (v6[0], v6[7]) = (0x60, 253);
        assert_eq!((ttl_of(&v4), ttl_of(&v6)), (Some(254), Some(253)));
        assert_eq!((ttl_of(&[]), ttl_of(&[0x45; 8]), ttl_of(&[0; 40])), (None, None, None));
    }
}
