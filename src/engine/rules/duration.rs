//! Window lengths as analysts write them: a whole number and a unit, `45s`, `30m`, `24h`, `7d`.

use crate::engine::time::{DAY, HOUR, MINUTE, SECOND};

const UNITS: [(&str, i64); 4] = [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", SECOND)];

/// Microseconds; parts may be joined (`1d12h`), each unit at most once, largest first. The error says what is expected.
pub fn parse(text: &str) -> Result<i64, String> {
    let expected = || format!("`{text}` is not a duration: write a whole number and s, m, h or d, as in 24h or 7d");
    let mut rest = text;
    let mut total = 0i64;
    for (unit, micros) in UNITS {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let Some(after) = rest[digits..].strip_prefix(unit).filter(|_| digits > 0) else { continue };
        let amount: i64 = rest[..digits].parse().map_err(|_| expected())?;
        total = amount.checked_mul(micros).and_then(|part| total.checked_add(part)).ok_or_else(expected)?;
        rest = after;
    }
    if rest.is_empty() && !text.is_empty() { Ok(total) } else { Err(expected()) }
}

/// The shortest spelling in one unit: 24h stays `24h`, 48 h is `2d`.
pub fn format(micros: i64) -> String {
    if micros == DAY {
        return "24h".into();
    }
    UNITS
        .iter()
        .find(|(_, unit)| micros % unit == 0 && micros >= *unit)
        .map_or_else(|| format!("{}s", micros as f64 / SECOND as f64), |(name, unit)| format!("{}{name}", micros / unit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_parse_and_print() {
        for (text, expected) in [
            ("24h", Some(DAY)),
            ("30d", Some(30 * DAY)),
            ("90m", Some(90 * MINUTE)),
            ("1d12h", Some(36 * HOUR)),
            ("0s", Some(0)),
            ("", None),
            ("h", None),
            ("24", None),
            ("-1h", None),
            ("1.5h", None),
            ("12h1d", None),
            ("1h1h", None),
            ("24 h", None),
            ("1w", None),
            ("9223372036854775807d", None),
            ("99999999999999999999s", None),
            ("1ж", None),
        ] {
            assert_eq!(parse(text).ok(), expected, "{text}");
        }
        for (micros, expected) in [(DAY, "24h"), (2 * DAY, "2d"), (36 * HOUR, "36h"), (90 * SECOND, "90s"), (0, "0s")] {
            assert_eq!(format(micros), expected);
            assert_eq!(parse(expected), Ok(micros), "round trip of {expected}");
        }
    }
}
