//! `GET /v1/routes`, one route of it, and what a neighbor was told.

use std::net::IpAddr;

use arcus_api::v1::{
    AdvertisedQuery, DEFAULT_LIMIT, Family, MAX_LIMIT, Path as ApiPath, Route, RoutePage,
    RouteQuery,
};
use axum::extract::State;
use bgp_rib::query::{PathInfo, RouteFilter, RouteInfo, RoutesAnswer, RoutesQuery};
use bgp_rib::{Answer, Query as RibQuery};
use bgp_wire::attrs::Origin;
use bgp_wire::community::TunnelType;
use bgp_wire::{AfiSafi, Label, PathAttributes};
use daemon::http::{ApiError, Json, Path, Query};

use super::Api;
use super::neighbors::unknown;

/// Questions to one shard for one page: a filter that matches little would else walk a whole table.
const QUESTIONS: usize = 64;

pub(super) async fn list(
    State(api): State<Api>,
    Query(query): Query<RouteQuery>,
) -> Result<Json<RoutePage>, ApiError> {
    let family = needed(query.family)?;
    let parse = |what: &str, text: &str, error: String| {
        ApiError::bad_request(format!("{what} `{text}`: {error}"))
    };
    let rd = query.rd.as_deref().map(|text| {
        text.parse().map_err(|error: bgp_wire::route_distinguisher::ParseRdError| {
            parse("rd", text, error.to_string())
        })
    });
    let target = query.target.as_deref().map(|text| {
        text.parse().map_err(|error: bgp_wire::route_target::ParseRtError| {
            parse("target", text, error.to_string())
        })
    });
    let from = match query.neighbor {
        None => None,
        Some(address) => Some(number_of(&api, address).await?),
    };
    let filter = RouteFilter {
        prefix: query.prefix,
        rd: rd.transpose()?,
        target: target.transpose()?,
        from,
    };
    let ask = |page| RibQuery::Routes(page);
    page(&api, family, filter, query.limit, query.after.as_deref(), ask).await.map(Json)
}

pub(super) async fn advertised(
    State(api): State<Api>,
    Path(address): Path<IpAddr>,
    Query(query): Query<AdvertisedQuery>,
) -> Result<Json<RoutePage>, ApiError> {
    let family = needed(query.family)?;
    let peer = number_of(&api, address).await?;
    let ask = |page| RibQuery::Advertised { peer, page };
    let filter = RouteFilter::default();
    page(&api, family, filter, query.limit, query.after.as_deref(), ask).await.map(Json)
}

pub(super) async fn one(
    State(api): State<Api>,
    Path((family, nlri)): Path<(Family, String)>,
) -> Result<Json<Route>, ApiError> {
    let wire = wire_family(family);
    for answer in api.ask_all(&RibQuery::Destination { family: wire, key: nlri.clone() }).await? {
        match answer {
            Answer::Destination(Some(route)) => return Ok(Json(shape(family, route))),
            Answer::NoSuchKey => {
                return Err(ApiError::bad_request(format!(
                    "`{nlri}` is not a key of {family}; write it as `arcus routes {family}` shows it"
                )));
            }
            _ => {}
        }
    }
    Err(ApiError::not_found(format!("there is no {family} route {nlri}")))
}

async fn number_of(api: &Api, address: IpAddr) -> Result<bgp_rib::PeerIx, ApiError> {
    let addresses = api.addresses().await?;
    let known: Vec<_> = addresses.values().map(ToString::to_string).collect();
    addresses
        .into_iter()
        .find_map(|(number, has)| (has == address).then_some(number))
        .ok_or_else(|| unknown(address, &known))
}

fn needed(family: Option<Family>) -> Result<Family, ApiError> {
    family
        .ok_or_else(|| ApiError::bad_request("a family is needed; write for example family=vpnv4"))
}

fn wire_family(family: Family) -> AfiSafi {
    match family {
        Family::Ipv4 => AfiSafi::IPV4_UNICAST,
        Family::Ipv6 => AfiSafi::IPV6_UNICAST,
        Family::Ipv4Labeled => AfiSafi::IPV4_LABELED,
        Family::Ipv6Labeled => AfiSafi::IPV6_LABELED,
        Family::Vpnv4 => AfiSafi::VPNV4,
        Family::Vpnv6 => AfiSafi::VPNV6,
        Family::Evpn => AfiSafi::EVPN,
        Family::Rtc => AfiSafi::RTC,
    }
}

/// Asks shard after shard until the page is full. The cursor is `SHARD:POSITION`.
async fn page(
    api: &Api,
    family: Family,
    filter: RouteFilter,
    limit: Option<usize>,
    after: Option<&str>,
    query: impl Fn(RoutesQuery) -> RibQuery,
) -> Result<RoutePage, ApiError> {
    let limit = limit.unwrap_or(DEFAULT_LIMIT);
    if limit == 0 || limit > MAX_LIMIT {
        return Err(ApiError::bad_request(format!("limit must be 1 to {MAX_LIMIT}")));
    }
    let (mut shard, mut position) = cursor(after)?;
    // Every shard has all memberships; the first one speaks for all.
    let shards = if family == Family::Rtc { 1 } else { api.shards.len() };
    let mut page = RoutePage::default();
    for _ in 0..QUESTIONS {
        if shard >= shards || page.routes.len() >= limit {
            break;
        }
        let question = query(RoutesQuery {
            family: wire_family(family),
            filter: filter.clone(),
            after: position,
            limit: limit - page.routes.len(),
        });
        let Answer::Routes(RoutesAnswer { routes, next }) = api.ask(shard, question).await? else {
            return Err(ApiError::internal("the shard has no routes to show"));
        };
        page.routes.extend(routes.into_iter().map(|route| shape(family, route)));
        position = next;
        if position.is_none() {
            shard += 1;
        }
    }
    page.next = (shard < shards).then(|| match position {
        Some(position) => format!("{shard}:{position}"),
        None => format!("{shard}:"),
    });
    Ok(page)
}

