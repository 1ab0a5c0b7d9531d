//! What underwriters do with a case.

use std::time::Duration;

use serde_json::json;

use super::db::Db;
use super::queue::{Locked, conditions, locked};
use super::{DeskStore, audit};
use crate::engine::time::{EventTime, SECOND};
use crate::pipeline::StoreError;
use crate::pipeline::desk::{COMMENT_CHARS_MAX, DeskError, NewAudit, QueueFilter, RESERVED_SECS, RulingKind};
use crate::vault::Place;

const RESERVE: &str = "UPDATE cases SET deciding = $1, deciding_until = $2 WHERE referral_id = $3";
const CLAIM: &str = "UPDATE cases SET lease_by = $1, lease_until = $2 WHERE referral_id = $3";
const RELEASE: &str = "UPDATE cases SET lease_by = NULL, lease_until = NULL WHERE referral_id = $1 AND lease_by = $2";
const COMMENT: &str = "INSERT INTO comments (referral_id, at, actor, text) VALUES ($1, {now}, $2, $3) RETURNING id";
const SEAL: &str = "UPDATE comments SET text = '', sealed = $1 WHERE id = $2";

pub(super) async fn reserve(db: &Db, referral_id: &str, seen: u32, kind: RulingKind, who: &str) -> Result<String, DeskError> {
    let mut tx = db.begin().await?;
    let Locked { status, revision, lease, deciding, now } = locked(&mut tx, referral_id).await?;
    let ruling_id = ruling_id(referral_id, seen, kind, who);
    if seen != revision {
        return Err(DeskError::Stale { now: status, revision });
    }
    status.after(kind)?;
    if let Some(lease) = lease.filter(|lease| lease.by != who) {
        return Err(DeskError::Taken { by: lease.by, until: lease.until });
    }
    if kind.status().is_some() {
        if deciding.is_some_and(|deciding| deciding != ruling_id) {
            return Err(DeskError::Stale { now: status, revision });
        }
        let until = now + RESERVED_SECS * SECOND;
        tx.run(RESERVE, vec![ruling_id.as_str().into(), until.into(), referral_id.into()]).await?;
    }
    tx.commit().await?;
    Ok(ruling_id)
}

/// The same for the same person asking twice for the same: at most 64 characters, for that is what a ruling's id may have.
fn ruling_id(referral_id: &str, seen: u32, kind: RulingKind, who: &str) -> String {
    let hash = xxhash_rust::xxh3::xxh3_64(who.as_bytes());
    format!("{referral_id}.{seen}.{}.{hash:016x}", kind.name())
}

pub(super) async fn claim(desk: &DeskStore, referral_id: &str, who: &str, ttl: Duration) -> Result<EventTime, DeskError> {
    let mut tx = desk.db.begin().await?;
    let Locked { lease, now, .. } = locked(&mut tx, referral_id).await?;
    if let Some(lease) = lease.filter(|lease| lease.by != who) {
        return Err(DeskError::Taken { by: lease.by, until: lease.until });
    }
    let until = EventTime(now.saturating_add(micros(ttl)));
    tx.run(CLAIM, vec![who.into(), until.into(), referral_id.into()]).await?;
    audit::commit(tx, &desk.vault, NewAudit::new(who, "case.claim", referral_id, json!({}))).await?;
    Ok(until)
}

pub(super) async fn claim_next(
    desk: &DeskStore,
    filter: &QueueFilter,
    who: &str,
    ttl: Duration,
) -> Result<Option<String>, DeskError> {
    let mut wanted = conditions(filter);
    wanted.plain("(c.lease_until IS NULL OR c.lease_until <= {now})");
    let find = format!(
        "SELECT c.referral_id, {{now}} FROM cases c{} ORDER BY c.opened_at, c.referral_id LIMIT 1 {{skip_locked}}",
        wanted.sql()
    );
    let mut tx = desk.db.begin().await?;
    let Some(row) = tx.first(&find, wanted.values).await? else { return Ok(None) };
    let (referral_id, now): (String, i64) = (row.get(0)?, row.get(1)?);
    let until = now.saturating_add(micros(ttl));
    tx.run(CLAIM, vec![who.into(), until.into(), referral_id.as_str().into()]).await?;
    audit::commit(tx, &desk.vault, NewAudit::new(who, "case.claim", &referral_id, json!({}))).await?;
    Ok(Some(referral_id))
}

fn micros(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_micros()).unwrap_or(i64::MAX)
}

pub(super) async fn release(desk: &DeskStore, referral_id: &str, who: &str) -> Result<(), DeskError> {
    let mut tx = desk.db.begin().await?;
    match tx.run(RELEASE, vec![referral_id.into(), who.into()]).await? {
        0 => Ok(()),
        _ => Ok(audit::commit(tx, &desk.vault, NewAudit::new(who, "case.release", referral_id, json!({}))).await?),
    }
}

pub(super) async fn assign(desk: &DeskStore, referral_id: &str, assignee: Option<String>, who: &str) -> Result<(), DeskError> {
    let detail = json!({"assignee": assignee});
    let mut tx = desk.db.begin().await?;
    let sql = "UPDATE cases SET assignee = $1 WHERE referral_id = $2";
    match tx.run(sql, vec![assignee.into(), referral_id.into()]).await? {
        0 => Err(DeskError::NoCase(referral_id.to_owned())),
        _ => Ok(audit::commit(tx, &desk.vault, NewAudit::new(who, "case.assign", referral_id, detail)).await?),
    }
}

pub(super) async fn comment(desk: &DeskStore, referral_id: &str, actor: &str, text: &str) -> Result<(), DeskError> {
    let chars = text.chars().count();
    if chars > COMMENT_CHARS_MAX {
        return Err(DeskError::TooLong { field: "the comment", chars, max: COMMENT_CHARS_MAX });
    }
    // PostgreSQL keeps no NUL in a text.
    let text = text.replace('\0', "");
    let mut tx = desk.db.begin().await?;
    // A case that is dropped for its age takes its comments with it: this one comes before, or there is no case.
    locked(&mut tx, referral_id).await?;
    let is_sealed = desk.vault.key().is_some();
    let plain = if is_sealed { "" } else { text.as_str() };
    let row = tx.first(COMMENT, vec![referral_id.into(), actor.into(), plain.into()]).await?;
    if let (true, Some(row)) = (is_sealed, row) {
        let id = row.get(0)?;
        let place = Place::Comment { case: referral_id, author: actor, id };
        let sealed = desk.vault.wrap(place, text.as_bytes()).map_err(StoreError::from)?;
        tx.run(SEAL, vec![sealed.into(), id.into()]).await?;
    }
    Ok(audit::commit(tx, &desk.vault, NewAudit::new(actor, "case.comment", referral_id, json!({"characters": chars}))).await?)
}
