//! What every daemon is measured by: two programs that do the least there is to do.
//!
//! The *floor* splits the stream into messages, interns attribute sets, looks up every route once in
//! one hash table, and frames the routes anew behind octets that were encoded once per attribute set.
//! The *bare relay* has neither table nor sets: it copies each message. Both append to one log of
//! output that all clients are sent from, on one thread. Neither decides, withdraws what a lost sender
//! had, or filters; no daemon can be cheaper than they are and still do its work.

mod log;
mod table;

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::epoll;
use rustix::fd::OwnedFd;

use self::log::{Cursor, Log};
use self::table::Table;
use crate::load::routes::{ASN, Kind};
use crate::load::wire::{self, HEADER};
use crate::plan;

/// Octets that one read takes at most.
const READ: usize = 512 * 1024;

const HOLD: u16 = 90;

/// Which of the two it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Which {
    Floor,
    Relay,
}

#[derive(Debug)]
struct Connection {
    stream: TcpStream,
    from: Ipv4Addr,
    is_client: bool,
    is_up: bool,
    /// The beginning of a message whose end has not come.
    partial: Vec<u8>,
    /// What of the log it has been sent.
    cursor: Cursor,
    /// Waits until the socket takes more.
    is_blocked: bool,
}

struct Bare {
    epoll: OwnedFd,
    connections: Vec<Option<Connection>>,
    log: Log,
    /// `None`: the relay.
    table: Option<Table>,
}

/// Serves until it is killed.
pub(crate) fn serve(which: Which, listen: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen)?;
    listener.set_nonblocking(true)?;
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let listening = u64::MAX;
    epoll::add(&epoll, &listener, epoll::EventData::new_u64(listening), epoll::EventFlags::IN)?;
    let table = (which == Which::Floor).then(|| Table::new(plan::DAEMON));
    let mut bare = Bare { epoll, connections: Vec::new(), log: Log::default(), table };
    let mut buffer = vec![0; READ];
    let mut events = Vec::with_capacity(1_024);
    loop {
        events.clear();
        match epoll::wait(&bare.epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
        for event in &events {
            let (data, flags) = (event.data, event.flags);
            if data.u64() == listening {
                bare.accept(&listener)?;
                continue;
            }
            let key = usize::try_from(data.u64())?;
            if flags.contains(epoll::EventFlags::OUT)
                && let Some(Some(connection)) = bare.connections.get_mut(key)
            {
                connection.is_blocked = false;
                let events = epoll::EventFlags::IN;
                epoll::modify(&bare.epoll, &connection.stream, data, events)?;
            }
            if !flags.difference(epoll::EventFlags::OUT).is_empty() {
                bare.read(key, &mut buffer);
            }
        }
        bare.write_all();
    }
}

impl Bare {
    fn accept(&mut self, listener: &TcpListener) -> Result<()> {
        loop {
            let (stream, from) = match listener.accept() {
                Ok(accepted) => accepted,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nonblocking(true)?;
            stream.set_nodelay(true)?;
            let data = epoll::EventData::new_u64(self.connections.len() as u64);
            epoll::add(&self.epoll, &stream, data, epoll::EventFlags::IN)?;
            let from = match from.ip() {
                IpAddr::V4(ip) => ip,
                IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
            };
            self.connections.push(Some(Connection {
                stream,
                from,
                is_client: plan::is_client(from),
                is_up: false,
                partial: Vec::new(),
                cursor: Cursor::default(),
                is_blocked: false,
            }));
        }
    }

    /// One read of a socket. A session that ends badly is dropped.
    fn read(&mut self, key: usize, buffer: &mut [u8]) {
        let Some(slot) = self.connections.get_mut(key) else { return };
        let Some(mut connection) = slot.take() else { return };
        match self.take(&mut connection, buffer) {
            Ok(()) => self.connections[key] = Some(connection),
            // It was dropped, and with it its place in epoll.
            Err(_gone) => {}
        }
    }

    fn take(&mut self, connection: &mut Connection, buffer: &mut [u8]) -> Result<()> {
        let kept = connection.partial.len();
        buffer.get_mut(..kept).context("a message too long")?.copy_from_slice(&connection.partial);
        let count = match connection.stream.read(&mut buffer[kept..]) {
            Ok(0) => bail!("closed"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let mut rest = &buffer[..kept + count];
        while let Some((header, _)) = rest.split_first_chunk::<HEADER>() {
            ensure!(header[..16] == [0xff; 16], "no marker");
            let length = usize::from(u16::from_be_bytes([header[16], header[17]]));
            ensure!(length >= HEADER, "a length of {length}");
            let Some((message, next)) = rest.split_at_checked(length) else { break };
            rest = next;
            match header[18] {
                wire::UPDATE => self.update(connection, message)?,
                wire::OPEN => {
                    let kinds = [Kind::Ipv4Unicast, Kind::VpnV4, Kind::Evpn];
                    let families: Vec<_> =
                        kinds.iter().map(|kind| kind.family()).chain([wire::RTC]).collect();
                    connection.stream.write_all(&wire::open(ASN, HOLD, plan::DAEMON, &families))?;
                    connection.stream.write_all(&wire::keepalive())?;
                }
                wire::KEEPALIVE => connection.is_up = true,
                kind => bail!("a message of type {kind}"),
            }
        }
        connection.partial.clear();
        connection.partial.extend(rest);
        Ok(())
    }

    fn update(&mut self, connection: &Connection, message: &[u8]) -> Result<()> {
        match &mut self.table {
            None => self.log.append(message),
            Some(table) => {
                let parts = wire::parts(message).context("lengths that do not fit together")?;
                table.update(message, &parts, connection.from, &mut self.log)?;
            }
        }
        Ok(())
    }

    /// Gives every client what it has not had of the log, as far as its socket takes it.
    fn write_all(&mut self) {
        for (key, slot) in self.connections.iter_mut().enumerate() {
            let Some(connection) = slot else { continue };
            if !connection.is_client || !connection.is_up || connection.is_blocked {
                continue;
            }
            while let Some(octets) = self.log.after(&mut connection.cursor) {
                match connection.stream.write(octets) {
                    Ok(count) => connection.cursor.advance(count),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => {
                        connection.is_blocked = true;
                        let events = epoll::EventFlags::IN | epoll::EventFlags::OUT;
                        let data = epoll::EventData::new_u64(key as u64);
                        let _known = epoll::modify(&self.epoll, &connection.stream, data, events);
                        break;
                    }
                    // Reading will find that it is gone.
                    Err(_gone) => break,
                }
            }
        }
    }
}
