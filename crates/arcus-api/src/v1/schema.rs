use std::collections::BTreeMap;

use schemars::{Schema, schema_for};

use super::{
    AdvertisedQuery, ApiError, Counters, DropCounter, MirrorQuery, Neighbor, PortRequest,
    PortStatus, Reloaded, Route, RoutePage, RouteQuery, Status, Target, Trace, TraceRequest,
    Tunnel, Vrf, VrfRoute,
};

/// JSON Schema of every request and reply, by name.
pub fn schemas() -> BTreeMap<&'static str, Schema> {
    BTreeMap::from([
        ("AdvertisedQuery", schema_for!(AdvertisedQuery)),
        ("ApiError", schema_for!(ApiError)),
        ("Counters", schema_for!(Counters)),
        ("DropCounter", schema_for!(DropCounter)),
        ("MirrorQuery", schema_for!(MirrorQuery)),
        ("Neighbor", schema_for!(Neighbor)),
        ("PortRequest", schema_for!(PortRequest)),
        ("PortStatus", schema_for!(PortStatus)),
        ("Reloaded", schema_for!(Reloaded)),
        ("Route", schema_for!(Route)),
        ("RoutePage", schema_for!(RoutePage)),
        ("RouteQuery", schema_for!(RouteQuery)),
        ("Status", schema_for!(Status)),
        ("Target", schema_for!(Target)),
        ("Trace", schema_for!(Trace)),
        ("TraceRequest", schema_for!(TraceRequest)),
        ("Tunnel", schema_for!(Tunnel)),
        ("Vrf", schema_for!(Vrf)),
        ("VrfRoute", schema_for!(VrfRoute)),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What other people's programs were written against. A key that goes or changes its meaning is a
    /// new version of the API; a new one is added to the file with `UPDATE_SCHEMA=1 cargo test`.
    #[test]
    fn the_published_schema_is_what_is_served() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/v1.schema.json");
        let served = serde_json::to_string_pretty(&schemas()).expect("json") + "\n";
        if std::env::var_os("UPDATE_SCHEMA").is_some() {
            std::fs::write(file, &served).expect("the file is written");
        }
        let published = std::fs::read_to_string(file).expect("the published schema");
        let first = published.lines().zip(served.lines()).position(|(old, new)| old != new);
        assert!(
            published == served,
            "{file} differs from line {} on; if nothing that was there has gone, write it anew with \
             UPDATE_SCHEMA=1 cargo test -p arcus-api",
            first.map_or(0, |ix| ix + 1)
        );
    }
}
