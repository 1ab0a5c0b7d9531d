//! Accounts, sessions and failed log-ins.

use std::time::Duration;

use super::{Db, DeskStore, Row, Tx, Value};
use crate::engine::time::{DAY, SECOND};
use crate::pipeline::StoreError;
use crate::pipeline::access::{Access, Account, Admitted, Lifetime, NewAccount, Newcomer, Role, Session, SessionHash};
use crate::pipeline::desk::{Answer, DeskError};
use crate::pipeline::sign_on::{Identity, PlaceHere};

const ACCOUNT: &str = "SELECT name, role, tenant, password_hash, must_change, is_disabled, created_at, last_login_at, issuer, subject FROM accounts";
const CREATE: &str = "INSERT INTO accounts (name, role, tenant, password_hash, must_change, is_disabled, created_at) \
    VALUES ($1, $2, $3, $4, $5, 0, {now}) ON CONFLICT (name) DO NOTHING";
/// Nothing where the name is taken, or the identity by another log-in at the same time.
const ADMIT: &str = "INSERT INTO accounts (name, role, tenant, must_change, is_disabled, created_at, issuer, subject) \
    VALUES ($1, $2, $3, 0, 0, {now}, $4, $5) ON CONFLICT DO NOTHING";
const COMPANY_ADMIN: &str = "SELECT 1 FROM accounts \
    WHERE issuer IS NOT NULL AND role = 'admin' AND tenant IS NULL AND is_disabled = 0 AND last_login_at IS NOT NULL LIMIT 1";
const PASSWORD: &str = "UPDATE accounts SET password_hash = $1, must_change = $2 WHERE name = $3";
/// Another active administrator, besides the account `$1`.
const OTHER_ADMIN: &str = "EXISTS (SELECT 1 FROM accounts o WHERE o.role = 'admin' AND o.is_disabled = 0 AND o.name <> $1)";
const OPEN: &str =
    "INSERT INTO sessions (hash, account, created_at, seen_at, expires_at) VALUES ($1, $2, {now}, {now}, {now} + $3)";
const SESSION: &str = "SELECT a.name, a.role, a.tenant, a.password_hash, a.must_change, a.is_disabled, a.created_at, a.last_login_at, \
        a.issuer, a.subject, s.expires_at, {now} - s.seen_at \
    FROM sessions s JOIN accounts a ON a.name = s.account \
    WHERE s.hash = $1 AND s.expires_at > {now} AND s.seen_at > {now} - $2 AND a.is_disabled = 0";
const FAILED: &str = "INSERT INTO login_failures (key, failures, last_at, locked_until) VALUES ($1, 1, {now}, 0) \
    ON CONFLICT (key) DO UPDATE SET failures = CASE WHEN login_failures.last_at < {now} - $2 THEN 1 ELSE login_failures.failures + 1 END, \
        last_at = {now} RETURNING failures";

/// A request is noted only when the last note is older, so that reading pages writes little.
const NOTE_EVERY: i64 = 30 * SECOND;

impl Access for DeskStore {
    fn account(&self, name: &str) -> Answer<Option<Account>> {
        let name = name.to_owned();
        self.spawned(async move |desk| {
            let row = desk.db.first(&format!("{ACCOUNT} WHERE name = $1"), vec![name.into()]).await?;
            Ok(row.as_ref().map(account).transpose()?)
        })
    }

    fn accounts(&self) -> Answer<Vec<Account>> {
        self.spawned(async move |desk| {
            let rows = desk.db.all(&format!("{ACCOUNT} ORDER BY name"), vec![]).await?;
            Ok(rows.iter().map(account).collect::<Result<_, _>>()?)
        })
    }

    fn create(&self, new: NewAccount) -> Answer<bool> {
        self.spawned(async move |desk| {
            let NewAccount { name, role, tenant, password_hash, must_change } = new;
            let values = vec![name.into(), role.name().into(), tenant.into(), password_hash.into(), must_change.into()];
            Ok(desk.db.run(CREATE, values).await? > 0)
        })
    }

    fn set_password(&self, name: &str, password_hash: &str, must_change: bool) -> Answer<()> {
        let values = vec![password_hash.into(), must_change.into(), name.into()];
        self.spawned(async move |desk| done(&desk.db, PASSWORD, values).await)
    }

