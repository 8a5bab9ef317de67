//! Shapes of the HTTP API that `arcus-bgpd` and `arcus-vrouter-agent` serve and `arcus` reads.
//!
//! Plain data: what a BGP or data plane type looks like as JSON. Knows no server, no client and no
//! table. Keys are `snake_case`; words of an enum that the topology file also has (families,
//! encapsulations) are spelt as there. Route distinguishers, route targets and communities are text in
//! the form that the topology file and `arcus` use.
//!
//! Shapes of a version only grow: a client must ignore keys it does not know, a daemon refuses unknown
//! keys in what it is asked.

pub mod socket;
pub mod v1;
