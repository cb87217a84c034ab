//! Points in time and days, as numbers, with the two text forms that events use.

use std::{borrow::Cow, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const DAY: i64 = 86_400_000_000;

/// A point in time: microseconds since 1970-01-01T00:00:00Z. In JSON and as text it is RFC 3339.
///
/// ```
/// use eventfabric_sdk::Timestamptz;
///
/// let time: Timestamptz = "2013-01-01T05:15:00.25-05:00".parse()?;
/// assert_eq!(time, Timestamptz(1_357_035_300_250_000));
/// assert_eq!(time.to_string(), "2013-01-01T10:15:00.250000Z");
/// # Ok::<(), eventfabric_sdk::TimeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamptz(pub i64);

/// A day: days since 1970-01-01. In JSON and as text it is `YYYY-MM-DD`.
///
/// ```
/// use eventfabric_sdk::{Date, Timestamptz};
///
/// let day: Date = "2013-01-01".parse()?;
/// assert_eq!(day, Date(15_706));
/// assert_eq!(Timestamptz(1_357_035_300_250_000).date(), day);
/// # Ok::<(), eventfabric_sdk::TimeError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Date(pub i32);

/// A text that is no time or day in the form that is expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimeError {
    text: String,
    expected: &'static str,
}

impl fmt::Display for TimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` is not {}", self.text, self.expected)
    }
}

impl std::error::Error for TimeError {}

impl Timestamptz {
    /// The day in UTC.
    pub fn date(self) -> Date {
        Date(self.0.div_euclid(DAY) as i32)
    }
}

impl FromStr for Timestamptz {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        timestamp(text).ok_or_else(|| TimeError {
            text: text.into(),
            expected: "a time such as 2013-01-01T10:15:00Z",
        })
    }
}

impl FromStr for Date {
    type Err = TimeError;

    fn from_str(text: &str) -> Result<Self, TimeError> {
        day(text)
            .ok_or_else(|| TimeError { text: text.into(), expected: "a day such as 2013-01-01" })
    }
}

fn timestamp(text: &str) -> Option<Timestamptz> {
    let date = day(text.get(..10)?)?;
    let (clock, rest) = (text.get(11..19)?, text.get(19..)?);
    let parts = (text.get(10..11)?, clock.get(2..3)?, clock.get(5..6)?);
    if !matches!(parts, ("T" | "t" | " ", ":", ":")) {
        return None;
    }
    let (hour, minute) = (digits(&clock[..2])?, digits(clock.get(3..5)?)?);
    let second = digits(clock.get(6..)?)?;
    if hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let (fraction, zone) = match rest.strip_prefix('.') {
        None => ("", rest),
        Some(rest) => rest.split_at(rest.find(|c: char| !c.is_ascii_digit())?),
    };
    // Digits past the microsecond are cut off, as PostgreSQL can't hold them.
    let micros = digits(&format!("{fraction:0<6}")[..6])?;
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = match zone.get(..1)? {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let (hours, minutes) = zone.get(1..)?.split_once(':')?;
            sign * (digits(hours)? * 60 + digits(minutes)?)
        }
    };
    let seconds = (hour * 60 + minute - offset) * 60 + second;
    Some(Timestamptz(i64::from(date.0) * DAY + seconds * 1_000_000 + micros))
}

fn digits(text: &str) -> Option<i64> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()))
        .then(|| text.parse().ok())
        .flatten()
}

fn day(text: &str) -> Option<Date> {
    if text.len() != 10 || text.get(4..5)? != "-" || text.get(7..8)? != "-" {
        return None;
    }
    let (year, month, day) = (digits(&text[..4])?, digits(&text[5..7])?, digits(&text[8..])?);
    let date = Date(days(year, month, day));
    // A day that does not exist comes back as another one.
    (civil(date.0) == (year, month, day)).then_some(date)
}

/// Days since 1970 of a day in the Gregorian calendar (Hinnant's algorithm).
fn days(year: i64, month: i64, day: i64) -> i32 {
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    (era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468) as i32
}

/// Year, month and day of a number of days since 1970.
fn civil(days: i32) -> (i64, i64, i64) {
    let days = i64::from(days) + 719_468;
    let (era, of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (year + era * 400 + i64::from(month <= 2), month, day)
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = civil(self.0);
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl fmt::Display for Timestamptz {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.rem_euclid(DAY);
        let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        write!(f, "{}T{hour:02}:{minute:02}:{second:02}", self.date())?;
        if fraction > 0 {
            write!(f, ".{fraction:06}")?;
        }
        f.write_str("Z")
    }
}

macro_rules! json_as_text {
    ($($type:ty),*) => {$(
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                Cow::<str>::deserialize(deserializer)?.parse().map_err(de::Error::custom)
            }
        }
    )*};
}

json_as_text!(Timestamptz, Date);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_all_kinds_of_years_come_back() {
        for text in ["1970-01-01", "2000-02-29", "1900-03-01", "2013-12-31", "0001-01-01"] {
            assert_eq!(text.parse::<Date>().unwrap().to_string(), text);
        }
        assert_eq!(Date(-1).to_string(), "1969-12-31");
    }

    #[test]
    fn what_is_no_day_or_time_is_refused() {
        for text in ["2013-02-29", "2013-13-01", "2013-1-01", "13-01-2013", ""] {
            assert!(text.parse::<Date>().is_err(), "{text}");
        }
        for text in
            ["2013-01-01", "2013-01-01T25:00:00Z", "2013-01-01T10:00:00", "2013-01-01T1é:00"]
        {
            assert!(text.parse::<Timestamptz>().is_err(), "{text}");
        }
    }

    #[test]
    fn times_before_1970_and_far_offsets_are_exact() {
        for (text, micros) in [
            ("1969-12-31T23:59:59.999999Z", -1),
            ("1970-01-01T14:00:00+14:00", 0),
            ("2013-01-01 10:15:00.1234567Z", 1_357_035_300_123_456),
        ] {
            assert_eq!(text.parse::<Timestamptz>().unwrap(), Timestamptz(micros), "{text}");
        }
        assert_eq!(Timestamptz(-1).to_string(), "1969-12-31T23:59:59.999999Z");
    }
}
