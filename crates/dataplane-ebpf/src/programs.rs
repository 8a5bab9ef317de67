//! The two programs, and what holds them on interfaces: tcx links, or before Linux 6.6 filters of the classic
//! queue (`classic.rs`).
//!
//! Links are pinned: a program goes on when the agent that attached it is gone, and the next agent
//! puts its own program into the same link, so that no packet passes without one.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use aya::Ebpf;
use aya::programs::links::{FdLink, LinkError, PinnedLink};
use aya::programs::tc::{SchedClassifierLink, TcAttachOptions};
use aya::programs::{LinkOrder, ProgramError, SchedClassifier, TcAttachType};
use dataplane::DataplaneError;
use tracing::{info, warn};

use crate::classic;
use crate::kernel::Kernel;
use crate::netlink::Netlink;
use crate::pins::{Pins, unless_absent};

/// Where a program stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hook {
    /// On the host's end of a port: what the workload sends.
    Port,
    /// On an underlay interface: what comes out of tunnels.
    Uplink,
}

impl Hook {
    pub(crate) const ALL: [Self; 2] = [Self::Port, Self::Uplink];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Port => "port",
            Self::Uplink => "uplink",
        }
    }

    pub(crate) const fn program(self) -> &'static str {
        match self {
            Self::Port => "arcus_port",
            Self::Uplink => "arcus_uplink",
        }
    }
}

pub(crate) struct Programs {
    ebpf: Ebpf,
    pins: Pins,
    kernel: Kernel,
    /// While an older version forwards by tables of its own: where these programs are to stand in the place of
    /// its, once their tables are filled. `None`: there is none, or it has been relieved.
    relief: Option<BTreeSet<(Hook, u32, String)>>,
}

impl Programs {
    /// Loads both programs; nothing is attached yet.
    pub(crate) fn load(mut ebpf: Ebpf, pins: Pins, kernel: Kernel) -> Result<Self, DataplaneError> {
        for hook in Hook::ALL {
            classifier(&mut ebpf, hook)?.load().map_err(|error| {
                DataplaneError::because(format!("cannot load {}", hook.program()), error)
            })?;
        }
        let relief = pins.has_other_versions().then(BTreeSet::new);
        Ok(Self { ebpf, pins, kernel, relief })
    }

    /// Puts these programs in the place of those that an earlier run left: into the links that it pinned, or
    /// on the interfaces that it knew. A link whose interface is gone is forgotten.
    pub(crate) async fn adopt(
        &mut self,
        netlink: &Netlink,
        known: &[(Hook, u32)],
    ) -> Result<(), DataplaneError> {
        if !self.kernel.tcx {
            for interface in netlink.interfaces().await? {
                let here = known.iter().find(|(_, ifindex)| *ifindex == interface.ifindex);
                if let Some((hook, ifindex)) = here
                    && netlink.ingress_program(*ifindex).await?.is_some()
                {
                    self.attach(netlink, *hook, &interface.name, *ifindex).await?;
                }
            }
            return Ok(());
        }
        for (path, ifindex) in self.pins.pinned_links() {
            let hook =
                Hook::ALL.into_iter().find(|hook| self.pins.link(hook.name(), ifindex) == path);
            let Some(hook) = hook else { continue };
            if !self.replace(hook, &path)? {
                remove_pin(&path)?;
            }
        }
        Ok(())
    }

