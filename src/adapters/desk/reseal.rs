//! Sealing what is personal on the desk with the newest key.

use super::db::Db;
use super::value::{Row, Value};
use super::{DeskStore, audit, form, sealed_fault};
use crate::pipeline::StoreError;
use crate::vault::Place;

/// Rows of one transaction.
const CHUNK: u64 = 1_000;
const FORMS: &str = "SELECT log_partition, log_offset, tenant, quote_id, body FROM forms \
    WHERE (log_partition = $1 AND log_offset > $2) OR log_partition > $1 ORDER BY log_partition, log_offset LIMIT $3";
/// Only what was read: an erasure may have come in between, and nothing comes back after it.
const SEAL_FORM: &str = "UPDATE forms SET body = $1 WHERE log_partition = $2 AND log_offset = $3 AND body = $4";
const COMMENTS: &str = "SELECT id, referral_id, actor, text, sealed FROM comments WHERE id > $1 ORDER BY id LIMIT $2";
const SEAL_COMMENT: &str = "UPDATE comments SET text = '', sealed = $1 WHERE id = $2 AND text = $3 AND \
    (sealed = $4 OR sealed IS NULL AND $4 IS NULL)";

/// What was sealed anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    pub forms: u64,
    pub comments: u64,
}

impl DeskStore {
    /// Seals every form, every comment and the key of the audit chain with the vault's first key, and writes an SQLite file anew, so
    /// that no free page of it keeps what was there before. It may be cut off and begun again.
    ///
    /// # Errors
    /// Something whose key is not there; the store is away.
    pub async fn reseal(&self) -> Result<Resealed, StoreError> {
        let mut done = Resealed::default();
        let mut at = (0i64, -1i64);
        loop {
            let rows = self.db.all(FORMS, vec![at.0.into(), at.1.into(), CHUNK.into()]).await?;
            let Some(last) = rows.last() else { break };
            at = (last.get(0)?, last.get(1)?);
            done.forms += self.seal_forms(&rows).await?;
        }
        let mut id = 0i64;
        loop {
            let rows = self.db.all(COMMENTS, vec![id.into(), CHUNK.into()]).await?;
            let Some(last) = rows.last() else { break };
            id = last.get(0)?;
            done.comments += self.seal_comments(&rows).await?;
        }
        audit::reseal(&self.db, &self.vault).await?;
        match &self.db {
            Db::Sqlite { write, .. } => {
                for sql in ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"] {
                    sqlx::query(sql).execute(write).await.map_err(super::sqlite::fault)?;
                }
            }
            #[cfg(feature = "postgres")]
            Db::Postgres(_) => {}
        }
        Ok(done)
    }

    async fn seal_forms(&self, rows: &[Row]) -> Result<u64, StoreError> {
        let mut tx = self.db.begin().await?;
        let mut done = 0;
        for row in rows {
            let (partition, offset): (u32, u64) = (row.get(0)?, row.get(1)?);
            let (tenant, quote_id): (String, String) = (row.get(2)?, row.get(3)?);
            let Some(body) = row.get::<Option<Vec<u8>>>(4)?.filter(|body| !self.vault.is_newest(body)) else { continue };
            let place = Place::Form { tenant: &tenant, quote_id: &quote_id, partition, offset };
            let sealed = self.vault.wrap(place, &form(self, place, &body)?)?;
            done += tx.run(SEAL_FORM, vec![sealed.into(), partition.into(), offset.into(), body.into()]).await?;
        }
        tx.commit().await?;
        Ok(done)
    }

    async fn seal_comments(&self, rows: &[Row]) -> Result<u64, StoreError> {
        if self.vault.key().is_none() {
            return Ok(0);
        }
        let mut tx = self.db.begin().await?;
        let mut done = 0;
        for row in rows {
            let (id, case, author): (u64, String, String) = (row.get(0)?, row.get(1)?, row.get(2)?);
            let (text, was): (String, Option<Vec<u8>>) = (row.get(3)?, row.get(4)?);
            let place = Place::Comment { case: &case, author: &author, id };
            let plain = match &was {
                Some(sealed) if self.vault.is_newest(sealed) => continue,
                Some(sealed) => {
                    let opened = self.vault.unwrap(place, sealed);
                    opened.map_err(|error| sealed_fault(&format!("comment {id}"), error))?
                }
                // One that was erased.
                None if text.is_empty() => continue,
                None => text.clone().into_bytes(),
            };
            let sealed = self.vault.wrap(place, &plain)?;
            done += tx.run(SEAL_COMMENT, vec![sealed.into(), id.into(), text.into(), Value::Blob(was)]).await?;
        }
        tx.commit().await?;
        Ok(done)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::adapters::desk::Keeping;
    use crate::vault::{Vault, new_key};

    const FORM: &str = "INSERT INTO forms (log_partition, log_offset, arrival, tenant, quote_id, product, channel, source, body) \
        VALUES (0, $1, 1, 'north', $2, 'osago', 'web', 'http', $3)";
    const COMMENT: &str = "INSERT INTO comments (referral_id, at, actor, text) VALUES ('R-1', 1, 'anna', $1)";

    #[tokio::test]
    async fn what_was_erased_while_it_was_sealed_anew_stays_erased() {
        let dir = tempfile::tempdir().expect("a folder");
        let vault = Arc::new(Vault::new(&new_key().expect("random")).expect("a key"));
        let desk = DeskStore::open_file(&dir.path().join("desk.db"), vault, Keeping::default()).await.expect("opens");
        for (offset, quote) in [(0u64, "a"), (1, "b")] {
            let body = format!("{{\"quote_id\":\"{quote}\"}}").into_bytes();
            desk.db.run(FORM, vec![offset.into(), quote.into(), body.into()]).await.expect("written");
            desk.db.run(COMMENT, vec![quote.into()]).await.expect("written");
        }
        let forms = desk.db.all(FORMS, vec![0i64.into(), (-1i64).into(), CHUNK.into()]).await.expect("reads");
        let comments = desk.db.all(COMMENTS, vec![0i64.into(), CHUNK.into()]).await.expect("reads");
        // The erasure comes after they were read.
        desk.db.run("UPDATE forms SET body = NULL WHERE quote_id = 'a'", vec![]).await.expect("erased");
        desk.db.run("UPDATE comments SET text = '' WHERE text = 'a'", vec![]).await.expect("erased");
        assert_eq!(desk.seal_forms(&forms).await.expect("seals"), 1);
        assert_eq!(desk.seal_comments(&comments).await.expect("seals"), 1);
        let held = desk.db.all("SELECT quote_id FROM forms WHERE body IS NOT NULL", vec![]).await.expect("reads");
        assert_eq!(held.iter().map(|row| row.get::<String>(0).expect("text")).collect::<Vec<_>>(), ["b"]);
        let held = desk.db.all("SELECT id FROM comments WHERE sealed IS NOT NULL OR text <> ''", vec![]).await.expect("reads");
        assert_eq!(held.iter().map(|row| row.get::<u64>(0).expect("a number")).collect::<Vec<_>>(), [2]);
        assert_eq!(desk.reseal().await.expect("reseals"), Resealed::default(), "all is sealed already");
    }
}
