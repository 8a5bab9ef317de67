//! Version 1, served under `/v1`.
//!
//! | request | reply | who |
//! |---|---|---|
//! | `GET /v1/status` | [`Status`] | both |
//! | `POST /v1/reload` | [`Reloaded`] | both |
//! | `GET /v1/neighbors` | array of [`Neighbor`] | both |
//! | `GET /v1/neighbors/{address}` | [`Neighbor`] | both |
//! | `GET /v1/neighbors/{address}/advertised?`[`AdvertisedQuery`] | [`RoutePage`] | `arcus-bgpd` |
//! | `GET /v1/routes?`[`RouteQuery`] | [`RoutePage`] | `arcus-bgpd` |
//! | `GET /v1/routes/{family}/{*nlri}` | [`Route`] | `arcus-bgpd` |
//! | `GET /v1/targets` | array of [`Target`] | `arcus-bgpd` |
//! | `GET /v1/ports` | array of [`PortStatus`] | `arcus-vrouter-agent` |
//! | `PUT /v1/ports/{id}` with [`PortRequest`] | [`PortStatus`] | `arcus-vrouter-agent` |
//! | `DELETE /v1/ports/{id}` | nothing, 204; also when there is no such port | `arcus-vrouter-agent` |
//! | `POST /v1/ports/{id}/ready`, `../unready` | [`PortStatus`] | `arcus-vrouter-agent` |
//! | `GET /v1/vrfs` | array of [`Vrf`] | `arcus-vrouter-agent` |
//! | `GET /v1/vrfs/{name}/routes` | array of [`VrfRoute`] | `arcus-vrouter-agent` |
//! | `GET /v1/tunnels` | array of [`Tunnel`] | `arcus-vrouter-agent` |
//! | `GET /v1/drops` | array of [`DropCounter`] | `arcus-vrouter-agent` |
//! | `GET /v1/counters` | [`Counters`] | `arcus-vrouter-agent` |
//! | `POST /v1/trace` with [`TraceRequest`] | [`Trace`] | `arcus-vrouter-agent` |
//! | `GET /v1/ports/{id}/mirror?`[`MirrorQuery`] | a pcap file that grows, or nothing | `arcus-vrouter-agent` |
//! | `GET /metrics` | Prometheus text | both |
//!
//! `v1.schema.json` beside `Cargo.toml` is the JSON Schema of them all.
//!
//! Whatever is refused comes back as a status of 400 and above with an [`ApiError`].

mod bfd;
mod counters;
mod drops;
mod error;
mod family;
mod filter;
mod ip_protocol;
mod mirror;
mod neighbor;
mod port;
mod port_id;
mod route;
mod schema;
mod status;
mod target;
mod trace;
mod tunnel;
mod vrf;

pub use bfd::{Bfd, BfdState};
pub use counters::{Counters, PortCounter, RuleCounter, Traffic, TunnelCounter, VrfCounter};
pub use drops::DropCounter;
pub use error::ApiError;
pub use family::{Family, UnknownFamily};
pub use filter::{Action, Direction};
pub use ip_protocol::{IpProtocol, UnknownIpProtocol};
pub use mirror::MirrorQuery;
pub use neighbor::{
    Faults, GracefulRestart, GracefulRestartState, Neighbor, NeighborFamily, NeighborKind,
    Rejected, SessionState,
};
pub use port::{
    AllowedSource, Floating, PortRequest, PortState, PortStatus, Protocol, ServiceEndpoint,
};
pub use port_id::{BadPortId, PortId};
pub use route::{AdvertisedQuery, DEFAULT_LIMIT, MAX_LIMIT, Path, Route, RoutePage, RouteQuery};
pub use schema::schemas;
pub use status::{Reloaded, Status, TopologyStatus};
pub use target::Target;
pub use trace::{
    Trace, TraceAction, TraceFrom, TraceHeaders, TraceOutcome, TracePacket, TraceRequest,
    TraceStep, TraceTunnel, TraceUplink,
};
pub use tunnel::Tunnel;
pub use vrf::{Vrf, VrfNextHop, VrfNextHopKind, VrfRoute, VrfTable};
