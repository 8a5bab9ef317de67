//! Why packets are dropped.
//!
//! This list is all that planes, metrics, the API and the command line know of a reason. The programs in C
//! have the same order (`enum drop_reason` in `bpf/layout.h`); a test of theirs compares the two.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! drop_reasons {
    ($($reason:ident $name:literal $meaning:literal)+) => {
        /// Why a packet was dropped.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "kebab-case")]
        pub enum DropReason {
            $(#[doc = concat!("It ", $meaning, ".")] $reason,)+
        }

        impl DropReason {
            pub const ALL: [Self; [$(Self::$reason),+].len()] = [$(Self::$reason),+];

            /// The name in metrics, the API and the command line.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)+
                }
            }

            /// What it means, for somebody who sees it for the first time.
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$reason => $meaning,)+
                }
            }
        }
    };
}

drop_reasons! {
    NoRoute "no-route"
        "has a destination that the VRF has no route to"
    TunnelToTunnel "tunnel-to-tunnel"
        "came out of a tunnel for an address that only other nodes have"
    TtlExpired "ttl-expired"
        "was forwarded too often"
    UnknownLabel "unknown-label"
        "came out of a tunnel with a label that no VRF has"
    NoBackend "no-backend"
        "went to a port of a service address where nobody answers"
    TooBig "too-big"
        "does not fit into the underlay"
    Malformed "malformed"
        "is no valid packet"
    Unsupported "unsupported"
        "has a protocol that is not forwarded"
    Discard "discard"
        "met a route that says so"
    PortGone "port-gone"
        "was for a port whose interface is gone"
    Fragment "fragment"
        "is a fragment that cannot be translated"
    Refused "refused"
        "was refused by the kernel, which would not change or send it"
    Spoofed "spoofed"
        "was sent by a workload from an address that is not its own"
    Denied "denied"
        "belongs to a connection that a filter does not allow"
    RateLimit "rate-limit"
        "is more than the bandwidth of its port, for too long"
    NoSourcePort "no-source-port"
        "found no source port left for connections out of the node"
    WrongMac "wrong-mac"
        "came in VXLAN and is not for this node's router"
    Congested "congested"
        "met congestion in the underlay and is of a flow that cannot be told so"
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::DropReason;

    #[test]
    fn a_reason_has_the_same_name_everywhere() {
        use serde::Deserialize as _;
        use serde::de::IntoDeserializer as _;
        use serde::de::value::{Error, StrDeserializer};
        for reason in DropReason::ALL {
            let name: StrDeserializer<'_, Error> = reason.name().into_deserializer();
            assert_eq!(DropReason::deserialize(name), Ok(reason));
        }
    }
}
