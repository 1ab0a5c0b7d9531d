//! Accounts, sessions and failed log-ins.

use std::time::Duration;

use serde_json::json;

use super::{Db, DeskStore, Row, Tx, Value, audit};
use crate::engine::time::{DAY, SECOND};
use crate::pipeline::StoreError;
use crate::pipeline::access::{Access, Account, Admitted, Lifetime, NewAccount, Newcomer, Role, Session, SessionHash};
use crate::pipeline::desk::{Answer, DeskError, NewAudit};
use crate::pipeline::sign_on::{Identity, PlaceHere};

const ACCOUNT: &str = "SELECT name, role, tenant, password_hash, must_change, is_disabled, created_at, last_login_at, issuer, subject FROM accounts";
const CREATE: &str = "INSERT INTO accounts (name, role, tenant, password_hash, must_change, is_disabled, created_at) \
    VALUES ($1, $2, $3, $4, $5, 0, {now}) ON CONFLICT (name) DO NOTHING";
/// Nothing where the name is taken, or the identity by another log-in at the same time.
const ADMIT: &str = "INSERT INTO accounts (name, role, tenant, must_change, is_disabled, created_at, issuer, subject) \
    VALUES ($1, $2, $3, 0, 0, {now}, $4, $5) ON CONFLICT DO NOTHING";
const COMPANY_ADMIN: &str = "SELECT 1 FROM accounts \
    WHERE issuer IS NOT NULL AND role = 'admin' AND tenant IS NULL AND is_disabled = 0 AND last_login_at IS NOT NULL LIMIT 1";
const PASSWORD: &str = "UPDATE accounts SET password_hash = $1, must_change = $2 WHERE name = $3 AND issuer IS NULL";
const ROLE: &str = "UPDATE accounts SET role = $2, tenant = $3 WHERE name = $1";
const DISABLED: &str = "UPDATE accounts SET is_disabled = $2 WHERE name = $1";
/// Of two who would each take the other's place away, one waits here, and then sees what the other did.
const ADMINS: &str =
    "SELECT name FROM accounts WHERE role = 'admin' AND tenant IS NULL AND is_disabled = 0 ORDER BY name {for_update}";
/// Every password has a salt of its own: its hash tells whether it is still the one that was shown.
const LOG_IN: &str =
    "UPDATE accounts SET last_login_at = {now} WHERE name = $1 AND is_disabled = 0 AND coalesce(password_hash, '') = $2";
