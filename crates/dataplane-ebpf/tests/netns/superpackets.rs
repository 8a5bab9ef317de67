//! Large UDP packets, as QUIC has them: the sender's kernel cuts them as late as it can.

use std::io::IoSlice;
use std::net::UdpSocket;
use std::os::fd::AsRawFd as _;

use anyhow::{Context as _, Result, ensure};
use dataplane::Encapsulation;
use nix::sys::socket::{ControlMessage, MsgFlags, SockaddrIn, sendmsg};

use crate::world::{CEILING, Pair, World, inside};

const PORT: u16 = 5000;
const DATAGRAM: u16 = 1000;
/// Of each large packet.
const DATAGRAMS: u8 = 40;

async fn superpackets_arrive_as_datagrams(encapsulation: Encapsulation) -> Result<()> {
    let world = World::new().await?;
    let Pair { one: _one, two: _two, a, b } = world.pair_over(encapsulation).await?;
    a.reaches(b.address).await?;

    let sink = inside(&b.namespace, || UdpSocket::bind((b.address, PORT)))??;
    sink.set_read_timeout(Some(CEILING))?;
    let source = inside(&a.namespace, || UdpSocket::bind((a.address, PORT)))??;
    let octets: Vec<u8> =
        (0..DATAGRAMS).flat_map(|n| std::iter::repeat_n(n, DATAGRAM.into())).collect();
    let cut = [ControlMessage::UdpGsoSegments(&DATAGRAM)];
    let to = SockaddrIn::from(std::net::SocketAddrV4::new(b.address, PORT));
    let all = [IoSlice::new(&octets)];
    sendmsg(source.as_raw_fd(), &all, &cut, MsgFlags::empty(), Some(&to))?;
    let mut buffer = [0; 2048];
    for n in 0..DATAGRAMS {
        let length = sink.recv(&mut buffer).with_context(|| format!("datagram {n}"))?;
        ensure!(buffer[..length] == vec![n; DATAGRAM.into()], "datagram {n}: {length} octets");
    }
    Ok(())
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn superpackets_cross_gre() -> Result<()> {
    superpackets_arrive_as_datagrams(Encapsulation::MplsOverGre).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn superpackets_cross_udp() -> Result<()> {
    superpackets_arrive_as_datagrams(Encapsulation::MplsOverUdp).await
}

#[tokio::test]
#[ignore = "needs root: make test-netns"]
async fn superpackets_cross_vxlan() -> Result<()> {
    superpackets_arrive_as_datagrams(Encapsulation::Vxlan).await
}
