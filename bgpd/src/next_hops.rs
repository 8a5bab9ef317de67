//! The ways to next hops, as the kernel has them (RFC 4271 §9.1.2.1).
//!
//! Shards say which next hops they have routes for. The kernel is asked about each when it is new, and
//! about all whenever something about its interfaces, addresses or routes changes.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::route::{
    RouteAddress, RouteAttribute, RouteFlags, RouteHeader, RouteMessage, RouteType,
};
use rtnetlink::{Handle, MulticastGroup};
use tokio::sync::{Notify, mpsc};
use tracing::{info, warn};

/// What changes ways.
const GROUPS: [MulticastGroup; 7] = [
    MulticastGroup::Link,
    MulticastGroup::Ipv4Ifaddr,
    MulticastGroup::Ipv6Ifaddr,
    MulticastGroup::Ipv4Route,
    MulticastGroup::Ipv6Route,
    MulticastGroup::Ipv4Rule,
    MulticastGroup::Ipv6Rule,
];

/// Changes come in flocks: so long the others are waited for.
const GATHER: Duration = Duration::from_millis(50);

/// A way was found, is another one, or is lost (`None`).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Way {
    pub(crate) next_hop: IpAddr,
    /// The metric of the kernel's route.
    pub(crate) cost: Option<u32>,
}

/// What the shards want to know.
#[derive(Debug, Clone, Default)]
pub(crate) struct NextHops(Arc<Wanted>);

#[derive(Debug, Default)]
struct Wanted {
    known: Mutex<HashMap<IpAddr, Known>>,
    changed: Notify,
}

#[derive(Debug)]
struct Known {
    /// Shards that have routes for it.
    shards: usize,
    /// Somebody has asked since it was last told.
    is_asked: bool,
    told: Option<u32>,
}

impl NextHops {
    /// A shard has routes for this next hop, or has none any more.
    pub(crate) fn want(&self, next_hop: IpAddr, wanted: bool) {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        if wanted {
            let new = Known { shards: 0, is_asked: true, told: None };
            let entry = known.entry(next_hop).or_insert(new);
            entry.shards += 1;
            entry.is_asked = true;
            drop(known);
            self.0.changed.notify_one();
        } else if let Some(entry) = known.get_mut(&next_hop) {
            entry.shards = entry.shards.saturating_sub(1);
            if entry.shards == 0 {
                known.remove(&next_hop);
            }
        }
    }

    /// Next hops by a property of theirs.
    fn those(&self, which: impl Fn(&Known) -> bool) -> Vec<IpAddr> {
        let known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().filter(|(_, entry)| which(entry)).map(|(address, _)| *address).collect()
    }

    /// Whether a shard has to hear of this.
    fn is_news(&self, way: Way) -> bool {
        let mut known = self.0.known.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(entry) = known.get_mut(&way.next_hop) else { return false };
        let is_other = entry.told != way.cost;
        entry.told = way.cost;
        std::mem::take(&mut entry.is_asked) || is_other
    }
}

/// Asks the kernel until nobody listens any more.
///
/// # Errors
/// Those of netlink.
pub(crate) async fn watch(wanted: NextHops, ways: mpsc::Sender<Way>) -> anyhow::Result<()> {
    let (connection, handle, mut changes) = rtnetlink::new_multicast_connection(&GROUPS)
        .context("cannot watch the kernel's routes, as track-next-hops asks")?;
    let connection = tokio::spawn(connection);
    loop {
        let asked = tokio::select! {
            biased;
            () = ways.closed() => break,
            change = changes.next() => {
                change.context("the kernel tells no changes of routes any more")?;
                let deadline = tokio::time::Instant::now() + GATHER;
                while let Ok(Some(_)) = tokio::time::timeout_at(deadline, changes.next()).await {}
                wanted.those(|_| true)
            }
            () = wanted.0.changed.notified() => wanted.those(|known| known.is_asked),
        };
        for next_hop in asked {
            let way = Way { next_hop, cost: cost(&handle, next_hop).await };
            if wanted.is_news(way) && ways.send(way).await.is_err() {
                break;
            }
        }
    }
    connection.abort();
    Ok(())
}

/// What the way to an address costs; `None`: there is none.
async fn cost(handle: &Handle, to: IpAddr) -> Option<u32> {
    let mut answers = std::pin::pin!(handle.route().get(question(to)).execute());
    match answers.try_next().await {
        Ok(Some(route)) => metric(&route),
        Ok(None) | Err(rtnetlink::Error::NetlinkError(_)) => None,
        Err(error) => {
            warn!(next_hop = %to, %error, "the kernel could not be asked for the way");
            None
        }
    }
}

/// As `ip route get fibmatch` asks: which route, and not what became of it.
fn question(to: IpAddr) -> RouteMessage {
    let (address_family, destination_prefix_length) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, 32),
        IpAddr::V6(_) => (AddressFamily::Inet6, 128),
    };
    let mut question = RouteMessage::default();
    question.header = RouteHeader {
        address_family,
        destination_prefix_length,
        flags: RouteFlags::FibMatch,
        ..RouteHeader::default()
    };
    question.attributes.push(RouteAttribute::Destination(RouteAddress::from(to)));
    question
}

fn metric(route: &RouteMessage) -> Option<u32> {
    let goes_on = matches!(route.header.kind, RouteType::Unicast | RouteType::Local);
    let metric = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Priority(metric) => Some(*metric),
        _ => None,
    });
    goes_on.then_some(metric.unwrap_or(0))
}

/// Says in the log what became of a way.
pub(crate) fn log(way: Way) {
    let Way { next_hop, cost } = way;
    if let Some(cost) = cost {
        info!(%next_hop, cost, "next hop is reached");
    } else {
        info!(%next_hop, "next hop is not reached: its routes are not used");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn told(ways: &mut mpsc::Receiver<Way>) -> Option<u32> {
        let way = tokio::time::timeout(Duration::from_secs(5), ways.recv()).await;
        way.expect("an answer").expect("the task goes on").cost
    }

    #[tokio::test]
    async fn each_shard_that_asks_is_answered_and_nobody_else() {
        let (ways, mut answers) = mpsc::channel(8);
        let wanted = NextHops::default();
        let here = IpAddr::from([127, 0, 0, 9]);
        let task = tokio::spawn(watch(wanted.clone(), ways));
        for _ in 0..2 {
            wanted.want(here, true);
            assert_eq!(told(&mut answers).await, Some(0));
        }
        // To nobody in particular, whatever routes there are.
        wanted.want(IpAddr::from([255, 255, 255, 255]), true);
        assert_eq!(told(&mut answers).await, None);
        wanted.want(here, false);
        wanted.want(here, false);
        assert_eq!(wanted.those(|_| true).len(), 1, "nobody wants the other one");
        drop(answers);
        task.await.expect("no panic").expect("no error");
    }
}
