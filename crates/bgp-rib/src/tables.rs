//! One table per family, and what is done with several of them.

use bgp_wire::{
    AfiSafi, Evpn, Family, Ipv4Labeled, Ipv4Unicast, Ipv6Labeled, Ipv6Unicast, Rtc, VpnV4, VpnV6,
};

use crate::family::TableFamily;
use crate::table::Table;

/// The list of the families that have a table, handed on behind `$given`. Memberships come first: peers
/// wait for them.
macro_rules! families {
    ($then:ident! $given:tt) => {
        $crate::tables::$then! {
            $given
            rtc Rtc, ipv4 Ipv4Unicast, ipv6 Ipv6Unicast, ipv4_labeled Ipv4Labeled,
            ipv6_labeled Ipv6Labeled, vpnv4 VpnV4, vpnv6 VpnV6, evpn Evpn
        }
    };
}

/// Runs `$body` with `$table` bound to each table in turn.
macro_rules! for_each_table {
    ($tables:expr, $table:ident => $body:expr) => {
        $crate::tables::families!(in_turn! { $tables, $table => $body })
    };
}

macro_rules! in_turn {
    ({ $tables:expr, $name:ident => $body:expr } $($table:ident $family:ident),*) => {{
        $({
            let $name = &mut $tables.$table;
            $body;
        })*
    }};
}

/// Runs `$body` with `$table` bound to each table in turn whose routes have targets.
macro_rules! for_each_target_table {
    ($tables:expr, $table:ident => $body:expr) => {
        $crate::tables::for_each_table!($tables, $table => {
            if $crate::tables::family_of($table).has_targets() {
                $body;
            }
        })
    };
}

/// Runs `$body` with `$table` bound to the table of a family, if there is one.
macro_rules! with_table {
    ($tables:expr, $family:expr, $table:ident => $body:expr) => {
        $crate::tables::families!(chosen! { $tables, $family, $table => $body })
    };
}

macro_rules! chosen {
    (
        { $tables:expr, $wanted:expr, $name:ident => $body:expr }
        $($table:ident $family:ident),*
    ) => {
        match $wanted {
            $(<bgp_wire::$family as bgp_wire::Family>::AFI_SAFI => {
                let $name = &$tables.$table;
                Some($body)
            })*
            _ => None,
        }
    };
}

macro_rules! define {
    ({} $($table:ident $family:ident),*) => {
        /// The tables of a shard.
        #[derive(Debug)]
        pub(crate) struct Tables {
            $(pub(crate) $table: Table<$family>,)*
        }

        impl Tables {
            pub(crate) fn new(seed: u64) -> Self {
                Self { $($table: Table::new(seed),)* }
            }
        }

        /// The families that have a table.
        pub(crate) const FAMILIES: &[AfiSafi] = &[$(<$family as Family>::AFI_SAFI),*];

        $(impl Held for $family {
            fn of(tables: &mut Tables) -> &mut Table<Self> {
                &mut tables.$table
            }
        })*
    };
}
pub(crate) use {
    chosen, define, families, for_each_table, for_each_target_table, in_turn, with_table,
};
families!(define! {});

/// Which table holds a family.
pub(crate) trait Held: TableFamily {
    fn of(tables: &mut Tables) -> &mut Table<Self>;
}

pub(crate) fn family_of<F: TableFamily>(_: &Table<F>) -> AfiSafi {
    F::AFI_SAFI
}