    fn set_role(&self, name: &str, role: Role, tenant: Option<&str>) -> Answer<bool> {
        let values = vec![name.into(), role.name().into(), tenant.into()];
        let sql = format!(
            "UPDATE accounts SET role = $2, tenant = $3 WHERE name = $1 AND ($2 = 'admin' OR role <> 'admin' OR {OTHER_ADMIN})"
        );
        self.spawned(async move |desk| Ok(desk.db.run(&sql, values).await? > 0))
    }

    fn set_disabled(&self, name: &str, is_disabled: bool) -> Answer<bool> {
        let values = vec![name.into(), is_disabled.into()];
        let sql =
            format!("UPDATE accounts SET is_disabled = $2 WHERE name = $1 AND ($2 = 0 OR role <> 'admin' OR {OTHER_ADMIN})");
        self.spawned(async move |desk| Ok(desk.db.run(&sql, values).await? > 0))
    }

    fn admit(&self, newcomer: Newcomer) -> Answer<Option<Admitted>> {
        self.spawned(async move |desk| {
            let mut tx = desk.db.begin().await?;
            let admitted = admit(&mut tx, newcomer).await?;
            tx.commit().await?;
            Ok(admitted)
        })
    }

    fn account_of(&self, identity: &Identity) -> Answer<Option<Account>> {
        let values = vec![identity.issuer.as_str().into(), identity.subject.as_str().into()];
        self.spawned(async move |desk| {
            let row = desk.db.first(&format!("{ACCOUNT} WHERE issuer = $1 AND subject = $2"), values).await?;
            Ok(row.as_ref().map(account).transpose()?)
        })
    }

    fn has_company_admin(&self) -> Answer<bool> {
        self.spawned(async move |desk| Ok(desk.db.first(COMPANY_ADMIN, vec![]).await?.is_some()))
    }

    fn open_session(&self, hash: SessionHash, account: &str, lifetime: Lifetime) -> Answer<()> {
        let account = account.to_owned();
        self.spawned(async move |desk| {
            let mut tx = desk.db.begin().await?;
            let (idle, absolute) = (micros(lifetime.idle), micros(lifetime.absolute));
            tx.run("DELETE FROM sessions WHERE expires_at <= {now} OR seen_at <= {now} - $1", vec![idle.into()]).await?;
            tx.run(OPEN, vec![hash.to_vec().into(), account.as_str().into(), absolute.into()]).await?;
            tx.run("UPDATE accounts SET last_login_at = {now} WHERE name = $1", vec![account.into()]).await?;
            Ok(tx.commit().await?)
        })
    }

    fn session(&self, hash: SessionHash, idle: Duration, is_used: bool) -> Answer<Option<Session>> {
        self.spawned(async move |desk| {
            let values = vec![hash.to_vec().into(), micros(idle).into()];
            let Some(row) = desk.db.first(SESSION, values).await? else { return Ok(None) };
            let at_rest: i64 = row.get(11)?;
            if is_used && at_rest > NOTE_EVERY {
                desk.db.run("UPDATE sessions SET seen_at = {now} WHERE hash = $1", vec![hash.to_vec().into()]).await?;
            }
            Ok(Some(Session { account: account(&row)?, expires_at: row.get(10)? }))
        })
    }

    fn close_session(&self, hash: SessionHash) -> Answer<()> {
        let values = vec![hash.to_vec().into()];
        self.spawned(async move |desk| done(&desk.db, "DELETE FROM sessions WHERE hash = $1", values).await)
    }

    fn close_sessions(&self, account: &str, except: Option<SessionHash>) -> Answer<()> {
        let except = except.map_or_else(Vec::new, |hash| hash.to_vec());
        let values = vec![account.into(), except.into()];
        self.spawned(async move |desk| done(&desk.db, "DELETE FROM sessions WHERE account = $1 AND hash <> $2", values).await)
    }

    fn locked(&self, keys: &[String]) -> Answer<Option<Duration>> {
        let keys = keys.to_vec();
        self.spawned(async move |desk| {
            let mut longest = None;
            for key in keys {
                let sql = "SELECT locked_until - {now} FROM login_failures WHERE key = $1 AND locked_until > {now}";
                let left: Option<i64> = desk.db.first(sql, vec![key.into()]).await?.map(|row| row.get(0)).transpose()?;
                longest = longest.max(left.map(|left| Duration::from_micros(left.max(0).unsigned_abs())));
            }
            Ok(longest)
        })
    }