fn cursor(after: Option<&str>) -> Result<(usize, Option<u32>), ApiError> {
    let Some(text) = after else { return Ok((0, None)) };
    let wrong = || ApiError::bad_request("`after` takes the `next` of the page before");
    let (shard, position) = text.split_once(':').ok_or_else(wrong)?;
    let position = match position {
        "" => None,
        number => Some(number.parse().map_err(|_| wrong())?),
    };
    Ok((shard.parse().map_err(|_| wrong())?, position))
}

fn shape(family: Family, route: RouteInfo) -> Route {
    let (rd, prefix) = match family {
        Family::Vpnv4 | Family::Vpnv6 => split_vpn(&route.key),
        Family::Ipv4 | Family::Ipv6 | Family::Ipv4Labeled | Family::Ipv6Labeled => {
            (None, route.key.parse().ok())
        }
        Family::Evpn | Family::Rtc => (None, None),
    };
    let paths = route.paths.iter().map(path).collect();
    Route { family, nlri: route.key, rd, prefix, paths }
}

/// `RD:PREFIX`, where the distinguisher has one colon itself, or none in its hexadecimal form.
fn split_vpn(key: &str) -> (Option<String>, Option<ipnet::IpNet>) {
    let colons = if key.starts_with("0x") { 1 } else { 2 };
    key.match_indices(':')
        .nth(colons - 1)
        .map(|(at, _)| (Some(key[..at].to_owned()), key[at + 1..].parse().ok()))
        .unwrap_or_default()
}

fn path(path: &PathInfo) -> ApiPath {
    let attributes: &PathAttributes = &path.attributes;
    let others = attributes.extended_communities.iter().filter(|community| {
        community.as_route_target().is_none() && community.as_encapsulation().is_none()
    });
    let communities = attributes
        .communities
        .iter()
        .map(ToString::to_string)
        .chain(others.map(ToString::to_string))
        .chain(attributes.large_communities.iter().map(ToString::to_string));
    ApiPath {
        best: path.best,
        multipath: path.multipath,
        neighbor: path.from_address,
        next_hop: path.next_hop.address(),
        label: path.label.map(|label| label_number(label, attributes)),
        as_path: attributes.as_path.to_string(),
        local_pref: attributes.local_pref,
        med: attributes.med,
        origin: match attributes.origin {
            Origin::Igp => "igp",
            Origin::Egp => "egp",
            Origin::Incomplete => "incomplete",
        }
        .to_owned(),
        targets: attributes.route_targets().map(|target| target.to_string()).collect(),
        communities: communities.collect(),
        encapsulations: attributes.encapsulations().map(tunnel).collect(),
        originator: attributes.originator_id,
        cluster_list: attributes.cluster_list.clone(),
        stale: path.stale,
        why: path.step.map(|step| step.to_string()).unwrap_or_default(),
    }
}

/// A VNI where VXLAN is offered (RFC 8365 §5.1.3), else the MPLS label.
fn label_number(label: Label, attributes: &PathAttributes) -> u32 {
    if attributes.encapsulations().any(|tunnel| tunnel == TunnelType::VXLAN) {
        label.vni_value()
    } else {
        label.mpls_value()
    }
}

fn tunnel(tunnel: TunnelType) -> String {
    match tunnel {
        TunnelType::GRE | TunnelType::MPLS_IN_GRE => "mpls-over-gre".to_owned(),
        TunnelType::MPLS_IN_UDP => "mpls-over-udp".to_owned(),
        TunnelType::VXLAN => "vxlan".to_owned(),
        TunnelType(other) => format!("tunnel-type-{other}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vpn_key_has_a_distinguisher_and_a_prefix() {
        let cases = [
            ("10.2.1.11:1:10.20.0.5/32", "10.2.1.11:1", "10.20.0.5/32"),
            ("65000:7:2001:db8::/32", "65000:7", "2001:db8::/32"),
            ("0x0003000000000001:10.0.0.0/8", "0x0003000000000001", "10.0.0.0/8"),
        ];
        for (key, rd, prefix) in cases {
            assert_eq!(split_vpn(key), (Some(rd.to_owned()), prefix.parse().ok()), "{key}");
        }
    }

    #[test]
    fn a_cursor_names_shard_and_position() {
        assert_eq!(cursor(None).ok(), Some((0, None)));
        assert_eq!(cursor(Some("2:17")).ok(), Some((2, Some(17))));
        assert_eq!(cursor(Some("2:")).ok(), Some((2, None)));
        assert!(cursor(Some("x")).is_err());
    }
}
