use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Family;

/// Routes in a page when a query names no limit.
pub const DEFAULT_LIMIT: usize = 200;

/// The largest page.
pub const MAX_LIMIT: usize = 1000;

/// Which routes are wanted; what is left out does not narrow the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RouteQuery {
    /// One family. Needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// This prefix and what is inside it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub prefix: Option<IpNet>,
    /// Exactly this route distinguisher.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rd: Option<String>,
    /// Routes with a path that carries this route target.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// Routes with a path from this neighbor.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub neighbor: Option<IpAddr>,
    /// 1 to [`MAX_LIMIT`]; [`DEFAULT_LIMIT`] if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Which of the routes told to a neighbor are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdvertisedQuery {
    /// One family. Needed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub family: Option<Family>,
    /// 1 to [`MAX_LIMIT`]; [`DEFAULT_LIMIT`] if left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// `next` of the page before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// A part of the answer.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RoutePage {
    pub routes: Vec<Route>,
    /// Give it back as `after` for what follows; `None` at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A destination and all paths to it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Route {
    pub family: Family,
    /// What the table is keyed by, as `GET /v1/routes/{family}/{nlri}` takes it:
    /// `10.2.1.11:1:10.20.0.5/32`.
    pub nlri: String,
    /// `None` where the family has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rd: Option<String>,
    /// The address part, where the NLRI has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub prefix: Option<IpNet>,
    /// The best first.
    pub paths: Vec<Path>,
}

/// One way to a destination: what one neighbor told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Path {
    pub best: bool,
    /// As good as the best but for the tie-breaks from the router id on: traffic may be spread over all
    /// that say so.
    #[serde(default)]
    pub multipath: bool,
    pub neighbor: IpAddr,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<IpAddr>,
    /// The MPLS label, or the VNI of an EVPN route.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<u32>,
    /// `64513 64512`; a set in braces; empty inside our own AS.
    pub as_path: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub local_pref: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub med: Option<u32>,
    /// `igp`, `egp` or `incomplete`.
    pub origin: String,
    /// Route targets.
    pub targets: Vec<String>,
    /// All other communities, standard, extended and large, as text.
    pub communities: Vec<String>,
    /// What the next hop can take, spelt as in the topology file.
    pub encapsulations: Vec<String>,
    /// `ORIGINATOR_ID` (RFC 4456).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub originator: Option<Ipv4Addr>,
    /// `CLUSTER_LIST` (RFC 4456), the latest reflector first.
    pub cluster_list: Vec<Ipv4Addr>,
    /// Kept over a restart of the neighbor and not told again yet.
    pub stale: bool,
    /// The deciding step: of the best, against the next best; of another, against the best. One of
    /// `reachable`, `long-lived-stale`, `default-gateway`, `sticky-mac`, `mac-mobility`,
    /// `local-preference`, `aigp`, `as-path-length`, `origin`, `med`, `external`, `next-hop-cost`,
    /// `router-id`, `cluster-list-length`, `peer-address`, `path-id`; empty if the path is alone.
    pub why: String,
}
