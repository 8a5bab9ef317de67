//! The text forms of floating addresses, services and namespaces.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use arcus_api::v1::{AllowedSource, Floating, PortId, Protocol, ServiceEndpoint};
use ipnet::IpNet;

/// Where `ip netns add` puts namespaces.
const NETNS_DIRS: [&str; 2] = ["/run/netns", "/var/run/netns"];

/// The text is no floating address or service.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PortArgError {
    #[error("write NETWORK/ADDRESS, for example public/185.22.97.188")]
    Floating,
    #[error(
        "write NETWORK/ADDRESS:PORT=TARGET, for example leonardo/10.254.98.15:80=8080, with /udp at \
         the end for UDP"
    )]
    Service,
    #[error("write PREFIX or PREFIX=MAC, for example 10.10.0.100/32=00:00:5e:00:01:07")]
    Allowed,
    #[error("write bits a second, for example 500k, 100M, 1G or 2500000")]
    Bandwidth,
}

/// `public/185.22.97.188`
pub(crate) fn floating(text: &str) -> Result<Floating, PortArgError> {
    text.split_once('/')
        .filter(|(network, _)| !network.is_empty())
        .and_then(|(network, address)| {
            Some(Floating {
                network: network.to_owned(),
                address: address.parse().ok()?,
                weight: None,
            })
        })
        .ok_or(PortArgError::Floating)
}

/// `leonardo/10.254.98.15:80=8080`, `dns/[fd00::1]:53/udp`
pub(crate) fn service(text: &str) -> Result<ServiceEndpoint, PortArgError> {
    try_service(text).ok_or(PortArgError::Service)
}

fn try_service(text: &str) -> Option<ServiceEndpoint> {
    let (network, rest) = text.split_once('/').filter(|(network, _)| !network.is_empty())?;
    let (rest, protocol) = match rest.split_once('/') {
        None => (rest, Protocol::Tcp),
        Some((rest, "tcp")) => (rest, Protocol::Tcp),
        Some((rest, "udp")) => (rest, Protocol::Udp),
        Some(_) => return None,
    };
    let (front, target) = match rest.split_once('=') {
        Some((front, target)) => (front, Some(target.parse::<u16>().ok()?)),
        None => (rest, None),
    };
    let front: SocketAddr = front.parse().ok()?;
    let target_port = target.unwrap_or(front.port());
    let service = ServiceEndpoint {
        network: network.to_owned(),
        address: front.ip(),
        port: front.port(),
        target_port,
        protocol,
        affinity_seconds: None,
        weight: None,
    };
    (front.port() != 0 && target_port != 0).then_some(service)
}

/// `10.10.0.100/32=00:00:5e:00:01:07`; an address is a prefix of one.
pub(crate) fn allowed(text: &str) -> Result<AllowedSource, PortArgError> {
    let (prefix, mac) = match text.split_once('=') {
        Some((prefix, mac)) => (prefix, Some(mac)),
        None => (text, None),
    };
    let is_mac = |mac: &str| {
        let octets: Vec<&str> = mac.split(':').collect();
        octets.len() == 6
            && octets.iter().all(|o| o.len() == 2 && o.bytes().all(|b| b.is_ascii_hexdigit()))
    };
    let host = || prefix.parse::<IpAddr>().ok().map(IpNet::from);
    let prefix = prefix.parse().ok().or_else(host).ok_or(PortArgError::Allowed)?;
    match mac {
        Some(mac) if !is_mac(mac) => Err(PortArgError::Allowed),
        mac => Ok(AllowedSource { prefix, mac: mac.map(str::to_owned) }),
    }
}

/// `100M`: bits a second.
pub(crate) fn bandwidth(text: &str) -> Result<u64, PortArgError> {
    let (digits, factor) = match text.char_indices().next_back() {
        Some((at, 'k')) => (&text[..at], 1_000),
        Some((at, 'M')) => (&text[..at], 1_000_000),
        Some((at, 'G')) => (&text[..at], 1_000_000_000),
        _ => (text, 1),
    };
    let bits = digits.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    bits.filter(|bits| *bits > 0).ok_or(PortArgError::Bandwidth)
}

/// The address of each version; they are one of each, or one.
pub(crate) fn addresses(given: &[IpAddr]) -> Result<(IpAddr, Option<Ipv6Addr>)> {
    match *given {
        [only] => Ok((only, None)),
        [v4 @ IpAddr::V4(_), IpAddr::V6(v6)] | [IpAddr::V6(v6), v4 @ IpAddr::V4(_)] => {
            Ok((v4, Some(v6)))
        }
        _ => bail!("a port has one address, or one of each IP version; write --ip once or twice"),
    }
}

/// The file of a namespace that is given by name or path.
pub(crate) fn netns_path(netns: &str) -> Result<PathBuf> {
    if netns.contains('/') {
        return std::path::absolute(netns).with_context(|| format!("network namespace `{netns}`"));
    }
    let found = NETNS_DIRS.iter().map(|dir| Path::new(dir).join(netns)).find(|path| path.exists());
    match found {
        Some(path) => Ok(path),
        None => bail!(
            "there is no network namespace `{netns}` ({}/{netns} is missing); make it with `ip netns \
             add {netns}`, or give a path",
            NETNS_DIRS[0]
        ),
    }
}

