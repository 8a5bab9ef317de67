//! What the plane is told when it is opened.

use std::path::PathBuf;

use crate::routes::BATCH;

/// Which plane this is, where its state is pinned, and how much it may hold.
#[derive(Debug, Clone)]
pub struct Options {
    /// Name of this node's plane, one directory name of letters, digits, `-` and `_`. Planes of one
    /// machine that share a BPF file system must have different ones.
    pub instance: String,
    /// Mount point of a BPF file system; one is mounted there if there is none. It must outlive the
    /// agent: not a mount in the agent's own mount namespace.
    pub bpffs: PathBuf,
    pub sizes: Sizes,
    pub hooks: Hooks,
}

impl Options {
    /// The defaults: `/sys/fs/bpf`, [`Sizes::default`].
    pub fn new(instance: impl Into<String>) -> Self {
        Self {
            instance: instance.into(),
            bpffs: PathBuf::from("/sys/fs/bpf"),
            sizes: Sizes::default(),
            hooks: Hooks::Best,
        }
    }
}

/// What holds the programs on interfaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hooks {
    /// Links (tcx) where the kernel has them, else filters.
    Best,
    /// Filters of the `clsact` queue, as on kernels before Linux 6.6. A plane that was made with links must be
    /// purged first.
    Filters,
}

/// Most entries of the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sizes {
    /// Host routes of each version of IP, and as many others. Taken as they come.
    pub routes: u32,
    /// Distinct sets of several next hops, 268 octets each, reserved, and 4.3 kB more of each that is in
    /// use.
    pub groups: u32,
    /// Distinct next hops, 32 octets each, reserved.
    pub next_hops: u32,
    pub vrfs: u32,
    pub ports: u32,
    /// Floating addresses, service addresses and service ports together.
    pub translations: u32,
    /// Translated connections, two entries each and about 160 octets an entry, reserved. When it is
    /// full the longest unused gives way. An eighth more is for TCP connections that nobody has
    /// answered yet, and as many for clients that keep their backend.
    pub flows: u32,
    /// Filters, 8 kB and the names of their rules each. Taken as they come.
    pub filters: u32,
    /// Counters of rules, 8 octets for each CPU and two more for each filter, reserved.
    pub rules: u32,
    /// Connections of ports that have a filter, about 130 octets each, reserved; and an eighth of that
    /// for those that are only opening. When it is full the longest unused gives way.
    pub connections: u32,
}

impl Sizes {
    /// For so many routes and ports. Where every workload has a label of its own there are as many next
    /// hops as routes, and while their labels change a batch of them has two; sets of several are fewer. A
    /// port has at most a filter of its own.
    pub fn of(routes: u32, ports: u32) -> Self {
        let default = Self::default();
        Self {
            routes,
            groups: (routes / 16).max(default.groups),
            // They are numbered from 1.
            next_hops: routes.saturating_add(1 + u32::from(BATCH)).max(default.next_hops),
            ports,
            translations: ports.saturating_mul(4).max(default.translations),
            filters: ports.max(default.filters),
            rules: ports.saturating_mul(16).max(default.rules),
            ..default
        }
    }
}

impl Default for Sizes {
    /// About 50 MiB reserved, and half a MiB for each CPU.
    fn default() -> Self {
        Self {
            routes: 65_536,
            groups: 16_384,
            next_hops: 65_536,
            vrfs: 4_096,
            ports: 4_096,
            translations: 16_384,
            flows: 131_072,
            filters: 4_096,
            rules: 65_536,
            connections: 131_072,
        }
    }
}
