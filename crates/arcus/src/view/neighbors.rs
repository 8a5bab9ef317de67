use std::collections::BTreeMap;

use arcus_api::v1::{
    Bfd, BfdState, Faults, GracefulRestart, GracefulRestartState, Neighbor, NeighborFamily,
    NeighborKind, Rejected, SessionState,
};

use super::{fields, text, time};
use crate::table::{Cell, Paint, Table, Width, joined, or_dash, trouble};

/// All neighbors, a line each.
pub(crate) fn neighbors(neighbors: &[Neighbor], width: Width, paint: Paint) -> String {
    let mut table = Table::new(width)
        .text("Neighbor")
        .text("Name")
        .text("Kind")
        .number("AS")
        .text("State")
        .text("Since")
        .number("Received")
        .number("Accepted")
        .number("Told")
        .number("Owed")
        .number("Flaps")
        .wide_text("Router id")
        .wide_text("Role")
        .wide_number("Hold")
        .wide_text("BFD")
        .wide_text("Families")
        .wide_text("Targets asked for")
        .wide_number("Queued")
        .wide_number("Stale")
        .wide_text("Last down");
    for neighbor in neighbors {
        let sum = |of: fn(&NeighborFamily) -> u64| neighbor.families.iter().map(of).sum::<u64>();
        table.row([
            neighbor.address.into(),
            or_dash(neighbor.name.as_ref()).into(),
            kind(neighbor.kind).into(),
            neighbor.asn.into(),
            match neighbor.state {
                SessionState::Established => Cell::good("established"),
                state => Cell::bad(state_name(state)),
            },
            or_dash(neighbor.uptime_seconds.map(time::span)).into(),
            sum(|family| family.received).into(),
            sum(|family| family.accepted).into(),
            sum(|family| family.advertised).into(),
            neighbor.owed.into(),
            trouble(neighbor.flaps),
            or_dash(neighbor.router_id).into(),
            if neighbor.client { "client" } else { "-" }.into(),
            or_dash(neighbor.hold_time).into(),
            match &neighbor.bfd {
                // It does not send back packets, and need not.
                None | Some(Bfd { echo: true, ups: 0, .. }) => "-".into(),
                Some(Bfd { state: BfdState::Up, .. }) => Cell::good("up"),
                Some(bfd) => Cell::bad(bfd_state(bfd.state)),
            },
            joined(neighbor.families.iter().map(|family| family.family), ",").into(),
            joined(&neighbor.memberships, ",").into(),
            neighbor.queued_octets.into(),
            trouble(neighbor.graceful_restart.stale),
            or_dash(neighbor.last_down_reason.as_ref()).into(),
        ]);
    }
    table.render(paint, "no neighbors")
}

/// One neighbor in words.
pub(crate) fn neighbor(neighbor: &Neighbor, width: Width, paint: Paint) -> String {
    let title = match &neighbor.name {
        Some(name) => format!("{} ({name})", neighbor.address),
        None => neighbor.address.to_string(),
    };
    let state = match (neighbor.state, neighbor.uptime_seconds) {
        (SessionState::Established, Some(up)) => format!("established for {}", time::span(up)),
        (state, Some(since)) => paint.bad(state_name(state)) + " for " + &time::span(since),
        (state, None) => state_name(state).to_owned(),
    };
    let role = if neighbor.client { ", route reflector client" } else { "" };
    let owed = format!("{} routes, {} octets queued", neighbor.owed, neighbor.queued_octets);
    let fields = fields(
        2,
        &[
            ("kind", format!("{}{role}", kind(neighbor.kind))),
            ("AS", neighbor.asn.to_string()),
            ("router id", text(neighbor.router_id)),
            ("host name", text(neighbor.host_name.as_ref())),
            ("software", text(neighbor.software_version.as_ref())),
            ("state", state),
            ("flaps", neighbor.flaps.to_string()),
            ("last down", text(neighbor.last_down_reason.as_ref())),
            ("hold time", hold_time(neighbor.hold_time)),
            ("BFD", neighbor.bfd.as_ref().map_or_else(String::new, |bfd| path(bfd, paint))),
            ("capabilities", joined(&neighbor.capabilities, ", ")),
            ("graceful restart", graceful_restart(&neighbor.graceful_restart)),
            ("targets asked for", joined(&neighbor.memberships, ", ")),
            ("owed", owed),
            ("not taken", rejected(&neighbor.rejected)),
            ("malformed", faults(neighbor.faults)),
            ("options", options(&neighbor.options)),
        ],
    );
    let mut table = Table::new(width)
        .text("Family")
        .number("Received")
        .number("Accepted")
        .number("Told")
        .number("Limit")
        .text("End-of-RIB");
    for family in &neighbor.families {
        table.row([
            family.family.into(),
            family.received.into(),
            family.accepted.into(),
            family.advertised.into(),
            or_dash((family.prefix_limit > 0).then_some(family.prefix_limit)).into(),
            match family {
                NeighborFamily { disabled: true, .. } => Cell::bad("disabled"),
                NeighborFamily { end_of_rib: true, .. } => "received".into(),
                _ => "-".into(),
            },
        ]);
    }
    let families = table.render(paint, "no families");
    format!("{}\n{fields}\n{families}", paint.strong(&title))
}

