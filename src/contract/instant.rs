//! Instants on the wire: RFC 3339 in, RFC 3339 in UTC with the fewest of 0, 3 or 6 fraction digits out.

use serde::{Serialize, Serializer};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::engine::time::{EventTime, SECOND};

/// 0000-01-01T00:00:00Z and 9999-12-31T23:59:59.999999Z: what the text form can say.
const MIN: i64 = -62_167_219_200 * SECOND;
const MAX: i64 = 253_402_300_800 * SECOND - 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InstantError {
    #[error("write the time as RFC 3339 with an offset, like 2026-11-24T09:30:00+03:00")]
    Format,
    #[error("the calendar has no such time")]
    NoSuchTime,
}

/// Reads RFC 3339 with an offset; what is finer than a microsecond is cut off.
pub fn parse(text: &str) -> Result<EventTime, InstantError> {
    if !matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) {
        return Err(InstantError::Format);
    }
    let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|error| match error {
        time::error::Parse::TryFromParsed(_) => InstantError::NoSuchTime,
        _ => InstantError::Format,
    })?;
    // An offset may carry the first and last hours of the calendar out of it.
    let micros = i64::try_from(time.unix_timestamp_nanos().div_euclid(1_000)).map_err(|_| InstantError::NoSuchTime)?;
    if (MIN..=MAX).contains(&micros) { Ok(EventTime(micros)) } else { Err(InstantError::NoSuchTime) }
}

/// Shows an instant as on the wire; one outside the years 0-9999 as the nearest inside.
#[derive(Clone, Copy, Debug)]
pub struct Utc(pub EventTime);

/// `0000-00-00T00:00:00.000000Z`
const CHARS_MAX: usize = 27;

impl Utc {
    /// Writes by hand: a decision holds up to 65 instants, and the formatting machinery would cost most of its writing.
    fn write(self, buffer: &mut [u8; CHARS_MAX]) -> &str {
        let micros = self.0.0.clamp(MIN, MAX);
        let time = OffsetDateTime::from_unix_timestamp(micros.div_euclid(SECOND)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let (date, (hour, minute, second)) = (time.date(), time.to_hms());
        *buffer = *b"0000-00-00T00:00:00.000000Z";
        put_digits(&mut buffer[0..4], date.year().unsigned_abs());
        for (at, value) in [(5, date.month().into()), (8, date.day()), (11, hour), (14, minute), (17, second)] {
            put_digits(&mut buffer[at..at + 2], u32::from(value));
        }
        let fraction = micros.rem_euclid(SECOND) as u32;
        put_digits(&mut buffer[20..26], fraction);
        let end = match fraction {
            0 => 19,
            _ if fraction.is_multiple_of(1_000) => 23,
            _ => 26,
        };
        buffer[end] = b'Z';
        std::str::from_utf8(&buffer[..=end]).unwrap_or_default()
    }
}

/// Fills `digits` with the last decimal digits of `value`.
fn put_digits(digits: &mut [u8], mut value: u32) {
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (value % 10) as u8;
        value /= 10;
    }
}

impl std::fmt::Display for Utc {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.write(&mut [0; CHARS_MAX]))
    }
}

impl Serialize for Utc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.write(&mut [0; CHARS_MAX]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read_and_shown_in_utc() {
        for (text, expected) in [
            ("2026-11-24T09:30:00Z", Ok("2026-11-24T09:30:00Z")),
            ("2026-11-24t09:30:00z", Ok("2026-11-24T09:30:00Z")),
            ("2026-11-24 09:30:00+03:00", Ok("2026-11-24T06:30:00Z")),
            ("2026-11-24T09:30:00.5-03:30", Ok("2026-11-24T13:00:00.500Z")),
            ("2026-11-24T09:30:00.1234567899Z", Ok("2026-11-24T09:30:00.123456Z")),
            ("1969-12-31T23:59:59.9999999Z", Ok("1969-12-31T23:59:59.999999Z")),
            ("0000-01-01T00:00:00Z", Ok("0000-01-01T00:00:00Z")),
            ("9999-12-31T23:59:59.999999Z", Ok("9999-12-31T23:59:59.999999Z")),
            ("0000-01-01T00:00:00+01:00", Err(InstantError::NoSuchTime)),
            ("9999-12-31T23:30:00-01:00", Err(InstantError::NoSuchTime)),
            ("2026-02-29T09:30:00Z", Err(InstantError::NoSuchTime)),
            ("2026-11-24T09:30:00", Err(InstantError::Format)),
            ("2026-11-24", Err(InstantError::Format)),
            ("2026-11-24x09:30:00Z", Err(InstantError::Format)),
            ("1764000000", Err(InstantError::Format)),
            ("", Err(InstantError::Format)),
        ] {
            assert_eq!(parse(text).map(|time| Utc(time).to_string()).as_deref(), expected.as_ref().copied(), "{text}");
        }
    }

    #[test]
    fn no_instant_fails_to_show() {
        for (micros, expected) in
            [(i64::MIN, "0000-01-01T00:00:00Z"), (i64::MAX, "9999-12-31T23:59:59.999999Z"), (-1, "1969-12-31T23:59:59.999999Z")]
        {
            assert_eq!(Utc(EventTime(micros)).to_string(), expected);
        }
    }
}
