//! Civil dates and the wire's time text, without a clock.

use std::fmt;

/// A date of the proleptic Gregorian calendar; always one that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    pub year: i32,
    pub month: u32,
    pub day: u32,
}

/// The workload's "today" for ages and licence years: the middle of its month.
pub const TODAY: Date = Date { year: 2026, month: 11, day: 15 };

/// 2026-11-01T00:00:00Z in milliseconds since 1970-01-01.
pub const START_MS: i64 = 1_793_491_200_000;
pub const DAY_MS: i64 = 86_400_000;

impl Date {
    /// `None` unless the date exists.
    pub fn new(year: i32, month: u32, day: u32) -> Option<Date> {
        let exists = (1..=12).contains(&month) && day >= 1 && day <= days_in_month(year, month);
        exists.then_some(Date { year, month, day })
    }

    /// The date with its day lowered until it exists (29 February of a common year becomes the 28th).
    pub fn clamped(year: i32, month: u32, day: u32) -> Date {
        let month = month.clamp(1, 12);
        Date { year, month, day: day.clamp(1, days_in_month(year, month)) }
    }

    pub fn parse(text: &str) -> Option<Date> {
        let mut parts = text.split('-');
        let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
        if year.len() != 4 || month.len() != 2 || day.len() != 2 || parts.next().is_some() {
            return None;
        }
        Date::new(year.parse().ok()?, month.parse().ok()?, day.parse().ok()?)
    }

    /// Days since 1970-01-01 (Howard Hinnant's `days_from_civil`).
    pub fn to_days(self) -> i64 {
        let y = i64::from(self.year) - i64::from(self.month <= 2);
        let era = y.div_euclid(400);
        let yoe = y.rem_euclid(400);
        let doy = (153 * ((i64::from(self.month) + 9) % 12) + 2) / 5 + i64::from(self.day) - 1;
        era * 146_097 + yoe * 365 + yoe / 4 - yoe / 100 + doy - 719_468
    }

    pub fn from_days(days: i64) -> Date {
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let month = if mp < 10 { mp + 3 } else { mp - 9 } as u32;
        let year = yoe + era * 400 + i64::from(month <= 2);
        Date { year: year as i32, month, day: (doy - (153 * mp + 2) / 5 + 1) as u32 }
    }

    pub fn plus_days(self, days: i64) -> Date {
        Date::from_days(self.to_days() + days)
    }

    pub fn plus_years(self, years: i32) -> Date {
        Date::clamped(self.year + years, self.month, self.day)
    }

    /// Whole years from this date to `later`.
    pub fn years_until(self, later: Date) -> i32 {
        later.year - self.year - i32::from((later.month, later.day) < (self.month, self.day))
    }
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04}-{:02}-{:02}", self.year, self.month, self.day)
    }
}

fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

/// RFC 3339 in UTC with milliseconds.
pub fn rfc3339(ms: i64) -> String {
    let date = Date::from_days(ms.div_euclid(DAY_MS));
    let of_day = ms.rem_euclid(DAY_MS);
    let (h, m, s) = (of_day / 3_600_000, of_day / 60_000 % 60, of_day / 1_000 % 60);
    format!("{date}T{h:02}:{m:02}:{s:02}.{:03}Z", of_day % 1_000)
}

/// Milliseconds since 1970-01-01 of a time written by [`rfc3339`].
pub fn parse_rfc3339(text: &str) -> Option<i64> {
    let date = Date::parse(text.get(..10)?)?;
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let ms = ((part(11..13)? * 60 + part(14..16)?) * 60 + part(17..19)?) * 1_000;
    let fraction = if text.as_bytes().get(19) == Some(&b'.') { part(20..23)? } else { 0 };
    Some(date.to_days() * DAY_MS + ms + fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_and_text_round_trip() {
        for days in (-200_000..200_000).step_by(37) {
            assert_eq!(Date::from_days(days).to_days(), days);
        }
        for (ms, expected) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (START_MS, "2026-11-01T00:00:00.000Z"),
            (1_709_208_000_123, "2024-02-29T12:00:00.123Z"),
        ] {
            assert_eq!(rfc3339(ms), expected);
            assert_eq!(parse_rfc3339(expected), Some(ms));
        }
    }

    #[test]
    fn years_count_birthdays() {
        let born = Date { year: 1990, month: 11, day: 16 };
        assert_eq!(born.years_until(TODAY), 35);
        assert_eq!(born.plus_days(-1).years_until(TODAY), 36);
        assert_eq!(Date { year: 2024, month: 2, day: 29 }.plus_years(1), Date { year: 2025, month: 2, day: 28 });
    }
}