const CLOSE: &str = "DELETE FROM sessions WHERE hash = $1";
const CLOSE_ALL: &str = "DELETE FROM sessions WHERE account = $1";
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

    fn create(&self, new: NewAccount, by: &str) -> Answer<bool> {
        let by = by.to_owned();
        self.spawned(async move |desk| {
            let NewAccount { name, role, tenant, password_hash, must_change } = new;
            let entry = NewAudit::new(&by, "account.create", &name, json!({"role": role.name(), "tenant": tenant}));
            let values = vec![name.into(), role.name().into(), tenant.into(), password_hash.into(), must_change.into()];
            let mut tx = desk.db.begin().await?;
            if tx.run(CREATE, values).await? == 0 {
                return Ok(false);
            }
            done(&desk, tx, entry).await
        })
    }

    fn set_password(&self, name: &str, password_hash: &str, must_change: bool, by: &str) -> Answer<bool> {
        let (name, values) = (name.to_owned(), vec![password_hash.into(), must_change.into(), name.into()]);
        let action = if name == by { "account.password" } else { "account.password_reset" };
        let entry = NewAudit::new(by, action, &name, json!({}));
        self.spawned(async move |desk| {
            let mut tx = desk.db.begin().await?;
            if tx.run(PASSWORD, values).await? == 0 {
                return Ok(false);
            }
            changed(&desk, tx, &name, entry).await
        })
    }

    fn set_role(&self, name: &str, role: Role, tenant: Option<&str>, by: &str) -> Answer<bool> {
        let (name, tenant, by) = (name.to_owned(), tenant.map(str::to_owned), by.to_owned());
        self.spawned(async move |desk| {
            let mut tx = desk.db.begin().await?;
            let stays = role == Role::Admin && tenant.is_none();
            if is_last_admin(&mut tx, &name).await? && !stays {
                return Ok(false);
            }
            let found = tx.first(&format!("{ACCOUNT} WHERE name = $1 {{for_update}}"), vec![name.as_str().into()]).await?;
            let Some(before) = found.as_ref().map(account).transpose()? else { return Ok(false) };
            let detail = json!({"from": before.role.name(), "to": role.name(), "tenant": tenant});
            tx.run(ROLE, vec![name.as_str().into(), role.name().into(), tenant.into()]).await?;
            changed(&desk, tx, &name, NewAudit::new(&by, "account.role", &name, detail)).await
        })
    }

    fn set_disabled(&self, name: &str, is_disabled: bool, by: &str) -> Answer<bool> {
        let action = if is_disabled { "account.disable" } else { "account.enable" };
        let (name, entry) = (name.to_owned(), NewAudit::new(by, action, name, json!({})));
        self.spawned(async move |desk| {
            let mut tx = desk.db.begin().await?;
            if is_last_admin(&mut tx, &name).await? && is_disabled {
                return Ok(false);
            }
            if tx.run(DISABLED, vec![name.as_str().into(), is_disabled.into()]).await? == 0 {
                return Ok(false);
            }
            changed(&desk, tx, &name, entry).await
        })
    }

    fn admit(&self, newcomer: Newcomer) -> Answer<Option<Admitted>> {
        self.spawned(async move |desk| {
            let mut tx = desk.db.begin().await?;
            let admitted = admit(&mut tx, newcomer).await?;
            match admitted.as_ref().and_then(new_place) {
                Some(entry) => drop(done(&desk, tx, entry).await?),
                None => tx.commit().await?,
            }
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

    fn open_session(&self, hash: SessionHash, account: &Account, lifetime: Lifetime, way: &str) -> Answer<bool> {
        let (name, password) = (account.name.clone(), account.password_hash.clone().unwrap_or_default());
        let entry = NewAudit::new(&name, "session.open", &name, json!({"by": way}));
        self.spawned(async move |desk| {
            let mut tx = desk.db.begin().await?;
            // First: whoever changes the account is waited for, and then is seen.
            if tx.run(LOG_IN, vec![name.as_str().into(), password.into()]).await? == 0 {
                return Ok(false);
            }
            let (idle, absolute) = (micros(lifetime.idle), micros(lifetime.absolute));
            tx.run("DELETE FROM sessions WHERE expires_at <= {now} OR seen_at <= {now} - $1", vec![idle.into()]).await?;
            tx.run(OPEN, vec![hash.to_vec().into(), name.into(), absolute.into()]).await?;
            done(&desk, tx, entry).await
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
        self.spawned(async move |desk| run(&desk.db, CLOSE, values).await)
    }

    fn close_sessions(&self, account: &str) -> Answer<()> {
        let values = vec![account.into()];
        self.spawned(async move |desk| run(&desk.db, CLOSE_ALL, values).await)
    }

    fn log_out(&self, account: &str, hash: SessionHash, is_everywhere: bool) -> Answer<()> {
        let entry = NewAudit::new(account, "session.close", account, json!({"everywhere": is_everywhere}));
        let (sql, value): (&str, Value) = if is_everywhere { (CLOSE_ALL, account.into()) } else { (CLOSE, hash.to_vec().into()) };
        self.spawned(async move |desk| {
            let mut tx = desk.db.begin().await?;
            tx.run(sql, vec![value]).await?;
            done(&desk, tx, entry).await.map(drop)
        })
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
        self.spawned(async move |desk| run(&desk.db, "DELETE FROM login_failures WHERE key = $1", values).await)
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
    tx.run(ROLE, values).await?;
    let row = tx.first(&format!("{ACCOUNT} WHERE name = $1"), vec![before.name.into()]).await?;
    let account = row.as_ref().map(account).transpose()?.ok_or_else(|| StoreError::Damaged("an account went away".into()))?;
    Ok(Admitted { account, before: Some(was) })
}

async fn of_identity(tx: &mut Tx, identity: &Identity) -> Result<Option<Account>, StoreError> {
    let values = vec![identity.issuer.as_str().into(), identity.subject.as_str().into()];
    let row = tx.first(&format!("{ACCOUNT} WHERE issuer = $1 AND subject = $2"), values).await?;
    row.as_ref().map(account).transpose()
}

async fn run(db: &Db, sql: &str, values: Vec<Value>) -> Result<(), DeskError> {
    db.run(sql, values).await?;
    Ok(())
}

/// Commits what was done with its entry.
async fn done(desk: &DeskStore, tx: Tx, entry: NewAudit) -> Result<bool, DeskError> {
    audit::commit(tx, &desk.vault, entry).await?;
    Ok(true)
}

/// Ends the change of an account, and its sessions.
async fn changed(desk: &DeskStore, mut tx: Tx, name: &str, entry: NewAudit) -> Result<bool, DeskError> {
    tx.run(CLOSE_ALL, vec![name.into()]).await?;
    done(desk, tx, entry).await
}

/// Whether it is the last active administrator of every tenant; nobody becomes or stops being one until the transaction ends.
async fn is_last_admin(tx: &mut Tx, name: &str) -> Result<bool, StoreError> {
    let admins = tx.all(ADMINS, vec![]).await?;
    let names = admins.iter().map(|row| row.get(0)).collect::<Result<Vec<String>, _>>()?;
    Ok(names == [name])
}

/// What a log-in through the company has changed.
fn new_place(admitted: &Admitted) -> Option<NewAudit> {
    let Admitted { account: Account { name, role, tenant, is_disabled, .. }, before } = admitted;
    let (action, detail) = match before {
        None => ("account.create", json!({"role": role.name(), "tenant": tenant, "by": "company"})),
        Some(PlaceHere { role: was, tenant: of }) if !is_disabled && (was, of) != (role, tenant) => {
            ("account.role", json!({"from": was.name(), "to": role.name(), "tenant": tenant, "by": "company"}))
        }
        Some(_) => return None,
    };
    Some(NewAudit::new(name, action, name, detail))
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
