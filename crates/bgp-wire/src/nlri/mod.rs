//! Routes of each address family.
//!
//! A family is a type: [`Family`] says what its key is, what stands beside the key, and how both
//! are read and written. [`Routes`] and [`Withdrawals`] are lists of any family, as an UPDATE has
//! them.

mod evpn;
mod ipv4;
mod ipv6;
mod labeled;
mod list;
mod rtc;
mod stack;
mod vpn;

use std::fmt::{Debug, Display};
use std::hash::Hash;
use std::str::FromStr;

pub use evpn::{Esi, Evpn, EvpnData, EvpnKey, MacAddress, ParseEvpnError};
pub use ipv4::Ipv4Unicast;
pub use ipv6::Ipv6Unicast;
pub use labeled::{Ipv4Labeled, Ipv6Labeled, Labels};
pub(crate) use list::{Reading, read_routes, read_withdrawals};
pub use rtc::Rtc;
pub use stack::VpnLabels;
pub use vpn::{ParseVpnKeyError, VpnKey, VpnV4, VpnV6};

use crate::afi_safi::AfiSafi;
use crate::error::FaultKind;
use crate::read::Parsed;
use crate::route_distinguisher::RouteDistinguisher;

/// Tells paths of one key from one peer apart (RFC 7911). 0 where ADD-PATH was not negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct PathId(pub u32);

/// One address family: what a table, a reader and a writer know of it.
pub trait Family: Copy + Eq + Debug + Send + Sync + 'static {
    const AFI_SAFI: AfiSafi;

    /// What a table is keyed by. Labels are not part of it (RFC 8277 §2.4). `Display` and `FromStr`
    /// are inverses.
    type Key: Clone + Eq + Ord + Hash + Debug + Display + FromStr + Send + Sync;

    /// What stands beside the key in an announcement: labels, ESI, gateway.
    type Data: Clone + Eq + Hash + Debug + Send + Sync;

    /// Reads one announced route (without its path identifier).
    fn read_reach(input: &[u8]) -> Parsed<'_, (Self::Key, Self::Data)>;

    /// As [`Family::read_reach`], from a peer with which stacks of labels were agreed on: the bottom of
    /// stack bit ends one (RFC 8277 §2.3).
    fn read_stacked(input: &[u8]) -> Parsed<'_, (Self::Key, Self::Data)> {
        Self::read_reach(input)
    }

    /// Reads one withdrawn route: where a label stands, any three octets do.
    fn read_unreach(input: &[u8]) -> Parsed<'_, Self::Key>;

    fn write_reach(key: &Self::Key, data: &Self::Data, out: &mut Vec<u8>);

    /// As [`Family::write_reach`], to a peer with which stacks of labels were agreed on: the last label
    /// says that it is (RFC 8277 §2.3).
    fn write_stacked(key: &Self::Key, data: &Self::Data, out: &mut Vec<u8>) {
        Self::write_reach(key, data, out);
    }

    fn write_unreach(key: &Self::Key, out: &mut Vec<u8>);

    /// How many labels stand beside the key, in families that have stacks of them.
    fn labels(_: &Self::Data) -> u8 {
        0
    }

    /// Why an announced route that could be read is treated as withdrawn all the same.
    fn flaw(_: &Self::Data) -> Option<FaultKind> {
        None
    }

    /// Steps over a route that cannot be taken, if its end can be found all the same: such a route is
    /// left out and the others are taken (RFC 7606 §5.4, RFC 4271 §6.3). `None` where the routes
    /// behind it cannot be told apart any more.
    fn skip(input: &[u8]) -> Option<&[u8]> {
        let _ = input;
        None
    }

    /// The route distinguisher of a key, in the families that have one.
    fn route_distinguisher(key: &Self::Key) -> Option<RouteDistinguisher>;

    /// This family's list out of an UPDATE's, `Err` if it is of another family.
    fn from_routes(routes: Routes) -> Result<Vec<Route<Self>>, Routes>;

    fn into_routes(routes: Vec<Route<Self>>) -> Routes;

    fn from_withdrawals(withdrawals: Withdrawals) -> Result<Vec<Withdrawal<Self>>, Withdrawals>;

    fn into_withdrawals(withdrawals: Vec<Withdrawal<Self>>) -> Withdrawals;
}

/// One announced route, apart from attributes and next hop.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Route<F: Family> {
    pub path_id: PathId,
    pub key: F::Key,
    pub data: F::Data,
}