    /// Puts the program on an interface of this network namespace, unless it is there.
    pub(crate) async fn attach(
        &mut self,
        netlink: &Netlink,
        hook: Hook,
        interface: &str,
        ifindex: u32,
    ) -> Result<(), DataplaneError> {
        if self.is_attached(netlink, hook, interface, ifindex).await? {
            return Ok(());
        }
        if self.relief.is_some() && self.has_older(netlink, interface, ifindex).await? {
            let place = (hook, ifindex, interface.to_owned());
            self.relief.get_or_insert_default().insert(place);
            return Ok(());
        }
        if !self.kernel.tcx {
            let program = classifier(&mut self.ebpf, hook)?;
            return classic::attach(program, interface).map_err(|error| {
                let what = format!("cannot attach {} to {interface}", hook.program());
                DataplaneError::because(what, error)
            });
        }
        let path = self.pins.link(hook.name(), ifindex);
        if self.replace(hook, &path)? {
            if self.is_attached(netlink, hook, interface, ifindex).await? {
                return self.sweep(hook, interface);
            }
            // The number was another interface's.
            remove_pin(&path)?;
        } else {
            remove_pin(&path)?;
        }
        let failed = |error: ProgramError| {
            DataplaneError::because(
                format!("cannot attach {} to {interface}", hook.program()),
                error,
            )
        };
        let program = classifier(&mut self.ebpf, hook)?;
        let options = TcAttachOptions::TcxOrder(LinkOrder::default());
        let id = program
            .attach_with_options(interface, TcAttachType::Ingress, options)
            .map_err(failed)?;
        let link = program.take_link(id).map_err(failed)?;
        let pin = FdLink::try_from(link).map_err(|error| link_failed(&path, error))?.pin(&path);
        pin.map_err(|error| {
            DataplaneError::because(format!("cannot pin {}", path.display()), error)
        })?;
        self.sweep(hook, interface)
    }

    /// Whether this very program is on the interface, and will stay there without this process.
    pub(crate) async fn is_attached(
        &self,
        netlink: &Netlink,
        hook: Hook,
        interface: &str,
        ifindex: u32,
    ) -> Result<bool, DataplaneError> {
        let waits = |(a, b, _): &(Hook, u32, String)| (*a, *b) == (hook, ifindex);
        if self.relief.iter().flatten().any(waits) {
            return Ok(true);
        }
        if !self.kernel.tcx {
            return Ok(netlink.ingress_program(ifindex).await? == Some(self.id(hook)?));
        }
        if !self.pins.link(hook.name(), ifindex).exists() {
            return Ok(false);
        }
        let own = self.id(hook)?;
        Ok(attached(interface)?.iter().any(|(id, _)| *id == own))
    }

    /// Whether an older version's program is on the interface.
    async fn has_older(
        &self,
        netlink: &Netlink,
        interface: &str,
        ifindex: u32,
    ) -> Result<bool, DataplaneError> {
        if !self.kernel.tcx {
            return Ok(netlink.ingress_program(ifindex).await?.is_some());
        }
        Ok(attached(interface)?.iter().any(|(_, name)| is_ours(name)))
    }

    /// Relieves an older version: on every interface these programs stand behind its program first, and get the
    /// packets as soon as that one is gone.
    pub(crate) async fn relieve(&mut self, netlink: &Netlink) -> Result<(), DataplaneError> {
        let Some(places) = self.relief.take() else { return Ok(()) };
        for (hook, ifindex, interface) in places {
            self.attach(netlink, hook, &interface, ifindex).await?;
            info!(interface, "an older version of the programs was relieved");
        }
        self.pins.remove_other_versions().map_err(|error| {
            DataplaneError::because("cannot remove what older versions pinned", error)
        })
    }

    /// Whether an older version forwards.
    pub(crate) const fn relieves(&self) -> bool {
        self.relief.is_some()
    }

    /// Takes the program off an interface.
    pub(crate) fn detach(&mut self, hook: Hook, ifindex: u32) -> Result<(), DataplaneError> {
        if !self.kernel.tcx {
            return classic::detach(ifindex);
        }
        remove_pin(&self.pins.link(hook.name(), ifindex))
    }

    /// Forgets links of interfaces that are gone.
    pub(crate) fn keep_only(&mut self, ifindices: &[u32]) -> Result<(), DataplaneError> {
        let links = self.pins.pinned_links().into_iter();
        links
            .filter(|(_, ifindex)| !ifindices.contains(ifindex))
            .try_for_each(|(path, _)| remove_pin(&path))
    }

