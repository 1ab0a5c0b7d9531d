//! Records of the control topic.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Unknown fields are ignored and unknown types skipped: later versions add.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ControlRecord {
    /// The identity of the log. The first one counts.
    Log {
        /// 32 hex digits.
        log_id: String,
        /// Of `quotes`.
        partitions: u32,
        /// Fixed for the life of the log, by configuration key.
        settings: BTreeMap<String, String>,
    },
    /// A rule book. It counts if its version is the last one's plus 1, so of two publishers exactly one wins.
    Book {
        /// Canonical source.
        source: String,
        version: u32,
        /// 16 hex digits.
        hash: String,
        /// Who brought it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
    },
    /// What people decided about a case: the record of `contract::ruling`. The first one with an id counts.
    Ruling { ruling: serde_json::Value },
    /// A rule book that waits for the approval of a second person, as the one of this version.
    Proposal {
        /// Canonical source.
        source: String,
        version: u32,
        /// 16 hex digits.
        hash: String,
        /// Who proposes it.
        by: String,
    },
    /// Its offset is the epoch of the ownership.
    Claim { partition: i32, instance: String },
    #[serde(other)]
    Unknown,
}

impl ControlRecord {
    pub fn key(&self) -> String {
        match self {
            ControlRecord::Log { .. } => "log".to_owned(),
            ControlRecord::Book { .. } => "book".to_owned(),
            ControlRecord::Ruling { ruling } => format!("ruling/{}", ruling["ruling_id"].as_str().unwrap_or_default()),
            ControlRecord::Proposal { hash, .. } => format!("proposal/{hash}"),
            ControlRecord::Claim { partition, .. } => format!("claim/{partition}"),
            ControlRecord::Unknown => "unknown".to_owned(),
        }
    }

    pub fn to_json(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("memory takes every byte and all keys are strings")
    }

    /// `None` for what is not ours to read.
    pub fn parse(value: &[u8]) -> Option<ControlRecord> {
        serde_json::from_slice(value).ok()
    }
}

/// The ruling that a value carries, which the desk reads itself.
pub(in crate::adapters::kafka) fn ruling_of(value: &[u8]) -> Option<Vec<u8>> {
    #[derive(Deserialize)]
    struct Carrier {
        r#type: String,
        ruling: serde_json::Value,
    }
    let carrier = serde_json::from_slice::<Carrier>(value).ok().filter(|carrier| carrier.r#type == "ruling")?;
    Some(carrier.ruling.to_string().into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_read_back_and_the_unknown_is_skipped() {
        let log =
            ControlRecord::Log { log_id: "0".repeat(32), partitions: 4, settings: BTreeMap::from([("a".into(), "1".into())]) };
        let book = ControlRecord::Book { source: "[]".into(), version: 1, hash: "00ff".into(), by: Some("anna".into()) };
        let claim = ControlRecord::Claim { partition: 3, instance: "i".into() };
        let ruling = ControlRecord::Ruling { ruling: serde_json::json!({"ruling_id": "r-1", "kind": "of a later release"}) };
        let proposal = ControlRecord::Proposal { source: "[]".into(), version: 2, hash: "00fe".into(), by: "boris".into() };
        let cases = [(log, "log"), (book, "book"), (proposal, "proposal/00fe"), (claim, "claim/3"), (ruling, "ruling/r-1")];
        for (record, key) in cases {
            assert_eq!(record.key(), key);
            assert_eq!(ControlRecord::parse(&record.to_json()), Some(record));
        }
        let claimed = br#"{"type":"claim","partition":0,"instance":"i","since":"later versions"}"#;
        assert_eq!(ControlRecord::parse(claimed), Some(ControlRecord::Claim { partition: 0, instance: "i".into() }));
        assert_eq!(ControlRecord::parse(br#"{"type":"snooze","case":"R-1"}"#), Some(ControlRecord::Unknown));
        for junk in [&b""[..], b"{", b"[]", b"\xff", br#"{"type":"claim"}"#] {
            assert_eq!(ControlRecord::parse(junk), None);
        }
    }
}
