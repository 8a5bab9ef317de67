//! The plane: what it remembers, and how an operation finds its file.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::os::fd::OwnedFd;

use aya::include_bytes_aligned;
use dataplane::{
    Counters, Dataplane, DataplaneError, Desired, Devices, Events, Fib, FilterId, Found,
    Identities, Mirroring, NodeConfig, Op, PortId, Probe, Result, Trace, Translation, Vrf, VrfId,
};
use ipnet::IpNet;
use rustix::thread::CapabilitySet;
use tracing::{debug, info};

use crate::checksum::Checksum;
use crate::devices::Watch;
use crate::events::{Directory, Ring};
use crate::filters::Installed;
use crate::groups::{Groups, Numbered};
use crate::kernel::Kernel;
use crate::netlink::Netlink;
use crate::options::Options;
use crate::pins::Pins;
use crate::ports::Slot;
use crate::programs::{Hook, Programs};
use crate::routes::Pointer;
use crate::tables::{self, Entry as _, Tables};
use crate::trace::Tracer;

pub(crate) static OBJECT: &[u8] =
    include_bytes_aligned!(concat!(env!("OUT_DIR"), "/vrouter.bpf.o"));

/// The data plane of one node, in the network namespace of the thread that opened it.
///
/// Dropping it changes nothing that is forwarded. It must be used on threads of that namespace.
pub struct EbpfPlane {
    pub(crate) instance: String,
    /// Held, never used.
    _lock: OwnedFd,
    pub(crate) tables: Tables,
    pub(crate) programs: Programs,
    pub(crate) pins: Pins,
    pub(crate) kernel: Kernel,
    pub(crate) tracer: Option<Tracer>,
    /// Ports whose packets are copied, for as long as this plane is open.
    pub(crate) mirrored: BTreeSet<PortId>,
    pub(crate) netlink: Netlink,
    pub(crate) watch: Watch,
    pub(crate) was_found: bool,
    /// It has been told that packets in VXLAN are not merged.
    pub(crate) cannot_merge: bool,
    /// Until somebody takes it.
    pub(crate) ring: Option<Ring>,
    pub(crate) directory: Directory,
    // What the maps hold, as it was last read and changed since. `list` reads it anew.
    pub(crate) node: NodeConfig,
    pub(crate) vrfs: BTreeMap<VrfId, Vrf>,
    pub(crate) filters: BTreeMap<FilterId, Installed>,
    /// The last that was given out.
    pub(crate) revision: u32,
    pub(crate) slots: BTreeMap<PortId, Slot>,
    pub(crate) translations: BTreeMap<(VrfId, IpAddr), Translation>,
    pub(crate) routes: BTreeMap<VrfId, BTreeMap<IpNet, Pointer>>,
    /// Of `routes`.
    pub(crate) checksum: Checksum,
    pub(crate) groups: Groups,
    pub(crate) identities: Numbered<Identities>,
}

impl EbpfPlane {
    /// Opens the plane: adopts what an earlier run of the same instance pinned, or starts empty.
    ///
    /// Adopted state goes on forwarding meanwhile; the programs of this build take the place of the
    /// older ones between two packets. Must be called on a tokio runtime.
    ///
    /// # Errors
    /// The kernel is too old or refuses; another process has the plane open; what is pinned was made
    /// by another layout.
    pub async fn open(options: &Options) -> Result<Self> {
        let kernel = Kernel::here(options.hooks)?;
        need_capabilities()?;
        let pins = Pins::new(options)?;
        pins.prepare()?;
        let lock = pins.lock()?;
        let (mut ebpf, tables, was_found, resize) =
            tables::open(&pins, &options.sizes, kernel, OBJECT)?;
        let ring = Ring::take(&mut ebpf)?;
        let mut plane = Self {
            instance: options.instance.clone(),
            _lock: lock,
            tables,
            programs: Programs::load(ebpf, pins.clone(), kernel)?,
            pins,
            kernel,
            tracer: None,
            mirrored: BTreeSet::new(),
            netlink: Netlink::open()?,
            watch: Watch::open()?,
            was_found,
            cannot_merge: false,
            ring: Some(ring),
            directory: Directory::default(),
            node: NodeConfig::default(),
            vrfs: BTreeMap::new(),
            filters: BTreeMap::new(),
            revision: 0,
            slots: BTreeMap::new(),
            translations: BTreeMap::new(),
            routes: BTreeMap::new(),
            checksum: Checksum::default(),
            groups: Groups::new(options.sizes.groups, options.sizes.next_hops),
            identities: Numbered::new(options.sizes.groups),
        };
        let known = plane.known_interfaces()?;
        plane.programs.adopt(&plane.netlink, &known).await?;
        resize.finish()?;
        let found = plane.read_back().await?;
        // Empty tables forward nothing that a peer should keep routes for.
        // What an earlier agent copied, nobody reads any more.
        plane.write_ports()?;
        plane.was_found = was_found && found != Desired::default() || plane.programs.relieves();
        plane.let_kernel_merge().await;
        info!(instance = plane.instance, found = plane.was_found, "eBPF data plane open");
        Ok(plane)
    }

