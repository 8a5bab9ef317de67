//! The ways from one workload to another that are measured, what is sent over them, and what is aimed at.

use std::net::Ipv4Addr;

use dataplane::Encapsulation;
use serde::{Deserialize, Serialize};

/// Who forwards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The kernel's routes, without a tunnel: what all else is measured by.
    Plain,
    /// The kernel's routes over its own VXLAN device.
    KernelVxlan,
    Ours(Encapsulation, Treatment),
}

/// What our nodes do besides sending through a tunnel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Treatment {
    Nothing,
    /// Both workloads have a filter.
    Filter,
    /// The other workload is called by a floating address that is its alone: no flows.
    Floating,
    /// It is called by the address of a service: connections are remembered.
    Service,
    /// As `Service`, and both workloads have a filter.
    FilteredService,
    /// It is on the underlay, and hears the node's own address: no tunnel, and flows.
    Masquerade,
}

/// One way. The two workloads of each are nobody else's, and so is its VRF.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Way {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    /// Its VRF, and part of its addresses.
    pub(crate) number: u8,
}

const fn way(number: u8, name: &'static str, kind: Kind) -> Way {
    Way { name, kind, number }
}

pub(crate) const PLAIN: Way = way(1, "plain", Kind::Plain);

/// All but plain routing, which each is measured beside.
pub(crate) const ALL: &[Way] = &[
    way(2, "kernel-vxlan", Kind::KernelVxlan),
    way(3, "mpls-over-gre", Kind::Ours(Encapsulation::MplsOverGre, Treatment::Nothing)),
    way(4, "mpls-over-udp", Kind::Ours(Encapsulation::MplsOverUdp, Treatment::Nothing)),
    way(5, "vxlan", Kind::Ours(Encapsulation::Vxlan, Treatment::Nothing)),
    way(6, "filter", Kind::Ours(Encapsulation::MplsOverGre, Treatment::Filter)),
    way(7, "floating", Kind::Ours(Encapsulation::MplsOverGre, Treatment::Floating)),
    way(8, "service", Kind::Ours(Encapsulation::MplsOverGre, Treatment::Service)),
    way(9, "filter-service", Kind::Ours(Encapsulation::MplsOverGre, Treatment::FilteredService)),
    way(10, "masquerade", Kind::Ours(Encapsulation::MplsOverGre, Treatment::Masquerade)),
];

impl Way {
    pub(crate) const fn treatment(self) -> Treatment {
        match self.kind {
            Kind::Ours(_, treatment) => treatment,
            Kind::Plain | Kind::KernelVxlan => Treatment::Nothing,
        }
    }

    pub(crate) const fn caller(self) -> Ipv4Addr {
        Ipv4Addr::new(172, 16, self.number, 10)
    }

    pub(crate) const fn called(self) -> Ipv4Addr {
        Ipv4Addr::new(172, 17, self.number, 10)
    }

    /// What the caller calls.
    pub(crate) const fn target(self) -> Ipv4Addr {
        match self.treatment() {
            Treatment::Nothing | Treatment::Filter | Treatment::Masquerade => self.called(),
            Treatment::Floating | Treatment::Service | Treatment::FilteredService => {
                Ipv4Addr::new(172, 18, self.number, 10)
            }
        }
    }
}

/// What is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Load {
    /// TCP; segments of 64 kB cross the underlay in one piece.
    Large,
    /// UDP with 22 octets in each datagram.
    Small,
    /// Such datagrams one by one.
    Single,
    /// TCP; frames of at most 1500 octets cross the underlay, and the receiver merges what it can.
    Frames,
}

impl Load {
    pub(crate) const ALL: [Self; 4] = [Self::Large, Self::Small, Self::Single, Self::Frames];

    /// Whether frames have their real size on the underlay meanwhile.
    pub(crate) const fn is_cut(self) -> bool {
        matches!(self, Self::Frames)
    }
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Metric {
    /// CPU time of a kilobyte, in nanoseconds.
    Large,
    /// CPU time of a datagram, in nanoseconds.
    Small,
    /// CPU time of a kilobyte, in nanoseconds.
    Frames,
    /// From before a datagram is sent until it is received, in nanoseconds: the median.
    Half,
    /// The same: the 99th percentile.
    P99,
}

impl Metric {
    pub(crate) const ALL: [Self; 5] =
        [Self::Large, Self::Small, Self::Frames, Self::Half, Self::P99];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Large => "TCP, 64 kB segments",
            Self::Small => "UDP, 22 octets",
            Self::Frames => "TCP, 1500-octet frames",
            Self::Half => "added delay, median",
            Self::P99 => "added delay, p99",
        }
    }

    /// Whether ways are compared by how much more, not by how many times.
    pub(crate) const fn is_added(self) -> bool {
        matches!(self, Self::Half | Self::P99)
    }
}

impl Way {
    /// What is aimed at: of CPU time, plain routing's by the way's at least; of delays, the way's less plain
    /// routing's at most, in nanoseconds.
    pub(crate) fn aim(self, metric: Metric) -> Option<f64> {
        let Kind::Ours(encapsulation, treatment) = self.kind else { return None };
        match (metric, treatment) {
            (Metric::P99, _) => Some(5_000.0),
            (Metric::Large | Metric::Small, Treatment::Nothing) => Some(0.95),
            (Metric::Large | Metric::Small, _) => Some(0.85),
            (Metric::Frames, Treatment::Nothing) => {
                Some(if encapsulation == Encapsulation::Vxlan { 0.72 } else { 0.55 })
            }
            (Metric::Frames | Metric::Half, _) => None,
        }
    }
}