/// One withdrawn route.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Withdrawal<F: Family> {
    pub path_id: PathId,
    pub key: F::Key,
}

/// Announced routes of one family.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Routes {
    Ipv4(Vec<Route<Ipv4Unicast>>),
    Ipv6(Vec<Route<Ipv6Unicast>>),
    Ipv4Labeled(Vec<Route<Ipv4Labeled>>),
    Ipv6Labeled(Vec<Route<Ipv6Labeled>>),
    VpnV4(Vec<Route<VpnV4>>),
    VpnV6(Vec<Route<VpnV6>>),
    Evpn(Vec<Route<Evpn>>),
    Rtc(Vec<Route<Rtc>>),
}

/// Withdrawn routes of one family.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Withdrawals {
    Ipv4(Vec<Withdrawal<Ipv4Unicast>>),
    Ipv6(Vec<Withdrawal<Ipv6Unicast>>),
    Ipv4Labeled(Vec<Withdrawal<Ipv4Labeled>>),
    Ipv6Labeled(Vec<Withdrawal<Ipv6Labeled>>),
    VpnV4(Vec<Withdrawal<VpnV4>>),
    VpnV6(Vec<Withdrawal<VpnV6>>),
    Evpn(Vec<Withdrawal<Evpn>>),
    Rtc(Vec<Withdrawal<Rtc>>),
}

/// Runs `$body` with `$list` bound to the list inside, whatever its family.
#[macro_export]
macro_rules! for_each_family {
    ($enum:ident, $value:expr, $list:ident => $body:expr) => {
        match $value {
            $crate::nlri::$enum::Ipv4($list) => $body,
            $crate::nlri::$enum::Ipv6($list) => $body,
            $crate::nlri::$enum::Ipv4Labeled($list) => $body,
            $crate::nlri::$enum::Ipv6Labeled($list) => $body,
            $crate::nlri::$enum::VpnV4($list) => $body,
            $crate::nlri::$enum::VpnV6($list) => $body,
            $crate::nlri::$enum::Evpn($list) => $body,
            $crate::nlri::$enum::Rtc($list) => $body,
        }
    };
}

impl Routes {
    pub fn family(&self) -> AfiSafi {
        fn of<F: Family>(_: &[Route<F>]) -> AfiSafi {
            F::AFI_SAFI
        }
        for_each_family!(Routes, self, list => of(list))
    }

    pub fn len(&self) -> usize {
        for_each_family!(Routes, self, list => list.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The withdrawals of just these routes.
    #[must_use]
    pub fn into_withdrawals(self) -> Withdrawals {
        fn of<F: Family>(routes: Vec<Route<F>>) -> Withdrawals {
            let withdrawal = |Route { path_id, key, .. }| Withdrawal { path_id, key };
            F::into_withdrawals(routes.into_iter().map(withdrawal).collect())
        }
        for_each_family!(Routes, self, list => of(list))
    }
}

impl Withdrawals {
    pub fn family(&self) -> AfiSafi {
        fn of<F: Family>(_: &[Withdrawal<F>]) -> AfiSafi {
            F::AFI_SAFI
        }
        for_each_family!(Withdrawals, self, list => of(list))
    }

    pub fn len(&self) -> usize {
        for_each_family!(Withdrawals, self, list => list.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The four conversions of [`Family`] between a family's list and the enums, for one variant.
macro_rules! variant {
    ($variant:ident) => {
        fn from_routes(
            routes: $crate::nlri::Routes,
        ) -> Result<Vec<$crate::nlri::Route<Self>>, $crate::nlri::Routes> {
            match routes {
                $crate::nlri::Routes::$variant(list) => Ok(list),
                other => Err(other),
            }
        }

        fn into_routes(routes: Vec<$crate::nlri::Route<Self>>) -> $crate::nlri::Routes {
            $crate::nlri::Routes::$variant(routes)
        }

        fn from_withdrawals(
            withdrawals: $crate::nlri::Withdrawals,
        ) -> Result<Vec<$crate::nlri::Withdrawal<Self>>, $crate::nlri::Withdrawals> {
            match withdrawals {
                $crate::nlri::Withdrawals::$variant(list) => Ok(list),
                other => Err(other),
            }
        }

        fn into_withdrawals(
            withdrawals: Vec<$crate::nlri::Withdrawal<Self>>,
        ) -> $crate::nlri::Withdrawals {
            $crate::nlri::Withdrawals::$variant(withdrawals)
        }
    };
}
pub(crate) use variant;
