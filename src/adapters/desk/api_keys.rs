//! Keys of the API. A change takes the head's row first, so that changes come one after another.

use std::time::Duration;

use serde_json::json;

use super::{DeskStore, Relation, Row, Tx, Value, ValueKind, audit};
use crate::engine::time::{DAY, EventTime};
use crate::pipeline::StoreError;
use crate::pipeline::api_keys::{
    Actor, ApiKeys, Fresh, HeldKey, InForce, KEYS_MAX, KeyHash, KeyId, KeyState, LISTED_MAX, Limit, ListedKey, NewKey, NotDone,
    OVERLAP_MAX, Permission,
};
use crate::pipeline::desk::{Answer, DeskError, NewAudit};

const BEGIN: &str = "UPDATE api_keys_head SET version = version + 1 WHERE id = 0";
const VERSION: &str = "SELECT version FROM api_keys_head WHERE id = 0";
const LIVE: &str = "k.revoked_at IS NULL AND (k.expires_at IS NULL OR k.expires_at > {now})";
/// Has a key that took its place, and that was not revoked since.
const REPLACED: &str = "EXISTS (SELECT 1 FROM api_keys s WHERE s.rotated_from = k.id AND s.revoked_at IS NULL)";
const INSERT: &str = "INSERT INTO api_keys \
    (id, name, tenant, may, hash, rate_per_sec, burst, created_at, created_by, expires_at, rotated_from) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, {now}, $8, {now} + $9, $10)";
const SHORTEN: &str =
    "UPDATE api_keys SET expires_at = CASE WHEN expires_at < {now} + $2 THEN expires_at ELSE {now} + $2 END WHERE id = $1";
const REVOKE: &str = "UPDATE api_keys SET revoked_at = {now} WHERE id = $1";
const NOTE: &str = "UPDATE api_keys SET last_used_at = {now} FROM {v} WHERE api_keys.id = v.used";

impl ApiKeys for DeskStore {
    fn api_keys(&self, tenant: Option<&str>) -> Answer<Vec<ListedKey>> {
        let tenant = tenant.map(str::to_owned);
        let state = format!(
            "CASE WHEN k.revoked_at IS NOT NULL THEN 3 WHEN k.expires_at <= {{now}} THEN 2 WHEN {REPLACED} THEN 1 ELSE 0 END AS state"
        );
        let sql = format!(
            "SELECT k.id, k.name, k.tenant, k.may, k.rate_per_sec, k.burst, k.created_at, k.created_by, k.expires_at, k.revoked_at, \
                k.last_used_at, k.rotated_from, {state} FROM api_keys k WHERE $1 IS NULL OR k.tenant = $1 \
             ORDER BY CASE WHEN {LIVE} THEN 0 ELSE 1 END, k.created_at DESC, k.id LIMIT {LISTED_MAX}"
        );
        self.spawned(async move |desk| {
            let rows = desk.db.all(&sql, vec![tenant.into()]).await?;
            Ok(rows.iter().map(listed).collect::<Result<_, _>>()?)
        })
    }

    fn api_keys_version(&self) -> Answer<u64> {
        self.spawned(async move |desk| {
            let row = desk.db.first(VERSION, vec![]).await?;
            Ok(row.map_or(Ok(0), |row| row.get(0))?)
        })
    }

    fn api_keys_in_force(&self) -> Answer<InForce> {
        let sql = format!(
            "SELECT k.id, k.name, k.tenant, k.may, k.rate_per_sec, k.burst, k.hash, k.expires_at - {{now}} FROM api_keys k WHERE {LIVE}"
        );
        self.spawned(async move |desk| {
            // First: keys that came since make it be read again.
            let version = desk.db.first(VERSION, vec![]).await?.map_or(Ok(0), |row| row.get(0))?;
            let any = desk.db.first("SELECT id FROM api_keys LIMIT 1", vec![]).await?;
            let rows = desk.db.all(&sql, vec![]).await?;
            let keys = rows.iter().map(held).collect::<Result<_, _>>()?;
            Ok(InForce { version, is_closed: any.is_some(), keys })
        })
    }