/// Nothing at all where there is nothing to say, so that the line is left out.
fn listed(items: impl Iterator<Item = String>) -> String {
    items.collect::<Vec<_>>().join(", ")
}

fn rejected(rejected: &[Rejected]) -> String {
    listed(rejected.iter().map(|Rejected { reason, routes }| format!("{routes} {reason}")))
}

fn faults(faults: Faults) -> String {
    let Faults { attribute_discard, treat_as_withdraw, afi_safi_disable, session_reset } = faults;
    let kinds = [
        (attribute_discard, "attribute-discard"),
        (treat_as_withdraw, "treat-as-withdraw"),
        (afi_safi_disable, "afi-safi-disable"),
        (session_reset, "session-reset"),
    ];
    let seen = kinds.into_iter().filter(|(count, _)| *count > 0);
    listed(seen.map(|(count, what)| format!("{count} {what}")))
}

fn options(options: &BTreeMap<String, String>) -> String {
    listed(options.iter().map(|(key, value)| format!("{key} {value}")))
}

fn kind(kind: NeighborKind) -> &'static str {
    match kind {
        NeighborKind::Node => "node",
        NeighborKind::ControlNode => "control-node",
        NeighborKind::Gateway => "gateway",
        NeighborKind::Neighbor => "neighbor",
    }
}

fn state_name(state: SessionState) -> &'static str {
    match state {
        SessionState::Idle => "idle",
        SessionState::Connect => "connect",
        SessionState::Active => "active",
        SessionState::OpenSent => "open-sent",
        SessionState::OpenConfirm => "open-confirm",
        SessionState::Established => "established",
    }
}

fn hold_time(seconds: Option<u16>) -> String {
    match seconds {
        None => String::new(),
        Some(0) => "off".to_owned(),
        Some(seconds) => format!("{seconds} s"),
    }
}

fn bfd_state(state: BfdState) -> &'static str {
    match state {
        BfdState::AdminDown => "admin-down",
        BfdState::Down => "down",
        BfdState::Init => "init",
        BfdState::Up => "up",
    }
}

/// The BFD session: how it is, what was agreed, how often the path was lost.
fn path(bfd: &Bfd, paint: Paint) -> String {
    let state = match bfd.state {
        BfdState::Up => "up".to_owned(),
        state if bfd.echo && bfd.ups == 0 => format!("{}, never up", bfd_state(state)),
        state => paint.bad(bfd_state(state)),
    };
    let because = |why: Option<&String>| why.map_or_else(String::new, |why| format!(" ({why})"));
    let since = bfd.since_seconds.map(|since| format!(" for {}", time::span(since)));
    let why = because(bfd.fault.as_ref().or(bfd.diagnostic.as_ref()));
    let other = bfd.remote_state.filter(|_| bfd.state != BfdState::Up).map(|state| {
        let why = because(bfd.remote_diagnostic.as_ref());
        format!("the other side is {}{why}", bfd_state(state))
    });
    let parts = [
        Some(format!("{state}{}{why}", since.unwrap_or_default())),
        other,
        Some(format!("sends each {} ms", bfd.transmit_interval_milliseconds)),
        bfd.detection_milliseconds.map(|time| format!("{time} ms of silence end it")),
        bfd.multihop.then(|| "multihop".to_owned()),
        bfd.echo.then(|| "by echoes".to_owned()),
        (bfd.failures > 0).then(|| format!("failed {} times", bfd.failures)),
        (bfd.packets_refused > 0)
            .then(|| format!("{} packets were not signed right", bfd.packets_refused)),
    ];
    joined(parts.into_iter().flatten(), ", ")
}

fn graceful_restart(restart: &GracefulRestart) -> String {
    let GracefulRestart { state, restart_time, stale } = restart;
    match state {
        GracefulRestartState::Off => "not negotiated".to_owned(),
        GracefulRestartState::Ready => format!("its routes are kept for {restart_time} s"),
        GracefulRestartState::Helping => {
            format!("restarting: {stale} stale routes are kept, at most {restart_time} s")
        }
        GracefulRestartState::LongLived => {
            format!("long away: {stale} stale routes are kept as the last choice")
        }
    }
}

#[cfg(test)]
mod tests {
    use arcus_api::v1::Family;

    use super::*;

    fn node() -> Neighbor {
        let family = |family, received| NeighborFamily {
            family,
            received,
            accepted: received,
            advertised: 40,
            end_of_rib: true,
            disabled: false,
            prefix_limit: 0,
        };
        Neighbor {
            name: None,
            address: [10, 2, 1, 11].into(),
            asn: 64513,
            router_id: Some([10, 2, 1, 11].into()),
            kind: NeighborKind::Node,
            client: true,
            state: SessionState::Established,
            uptime_seconds: Some(723),
            hold_time: Some(90),
            families: vec![family(Family::Vpnv4, 3), family(Family::Rtc, 2)],
            capabilities: vec!["4-octet-as".to_owned(), "route-refresh".to_owned()],
            memberships: vec!["64512:100".to_owned(), "64512:5002".to_owned()],
            graceful_restart: GracefulRestart {
                state: GracefulRestartState::Ready,
                restart_time: 120,
                stale: 0,
            },
            owed: 0,
            queued_octets: 0,
            flaps: 0,
            last_down_reason: None,
            bfd: None,
            host_name: None,
            software_version: None,
            options: BTreeMap::new(),
            rejected: Vec::new(),
            faults: Faults::default(),
        }
    }

