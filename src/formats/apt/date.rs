//! The dates of a `Release` file, as apt reads them (RFC 7231 §7.1.1.1, in GMT or a spelling of it).

use crate::clock::Time;
use chrono::{NaiveDate, Utc};

const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
const DAYS: [&str; 7] = ["Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun"];

/// Reads `Tue, 21 Mar 2017  7:49:42 UTC`: one or two digits for day and hour, as archives really write them,
/// and `UTC`, `GMT`, `Z` or `+0000`. Other offsets give `None`, for apt refuses them too.
pub fn parse(text: &str) -> Option<Time> {
    let mut words = text.split_ascii_whitespace();
    let weekday = words.next()?.strip_suffix(',')?;
    if !DAYS.contains(&weekday) {
        return None;
    }
    let day = number(words.next()?, 1, 2)?;
    let month = words.next()?;
    let month = MONTHS.iter().zip(1..).find(|(name, _)| **name == month)?.1;
    let year = i32::try_from(number(words.next()?, 4, 4)?).ok()?;
    let mut clock = words.next()?.split(':');
    let hour = number(clock.next()?, 1, 2)?;
    let minute = number(clock.next()?, 2, 2)?;
    let second = number(clock.next()?, 2, 2)?;
    if clock.next().is_some() || !["UTC", "GMT", "Z", "+0000"].contains(&words.next()?) || words.next().is_some() {
        return None;
    }
    let time = NaiveDate::from_ymd_opt(year, month, day)?.and_hms_opt(hour, minute, second)?;
    time.and_local_timezone(Utc).single()
}

fn number(text: &str, least: usize, most: usize) -> Option<u32> {
    let digits = (least..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    if digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::rfc3339;

    #[test]
    fn dates_as_archives_write_them() {
        for (text, time) in [
            ("Tue, 21 Mar 2017  7:49:42 UTC", "2017-03-21T07:49:42Z"),
            ("Mon, 23 Nov 2026 22:43:40 UTC", "2026-11-23T22:43:40Z"),
            ("Thu, 29 Feb 2024 00:00:00 +0000", "2024-02-29T00:00:00Z"),
            ("Sat, 01 Jan 2000 23:59:59 GMT", "2000-01-01T23:59:59Z"),
        ] {
            assert_eq!(parse(text).map(rfc3339).as_deref(), Some(time));
        }
    }

    #[test]
    fn other_dates_are_refused() {
        for text in [
            "",
            "2026-11-23T22:43:40Z",
            "Mon, 23 Nov 2026 22:43:40 +0100",
            "Mon, 23 Nov 2026 22:43:40",
            "Mon 23 Nov 2026 22:43:40 UTC",
            "Mon, 31 Nov 2026 22:43:40 UTC",
            "Mon, 23 Nov 2026 24:00:00 UTC",
            "Mon, 23 Nov 2026 22:43:40 UTC x",
            "Mon, +3 Nov 2026 22:43:40 UTC",
            "Mon, 23 Nov 99999 22:43:40 UTC",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }
}
