//! The addresses of a run, all of them loopback addresses of one namespace.

use std::net::{Ipv4Addr, SocketAddrV4};

/// Whom everyone connects to.
pub(crate) const DAEMON: Ipv4Addr = Ipv4Addr::new(127, 1, 0, 1);

/// Where the daemon listens: in a namespace, so never in anyone's way.
pub(crate) const TARGET: SocketAddrV4 = SocketAddrV4::new(DAEMON, 179);

/// Who sends routes: 127.2.0.0/16.
pub(crate) fn sender(number: u16) -> Ipv4Addr {
    let [high, low] = (number + 1).to_be_bytes();
    Ipv4Addr::new(127, 2, high, low)
}

/// Who receives them: 127.3.0.0/16.
pub(crate) fn client(number: u16) -> Ipv4Addr {
    let [high, low] = (number + 1).to_be_bytes();
    Ipv4Addr::new(127, 3, high, low)
}

pub(crate) fn is_client(address: Ipv4Addr) -> bool {
    address.octets()[1] == 3
}