    /// Takes our programs of other versions and planes off the interface. One that was left would
    /// stay first in the chain and go on forwarding by its own tables.
    fn sweep(&self, hook: Hook, interface: &str) -> Result<(), DataplaneError> {
        let own = self.id(hook)?;
        let leftovers: Vec<u32> = attached(interface)?
            .into_iter()
            .filter(|(id, name)| *id != own && is_ours(name))
            .map(|(id, _)| id)
            .collect();
        for program in leftovers {
            let mut removed = false;
            for path in self.pins.links_of_all() {
                let holds = PinnedLink::from_pin(&path)
                    .map(FdLink::from)
                    .and_then(|link| link.info())
                    .is_ok_and(|info| info.program_id() == program);
                if holds {
                    remove_pin(&path)?;
                    removed = true;
                    info!(interface, program, path = %path.display(), "old program swept");
                }
            }
            if !removed {
                warn!(
                    interface,
                    program, "an old program of ours stays: its link is not pinned here"
                );
            }
        }
        Ok(())
    }

    /// Puts the program into a pinned link. `false`: there is none, or its interface is gone.
    fn replace(&mut self, hook: Hook, path: &Path) -> Result<bool, DataplaneError> {
        let link = match PinnedLink::from_pin(path) {
            Ok(pinned) => FdLink::from(pinned),
            Err(LinkError::SyscallError(error))
                if error.io_error.kind() == std::io::ErrorKind::NotFound =>
            {
                return Ok(false);
            }
            Err(error) => return Err(link_failed(path, error)),
        };
        let link = SchedClassifierLink::try_from(link).map_err(|error| link_failed(path, error))?;
        let program = classifier(&mut self.ebpf, hook)?;
        match program.attach_to_link(link) {
            Ok(id) => {
                // The pin holds the link; ours is only another reference to it.
                drop(program.take_link(id));
                Ok(true)
            }
            Err(error) if is_gone(&error) => Ok(false),
            Err(error) => Err(DataplaneError::because(
                format!("cannot put {} into {}", hook.program(), path.display()),
                error,
            )),
        }
    }

    fn id(&self, hook: Hook) -> Result<u32, DataplaneError> {
        let missing = || DataplaneError::new(format!("the eBPF object has no {}", hook.program()));
        let program = self.ebpf.program(hook.program()).ok_or_else(missing)?;
        let info = program.info().map_err(|error| {
            DataplaneError::because(format!("cannot ask about {}", hook.program()), error)
        })?;
        Ok(info.id())
    }
}

fn classifier(ebpf: &mut Ebpf, hook: Hook) -> Result<&mut SchedClassifier, DataplaneError> {
    let missing = || DataplaneError::new(format!("the eBPF object has no {}", hook.program()));
    let program = ebpf.program_mut(hook.program()).ok_or_else(missing)?;
    program.try_into().map_err(|error| {
        DataplaneError::because(format!("{} is not a classifier", hook.program()), error)
    })
}

fn is_ours(program: &str) -> bool {
    Hook::ALL.iter().any(|hook| hook.program() == program)
}

/// Numbers and names of the programs on an interface's ingress.
fn attached(interface: &str) -> Result<Vec<(u32, String)>, DataplaneError> {
    let (_, programs) =
        SchedClassifier::query_tcx(interface, TcAttachType::Ingress).map_err(|error| {
            DataplaneError::because(format!("cannot ask what is attached to {interface}"), error)
        })?;
    let named = |info: &aya::programs::ProgramInfo| {
        (info.id(), info.name_as_str().unwrap_or_default().to_owned())
    };
    Ok(programs.iter().map(named).collect())
}

/// The kernel says so when a link's interface was deleted.
fn is_gone(error: &ProgramError) -> bool {
    let ProgramError::SyscallError(error) = error else { return false };
    error.io_error.raw_os_error() == Some(rustix::io::Errno::NOLINK.raw_os_error())
}

fn link_failed(path: &Path, error: LinkError) -> DataplaneError {
    DataplaneError::because(format!("cannot use the link {}", path.display()), error)
}

fn remove_pin(path: &Path) -> Result<(), DataplaneError> {
    unless_absent(fs::remove_file(path)).map_err(|error| {
        DataplaneError::because(format!("cannot remove {}", path.display()), error)
    })
}
