//! The identity of a log: its id, the engine version that wrote it, and the settings that shape its decisions.

use std::collections::BTreeMap;
use std::iter;
use std::path::Path;

use sqlx::sqlite::SqliteConnection;
use sqlx::{AssertSqlSafe, Connection, Row};

use super::fault::fault;
use super::recognise::APPLICATION_ID;
use crate::contract::decision::ENGINE_VERSION;
use crate::engine::state::Settings;
use crate::pipeline::random::random_id;
use crate::pipeline::{StoreError, fixed};

const LOG_ID: &str = "log_id";
const ENGINE: &str = "engine version";

/// What may not change under recorded state, by configuration key.
fn unchanging(settings: &Settings) -> impl Iterator<Item = (&'static str, String)> {
    iter::once((ENGINE, ENGINE_VERSION.to_owned())).chain(fixed::pairs(settings))
}

/// Writes the identity of a new file, checks that of an old one. Returns the log id.
///
/// A new file gets `log_id`, or else a random one.
pub(super) async fn identify(
    connection: &mut SqliteConnection,
    path: &Path,
    settings: &Settings,
    log_id: Option<&str>,
) -> Result<String, StoreError> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await.map_err(fault)?;
    let mut stored = read(&mut tx).await?;
    let expected: Vec<_> = unchanging(settings).collect();
    if stored.is_empty() {
        stored = expected.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        let mark = AssertSqlSafe(format!("PRAGMA application_id = {APPLICATION_ID}"));
        sqlx::query(mark).execute(&mut *tx).await.map_err(fault)?;
        stored.insert(LOG_ID.to_owned(), log_id.map_or_else(new_id, |id| Ok(id.to_owned()))?);
        for (key, value) in &stored {
            let insert = sqlx::query("INSERT INTO meta (key, value) VALUES (?, ?)").bind(key.as_str()).bind(value.as_str());
            insert.execute(&mut *tx).await.map_err(fault)?;
        }
    }
    tx.commit().await.map_err(fault)?;
    for (key, value) in expected {
        let found = stored.get(key).map_or("nothing", String::as_str);
        if found != value {
            return Err(StoreError::Refused(format!(
                "{} was written with {key} = {found}, now it is {value}: put it back, run `quoteguard rebuild` to decide the whole \
                 log again under the new value, or name a new file in storage.path",
                path.display()
            )));
        }
    }
    stored.remove(LOG_ID).ok_or_else(no_id)
}

/// The identity alone, whatever the file was written under.
pub(super) async fn log_id(connection: &mut SqliteConnection) -> Result<String, StoreError> {
    read(connection).await?.remove(LOG_ID).ok_or_else(no_id)
}

/// The settings a recorded log was written under.
pub(super) async fn recorded(connection: &mut SqliteConnection, path: &Path) -> Result<Settings, StoreError> {
    let mut stored = read(connection).await?;
    let engine = stored.remove(ENGINE).unwrap_or_default();
    if engine != ENGINE_VERSION {
        return Err(StoreError::Refused(format!(
            "{} was written by engine version {engine}, this one is {}: replay it with the version that wrote it",
            path.display(),
            ENGINE_VERSION
        )));
    }
    let log_id = stored.get(LOG_ID).ok_or_else(no_id)?;
    fixed::read(&stored, log_id, 0)
}

async fn read(connection: &mut SqliteConnection) -> Result<BTreeMap<String, String>, StoreError> {
    let rows = sqlx::query("SELECT key, value FROM meta").fetch_all(connection).await.map_err(fault)?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect::<Result<_, sqlx::Error>>().map_err(fault)
}

fn no_id() -> StoreError {
    StoreError::Damaged("the file has no log id".to_owned())
}

fn new_id() -> Result<String, StoreError> {
    random_id().map_err(|e| StoreError::Unavailable(format!("no randomness: {e}")))
}