/// What a port is called that was given no name: as its namespace, and its interface if that is not
/// the usual one.
pub(crate) fn id_for(netns: &Path, interface: &str) -> Result<PortId> {
    let name = netns.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let id = if interface == "eth0" { name.to_owned() } else { format!("{name}.{interface}") };
    id.parse().context("the namespace gives no usable name; give one with --id")
}

/// The inverse of [`allowed`].
pub(crate) fn allowed_text(allowed: &AllowedSource) -> String {
    let mac = allowed.mac.as_ref().map(|mac| format!("={mac}")).unwrap_or_default();
    format!("{}{mac}", allowed.prefix)
}

/// The inverse of [`bandwidth`].
pub(crate) fn bandwidth_text(bits: u64) -> String {
    let units = [(1_000_000_000, "G"), (1_000_000, "M"), (1_000, "k")];
    let unit = units.into_iter().find(|(factor, _)| bits > 0 && bits.is_multiple_of(*factor));
    unit.map_or_else(|| bits.to_string(), |(factor, unit)| format!("{}{unit}", bits / factor))
}

/// The inverse of [`floating`].
pub(crate) fn floating_text(floating: &Floating) -> String {
    format!("{}/{}", floating.network, floating.address)
}

/// The inverse of [`service`].
pub(crate) fn service_text(service: &ServiceEndpoint) -> String {
    let ServiceEndpoint { network, address, port, target_port, protocol, .. } = service;
    let address = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let protocol = match protocol {
        Protocol::Tcp => "",
        Protocol::Udp => "/udp",
    };
    format!("{network}/{address}:{port}={target_port}{protocol}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_reads_back_as_it_is_printed() {
        for (text, printed) in [
            ("leonardo/10.254.98.15:80=8080", "leonardo/10.254.98.15:80=8080"),
            ("leonardo/10.254.98.15:80", "leonardo/10.254.98.15:80=80"),
            ("dns/10.254.98.16:53/udp", "dns/10.254.98.16:53=53/udp"),
            ("dns/[fd00::1]:53=5353/tcp", "dns/[fd00::1]:53=5353"),
        ] {
            let read = service(text).expect(text);
            assert_eq!(service_text(&read), printed);
            assert_eq!(service(printed), Ok(read));
        }
    }

    #[test]
    fn half_a_service_is_refused() {
        for text in [
            "",
            "leonardo",
            "/10.0.0.1:80",
            "leonardo/10.254.98.15",
            "leonardo/10.254.98.15:80=",
            "leonardo/10.254.98.15:0",
            "leonardo/10.254.98.15:80=0",
            "leonardo/10.254.98.15:80=65536",
            "leonardo/fd00::1:80",
            "leonardo/10.254.98.15:80/sctp",
        ] {
            assert_eq!(service(text), Err(PortArgError::Service), "{text}");
        }
    }

    #[test]
    fn half_a_floating_address_is_refused() {
        assert!(floating("public/185.22.97.188").is_ok());
        for text in ["", "public", "/185.22.97.188", "public/185.22.97.188/32", "public/x"] {
            assert_eq!(floating(text), Err(PortArgError::Floating), "{text}");
        }
    }

    #[test]
    fn sources_and_bandwidths_read_back_as_they_are_printed() {
        for (text, printed) in [
            ("10.99.0.0/16", "10.99.0.0/16"),
            ("10.10.0.100=00:00:5e:00:01:07", "10.10.0.100/32=00:00:5e:00:01:07"),
            ("2001:db8::/64", "2001:db8::/64"),
        ] {
            assert_eq!(allowed(text).map(|read| allowed_text(&read)).as_deref(), Ok(printed));
        }
        for text in ["", "10.0.0.0/33", "10.0.0.1=", "10.0.0.1=0:0:5e:0:1:7"] {
            assert_eq!(allowed(text), Err(PortArgError::Allowed), "{text}");
        }
        for (text, printed) in [("100M", "100M"), ("1000k", "1M"), ("2500", "2500"), ("1G", "1G")] {
            assert_eq!(bandwidth(text).map(bandwidth_text).as_deref(), Ok(printed));
        }
        for text in ["", "0", "M", "-1", "1m", "99999999999G"] {
            assert_eq!(bandwidth(text), Err(PortArgError::Bandwidth), "{text}");
        }
    }

    #[test]
    fn a_port_has_an_address_of_each_version_at_most() {
        let read = |texts: &[&str]| {
            let given: Vec<IpAddr> = texts.iter().map(|text| text.parse().unwrap()).collect();
            addresses(&given).ok().map(|(ip, ip6)| (ip.to_string(), ip6.is_some()))
        };
        assert_eq!(read(&["2001:db8::1"]), Some(("2001:db8::1".to_owned(), false)));
        assert_eq!(read(&["2001:db8::1", "10.0.0.1"]), Some(("10.0.0.1".to_owned(), true)));
        assert_eq!(read(&["10.0.0.2", "10.0.0.1"]), None);
        assert_eq!(read(&["10.0.0.2", "2001:db8::1", "2001:db8::2"]), None);
    }

    #[test]
    fn a_port_is_called_as_its_namespace() {
        let id = |path: &str, interface| id_for(Path::new(path), interface).map(String::from).ok();
        assert_eq!(id("/run/netns/db-1", "eth0").as_deref(), Some("db-1"));
        assert_eq!(id("/run/netns/db-1", "net1").as_deref(), Some("db-1.net1"));
        assert_eq!(id("/", "eth0"), None);
    }
}
