//! BGP messages: octets to values and back, and the text forms of route distinguishers and targets.
//!
//! Knows no socket, time, table or configuration, and not which peer. All that reading depends on is
//! in [`Negotiated`].
//!
//! - [`frame`] finds messages in a stream; [`Message::decode`] reads one.
//! - [`Update`] holds routes by family ([`Routes`]) beside their [`PathAttributes`].
//! - [`Family`] is what a table, a reader and a writer need to know of one address family. The key
//!   of a route never holds its label: labels and the like are [`Family::Data`].
//! - [`Messages`] are encoded ones that many queues share.
//! - [`WireError`] names the part and the octet; [`ErrorAction`] is what RFC 7606 makes of it.

pub mod afi_safi;
pub mod as_path;
pub mod attrs;
pub mod capability;
pub mod community;
pub mod error;
pub mod frame;
pub mod label;
pub mod message;
pub mod messages;
pub mod negotiated;
pub mod next_hop;
pub mod nlri;
pub mod notification;
pub mod open;
pub mod read;
pub mod refresh;
pub mod route_distinguisher;
pub mod route_target;
pub mod update;

mod text;
mod write;

pub use afi_safi::{Afi, AfiSafi, Safi};
pub use as_path::AsPath;
pub use attrs::{Origin, PathAttributes};
pub use community::ExtendedCommunity;
pub use error::{ErrorAction, WireError};
pub use label::Label;
pub use message::Message;
pub use messages::Messages;
pub use negotiated::Negotiated;
pub use next_hop::NextHop;
pub use nlri::{
    Evpn, EvpnKey, Family, Ipv4Labeled, Ipv4Unicast, Ipv6Labeled, Ipv6Unicast, Labels, PathId,
    Route, Routes, Rtc, VpnKey, VpnLabels, VpnV4, VpnV6, Withdrawal, Withdrawals,
};
pub use notification::Notification;
pub use open::Open;
pub use refresh::RouteRefresh;
pub use route_distinguisher::RouteDistinguisher;
pub use route_target::{RouteTarget, RtMembership};
pub use update::Update;
