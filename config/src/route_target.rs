//! Stand-in until bgp-wire has it.
use std::{fmt, str::FromStr};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteTarget([u8; 8]);

impl fmt::Display for RouteTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [_, _, a, b, c, d, e, g] = self.0;
        write!(f, "{}:{}", u16::from_be_bytes([a, b]), u32::from_be_bytes([c, d, e, g]))
    }
}

impl FromStr for RouteTarget {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let error = || {
            format!(
                "`{text}` is not a route target; write 65000:100, 4200000000:7, 65000L:7 or 192.0.2.1:7"
            )
        };
        let (asn, n) = text.split_once(':').ok_or_else(error)?;
        let asn: u16 = asn.parse().map_err(|_| error())?;
        let n: u32 = n.parse().map_err(|_| error())?;
        let [a, b] = asn.to_be_bytes();
        let [c, d, e, g] = n.to_be_bytes();
        Ok(Self([0, 2, a, b, c, d, e, g]))
    }
}
