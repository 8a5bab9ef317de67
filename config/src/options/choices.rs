//! Options that are one word of a few.

use std::fmt;

/// An enum whose variants are words of the topology.
macro_rules! choice {
    (
        $(#[$doc:meta])* $name:ident, $example:literal {
            $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)*
        }
    ) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)*
        }

        impl $name {
            /// As it stands in a topology.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)*
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$variant),)*
                    other => Err(format!(
                        "`{other}` is unknown here; write {}",
                        [$(concat!("\"", $text, "\"")),*].join(" or ")
                    )),
                }
            }
        }

        impl crate::value::Value for $name {
            const EXAMPLE: &'static str = $example;

            fn read(value: &toml::de::DeValue<'_>) -> Result<Self, String> {
                crate::value::text::<Self>(value)?.parse()
            }
        }
    };
}

pub(crate) use choice;

choice! {
    /// What we are to a peer of another AS (RFC 9234 section 4.1).
    Role, "\"provider\"" {
        /// It buys transit from us.
        Provider = "provider",
        /// We are the route server that it is a client of.
        RouteServer = "rs",
        /// We are a client of the route server that it is.
        RouteServerClient = "rs-client",
        /// We buy transit from it.
        Customer = "customer",
        /// Neither is above the other.
        Peer = "peer",
    }
}

choice! {
    /// What becomes of private AS numbers (RFC 6996) in a path before it is told.
    RemovePrivateAs, "\"all\"" {
        /// Those in front of the first public one go.
        Leading = "leading",
        /// They go, wherever they stand.
        All = "all",
        /// Ours stands in their place, so that the path keeps its length.
        Replace = "replace",
    }
}

choice! {
    /// How a key of TCP-AO signs (RFC 5926, and what Linux has beside).
    AoAlgorithm, "\"hmac-sha-1\"" {
        /// HMAC-SHA-1-96.
        HmacSha1 = "hmac-sha-1",
        /// AES-128-CMAC-96.
        AesCmac = "aes-128-cmac",
        /// HMAC-SHA-256, cut to 96 bits.
        HmacSha256 = "hmac-sha-256",
    }
}

choice! {
    /// How packets of BFD are signed (RFC 5880 section 6.7).
    BfdAuth, "\"meticulous-sha1\"" {
        /// The password goes in clear.
        Password = "password",
        Md5 = "md5",
        /// No packet has the sequence number of another.
        MeticulousMd5 = "meticulous-md5",
        Sha1 = "sha1",
        /// No packet has the sequence number of another.
        MeticulousSha1 = "meticulous-sha1",
    }
}

choice! {
    /// The next hop of unicast routes that a peer is told.
    NextHop, "\"unchanged\"" {
        /// As it came: packets do not pass us.
        Unchanged = "unchanged",
        /// Our own address.
        Itself = "self",
    }
}