    fn failed(&self, key: &str, free: u32, longest: Duration) -> Answer<()> {
        let key = key.to_owned();
        self.spawned(async move |desk| {
            let mut tx = desk.db.begin().await?;
            tx.run("DELETE FROM login_failures WHERE last_at < {now} - $1", vec![DAY.into()]).await?;
            let row = tx.first(FAILED, vec![key.as_str().into(), DAY.into()]).await?;
            let failures: u32 = row.map_or(Ok(0), |row| row.get(0))?;
            if let Some(over) = failures.checked_sub(free) {
                let lock = Duration::from_secs(1 << over.min(32)).min(longest);
                let values = vec![micros(lock).into(), key.into()];
                tx.run("UPDATE login_failures SET locked_until = {now} + $1 WHERE key = $2", values).await?;
            }
            Ok(tx.commit().await?)
        })
    }

    fn succeeded(&self, key: &str) -> Answer<()> {
        let values = vec![key.into()];
        self.spawned(async move |desk| done(&desk.db, "DELETE FROM login_failures WHERE key = $1", values).await)
    }
}

async fn admit(tx: &mut Tx, newcomer: Newcomer) -> Result<Option<Admitted>, StoreError> {
    let Newcomer { identity, names, place } = newcomer;
    let (role, tenant) = (place.role.name(), place.tenant);
    if let Some(before) = of_identity(tx, &identity).await? {
        return readmit(tx, before, role, tenant).await.map(Some);
    }
    for name in names {
        let values = vec![
            name.into(),
            role.into(),
            tenant.clone().into(),
            identity.issuer.as_str().into(),
            identity.subject.as_str().into(),
        ];
        let is_made = tx.run(ADMIT, values).await? > 0;
        match of_identity(tx, &identity).await? {
            Some(account) if is_made => return Ok(Some(Admitted { account, before: None })),
            Some(before) => return readmit(tx, before, role, tenant).await.map(Some),
            None => {}
        }
    }
    Ok(None)
}

async fn readmit(tx: &mut Tx, before: Account, role: &str, tenant: Option<String>) -> Result<Admitted, StoreError> {
    let was = PlaceHere { role: before.role, tenant: before.tenant.clone() };
    if before.is_disabled {
        return Ok(Admitted { account: before, before: Some(was) });
    }
    let values = vec![before.name.as_str().into(), role.into(), tenant.into()];
    tx.run("UPDATE accounts SET role = $2, tenant = $3 WHERE name = $1", values).await?;
    let row = tx.first(&format!("{ACCOUNT} WHERE name = $1"), vec![before.name.into()]).await?;
    let account = row.as_ref().map(account).transpose()?.ok_or_else(|| StoreError::Damaged("an account went away".into()))?;
    Ok(Admitted { account, before: Some(was) })
}

async fn of_identity(tx: &mut Tx, identity: &Identity) -> Result<Option<Account>, StoreError> {
    let values = vec![identity.issuer.as_str().into(), identity.subject.as_str().into()];
    let row = tx.first(&format!("{ACCOUNT} WHERE issuer = $1 AND subject = $2"), values).await?;
    row.as_ref().map(account).transpose()
}

async fn done(db: &Db, sql: &str, values: Vec<Value>) -> Result<(), DeskError> {
    db.run(sql, values).await?;
    Ok(())
}

fn account(row: &Row) -> Result<Account, StoreError> {
    let role: String = row.get(1)?;
    let role =
        Role::parse(&role).ok_or_else(|| StoreError::Refused(format!("the desk was written by a later version: role {role}")))?;
    let identity: (Option<String>, Option<String>) = (row.get(8)?, row.get(9)?);
    Ok(Account {
        name: row.get(0)?,
        role,
        tenant: row.get(2)?,
        password_hash: row.get(3)?,
        identity: identity.0.zip(identity.1).map(|(issuer, subject)| Identity { issuer, subject }),
        must_change: row.get(4)?,
        is_disabled: row.get(5)?,
        created_at: row.get(6)?,
        last_login_at: row.get(7)?,
    })
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
