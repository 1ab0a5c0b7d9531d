//! What webhooks have to be told: written with the cases, in the sink's transaction.

use std::time::Duration;

use super::DeskStore;
use crate::pipeline::desk::Answer;
use crate::pipeline::webhooks::{Due, Outbox};

const BEGIN: &str = "INSERT INTO webhook_cursors (webhook, told, attempts, retry_at, lease_until) \
    SELECT $1, COALESCE(max(seq), 0), 0, 0, 0 FROM webhook_outbox WHERE true ON CONFLICT (webhook) DO NOTHING";
const TAKE: &str = "UPDATE webhook_cursors SET lease_until = {now} + $2 \
    WHERE webhook = $1 AND lease_until <= {now} AND retry_at <= {now} RETURNING told, attempts";
const NEXT: &str = "SELECT seq, referral_id, revision FROM webhook_outbox \
    WHERE seq > $1 AND (CAST($2 AS TEXT) IS NULL OR tenant = $2) ORDER BY seq LIMIT 1";
const TOLD: &str = "UPDATE webhook_cursors SET told = $2, attempts = 0, retry_at = 0, lease_until = 0 WHERE webhook = $1";
const FAILED: &str =
    "UPDATE webhook_cursors SET attempts = attempts + 1, retry_at = {now} + $2, lease_until = 0 WHERE webhook = $1";

impl Outbox for DeskStore {
    fn due(&self, webhook: &str, tenant: Option<&str>, lease: Duration) -> Answer<Option<Due>> {
        let (webhook, tenant) = (webhook.to_owned(), tenant.map(str::to_owned));
        self.spawned(async move |desk| {
            let cursor = "SELECT told FROM webhook_cursors WHERE webhook = $1";
            let Some(row) = desk.db.first(cursor, vec![webhook.as_str().into()]).await? else {
                desk.db.run(BEGIN, vec![webhook.into()]).await?;
                return Ok(None);
            };
            // Mostly there is nothing: then nothing is written either.
            let told: u64 = row.get(0)?;
            if desk.db.first(NEXT, vec![told.into(), tenant.as_deref().into()]).await?.is_none() {
                return Ok(None);
            }
            let mut tx = desk.db.begin().await?;
            let Some(row) = tx.first(TAKE, vec![webhook.into(), micros(lease).into()]).await? else { return Ok(None) };
            let (told, attempts): (u64, u32) = (row.get(0)?, row.get(1)?);
            let Some(row) = tx.first(NEXT, vec![told.into(), tenant.into()]).await? else { return Ok(None) };
            tx.commit().await?;
            Ok(Some(Due { seq: row.get(0)?, referral_id: row.get(1)?, revision: row.get(2)?, attempts }))
        })
    }

    fn told(&self, webhook: &str, seq: u64) -> Answer<()> {
        let values = vec![webhook.into(), seq.into()];
        self.spawned(async move |desk| {
            desk.db.run(TOLD, values).await?;
            Ok(())
        })
    }

    fn failed(&self, webhook: &str, wait: Duration) -> Answer<()> {
        let values = vec![webhook.into(), micros(wait).into()];
        self.spawned(async move |desk| {
            desk.db.run(FAILED, values).await?;
            Ok(())
        })
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}
