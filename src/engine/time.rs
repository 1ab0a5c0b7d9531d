//! Time as a parameter with a type: event time and arrival time never mix by accident.

/// Microseconds in one second, minute, hour and day.
pub const SECOND: i64 = 1_000_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// When the applicant submitted the form: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventTime(pub i64);

/// When the record reached the log: microseconds since 1970-01-01T00:00:00Z, by the source's arrival clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ArrivalTime(pub i64);

/// The running arrivals of a log: sources that append as they come share the wall clock, files bring their own time. One must
/// not move the other, or a line of tomorrow in a file would make every live quote too old.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Arrivals {
    /// Largest append time so far, microseconds; `None` before the first such record.
    pub log: Option<i64>,
    /// Largest event time so far of the sources on the `event` clock.
    pub event: Option<i64>,
}

impl Arrivals {
    /// What expiry counts from: append time wherever there is any.
    pub fn watermark(self) -> Option<i64> {
        self.log.or(self.event)
    }
}

/// A calendar date without a zone, packed so that comparing numbers compares dates.
///
/// Layout: year (0-9999) << 9 | month << 5 | day. Zero means "not given".
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date(pub u32);

impl Date {
    pub const NONE: Date = Date(0);

    /// Builds a date; `None` unless it exists in the proleptic Gregorian calendar and lies in years 0-9999.
    pub fn new(year: u32, month: u32, day: u32) -> Option<Date> {
        if year > 9999 || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
            return None;
        }
        Some(Date((year << 9) | (month << 5) | day))
    }

    /// Parses `YYYY-MM-DD`.
    pub fn parse(text: &str) -> Option<Date> {
        let b = text.as_bytes();
        if b.len() != 10 || b[4] != b'-' || b[7] != b'-' {
            return None;
        }
        let number = |range: std::ops::Range<usize>| {
            b[range].iter().try_fold(0u32, |n, c| c.is_ascii_digit().then(|| n * 10 + u32::from(c - b'0')))
        };
        Date::new(number(0..4)?, number(5..7)?, number(8..10)?)
    }

    pub fn is_given(self) -> bool {
        self.0 != 0
    }

    pub fn year(self) -> u32 {
        self.0 >> 9
    }

    pub fn month(self) -> u32 {
        (self.0 >> 5) & 15
    }

    pub fn day(self) -> u32 {
        self.0 & 31
    }
}

impl std::fmt::Display for Date {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year(), self.month(), self.day())
    }
}

fn days_in_month(year: u32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_exist_or_are_refused() {
        for (text, expected) in [
            ("1984-02-29", true),
            ("1983-02-29", false),
            ("1900-02-29", false),
            ("2000-02-29", true),
            ("0000-01-01", true),
            ("9999-12-31", true),
            ("1984-13-01", false),
            ("1984-00-01", false),
            ("1984-1-1", false),
            ("84-01-01", false),
            ("1984-01-0a", false),
        ] {
            assert_eq!(Date::parse(text).is_some(), expected, "{text}");
            if expected {
                assert_eq!(Date::parse(text).map(|d| d.to_string()).as_deref(), Some(text));
            }
        }
    }
}
