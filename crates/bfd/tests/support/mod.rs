//! Speakers on loopback, and waiting for what becomes of their sessions.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};
use std::time::Duration;

use bfd::socket::{Handle, Speaker, Status};
use bfd::{State, Timing};
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) const SOON: Duration = Duration::from_secs(10);

/// An address of 127.0.0.0/8 that no other test has, in this run and in others of this machine.
pub(crate) fn address() -> IpAddr {
    static NEXT: AtomicU8 = AtomicU8::new(1);
    let [.., high, low] = std::process::id().to_be_bytes();
    Ipv4Addr::new(127, high | 0x80, low, NEXT.fetch_add(1, Relaxed)).into()
}

pub(crate) fn timing(interval: u64) -> Timing {
    Timing::new(Duration::from_millis(interval), 3).expect("a timing")
}

/// A speaker and its task.
pub(crate) fn speaker() -> (Speaker, JoinHandle<()>) {
    let (speaker, driver) = Speaker::new();
    (speaker, tokio::spawn(driver.run(std::future::pending())))
}

/// Waits until the session is as wanted.
pub(crate) async fn until(handle: &Handle, what: impl Fn(&Status) -> bool) -> Status {
    let mut watch = handle.watch();
    let seen = timeout(SOON, watch.wait_for(|status| what(status))).await;
    let seen = seen.unwrap_or_else(|_| unreachable!("not in time; it is {:?}", handle.status()));
    seen.expect("the session is gone").clone()
}

pub(crate) async fn is_up(handle: &Handle) -> Status {
    until(handle, |status| status.state == State::Up).await
}
