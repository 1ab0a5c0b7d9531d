//! Settings that are fixed for the life of a log, as they are stored with it: by configuration key, as text.

use std::collections::BTreeMap;

use super::StoreError;
use crate::contract::instant::{self, Utc};
use crate::engine::state::Settings;

const RETENTION: &str = "time.retention_secs";
const LATENESS_HTTP: &str = "time.lateness_http_secs";
const LATENESS_STREAM: &str = "time.lateness_stream_secs";
const MAX_SKEW: &str = "time.max_skew_secs";
const MAX_AGE: &str = "time.max_age_secs";
const MAX_JUMP: &str = "time.max_jump_secs";
const EVENT_START: &str = "time.event_start";
const LIVE_ATTEMPTS: &str = "limits.live_attempts_max";
const LIVE_BYTES: &str = "limits.live_bytes_max";

/// Stored where a setting is not given.
const NONE: &str = "none";

/// Key and value of each.
pub fn pairs(settings: &Settings) -> [(&'static str, String); 9] {
    [
        (RETENTION, settings.retention_secs.to_string()),
        (LATENESS_HTTP, settings.lateness_http_secs.to_string()),
        (LATENESS_STREAM, settings.lateness_stream_secs.to_string()),
        (MAX_SKEW, settings.max_skew_secs.to_string()),
        (MAX_AGE, settings.max_age_secs.to_string()),
        (MAX_JUMP, settings.max_jump_secs.to_string()),
        (EVENT_START, settings.event_start.map_or(NONE.to_owned(), |start| Utc(start).to_string())),
        (LIVE_ATTEMPTS, settings.max_live_attempts.to_string()),
        (LIVE_BYTES, settings.max_live_bytes.to_string()),
    ]
}

/// Back from what was stored; other keys are left alone.
pub fn read(stored: &BTreeMap<String, String>, log_id: &str, partition: u32) -> Result<Settings, StoreError> {
    let lacks = |key: &str| StoreError::Damaged(format!("the log was stored without {key}"));
    let number = |key: &str| stored.get(key).and_then(|text| text.parse().ok()).ok_or_else(|| lacks(key));
    let event_start = match stored.get(EVENT_START).map(String::as_str) {
        Some(NONE) => None,
        Some(start) => Some(instant::parse(start).map_err(|_| lacks(EVENT_START))?),
        None => return Err(lacks(EVENT_START)),
    };
    Ok(Settings {
        log_id: log_id.into(),
        partition,
        retention_secs: number(RETENTION)?,
        max_live_attempts: usize::try_from(number(LIVE_ATTEMPTS)?).unwrap_or(usize::MAX),
        max_live_bytes: usize::try_from(number(LIVE_BYTES)?).unwrap_or(usize::MAX),
        lateness_http_secs: number(LATENESS_HTTP)?,
        lateness_stream_secs: number(LATENESS_STREAM)?,
        max_skew_secs: number(MAX_SKEW)?,
        max_age_secs: number(MAX_AGE)?,
        max_jump_secs: number(MAX_JUMP)?,
        event_start,
    })
}
