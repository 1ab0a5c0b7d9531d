//! What is kept for how long, and dropping the rest a bounded piece at a time.

use super::db::{Db, Relation};
use super::value::{Value, ValueKind};
use crate::engine::time::{DAY, SECOND};
use crate::pipeline::StoreError;

/// Counted back from the newest that is there, so that an imported history is not gone at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Decisions and their counts, microseconds; closed cases, from their closing.
    pub decisions: i64,
    /// Forms that are in no case, microseconds; those of cases stay as long as decisions.
    pub forms: i64,
}

impl Keeping {
    pub fn new(decisions_days: u32, forms_secs: i64) -> Keeping {
        let (decisions, forms) = (i64::from(decisions_days) * DAY, forms_secs.saturating_mul(SECOND));
        Keeping { decisions, forms: forms.min(decisions) }
    }
}

impl Default for Keeping {
    fn default() -> Keeping {
        Keeping::new(400, 30 * 86_400)
    }
}

/// Rows of one statement: whoever waits for the table waits for so many. Beyond: they go next time.
const ROWS: u32 = 2_000;
/// Statements of one call.
const ROUNDS: u32 = 20;
/// Cases of one transaction, with all that hangs on them. Beyond: they go next time.
const CASES_AT_ONCE: u32 = 200;

const NEWEST: &str = "SELECT (SELECT max(event_time) FROM decisions WHERE is_current = 1), (SELECT max(arrival) FROM forms)";
const FORMS: &str = "DELETE FROM forms WHERE (log_partition, log_offset, arrival) IN (SELECT f.log_partition, f.log_offset, f.arrival \
    FROM forms f WHERE f.arrival < $1 AND (f.arrival < $2 OR NOT EXISTS (SELECT 1 FROM case_quotes q \
    WHERE q.log_partition = f.log_partition AND q.log_offset = f.log_offset)) ORDER BY f.arrival LIMIT $3)";
const TALLIES: &str = "DELETE FROM tallies WHERE (minute, tenant, kind, name) IN \
    (SELECT minute, tenant, kind, name FROM tallies WHERE minute < $1 ORDER BY minute LIMIT $2)";
/// Over PostgreSQL whole months go instead.
const DECISIONS: &str = "DELETE FROM decisions WHERE (log_partition, log_offset) IN (SELECT log_partition, log_offset FROM decisions \
    WHERE is_current = 1 AND event_time < $1 ORDER BY event_time LIMIT $2)";
/// Closed, without a quote or a ruling since. What waits for somebody is never too old.
const CLOSED: &str = "SELECT c.referral_id FROM cases c WHERE c.status IN ('cleared', 'confirmed') AND c.opened_at < $1 AND c.active_at < $1 \
    AND NOT EXISTS (SELECT 1 FROM dispositions d WHERE d.referral_id = c.referral_id AND d.at >= $1) \
    AND (c.deciding_until IS NULL OR c.deciding_until < {now}) \
    ORDER BY c.opened_at LIMIT $2 {for_update}";
/// The case itself last: whoever writes a comment takes it first.
const OF_A_CASE: [&str; 6] = ["case_quotes", "case_rules", "dispositions", "comments", "webhook_outbox", "cases"];
/// Rulings on what is no case here, such as erasures by a quote's id.
const RULINGS: &str = "DELETE FROM dispositions WHERE (log_partition, log_offset) IN (SELECT d.log_partition, d.log_offset \
    FROM dispositions d WHERE d.at < $1 AND NOT EXISTS (SELECT 1 FROM cases c WHERE c.referral_id = d.referral_id) LIMIT $2)";
/// Of cases that the log does not tell of any more, as after a restore.
const COMMENTS: &str = "DELETE FROM comments WHERE id IN (SELECT m.id FROM comments m WHERE m.at < $1 \
    AND NOT EXISTS (SELECT 1 FROM cases c WHERE c.referral_id = m.referral_id) LIMIT $2)";
const SESSIONS: &str = "DELETE FROM sessions WHERE expires_at <= {now}";
const FAILURES: &str = "DELETE FROM login_failures WHERE last_at < {now} - $1 AND locked_until < {now}";

/// Cases, and what hangs on them, go only when the log `is_told` whole: while it is being told, a case may still be without its ruling,
/// or a ruling without its case.
pub(super) async fn drop_old(db: &Db, keeping: Keeping, is_told: bool) -> Result<(), StoreError> {
    db.run(SESSIONS, vec![]).await?;
    db.run(FAILURES, vec![DAY.into()]).await?;
    let Some(newest) = db.first(NEWEST, vec![]).await? else { return Ok(()) };
    let (decided, arrived): (Option<i64>, Option<i64>) = (newest.get(0)?, newest.get(1)?);
    if let Some(arrived) = arrived {
        let (old, oldest) = (arrived - keeping.forms, arrived - keeping.decisions);
        in_pieces(db, FORMS, &[old, oldest]).await?;
    }
    let Some(decided) = decided else { return Ok(()) };
    let old = decided - keeping.decisions;
    in_pieces(db, TALLIES, &[old]).await?;
    if is_told {
        drop_cases(db, old).await?;
        in_pieces(db, RULINGS, &[old]).await?;
        in_pieces(db, COMMENTS, &[old]).await?;
    }
    match db {
        Db::Sqlite { .. } => in_pieces(db, DECISIONS, &[old]).await,
        #[cfg(feature = "postgres")]
        Db::Postgres(_) => super::months::drop_before(db, old).await,
    }
}

async fn in_pieces(db: &Db, sql: &str, bounds: &[i64]) -> Result<(), StoreError> {
    for _ in 0..ROUNDS {
        let mut values: Vec<Value> = bounds.iter().map(|bound| (*bound).into()).collect();
        values.push(ROWS.into());
        if db.run(sql, values).await? < u64::from(ROWS) {
            break;
        }
    }
    Ok(())
}

/// Cases that were closed before, with their quotes, rulings, comments and what webhooks were to be told of them.
async fn drop_cases(db: &Db, before: i64) -> Result<(), StoreError> {
    for _ in 0..ROUNDS {
        let mut tx = db.begin().await?;
        let closed = tx.all(CLOSED, vec![before.into(), CASES_AT_ONCE.into()]).await?;
        let ids = closed.iter().map(|row| row.get(0)).collect::<Result<Vec<String>, _>>()?;
        if ids.is_empty() {
            break;
        }
        for table in OF_A_CASE {
            let sql = format!("DELETE FROM {table} WHERE referral_id IN (SELECT v.referral_id FROM {{v}})");
            let rows = ids.iter().map(|id| vec![id.as_str().into()]).collect();
            tx.over(&sql, &[], Relation { columns: &[("referral_id", ValueKind::Text)], rows }).await?;
        }
        tx.commit().await?;
        tracing::info!(cases = ids.len(), "closed longer ago than desk.retention_days, and dropped");
        if ids.len() < CASES_AT_ONCE as usize {
            break;
        }
    }
    Ok(())
}