    fn mirror_port(&mut self, id: &PortId, mirroring: Mirroring) -> Result<()> {
        let slot = self.slots.get(id).cloned();
        let slot = slot.ok_or_else(|| DataplaneError::new(format!("there is no port {id}")))?;
        match mirroring {
            Mirroring::On => self.mirrored.insert(id.clone()),
            Mirroring::Off => self.mirrored.remove(id),
        };
        self.write_port(id, &slot)
    }

    /// Writes every port again: something that the programs read beside it has changed.
    pub(crate) fn write_ports(&mut self) -> Result<()> {
        let slots: Vec<_> =
            self.slots.iter().map(|(id, slot)| (id.clone(), slot.clone())).collect();
        slots.iter().try_for_each(|(id, slot)| self.write_port(id, slot))
    }

    /// Interfaces that the maps speak of.
    fn known_interfaces(&self) -> Result<Vec<(Hook, u32)>> {
        let uplinks = self.tables.uplinks.all()?.into_iter().map(|(one, _)| (Hook::Uplink, one));
        let ports = self.tables.port_of.all()?.into_iter().map(|(one, _)| (Hook::Port, one));
        Ok(uplinks.chain(ports).collect())
    }

    async fn apply_one(&mut self, op: &Op) -> Result<()> {
        match op {
            Op::PutNode(node) => self.put_node(node).await,
            Op::PutVrf(id, vrf) => self.put_vrf(*id, vrf),
            Op::PutFilter(id, filter) => self.put_filter(id, filter),
            Op::PutPort(id, port) => self.put_port(id, port).await,
            Op::PutTranslation(vrf, address, to) => self.put_translation(*vrf, *address, to),
            Op::PutRoute(..) | Op::RemoveRoute(..) => {
                let mut failures = Vec::new();
                self.write_routes(std::slice::from_ref(op), 0, &mut failures);
                failures.pop().map_or(Ok(()), |(_, error)| Err(error))
            }
            Op::RemoveTranslation(vrf, address) => self.remove_translation(*vrf, *address),
            Op::RemovePort(id) => self.remove_port(id).await,
            Op::RemoveFilter(id) => self.remove_filter(id),
            Op::RemoveVrf(id) => self.remove_vrf(*id),
        }
    }
}

impl Dataplane for EbpfPlane {
    async fn list(&mut self) -> Result<Found> {
        self.read_back().await
    }

    async fn apply(&mut self, ops: &[Op]) -> Vec<(usize, DataplaneError)> {
        let mut failures = Vec::new();
        let mut index = 0;
        while let Some(op) = ops.get(index) {
            // A run of routes is written as a whole.
            if is_route(op) {
                let run = ops[index..].iter().take_while(|op| is_route(op)).count();
                self.write_routes(&ops[index..index + run], index, &mut failures);
                index += run;
                continue;
            }
            if let Err(error) = self.apply_one(op).await {
                debug!(%error, ?op, "operation failed");
                failures.push((index, error));
            }
            index += 1;
        }
        if ops.iter().any(|op| matches!(op, Op::PutNode(_) | Op::PutVrf(..) | Op::RemoveVrf(_))) {
            self.let_kernel_merge().await;
        }
        failures
    }

    async fn counters(&mut self) -> Result<Counters> {
        self.read_counters()
    }

    fn was_found(&self) -> bool {
        self.was_found
    }

    async fn trace(&mut self, probe: &Probe) -> Result<Trace> {
        self.trace_packet(probe).await
    }

    async fn mirror(&mut self, port: &PortId, mirroring: Mirroring) -> Result<()> {
        self.mirror_port(port, mirroring)
    }

    async fn review(&mut self) -> Result<(Found, Option<Fib>)> {
        let found = self.read_all_but_routes().await?;
        let fib = if self.are_routes_as_left()? { None } else { Some(self.read_routes()?) };
        Ok((found, fib))
    }

    async fn devices(&mut self) -> Result<Devices> {
        self.read_devices().await
    }

    async fn disturbed(&mut self) {
        self.wait_for_disturbance().await;
    }

    async fn take_over(&mut self) -> Result<()> {
        self.programs.relieve(&self.netlink).await
    }

    fn events(&mut self) -> Option<Box<dyn Events>> {
        self.take_events()
    }
}

const fn is_route(op: &Op) -> bool {
    matches!(op, Op::PutRoute(..) | Op::RemoveRoute(..))
}

/// Asked first, so that the answer is what to do, not which of many steps was refused.
pub(crate) fn need_capabilities() -> Result<()> {
    let own = rustix::thread::capabilities(None)
        .map_err(|error| {
            DataplaneError::because("cannot ask for capabilities", std::io::Error::from(error))
        })?
        .effective;
    if own.contains(CapabilitySet::NET_ADMIN | CapabilitySet::SYS_ADMIN) {
        return Ok(());
    }
    Err(DataplaneError::new(
        "the eBPF data plane needs the capabilities CAP_NET_ADMIN and CAP_SYS_ADMIN; run the agent as \
         root or by its systemd unit",
    ))
}