    fn create_api_key(&self, fresh: &Fresh, new: NewKey, by: Actor, closes: bool) -> Answer<Result<(), NotDone>> {
        let (id, hash) = (fresh.id, fresh.hash());
        let counts = format!(
            "SELECT count(*), coalesce(sum(CASE WHEN {LIVE} THEN 1 ELSE 0 END), 0), \
                coalesce(sum(CASE WHEN k.name = $1 AND {LIVE} THEN 1 ELSE 0 END), 0) FROM api_keys k"
        );
        self.spawned(async move |desk| {
            if let Err(fault) = new.check() {
                return Ok(Err(fault.into()));
            }
            if by.tenant.as_ref().is_some_and(|tenant| *tenant != new.tenant || is_of_all(&new.may)) {
                return Ok(Err(NotDone::NotAllowed));
            }
            let mut tx = desk.db.begin().await?;
            tx.run(BEGIN, vec![]).await?;
            let counted = tx.first(&counts, vec![new.name.as_str().into()]).await?;
            let (all, live, named): (u64, u64, u64) =
                counted.map_or(Ok((0, 0, 0)), |row| -> Result<_, StoreError> { Ok((row.get(0)?, row.get(1)?, row.get(2)?)) })?;
            if let Some(refused) = [
                (all == 0 && !closes, NotDone::WouldClose),
                (named > 0, NotDone::NameTaken),
                (live >= KEYS_MAX, NotDone::TooMany),
            ]
            .into_iter()
            .find_map(|(is, refused)| is.then_some(refused))
            {
                return Ok(Err(refused));
            }
            let lives = new.expires_days.map(|days| i64::from(days) * DAY);
            let detail = json!({
                "name": new.name, "tenant": new.tenant, "may": Permission::join(&new.may), "rate_per_sec": new.limit.per_sec,
                "burst": new.limit.burst, "expires_days": new.expires_days,
            });
            insert(&mut tx, (id, hash), &new, &by, lives, None).await?;
            audit::commit(tx, &desk.vault, entry(&by, "key.create", id, detail)).await?;
            Ok(Ok(()))
        })
    }

    fn rotate_api_key(&self, old: KeyId, fresh: &Fresh, by: Actor, overlap: Duration) -> Answer<Result<(), NotDone>> {
        let (id, hash) = (fresh.id, fresh.hash());
        let overlap = overlap.min(OVERLAP_MAX);
        self.spawned(async move |desk| {
            let mut tx = desk.db.begin().await?;
            let found = match take(&mut tx, old, &by).await? {
                Ok(found) => found,
                Err(refused) => return Ok(Err(refused)),
            };
            if found.is_replaced {
                return Ok(Err(NotDone::Replaced));
            }
            let detail = json!({"name": found.new.name, "new": id.to_string(), "overlap_secs": overlap.as_secs()});
            insert(&mut tx, (id, hash), &found.new, &by, found.lives, Some(old)).await?;
            let overlap = i64::try_from(overlap.as_micros()).unwrap_or(i64::MAX);
            tx.run(SHORTEN, vec![old.to_string().into(), overlap.into()]).await?;
            audit::commit(tx, &desk.vault, entry(&by, "key.rotate", old, detail)).await?;
            Ok(Ok(()))
        })
    }

    fn revoke_api_key(&self, id: KeyId, by: Actor) -> Answer<Result<(), NotDone>> {
        self.spawned(async move |desk| {
            let mut tx = desk.db.begin().await?;
            let found = match take(&mut tx, id, &by).await? {
                Ok(found) => found,
                Err(refused) => return Ok(Err(refused)),
            };
            tx.run(REVOKE, vec![id.to_string().into()]).await?;
            audit::commit(tx, &desk.vault, entry(&by, "key.revoke", id, json!({"name": found.new.name}))).await?;
            Ok(Ok(()))
        })
    }

    fn note_api_keys(&self, used: Vec<KeyId>) -> Answer<()> {
        self.spawned(async move |desk| {
            let rows = used.iter().map(|id| vec![id.to_string().into()]).collect();
            let mut tx = desk.db.begin().await?;
            tx.over(NOTE, &[], Relation { columns: &[("used", ValueKind::Text)], rows }).await?;
            Ok(tx.commit().await?)
        })
    }
}

fn is_of_all(may: &[Permission]) -> bool {
    may.iter().any(|permission| permission.is_of_all())
}

/// A key in force that is about to be changed.
struct Taken {
    /// As it was made, but for how long it lives.
    new: NewKey,
    /// Microseconds that it was given, from its making to its end.
    lives: Option<i64>,
    is_replaced: bool,
}

