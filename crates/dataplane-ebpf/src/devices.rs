//! Interfaces that go, come back and change without the plane having done it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dataplane::{DataplaneError, Devices, Result};
use futures::StreamExt as _;
use rtnetlink::MulticastGroup;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tracing::warn;

use crate::names;
use crate::netlink::Interface;
use crate::plane::EbpfPlane;
use crate::tables::Entry as _;
use crate::uplinks::name_text;

/// An interface that is made or goes says so several times.
const SETTLE: Duration = Duration::from_millis(50);

/// What the kernel tells of interfaces, of whichever and by whomever.
pub(crate) struct Watch {
    news: Arc<Notify>,
    /// There was news that nobody has looked into.
    pending: bool,
    tasks: [JoinHandle<()>; 2],
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Watch {
    /// Must be called on a tokio runtime.
    pub(crate) fn open() -> Result<Self> {
        let (connection, _, mut messages) =
            rtnetlink::new_multicast_connection(&[MulticastGroup::Link])
                .map_err(|error| DataplaneError::because("cannot watch interfaces", error))?;
        let news = Arc::new(Notify::new());
        let told = Arc::clone(&news);
        // Taken at once, however busy the plane is: what they say is looked up anyway.
        let take = async move {
            while messages.next().await.is_some() {
                told.notify_one();
            }
        };
        let tasks = [tokio::spawn(connection), tokio::spawn(take)];
        Ok(Self { news, pending: false, tasks })
    }
}

impl EbpfPlane {
    /// Waits until an interface that the plane uses is not what it was left as. May be given up at any
    /// moment.
    pub(crate) async fn wait_for_disturbance(&mut self) {
        loop {
            if !self.watch.pending {
                self.watch.news.notified().await;
                self.watch.pending = true;
            }
            tokio::time::sleep(SETTLE).await;
            let disturbed = match self.netlink.interfaces().await {
                Ok(interfaces) => self.are_disturbed(&interfaces),
                Err(error) => Err(error),
            };
            self.watch.pending = false;
            match disturbed {
                Ok(false) => {}
                Ok(true) => return,
                Err(error) => warn!(%error, "interfaces cannot be looked at"),
            }
        }
    }

    fn are_disturbed(&self, interfaces: &[Interface]) -> Result<bool> {
        let by_number: BTreeMap<u32, &Interface> =
            interfaces.iter().map(|interface| (interface.ifindex, interface)).collect();
        for (ifindex, uplink) in self.tables.uplinks.all()? {
            let is_same = by_number.get(&ifindex).is_some_and(|found| {
                found.name == name_text(&uplink.name) && found.mtu == uplink.mtu
            });
            if !is_same {
                return Ok(true);
            }
        }
        Ok(self.slots.iter().any(|(id, slot)| {
            let name = names::host_interface(&self.instance, id);
            let found = by_number.get(&slot.ifindex);
            !found.is_some_and(|found| found.name == name && found.up)
        }))
    }

    /// The part of `list` that depends on interfaces.
    pub(crate) async fn read_devices(&mut self) -> Result<Devices> {
        let interfaces = self.netlink.interfaces().await?;
        let by_number: BTreeMap<u32, &Interface> =
            interfaces.iter().map(|interface| (interface.ifindex, interface)).collect();
        let node = self.read_node(&by_number).await?;
        let ports = self.read_ports(&by_number).await?;
        self.node = node.clone();
        Ok(Devices { node, ports })
    }
}
