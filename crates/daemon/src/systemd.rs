use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval};
use tracing::warn;

/// Tells systemd what the daemon does (`sd_notify(3)`); nothing happens when it was not started by it.
#[derive(Debug)]
pub struct Notifier {
    socket: Option<UnixDatagram>,
    watchdog: Option<Duration>,
}

impl Notifier {
    /// Reads `NOTIFY_SOCKET`, `WATCHDOG_USEC` and `WATCHDOG_PID`.
    pub fn from_env() -> Self {
        let number = |name| env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
        let meant_for_us = number("WATCHDOG_PID").is_none_or(|pid| pid == u64::from(process::id()));
        let watchdog = number("WATCHDOG_USEC").filter(|usec| meant_for_us && *usec > 0);
        Self::new(
            env::var_os("NOTIFY_SOCKET").filter(|address| !address.is_empty()).as_deref(),
            watchdog.map(Duration::from_micros),
        )
    }

    /// `address` is a path, or `@` and an abstract name. `watchdog` is the time within which systemd
    /// wants a sign of life.
    pub fn new(address: Option<&OsStr>, watchdog: Option<Duration>) -> Self {
        let socket = address.and_then(|address| {
            // A daemon that cannot say READY is better than one that does not run.
            connect(address).map_err(|error| warn!(%error, ?address, "no notify socket")).ok()
        });
        Self { socket, watchdog }
    }

    /// The work has begun, or a reload is over. `status` is shown by `systemctl status`.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// A reload has begun; [`Notifier::ready`] ends it.
    pub fn reloading(&self) {
        self.send("RELOADING=1\nSTATUS=reading the topology file");
    }

    /// A line for `systemctl status`.
    pub fn status(&self, status: &str) {
        self.send(&format!("STATUS={}", one_line(status)));
    }

    pub fn stopping(&self) {
        self.send("STOPPING=1");
    }

    /// A sign of life. Send it from the task whose standstill would be a fault, each time
    /// [`Watchdog::due`] says so.
    pub fn alive(&self) {
        self.send("WATCHDOG=1");
    }

    /// When signs of life are due: twice in the time that systemd gives, never if it asks for none.
    pub fn watchdog(&self) -> Watchdog {
        Watchdog(self.watchdog.map(|period| {
            let mut ticks = interval((period / 2).max(Duration::from_millis(1)));
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            ticks
        }))
    }

    fn send(&self, message: &str) {
        if let Some(socket) = &self.socket
            && let Err(error) = socket.send(message.as_bytes())
        {
            warn!(%error, message, "systemd was not told");
        }
    }
}

/// The clock of [`Notifier::alive`].
#[derive(Debug)]
pub struct Watchdog(Option<Interval>);

impl Watchdog {
    /// Waits until a sign of life is due. May be cancelled.
    pub async fn due(&mut self) {
        match &mut self.0 {
            Some(ticks) => {
                ticks.tick().await;
            }
            None => std::future::pending().await,
        }
    }
}

fn connect(address: &OsStr) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    match address.as_bytes() {
        [b'@', name @ ..] => socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?,
        _ => socket.connect(address)?,
    }
    // systemd that does not read must not stop the daemon.
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// A newline would begin another assignment.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(listener: &UnixDatagram) -> String {
        let mut octets = [0; 256];
        let count = listener.recv(&mut octets).expect("a message");
        String::from_utf8_lossy(&octets[..count]).into_owned()
    }

    fn patient(listener: UnixDatagram) -> UnixDatagram {
        listener.set_read_timeout(Some(Duration::from_secs(10))).expect("a ceiling");
        listener
    }

    #[test]
    fn systemd_hears_of_each_step() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("notify");
        let listener = patient(UnixDatagram::bind(&path).expect("bind"));
        let notifier = Notifier::new(Some(path.as_os_str()), None);

        notifier.ready("2 neighbors\nMAINPID=1");
        assert_eq!(heard(&listener), "READY=1\nSTATUS=2 neighbors MAINPID=1");
        notifier.reloading();
        assert!(heard(&listener).starts_with("RELOADING=1\n"));
        notifier.alive();
        assert_eq!(heard(&listener), "WATCHDOG=1");
        notifier.stopping();
        assert_eq!(heard(&listener), "STOPPING=1");
    }

    #[test]
    fn an_abstract_address_is_reached() {
        let name = format!("arcus-notify-test-{}", process::id());
        let address = SocketAddr::from_abstract_name(&name).expect("a name");
        let listener = patient(UnixDatagram::bind_addr(&address).expect("bind"));
        Notifier::new(Some(OsStr::new(&format!("@{name}"))), None).stopping();
        assert_eq!(heard(&listener), "STOPPING=1");
    }

    #[test]
    fn without_systemd_nothing_happens() {
        Notifier::new(None, None).ready("alone");
        Notifier::new(Some(OsStr::new("/nonexistent/notify")), None).ready("alone");
    }

    #[tokio::test(start_paused = true)]
    async fn signs_of_life_are_due_twice_a_period() {
        let notifier = Notifier::new(None, Some(Duration::from_secs(10)));
        let mut watchdog = notifier.watchdog();
        let start = tokio::time::Instant::now();
        watchdog.due().await;
        watchdog.due().await;
        assert_eq!(start.elapsed(), Duration::from_secs(5));
    }
}
