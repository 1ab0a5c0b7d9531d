//! What outsiders' bytes meet first, each as a function that must not panic and must not hang, and that holds a property where
//! there is one. Each says whether it could read the bytes. `make test` runs the corpus and its mutations through them, `make fuzz` lets libFuzzer search on.

use quoteguard::adapters::file::{Columns, read_quote};
use quoteguard::contract::csv::CsvMapping;
use quoteguard::contract::quote::decode;
use quoteguard::contract::rule_file::{canonical_source, from_canonical, load};
use quoteguard::contract::ruling::RulingV1;
use quoteguard::engine::decide::Prepared;
use quoteguard::engine::delta::Delta;

/// One of them, by name.
pub type Target = (&'static str, fn(&[u8]) -> bool);

pub const TARGETS: &[Target] = &[
    ("quote", quote),
    ("csv", csv),
    ("rule", rule),
    ("condition", condition),
    ("book", book),
    ("ruling", ruling),
    ("delta", delta),
    #[cfg(feature = "kafka")]
    ("control", control),
];

/// The body of a check, then the normalisers and the fingerprint.
pub fn quote(bytes: &[u8]) -> bool {
    let Ok(decoded) = decode(bytes, None) else { return false };
    let (once, again) = (Prepared::new(&decoded.quote), Prepared::new(&decoded.quote));
    assert_eq!(format!("{once:?}"), format!("{again:?}"), "one quote, one fingerprint");
    true
}

/// A header line and the record after it.
pub fn csv(bytes: &[u8]) -> bool {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (header, record) = bytes.split_at(at);
    let Ok(columns) = Columns::parse(header, &CsvMapping::default()) else { return false };
    let Ok((read, json)) = read_quote(record.get(1..).unwrap_or_default(), Some(&columns)) else { return false };
    let logged = decode(&json, None).expect("the log reads what it keeps");
    assert_eq!(logged.quote.quote_id, read.quote_id);
    true
}

/// A rule file.
pub fn rule(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(compiles_to_itself)
}

/// The condition of a rule, in CEL.
pub fn condition(bytes: &[u8]) -> bool {
    let Ok(when) = std::str::from_utf8(bytes) else { return false };
    // Each character as a YAML escape, so that every text is one string.
    let escaped: String = when.chars().map(|c| format!("\\U{:08X}", u32::from(c))).collect();
    let rule = include_str!("condition.yaml").lines();
    let rule = rule.map(|line| if line.starts_with("when:") { format!("when: \"{escaped}\"") } else { line.to_owned() });
    compiles_to_itself(&rule.collect::<Vec<_>>().join("\n"))
}

fn compiles_to_itself(text: &str) -> bool {
    let Ok(loaded) = load(1, &[("rule.yaml", text)]) else { return false };
    let stored = canonical_source(&loaded.book);
    let again = from_canonical(&stored).expect("what was compiled compiles again");
    assert_eq!(again.hash(), loaded.book.hash());
    assert_eq!(canonical_source(&again), stored);
    true
}

/// The canonical source of a book, as logs and the control topic keep it.
pub fn book(bytes: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(bytes) else { return false };
    let Ok(book) = from_canonical(text) else { return false };
    let again = from_canonical(&canonical_source(&book)).expect("what was compiled compiles again");
    assert_eq!(again.hash(), book.hash());
    true
}

/// A ruling as a record of the log.
pub fn ruling(bytes: &[u8]) -> bool {
    let Ok(ruling) = RulingV1::parse(bytes) else { return false };
    assert_eq!(RulingV1::parse(&ruling.to_json()).ok(), Some(ruling));
    true
}

/// What checkpoints are made of.
pub fn delta(bytes: &[u8]) -> bool {
    let mut rest = bytes;
    while let Ok(delta) = Delta::decode(&mut rest) {
        let mut stored = Vec::new();
        delta.encode(&mut stored);
        let again = Delta::decode(&mut &*stored).expect("what was read is written");
        let mut twice = Vec::new();
        again.encode(&mut twice);
        assert_eq!(twice, stored);
    }
    rest.len() < bytes.len()
}

/// A record of the control topic.
#[cfg(feature = "kafka")]
pub fn control(bytes: &[u8]) -> bool {
    use quoteguard::adapters::kafka::ControlRecord;
    let Some(record) = ControlRecord::parse(bytes) else { return false };
    let stored = record.to_json();
    let again = ControlRecord::parse(&stored).expect("what was read is written");
    assert_eq!(again.to_json(), stored);
    true
}
