//! Numbers of a decision: rounded to what the reader can use, whole ones without a fraction.

use std::collections::BTreeMap;

use serde::{Serialize, Serializer};

/// A number with at most `DECIMALS` decimals.
pub(super) struct Rounded<const DECIMALS: i32>(pub f64);

impl<const DECIMALS: i32> Serialize for Rounded<DECIMALS> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        /// Below it, `f64` holds every integer.
        const WHOLE_BELOW: f64 = 9_007_199_254_740_992.0;
        let scale = 10f64.powi(DECIMALS);
        let value = match self.0 {
            value if !value.is_finite() => 0.0,
            // No decimals are left to round.
            value if value.abs() * scale >= WHOLE_BELOW => value,
            value => (value * scale).round() / scale,
        };
        if value.fract() == 0.0 && value.abs() < WHOLE_BELOW {
            serializer.serialize_i64(value as i64)
        } else {
            serializer.serialize_f64(value)
        }
    }
}

pub(super) fn one_decimal<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Rounded::<1>(*value).serialize(serializer)
}

pub(super) fn two_decimals<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Rounded::<2>(*value).serialize(serializer)
}

pub(super) fn two_decimals_each<S: Serializer>(values: &BTreeMap<String, f64>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(values.iter().map(|(name, value)| (name, Rounded::<2>(*value))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, expected) in [
            (3.0, "3"),
            (-0.0, "0"),
            (0.004, "0"),
            (-0.004, "0"),
            (4.2, "4.2"),
            (0.1 + 0.2, "0.3"),
            (21.455, "21.46"),
            (-7.126, "-7.13"),
            (1e15 + 0.25, "1000000000000000.2"),
            (1e300, "1e+300"),
            (f64::NAN, "0"),
            (f64::INFINITY, "0"),
        ] {
            assert_eq!(serde_json::to_string(&Rounded::<2>(value)).expect("serialises"), expected, "{value}");
        }
        assert_eq!(serde_json::to_string(&Rounded::<1>(21.449)).expect("serialises"), "21.4");
    }
}
