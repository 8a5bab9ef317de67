//! The text forms of floating addresses, services and namespaces.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use arcus_api::v1::{Floating, PortId, Protocol, ServiceEndpoint};

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
}

/// `public/185.22.97.188`
pub(crate) fn floating(text: &str) -> Result<Floating, PortArgError> {
    text.split_once('/')
        .filter(|(network, _)| !network.is_empty())
        .and_then(|(network, address)| {
            Some(Floating { network: network.to_owned(), address: address.parse().ok()? })
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
    };
    (front.port() != 0 && target_port != 0).then_some(service)
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

/// The inverse of [`floating`].
pub(crate) fn floating_text(floating: &Floating) -> String {
    format!("{}/{}", floating.network, floating.address)
}

/// The inverse of [`service`].
pub(crate) fn service_text(service: &ServiceEndpoint) -> String {
    let ServiceEndpoint { network, address, port, target_port, protocol } = service;
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
    fn a_port_is_called_as_its_namespace() {
        let id = |path: &str, interface| id_for(Path::new(path), interface).map(String::from).ok();
        assert_eq!(id("/run/netns/db-1", "eth0").as_deref(), Some("db-1"));
        assert_eq!(id("/run/netns/db-1", "net1").as_deref(), Some("db-1.net1"));
        assert_eq!(id("/", "eth0"), None);
    }
}
