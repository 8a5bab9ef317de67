//! Frames of the underlay, as tshark reads them out of a capture.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use anyhow::{Context, Result, ensure};

use crate::Namespace;

/// RFC 7348 section 5.
const PORT: u16 = 4789;

/// What tshark says of a checksum; 2 is that it did not look.
const GOOD: &str = "1";
const NOT_PRESENT: &str = "3";

const FIELDS: [&str; 14] = [
    "frame.protocols",
    "eth.src",
    "eth.dst",
    "ip.src",
    "ip.dst",
    "ipv6.src",
    "ipv6.dst",
    "vxlan.flags",
    "vxlan.vni",
    "tcp.len",
    "ip.checksum.status",
    "udp.checksum.status",
    "tcp.checksum.status",
    // That the other zero of one's complement stands there: tshark warns of it and calls it bad, and the kernel
    // writes it wherever it computes a checksum for a device that does not (RFC 1624 section 3).
    "tcp.checksum.ffff",
];

/// A frame inside a packet of UDP to the port of VXLAN, over IPv4. All of its checksums are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VxlanFrame {
    /// From where to where the tunnel goes.
    pub outer: (Ipv4Addr, Ipv4Addr),
    pub vni: u32,
    /// Source and destination of the frame inside.
    pub macs: (String, String),
    /// Source and destination of the packet in that frame.
    pub inner: (IpAddr, IpAddr),
    /// Octets that TCP carries; `None`: it is another protocol.
    pub tcp_octets: Option<u64>,
}

/// A packet in some tunnel. All of its checksums are right.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelFrame {
    /// What is in what, as tshark calls it: `eth:ethertype:ip:gre:mpls:ip:tcp`.
    pub protocols: String,
    /// Octets that TCP carries; `None`: it is another protocol.
    pub tcp_octets: Option<u64>,
}

/// All frames of a capture. One with a checksum that tshark does not find good, inside or outside, is an error.
pub async fn tunnel_frames(namespace: &Namespace, capture: &Path) -> Result<Vec<TunnelFrame>> {
    let read = |line: &str| {
        let fields = Fields(line.split('\t').collect());
        fields.checksums_are_good()?;
        let protocols = fields.one("frame.protocols", 0).context("no protocols")?.to_owned();
        Ok(TunnelFrame { protocols, tcp_octets: fields.tcp_octets()? })
    };
    frames(namespace, capture, read).await
}

/// All frames of a capture of the underlay. A frame that is not inside VXLAN is an error, and so is one with a
/// checksum that tshark does not find good, inside or outside.
pub async fn vxlan_frames(namespace: &Namespace, capture: &Path) -> Result<Vec<VxlanFrame>> {
    frames(namespace, capture, read).await
}

async fn frames<T>(
    namespace: &Namespace,
    capture: &Path,
    read: impl Fn(&str) -> Result<T>,
) -> Result<Vec<T>> {
    let file = capture.to_str().context("a run directory that is not UTF-8")?;
    let mut words = vec!["tshark", "-nr", file, "-T", "fields"];
    for check in ["ip.check_checksum:TRUE", "udp.check_checksum:TRUE", "tcp.check_checksum:TRUE"] {
        words.extend(["-o", check]);
    }
    // Streams are put together otherwise, which costs time and says nothing here.
    words.extend(["-o", "tcp.desegment_tcp_streams:FALSE"]);
    words.extend(FIELDS.iter().flat_map(|field| ["-e", field]));
    let text = namespace.run(&words).await?;
    text.lines().map(|line| read(line).with_context(|| describe(line))).collect()
}

fn describe(line: &str) -> String {
    let named =
        FIELDS.iter().zip(line.split('\t')).map(|(field, value)| format!("{field}={value}"));
    format!("a frame with {}", named.collect::<Vec<_>>().join(" "))
}

/// The values of one frame. What is there twice, outside and inside, has a comma: what is outside comes first.
struct Fields<'a>(Vec<&'a str>);

