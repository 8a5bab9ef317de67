//! The federation of `topology-examples/leonardo.toml` on one machine: the demo and the end-to-end tests.
//!
//! [`scene`] says who there is, [`Federation`] raises it in namespaces, [`proofs`] look at it from
//! outside: at packets, at answers, at tables of other people's routers. [`traffic`] runs while something happens.

mod binaries;
mod command;
mod federation;
mod reloading;
mod small_cloud;
mod socket;

pub mod by_hand;
pub mod left;
pub mod peers;
pub mod proofs;
pub mod report;
pub mod scene;
pub mod traffic;

pub use binaries::Binaries;
pub use federation::{Federation, SILENT};
pub use small_cloud::SmallCloud;
pub use socket::get;
