//! Other people's BGP daemons, each behind one trait, and what they are tried with.
//!
//! [`Lab`] is one control node with the daemon under test beside it, as a gateway or as a node, and
//! GoBGP on the far side, so that every route goes through `arcus-bgpd`. [`CASES`] is what is tried,
//! [`Outcomes`] what came of it, and from that `docs/interop.md` is made.

mod at_scale;
mod bird;
mod cases;
mod control_node;
mod exabgp;
mod exabgp_table;
mod frr;
mod gobgp;
mod known;
mod lab;
mod member;
mod openbgpd;
mod outcomes;
mod route;
mod run;

use std::net::Ipv4Addr;

use anyhow::Result;
use testbed::{Bed, Namespace, Process};

pub use at_scale::{ROUTES, Restarts, Source, own_route, restart_at_scale};
pub use bird::Bird;
pub use cases::{CASES, Case, Life, Loss, Step, Way};
pub use control_node::ControlNode;
pub use exabgp::ExaBgp;
pub use frr::Frr;
pub use gobgp::GoBgp;
pub use lab::Lab;
pub use member::{Member, Role};
pub use openbgpd::OpenBgpd;
pub use outcomes::Outcomes;
pub use route::{Attributes, Field, Kind, Route};
pub use run::try_all;

/// Where the control node of the lab is.
pub const CONTROL_NODE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 11);

/// Its AS.
pub const ASN: u32 = 64512;

/// A BGP daemon that is not ours, with one session to the control node.
///
/// What it is told to say it says until it is told otherwise, or started again.
pub trait Speaker: Sized {
    /// As in the table of results, with the version that it was last tried with.
    const NAME: &'static str;

    /// What it can be made to originate.
    const SENDS: &'static [Kind];

    /// What it takes.
    const HEARS: &'static [Kind];

    /// What it can be a reflector of.
    const REFLECTS: &'static [Kind];

    /// As what its graceful restart can be tried.
    const RESTARTS: &'static [Role];

    /// Whether it asks for routes by target (RFC 4684).
    const SPEAKS_RTC: bool;

    /// Starts it. It connects by itself.
    fn start(
        bed: &Bed,
        namespace: &Namespace,
        member: &Member,
    ) -> impl Future<Output = Result<Self>>;

    /// As [`Self::start`], after it was killed: where it has to be told so, for its graceful restart.
    fn start_again(
        bed: &Bed,
        namespace: &Namespace,
        member: &Member,
    ) -> impl Future<Output = Result<Self>> {
        Self::start(bed, namespace, member)
    }

    /// Announces a route, or announces it anew with other attributes.
    fn tell(&mut self, route: &Route) -> impl Future<Output = Result<()>>;

    fn withdraw(&mut self, route: &Route) -> impl Future<Output = Result<()>>;

    /// What it has of a route from the control node, as far as its output tells; `None` when it has no
    /// such route.
    fn hears(&mut self, route: &Route) -> impl Future<Output = Result<Option<Attributes>>>;

    /// Closes the session with a NOTIFICATION. It opens it again by itself.
    fn reset(&mut self) -> impl Future<Output = Result<()>>;

    fn process(&mut self) -> &mut Process;
}