/// Begins a change of a key that is in force.
async fn take(tx: &mut Tx, id: KeyId, by: &Actor) -> Result<Result<Taken, NotDone>, DeskError> {
    tx.run(BEGIN, vec![]).await?;
    let sql = format!(
        "SELECT k.id, k.name, k.tenant, k.may, k.rate_per_sec, k.burst, k.expires_at - k.created_at, \
            CASE WHEN {LIVE} THEN 1 ELSE 0 END, CASE WHEN {REPLACED} THEN 1 ELSE 0 END FROM api_keys k WHERE k.id = $1"
    );
    let Some(row) = tx.first(&sql, vec![id.to_string().into()]).await? else { return Ok(Err(NotDone::NoKey)) };
    let Common { name, tenant, may, limit, .. } = common(&row)?;
    let is_theirs = by.tenant.as_ref().is_none_or(|theirs| *theirs == tenant);
    if !is_theirs {
        return Ok(Err(NotDone::NoKey));
    }
    if by.tenant.is_some() && is_of_all(&may) {
        return Ok(Err(NotDone::NotAllowed));
    }
    if !row.get::<bool>(7)? {
        return Ok(Err(NotDone::Ended));
    }
    let new = NewKey { name, tenant, may, limit, expires_days: None };
    Ok(Ok(Taken { new, lives: row.get(6)?, is_replaced: row.get(8)? }))
}

async fn insert(
    tx: &mut Tx,
    (id, hash): (KeyId, KeyHash),
    new: &NewKey,
    by: &Actor,
    lives: Option<i64>,
    from: Option<KeyId>,
) -> Result<(), StoreError> {
    let values: Vec<Value> = vec![
        id.to_string().into(),
        new.name.as_str().into(),
        new.tenant.as_str().into(),
        Permission::join(&new.may).into(),
        hash.to_vec().into(),
        new.limit.per_sec.into(),
        new.limit.burst.into(),
        by.name.as_str().into(),
        lives.into(),
        from.map(|from| from.to_string()).into(),
    ];
    tx.run(INSERT, values).await?;
    Ok(())
}

fn entry(by: &Actor, action: &str, id: KeyId, detail: serde_json::Value) -> NewAudit {
    NewAudit::new(&by.name, action, &id.to_string(), detail)
}

/// The columns that every reader begins with.
struct Common {
    id: KeyId,
    name: String,
    tenant: String,
    may: Vec<Permission>,
    limit: Limit,
}

fn common(row: &Row) -> Result<Common, StoreError> {
    let may: String = row.get(3)?;
    Ok(Common {
        id: key_id(&row.get::<String>(0)?)?,
        name: row.get(1)?,
        tenant: row.get(2)?,
        // What a later version opens by it is closed here.
        may: may.split(',').filter_map(Permission::parse).collect(),
        limit: Limit { per_sec: row.get(4)?, burst: row.get(5)? },
    })
}

fn key_id(text: &str) -> Result<KeyId, StoreError> {
    KeyId::parse(text).ok_or_else(|| StoreError::Damaged(format!("the desk's api_keys: {text:?} is no id of a key")))
}

fn listed(row: &Row) -> Result<ListedKey, StoreError> {
    let Common { id, name, tenant, may, limit } = common(row)?;
    let state = match row.get::<i64>(12)? {
        0 => KeyState::InForce,
        1 => KeyState::Replaced,
        2 => KeyState::Expired,
        _ => KeyState::Revoked,
    };
    Ok(ListedKey {
        id,
        name,
        tenant,
        may,
        limit,
        created_at: row.get(6)?,
        created_by: row.get(7)?,
        expires_at: row.get::<Option<EventTime>>(8)?,
        revoked_at: row.get(9)?,
        last_used_at: row.get(10)?,
        rotated_from: row.get::<Option<String>>(11)?.map(|from| key_id(&from)).transpose()?,
        state,
    })
}

fn held(row: &Row) -> Result<HeldKey, StoreError> {
    let Common { id, name, tenant, may, limit } = common(row)?;
    let hash: Vec<u8> = row.get(6)?;
    let hash = hash.try_into().map_err(|_| StoreError::Damaged(format!("the desk's api_keys: {id} has no SHA-256")))?;
    let left: Option<i64> = row.get(7)?;
    let expires_in = left.map(|left| Duration::from_micros(left.max(0).unsigned_abs()));
    Ok(HeldKey { id, hash, name, tenant, may, limit, expires_in })
}
