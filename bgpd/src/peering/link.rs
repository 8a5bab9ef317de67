//! The network that two ends of a session share.

use std::net::IpAddr;

use ipnet::IpNet;
use nix::sys::socket::SockaddrStorage;

/// The network of one of our interfaces that both ends are in.
pub(super) fn shared(local: IpAddr, remote: IpAddr) -> Option<IpNet> {
    // Without the kernel's answer the peer counts as one that is not on the same link.
    let mut interfaces = nix::ifaddrs::getifaddrs().ok()?;
    interfaces.find_map(|interface| {
        let (address, mask) = (ip(&interface.address?)?, ip(&interface.netmask?)?);
        let net = IpNet::with_netmask(address, mask).ok()?.trunc();
        // The loopback answers for more addresses than it has.
        (net.contains(&local) && net.contains(&remote)).then_some(net)
    })
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|v4| v4.ip().into());
    v4.or_else(|| address.as_sockaddr_in6().map(|v6| v6.ip().into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_what_both_addresses_are_in() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let net =
            |local, remote| shared(address(local), address(remote)).map(|net| net.to_string());
        assert_eq!(net("127.3.3.3", "127.9.9.9").as_deref(), Some("127.0.0.0/8"));
        assert_eq!(net("127.0.0.1", "192.0.2.1"), None, "over a router");
        assert_eq!(net("203.0.113.1", "203.0.113.2"), None, "no network of ours");
    }
}
