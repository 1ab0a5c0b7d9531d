//! The diff matrix: how each quote of an applicant differs from the one before it, by the engine's own comparators.

use crate::contract::quote::decode;
use crate::engine::compare::levels;
use crate::engine::field::{Field, Level};
use crate::engine::fingerprint::Fingerprint;

/// A field of a quote that is not as in the quote before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Changed {
    pub field: Field,
    pub level: Level,
}

/// For each form, in the order given, what changed since the last one that is held; nothing for the first.
///
/// `tenant` is that of the case. Forms that are not held, or are no quotes of it, have no changes.
pub fn changes<'a>(tenant: &str, forms: impl IntoIterator<Item = Option<&'a [u8]>>) -> Vec<Vec<Changed>> {
    let mut before: Option<Fingerprint> = None;
    forms
        .into_iter()
        .map(|form| {
            let Some(print) = form.and_then(|body| print(tenant, body)) else { return Vec::new() };
            let changed = before.as_ref().map_or_else(Vec::new, |before| between(before, &print));
            before = Some(print);
            changed
        })
        .collect()
}

fn print(tenant: &str, body: &[u8]) -> Option<Fingerprint> {
    decode(body, Some(tenant)).ok().map(|decoded| Fingerprint::new(&decoded.quote))
}

fn between(before: &Fingerprint, after: &Fingerprint) -> Vec<Changed> {
    let levels = levels(after, before);
    Field::ALL
        .into_iter()
        .zip(levels)
        .filter(|(_, level)| level.is_changed())
        .map(|(field, level)| Changed { field, level })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(vin: &str, last_name: &str) -> Vec<u8> {
        format!(
            r#"{{"quote_id":"q","submitted_at":"2026-03-02T12:00:00Z","product":"osago","channel":{{"kind":"web"}},
                "policyholder":{{"last_name":"{last_name}","first_name":"Анна"}},"vehicle":{{"vin":"{vin}"}}}}"#
        )
        .into_bytes()
    }

    #[test]
    fn each_quote_is_compared_with_the_one_before_that_is_held() {
        let forms = [
            Some(form("XTA219010K0123456", "Петрова")),
            Some(form("XTA219010K0123465", "Петрова")),
            None,
            Some(b"no quote".to_vec()),
            Some(form("XTA219010K0123465", "Пeтрова")), // a Latin e
            Some(form("XTA219010K0123465", "Пeтрова")),
        ];
        let changed = changes("default", forms.iter().map(Option::as_deref));
        let vin = Changed { field: Field::Vin, level: Level::Near };
        let name = Changed { field: Field::LastName, level: Level::Disguised };
        assert_eq!(changed, [vec![], vec![vin], vec![], vec![], vec![name], vec![]]);
    }
}
