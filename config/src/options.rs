//! What a topology may say of a peer beside who it is: one table of keys for neighbors, templates,
//! gateways, nodes and other control nodes.
//!
//! Each key stands here once, with its type and what a change of it costs. Reading, falling back to
//! a template, comparing and showing are made from that table.

mod choices;
mod values;
mod watching;

use std::net::IpAddr;

pub use self::{
    choices::{AoAlgorithm, BfdAuth, NextHop, RemovePrivateAs, Role},
    values::{AsnRange, FilePath, Interface, Rewrite},
    watching::{Bfd, BfdKey, Echo},
};

pub(crate) use self::{
    choices::choice,
    values::{Bounded, KeyId},
};

use crate::{
    AfiSafi, ConfigError, Effect, HoldTime, RouteTarget,
    table::Table,
    value::{Asn, Limit, Port, RestartTime},
};

macro_rules! options {
    (
        values { $($(#[$value_doc:meta])* $value:ident: $value_type:ty as $reader:ty, $value_key:literal, $value_effect:ident;)* }
        lists { $($(#[$list_doc:meta])* $list:ident: $item:ty, $list_key:literal, $example:literal, $list_effect:ident;)* }
    ) => {
        /// The options of one peer as they are written; `None` is the default, which the line of
        /// the field names.
        #[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
        pub struct PeerOptions {
            $($(#[$value_doc])* pub $value: Option<$value_type>,)*
            $($(#[$list_doc])* pub $list: Option<Vec<$item>>,)*
        }

        impl PeerOptions {
            /// Every key, as it stands in a topology.
            pub(crate) const KEYS: &[&'static str] = &[$($value_key,)* $($list_key,)*];

            /// Takes from a table what it has of these keys.
            pub(crate) fn read(table: &mut Table<'_>) -> Result<Self, ConfigError> {
                Ok(Self {
                    $($value: table.optional::<$reader>($value_key)?.map(Into::into),)*
                    $($list: table.list::<$item>($list_key, $example)?.map(sorted),)*
                })
            }

            /// What is left out here is as in the template.
            pub(crate) fn or(self, template: &Self) -> Self {
                Self {
                    $($value: self.$value.or_else(|| template.$value.clone()),)*
                    $($list: self.$list.or_else(|| template.$list.clone()),)*
                }
            }

            /// The keys that are set, with their values as text; lists with spaces between.
            pub fn written(&self) -> Vec<(&'static str, String)> {
                let mut written = Vec::new();
                $(written.extend(self.$value.as_ref().map(|value| ($value_key, value.to_string())));)*
                $(written.extend(self.$list.as_ref().map(|list| ($list_key, joined(list))));)*
                written
            }

            /// The keys that differ, with what a change of each costs.
            pub(crate) fn changes(old: &Self, new: &Self) -> Vec<(Effect, String)> {
                let text = |value: Option<String>| value.unwrap_or_else(|| "none".to_owned());
                let mut changes = Vec::new();
                let mut note = |key: &str, effect, old: Option<String>, new: Option<String>| {
                    if old != new {
                        changes.push((effect, format!("{key} {} -> {}", text(old), text(new))));
                    }
                };
                $(note(
                    $value_key,
                    Effect::$value_effect,
                    old.$value.as_ref().map(ToString::to_string),
                    new.$value.as_ref().map(ToString::to_string),
                );)*
                $(note(
                    $list_key,
                    Effect::$list_effect,
                    old.$list.as_deref().map(joined),
                    new.$list.as_deref().map(joined),
                );)*
                changes
            }
        }
    };
}

options! {
    values {
        /// For people.
        description: String as String, "description", Keep;
        /// The peer is known and gets no session. `false`.
        shutdown: bool as bool, "shutdown", Reset;
        /// TCP port that it listens on. 179.
        port: u16 as Port, "port", Reset;
        asn: u32 as Asn, "asn", Reset;
        /// Whether it is a client of our route reflector. `false`.
        client: bool as bool, "client", Reset;
        /// Whether we wait for its connection and never open one. `false`.
        passive: bool as bool, "passive", Reset;
        /// 90 s.
        hold_time: HoldTime as HoldTime, "hold-time", Reset;
        /// Seconds between two KEEPALIVEs; a third of the hold time.
        keepalive: u32 as Bounded<1, 21_845>, "keepalive", Reset;
        /// Seconds before the first new attempt to connect; later ones take longer. 1 s.
        connect_retry: u32 as Bounded<1, 3600>, "connect-retry", Keep;
        /// Seconds that it may read nothing of what we have for it (RFC 9687). Twice the hold time, at
        /// least 480.
        send_hold_time: u32 as Bounded<4, 131_070>, "send-hold-time", Reset;
        /// Seconds that its OPEN is waited for before ours is sent (RFC 4271). Sent at once.
        delay_open: u32 as Bounded<1, 240>, "delay-open", Reset;
        /// Seconds that its connections are refused after a session that did not last. Taken at once.
        idle_hold: u32 as Bounded<1, 3600>, "idle-hold", Keep;
        /// Seconds that it keeps our routes while we restart; 0 is no graceful restart.
        graceful_restart_time: u16 as RestartTime, "graceful-restart-time", Reset;
        /// Seconds that its own routes are kept at most while it restarts, whatever it asks. 4095.
        max_restart_time: u16 as RestartTime, "max-restart-time", Keep;
        /// Seconds that routes stay, least preferred, after the restart time (RFC 9494). 0: none.
        long_lived_time: u32 as Bounded<0, 0x00ff_ffff>, "long-lived-time", Reset;
        /// The AS that we pretend to be.
        local_as: u32 as Asn, "local-as", Reset;
        /// `local-as` is not put into the paths of its routes. `false`.
        local_as_no_prepend: bool as bool, "local-as-no-prepend", Refresh;
        /// It sees `local-as` only, and not our own beside it. `false`.
        local_as_replace: bool as bool, "local-as-replace", Keep;
        /// How often our own AS may stand in the path of a route. 0.
        allowas_in: u8 as Bounded<0, 10>, "allowas-in", Refresh;
        /// Its own AS in a path is replaced by ours before it is told. `false`.
        as_override: bool as bool, "as-override", Keep;
        /// Which private ASes it is not shown. None.
        remove_private_as: RemovePrivateAs as RemovePrivateAs, "remove-private-as", Keep;
        /// Preference travels as MED. `true` towards other clouds and gateways.
        preference_as_med: bool as bool, "preference-as-med", Refresh;
        /// `LOCAL_PREF` of its routes that come without one. 100.
        default_local_pref: u32 as Bounded<0, { u32::MAX }>, "default-local-pref", Refresh;
        /// Its routes may have crossed another cloud. `false`.
        transit: bool as bool, "transit", Refresh;
        /// The first AS of a path must be its own. `true`.
        first_as: bool as bool, "first-as", Refresh;
        /// Whether routes with an `AS_SET` in their path are taken (RFC 9774). `true`.
        as_sets: bool as bool, "as-sets", Reset;
        /// A family that cannot be read is given up instead of the session (RFC 7606). `false`.
        disable_family: bool as bool, "disable-family", Reset;
        /// Longest path that is taken from it. No limit.
        max_as_path: u16 as Bounded<1, 1000>, "max-as-path", Refresh;
        /// Whether the accumulated metric is exchanged with a peer of another AS (RFC 7311). `false`.
        aigp: bool as bool, "aigp", Refresh;
        /// Of unicast routes that it is told. Unchanged.
        next_hop: NextHop as NextHop, "next-hop", Keep;
        /// Holds the key of TCP-MD5 (RFC 2385). None.
        password_file: FilePath as FilePath, "password-file", Reset;
        /// Holds the keys of TCP-AO (RFC 5925). None.
        ao_keys: FilePath as FilePath, "ao-keys", Reset;
        /// It is at most so many hops away, and what comes from farther is dropped (RFC 5082). Off.
        ttl_security: u8 as Bounded<1, 254>, "ttl-security", Reset;
        /// Time to live of what we send. 255.
        ttl: u8 as Bounded<1, 255>, "ttl", Reset;
        /// Where we listen for it and connect from. The address of the control node.
        source_address: IpAddr as IpAddr, "source-address", Reset;
        /// The interface that its packets use. Any.
        source_interface: Interface as Interface, "source-interface", Reset;
        /// Paths of one destination that it is told at most (RFC 7911). One, without identifiers.
        add_path_send: u8 as Bounded<1, 255>, "add-path-send", Reset;
        /// Whether it may tell several. `false`.
        add_path_receive: bool as bool, "add-path-receive", Reset;
        /// What we are to it (RFC 9234). Not said.
        role: Role as Role, "role", Reset;
        /// A peer that does not say its role gets no session. `false`.
        role_strict: bool as bool, "role-strict", Reset;
        /// Whether we say that we know AS numbers of four octets. `true`.
        four_octet_as: bool as bool, "four-octet-as", Reset;
        /// Whether we say that we answer requests for our routes. `true`.
        route_refresh: bool as bool, "route-refresh", Reset;
        /// Whether we say that we read 65,535 octets. `true`.
        extended_messages: bool as bool, "extended-messages", Reset;
        /// Whether we say that IPv4 routes may have IPv6 next hops (RFC 8950). `true`.
        extended_next_hop: bool as bool, "extended-next-hop", Reset;
        /// Whether we say that we take stacks of labels (RFC 8277). `true`.
        multiple_labels: bool as bool, "multiple-labels", Reset;
        /// Routes of one family that are taken at most. No limit.
        max_prefixes: u32 as Limit, "max-prefixes", Keep;
        /// Percent of `max_prefixes` at which there is a warning. None.
        max_prefixes_warning: u8 as Bounded<1, 100>, "max-prefixes-warning", Keep;
        /// Seconds that a peer stays down which has told more. 300.
        max_prefixes_restart: u32 as Bounded<1, 604_800>, "max-prefixes-restart", Keep;
        /// Sessions from its prefixes at a time. No limit.
        max_peers: u32 as Limit, "max-peers", Keep;
        /// How a dead path to it is noticed (RFC 5880). Not at all.
        bfd: Bfd as Bfd, "bfd", Keep;
        /// No session before BFD is up, if the peer says so, too. `false`.
        bfd_strict: bool as bool, "bfd-strict", Reset;
        /// Seconds that such a session waits where there is no hold time. 30.
        bfd_hold_time: u32 as Bounded<1, 65_535>, "bfd-hold-time", Reset;
        /// How a dead node is noticed (RFC 9747). Each 300 ms, three times.
        echo: Echo as Echo, "echo", Keep;
        /// Route targets that are changed on routes from it.
        import_rewrite: Rewrite as Rewrite, "import-rewrite", Refresh;
        /// Route targets that are changed on routes to it.
        export_rewrite: Rewrite as Rewrite, "export-rewrite", Keep;
    }
    lists {
        /// Never empty, sorted.
        families: AfiSafi, "families", "[\"vpnv4\"]", Reset;
        /// Of peers from prefixes, in place of `asn`.
        asns: AsnRange, "asns", "[64999, \"65000-65100\"]", Reset;
        /// Its routes are taken when they carry one of these. All are.
        import_targets: RouteTarget, "import-targets", "[\"64512:100\"]", Refresh;
        /// It is told routes that carry one of these. All.
        export_targets: RouteTarget, "export-targets", "[\"64512:100\"]", Keep;
    }
}

/// The order in the file means nothing, so a reordered list is no change.
pub(crate) fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
    list.sort_unstable();
    list
}

fn joined<T: ToString>(list: &[T]) -> String {
    list.iter().map(T::to_string).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_as_in_the_template() {
        let template = PeerOptions {
            passive: Some(true),
            keepalive: Some(3),
            families: Some(vec![AfiSafi::VPNV6]),
            ..PeerOptions::default()
        };
        let own = PeerOptions { keepalive: Some(7), ..PeerOptions::default() };
        let written = own.or(&template).written();
        let text = |key, value: &str| (key, value.to_owned());
        assert_eq!(
            written,
            [text("passive", "true"), text("keepalive", "7"), text("families", "vpnv6")]
        );
    }

    #[test]
    fn every_key_is_in_the_reference() {
        let reference = include_str!("../../docs/topology.md");
        let missing: Vec<&&str> = PeerOptions::KEYS
            .iter()
            .filter(|key| !reference.contains(&format!("| `{key}`")))
            .filter(|key| !reference.contains(&format!("`, `{key}`")))
            .collect();
        assert!(missing.is_empty(), "{missing:?}");
    }

    #[test]
    fn a_change_has_its_cost() {
        let old = PeerOptions { max_prefixes: Some(5), ..PeerOptions::default() };
        let new = PeerOptions { transit: Some(true), ..PeerOptions::default() };
        assert_eq!(
            PeerOptions::changes(&old, &new),
            [
                (Effect::Refresh, "transit none -> true".to_owned()),
                (Effect::Keep, "max-prefixes 5 -> none".to_owned()),
            ]
        );
    }
}
