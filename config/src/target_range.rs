//! The range from which route targets are allocated.

use std::{fmt, str::FromStr};

use crate::RouteTarget;

/// Consecutive route targets of one administrator, both ends included: `64512:5000-5999`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TargetRange {
    administrator: String,
    first: u32,
    last: u32,
}

impl TargetRange {
    /// Its route targets, in order.
    pub fn targets(&self) -> impl Iterator<Item = RouteTarget> {
        // Both ends were read as targets, so all between are.
        (self.first..=self.last).filter_map(|n| format!("{}:{n}", self.administrator).parse().ok())
    }
}

impl fmt::Display for TargetRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}-{}", self.administrator, self.first, self.last)
    }
}

/// The text is no range of route targets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a range of route targets; write \"64512:5000-5999\"")]
pub struct ParseTargetRangeError(String);

impl FromStr for TargetRange {
    type Err = ParseTargetRangeError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseTargetRangeError(text.to_owned());
        let (administrator, numbers) = text.rsplit_once(':').ok_or_else(error)?;
        let (first, last) = numbers.split_once('-').ok_or_else(error)?;
        let number = |digits: &str| {
            format!("{administrator}:{digits}").parse::<RouteTarget>().map_err(|_| error())?;
            digits.parse::<u32>().map_err(|_| error())
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(error());
        }
        Ok(Self { administrator: administrator.to_owned(), first, last })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_both_its_ends() {
        let range: TargetRange = "64512:5000-5002".parse().expect("a range");
        let targets: Vec<String> = range.targets().map(|target| target.to_string()).collect();
        assert_eq!(targets, ["64512:5000", "64512:5001", "64512:5002"]);
        assert_eq!(range.to_string(), "64512:5000-5002");
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in
            ["", "64512:5000", "64512:6-5", "64512:5-", "5-6", "4200000000:1-70000", "x:1-2"]
        {
            assert!(text.parse::<TargetRange>().is_err(), "{text}");
        }
    }
}