impl<'a> Fields<'a> {
    fn all(&self, name: &str) -> Vec<&'a str> {
        let at = FIELDS.iter().position(|field| *field == name);
        let text = at.and_then(|at| self.0.get(at)).copied().unwrap_or_default();
        text.split(',').filter(|value| !value.is_empty()).collect()
    }

    fn one(&self, name: &str, at: usize) -> Option<&'a str> {
        self.all(name).get(at).copied()
    }

    /// An address of the packet inside, which is the second of IPv4 or the first of IPv6.
    fn inner(&self, end: &str) -> Result<IpAddr> {
        let v6 = self.one(&format!("ipv6.{end}"), 0);
        let address = v6.or_else(|| self.one(&format!("ip.{end}"), 1));
        Ok(address.context("no packet inside")?.parse()?)
    }

    fn outer(&self, end: &str) -> Result<Ipv4Addr> {
        Ok(self.one(&format!("ip.{end}"), 0).context("not over IPv4")?.parse()?)
    }

    fn inner_mac(&self, end: &str) -> Result<String> {
        Ok(self.one(&format!("eth.{end}"), 1).context("no frame inside")?.to_owned())
    }

    fn tcp_octets(&self) -> Result<Option<u64>> {
        Ok(self.one("tcp.len", 0).map(str::parse).transpose()?)
    }

    fn checksums_are_good(&self) -> Result<()> {
        let ip = self.all("ip.checksum.status");
        ensure!(ip.iter().all(|check| *check == GOOD), "IP: {ip:?}");
        // RFC 7348 section 5: the outer one may be zero.
        let udp = self.all("udp.checksum.status");
        let may_be = |check: &&str| *check == GOOD || *check == NOT_PRESENT;
        ensure!(udp.iter().all(may_be), "UDP: {udp:?}");
        let tcp = self.all("tcp.checksum.status");
        let is_other_zero = !self.all("tcp.checksum.ffff").is_empty();
        ensure!(is_other_zero || tcp.iter().all(|check| *check == GOOD), "TCP: {tcp:?}");
        Ok(())
    }
}

fn read(line: &str) -> Result<VxlanFrame> {
    let fields = Fields(line.split('\t').collect());
    let vni = fields.one("vxlan.vni", 0);
    let vni = vni.with_context(|| format!("not inside VXLAN, UDP port {PORT}"))?.parse()?;
    // RFC 7348 section 5: the bit that says that there is a VNI, and no other.
    let flags = fields.all("vxlan.flags");
    ensure!(flags == ["0x0800"], "flags {flags:?}");
    fields.checksums_are_good()?;
    Ok(VxlanFrame {
        outer: (fields.outer("src")?, fields.outer("dst")?),
        vni,
        macs: (fields.inner_mac("src")?, fields.inner_mac("dst")?),
        inner: (fields.inner("src")?, fields.inner("dst")?),
        tcp_octets: fields.tcp_octets()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of FRR and the kernel, as tshark 4.0 reads it.
    const FRAME: &str = "eth:ethertype:ip:udp:vxlan:eth:ethertype:ip:tcp\t\
         96:f9:ef:a5:7a:b4,02:00:5e:00:02:01\tfa:99:7d:49:53:3f,02:5e:0a:00:01:01\t\
         10.0.2.1,203.0.113.10\t10.0.1.1,10.101.0.1\t\t\t0x0800\t10100\t58\t1,1\t1\t1\t";

    #[test]
    fn the_frame_inside_is_told_from_the_one_outside() {
        let frame = read(FRAME).expect("a frame");
        assert_eq!(frame.outer, ([10, 0, 2, 1].into(), [10, 0, 1, 1].into()));
        assert_eq!((frame.vni, frame.tcp_octets), (10100, Some(58)));
        assert_eq!(frame.macs.1, "02:5e:0a:00:01:01");
        assert_eq!(frame.inner, ([203, 0, 113, 10].into(), [10, 101, 0, 1].into()));
        let v6 = FRAME.replace(",203.0.113.10", "").replace(",10.101.0.1", "");
        let v6 = v6.replace("\t\t\t0x0800", "\t2001:db8::a\t2001:db8::5\t0x0800");
        let [from, to] = ["2001:db8::a", "2001:db8::5"].map(|text| text.parse().expect("IPv6"));
        assert_eq!(read(&v6).expect("a frame").inner, (from, to));
    }

    #[test]
    fn what_is_wrong_with_a_frame_is_an_error() {
        let wrong = |from: &str, to: &str| {
            let frame = FRAME.replace(from, to);
            assert_ne!(frame, FRAME);
            read(&frame).expect_err(&frame).to_string()
        };
        assert!(wrong("\t1,1\t", "\t1,0\t").starts_with("IP:"));
        assert!(wrong("1,1\t1\t1", "1,1\t0\t1").starts_with("UDP:"));
        assert!(wrong("1,1\t1\t1", "1,1\t1\t0").starts_with("TCP:"));
        assert!(wrong("\t10100\t", "\t\t").contains("not inside VXLAN"));
        assert!(wrong("0x0800", "0x0c00").starts_with("flags"));
        assert!(wrong("1,1\t1\t1", "1,1\t1\t2").starts_with("TCP:"), "tshark did not look");
    }

    #[test]
    fn the_other_zero_is_a_good_checksum() {
        read(&FRAME.replace("1\t1\t1\t", "1\t1\t0\t1")).expect("a frame");
        read(&FRAME.replace("1\t1\t1\t", "1\t3\t1\t")).expect("a frame without the outer one");
    }
}