    fn gateway() -> Neighbor {
        Neighbor {
            name: Some("mx1".to_owned()),
            address: [10, 2, 0, 1].into(),
            asn: 64999,
            router_id: None,
            kind: NeighborKind::Gateway,
            client: false,
            state: SessionState::Active,
            uptime_seconds: None,
            hold_time: None,
            families: vec![],
            memberships: vec![],
            flaps: 2,
            last_down_reason: Some("hold timer expired".to_owned()),
            ..node()
        }
    }

    #[test]
    fn neighbors_are_a_line_each() {
        let want = "\
Neighbor   Name  Kind        AS  State        Since     Received  Accepted  Told  Owed  Flaps
10.2.1.11  -     node     64513  established  00:12:03         5         5    80     0      0
10.2.0.1   mx1   gateway  64999  active       -                0         0     0     0      2
";
        assert_eq!(neighbors(&[node(), gateway()], Width::Normal, Paint::Off), want);
    }

    #[test]
    fn a_path_is_told_with_what_was_agreed_and_what_is_wrong() {
        let up = Bfd {
            state: BfdState::Up,
            since_seconds: Some(61),
            diagnostic: None,
            remote_state: Some(BfdState::Up),
            remote_diagnostic: None,
            multihop: true,
            transmit_interval_milliseconds: 300,
            detection_milliseconds: Some(900),
            echo: false,
            ups: 1,
            failures: 0,
            packets_received: 7,
            packets_sent: 8,
            packets_refused: 0,
            fault: None,
        };
        assert_eq!(
            path(&up, Paint::Off),
            "up for 00:01:01, sends each 300 ms, 900 ms of silence end it, multihop"
        );
        let down = Bfd {
            state: BfdState::Down,
            diagnostic: Some("neighbor signaled down".to_owned()),
            remote_state: Some(BfdState::AdminDown),
            remote_diagnostic: Some("administratively down".to_owned()),
            multihop: false,
            transmit_interval_milliseconds: 1000,
            detection_milliseconds: None,
            failures: 2,
            packets_refused: 5,
            ..up.clone()
        };
        assert_eq!(
            path(&down, Paint::Off),
            "down for 00:01:01 (neighbor signaled down), the other side is admin-down \
             (administratively down), sends each 1000 ms, failed 2 times, \
             5 packets were not signed right"
        );
        let silent = Bfd {
            state: BfdState::Down,
            remote_state: None,
            multihop: false,
            echo: true,
            ups: 0,
            transmit_interval_milliseconds: 1000,
            detection_milliseconds: None,
            ..up
        };
        assert_eq!(
            path(&silent, Paint::Off),
            "down, never up for 00:01:01, sends each 1000 ms, by echoes"
        );
    }

    #[test]
    fn a_neighbor_in_detail_has_its_families() {
        let want = "\
10.2.1.11
  kind               node, route reflector client
  AS                 64513
  router id          10.2.1.11
  state              established for 00:12:03
  flaps              0
  hold time          90 s
  capabilities       4-octet-as, route-refresh
  graceful restart   its routes are kept for 120 s
  targets asked for  64512:100, 64512:5002
  owed               0 routes, 0 octets queued

Family  Received  Accepted  Told  Limit  End-of-RIB
vpnv4          3         3    40      -  received
rtc            2         2    40      -  received
";
        assert_eq!(neighbor(&node(), Width::Normal, Paint::Off), want);
    }

    #[test]
    fn what_a_neighbor_is_told_and_refused_is_said() {
        let key = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let rejected = |reason: &str, routes| Rejected { reason: reason.to_owned(), routes };
        let router = Neighbor {
            software_version: Some("FRRouting/10.3".to_owned()),
            options: BTreeMap::from([key("local-as", "64600"), key("role", "peer")]),
            rejected: vec![rejected("as-loop", 3), rejected("transit", 1)],
            faults: Faults { treat_as_withdraw: 2, ..Faults::default() },
            ..gateway()
        };
        let text = neighbor(&router, Width::Normal, Paint::Off);
        for line in [
            "  software           FRRouting/10.3\n",
            "  not taken          3 as-loop, 1 transit\n",
            "  malformed          2 treat-as-withdraw\n",
            "  options            local-as 64600, role peer\n",
        ] {
            assert!(text.contains(line), "{line}{text}");
        }
    }

    #[test]
    fn why_a_neighbor_is_down_is_said() {
        let text = neighbor(&gateway(), Width::Normal, Paint::Off);
        assert!(text.starts_with("10.2.0.1 (mx1)\n"), "{text}");
        assert!(text.contains("  last down          hold timer expired\n"), "{text}");
        assert!(text.ends_with("\nno families\n"), "{text}");
    }
}
