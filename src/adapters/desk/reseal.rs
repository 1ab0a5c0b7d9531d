//! Sealing the desk's forms with the newest key.

use super::db::Db;
use super::{DeskStore, FORM};
use crate::pipeline::StoreError;

/// Rows of one transaction.
const CHUNK: u64 = 1_000;
const FORMS: &str = "SELECT log_partition, log_offset, body FROM forms WHERE (log_partition = $1 AND log_offset > $2) OR log_partition > $1 \
                     ORDER BY log_partition, log_offset LIMIT $3";
const UPDATE: &str = "UPDATE forms SET body = $1 WHERE log_partition = $2 AND log_offset = $3";

impl DeskStore {
    /// Seals every form with the vault's first key, and writes an SQLite file anew, so that no free page of it keeps what was there
    /// before. Gives how many it sealed. It may be cut off and begun again.
    ///
    /// # Errors
    /// A form whose key is not there; the store is away.
    pub async fn reseal(&self) -> Result<u64, StoreError> {
        let (mut partition, mut offset, mut done) = (0i64, -1i64, 0);
        loop {
            let rows = self.db.all(FORMS, vec![partition.into(), offset.into(), CHUNK.into()]).await?;
            if rows.is_empty() {
                break;
            }
            let mut tx = self.db.begin().await?;
            for row in &rows {
                (partition, offset) = (row.get(0)?, row.get(1)?);
                let Some(body) = row.get::<Option<Vec<u8>>>(2)?.filter(|body| !self.vault.is_newest(body)) else { continue };
                let sealed = self.vault.wrap(FORM, &self.vault.unwrap(FORM, &body)?)?;
                done += tx.run(UPDATE, vec![sealed.into(), partition.into(), offset.into()]).await?;
            }
            tx.commit().await?;
        }
        if let Db::Sqlite { write, .. } = &self.db {
            for sql in ["VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"] {
                sqlx::query(sql).execute(write).await.map_err(super::sqlite::fault)?;
            }
        }
        Ok(done)
    }
}
