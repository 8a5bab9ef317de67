//! Times: short for columns, exact where there is room.

use std::time::{SystemTime, UNIX_EPOCH};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;

/// `00:12:03` within a day, `3d04h` within a week, `5w2d` after.
pub(crate) fn span(seconds: u64) -> String {
    if seconds < DAY {
        let (hours, minutes) = (seconds / HOUR, seconds % HOUR / MINUTE);
        format!("{hours:02}:{minutes:02}:{:02}", seconds % MINUTE)
    } else if seconds < WEEK {
        format!("{}d{:02}h", seconds / DAY, seconds % DAY / HOUR)
    } else {
        format!("{}w{}d", seconds / WEEK, seconds % WEEK / DAY)
    }
}

/// `2026-11-20 20:15:48 UTC`, from seconds since the epoch.
pub(crate) fn date(epoch: u64) -> String {
    let (year, month, day) = civil(epoch / DAY);
    let (hour, minute, second) = (epoch % DAY / HOUR, epoch % HOUR / MINUTE, epoch % MINUTE);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} UTC")
}

/// Seconds since the epoch.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// The Gregorian date of a day counted from 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    let leap =
        |year: u64| year.is_multiple_of(4) && !year.is_multiple_of(100) || year.is_multiple_of(400);
    // 400 years are a whole number of days, so that the loops below are short for any number.
    let (cycles, mut days) = (days / 146_097, days % 146_097);
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let february = 28 + u64::from(leap(year));
    let mut month = 1;
    for length in [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31] {
        if days < length {
            break;
        }
        days -= length;
        month += 1;
    }
    (year + 400 * cycles, month, days + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_never_wider_than_eight() {
        for (seconds, text) in [
            (0, "00:00:00"),
            (DAY - 1, "23:59:59"),
            (DAY, "1d00h"),
            (WEEK - 1, "6d23h"),
            (WEEK, "1w0d"),
            (100 * WEEK + DAY, "100w1d"),
        ] {
            assert_eq!(span(seconds), text);
        }
    }

    #[test]
    fn dates_are_those_of_date_1() {
        for (epoch, text) in [
            (0, "1970-01-01 00:00:00 UTC"),
            (951_782_399, "2000-02-28 23:59:59 UTC"),
            (951_782_400, "2000-02-29 00:00:00 UTC"),
            (951_868_800, "2000-03-01 00:00:00 UTC"),
            (1_795_205_748, "2026-11-20 20:15:48 UTC"),
            (4_107_542_400, "2100-03-01 00:00:00 UTC"),
            (13_569_465_600, "2400-01-01 00:00:00 UTC"),
        ] {
            assert_eq!(date(epoch), text);
        }
    }
}
