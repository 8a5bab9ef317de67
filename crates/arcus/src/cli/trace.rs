//! `arcus trace`.

use std::net::{IpAddr, SocketAddr};

use arcus_api::v1::{
    IpProtocol, PortId, TraceFrom, TraceHeaders, TracePacket, TraceRequest, TraceTunnel,
    TraceUplink,
};
use clap::{ArgGroup, Args, value_parser};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("from").required(true).args(["from_port", "from_uplink"]))]
#[command(group = ArgGroup::new("packet").required(true).args(["to", "octets"]))]
pub(crate) struct TraceArgs {
    /// The port that sends it.
    #[arg(long, value_name = "PORT")]
    from_port: Option<PortId>,

    /// The interface of the underlay that it comes from; the node's first if no name is given.
    #[arg(long, value_name = "INTERFACE", num_args = 0..=1)]
    #[expect(clippy::option_option, reason = "a flag whose value may be left out")]
    from_uplink: Option<Option<String>>,

    /// The tunnel that it comes in: the other node's address, and the label or VNI.
    #[arg(
        long,
        value_name = "ENCAPSULATION/ADDRESS/ID",
        value_parser = tunnel,
        conflicts_with = "from_port"
    )]
    tunnel: Option<TraceTunnel>,

    /// Where it goes.
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = end)]
    to: Option<End>,

    /// Where it says that it comes from; the port's own address if left out.
    #[arg(long, value_name = "ADDRESS[:PORT]", value_parser = end, requires = "to")]
    source: Option<End>,

    /// tcp, udp, sctp, icmp, icmpv6 or a number; tcp if `--to` has a port, else icmp or icmpv6.
    #[arg(long, requires = "to")]
    protocol: Option<IpProtocol>,

    /// Time to live.
    #[arg(long, requires = "to", default_value_t = 64)]
    ttl: u8,

    /// Octets of IP; the headers alone if left out.
    #[arg(long, requires = "to", value_name = "OCTETS", value_parser = value_parser!(u16).range(20..))]
    size: Option<u16>,

    /// The whole packet from its IP header on, in hexadecimal digits.
    #[arg(long, value_name = "HEX", value_parser = octets)]
    octets: Option<String>,
}

/// An address, with a port or without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct End {
    address: IpAddr,
    port: Option<u16>,
}

impl TraceArgs {
    /// `None` where the line has no packet or no place, which clap has refused.
    pub(crate) fn request(self) -> Option<TraceRequest> {
        let from = match (self.from_port, self.from_uplink) {
            (Some(port), _) => TraceFrom::Port(port),
            (None, uplink) => {
                TraceFrom::Uplink(TraceUplink { interface: uplink?, tunnel: self.tunnel })
            }
        };
        let packet = match (self.octets, self.to) {
            (Some(octets), _) => TracePacket::Octets(octets),
            (None, to) => {
                let to = to?;
                let by_port = to.port.map(|_| IpProtocol::TCP);
                TracePacket::Headers(TraceHeaders {
                    source: self.source.map(|source| source.address),
                    destination: to.address,
                    protocol: self.protocol.or(by_port),
                    source_port: self.source.and_then(|source| source.port),
                    destination_port: to.port,
                    ttl: self.ttl,
                    size: self.size,
                })
            }
        };
        Some(TraceRequest { from, packet })
    }
}

fn end(text: &str) -> Result<End, String> {
    let with_port = || {
        let to: SocketAddr = text.parse().ok()?;
        Some(End { address: to.ip(), port: Some(to.port()) })
    };
    let address = text.parse().map(|address| End { address, port: None }).ok();
    address.or_else(with_port).ok_or_else(|| {
        "write an address, with a port or without: 10.0.0.1:80, [2001:db8::1]:80".to_owned()
    })
}

fn tunnel(text: &str) -> Result<TraceTunnel, String> {
    let mut parts = text.split('/');
    let mut read = || {
        let encapsulation = parts.next()?.to_owned();
        let (remote, id) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        parts.next().is_none().then_some(TraceTunnel { remote, encapsulation, id })
    };
    read().ok_or_else(|| {
        "write ENCAPSULATION/ADDRESS/ID, for example mpls-over-udp/10.1.1.11/16".to_owned()
    })
}

fn octets(text: &str) -> Result<String, String> {
    let is_hex = text.len() >= 40 && text.len().is_multiple_of(2);
    if is_hex && text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        Ok(text.to_owned())
    } else {
        Err("write two hexadecimal digits for each octet, from the IP header on".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::{Cli, Command};

    fn request(line: &str) -> Option<TraceRequest> {
        let cli =
            Cli::try_parse_from(["arcus", "trace"].into_iter().chain(line.split(' '))).ok()?;
        match cli.command {
            Command::Trace(args) => args.request(),
            _ => None,
        }
    }

    #[test]
    fn a_port_makes_it_tcp_and_an_address_alone_icmp() {
        let headers = |line: &str| match request(line).expect(line).packet {
            TracePacket::Headers(headers) => headers,
            TracePacket::Octets(_) => panic!("octets"),
        };
        let web = headers("--from-port db-1 --to 10.0.0.1:80");
        assert_eq!((web.protocol, web.destination_port), (Some(IpProtocol::TCP), Some(80)));
        let dns = headers("--from-port db-1 --to [2001:db8::1]:53 --protocol udp --ttl 1");
        assert_eq!((dns.protocol, dns.ttl), (Some(IpProtocol::UDP), 1));
        assert!(dns.destination.is_ipv6());
        let ping = headers("--from-port db-1 --to 2001:db8::1 --source 2001:db8::2");
        assert_eq!((ping.protocol, ping.destination_port), (None, None));
    }

    #[test]
    fn it_comes_from_a_port_or_from_the_underlay() {
        let tunnel = "--tunnel vxlan/10.1.1.11/5010 --to 10.0.0.1";
        let from = request(&format!("--from-uplink {tunnel}")).expect("a request").from;
        let TraceFrom::Uplink(uplink) = from else { panic!("a port") };
        assert_eq!(uplink.interface, None);
        assert_eq!(uplink.tunnel.map(|tunnel| tunnel.id), Some(5010));
        let named = request(&format!("--from-uplink eth1 {tunnel}")).expect("a request").from;
        assert!(
            matches!(named, TraceFrom::Uplink(TraceUplink { interface: Some(name), .. }) if name == "eth1")
        );
    }

    #[test]
    fn half_a_packet_is_refused() {
        for line in [
            "--to 10.0.0.1",
            "--from-port db-1",
            "--from-port db-1 --from-uplink eth0 --to 10.0.0.1",
            "--from-port db-1 --to 10.0.0.1 --octets 4500",
            "--from-port db-1 --octets 4500",
            "--from-port db-1 --to 2001:db8::1:",
            "--from-port db-1 --to 10.0.0.1 --tunnel vxlan/10.1.1.11/5010",
            "--from-uplink --tunnel vxlan/10.1.1.11 --to 10.0.0.1",
        ] {
            assert_eq!(request(line), None, "{line}");
        }
    }
}
