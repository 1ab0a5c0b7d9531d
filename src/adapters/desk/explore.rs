//! Decisions found by time, tenant, verdict, rule and quote.

use tokio::sync::mpsc::Sender;

use super::db::Db;
use super::queue::Where;
use super::value::Row;
use crate::engine::decision::Verdict;
use crate::engine::time::{EventTime, MINUTE};
use crate::pipeline::StoreError;
use crate::pipeline::desk::{Bucket, DecisionFilter, DecisionKey, DecisionPage, DecisionRow, PAGE_MAX};

/// Rows of one read of an export.
const EXPORT_PAGE: usize = 1_000;
const COLUMNS: &str = "d.event_time, d.log_partition, d.log_offset, d.decision_id, d.revision, d.tenant, d.quote_id, d.verdict, d.answer, \
    d.referral_id, d.rules, d.attempts, d.suspicious_attempts, d.suspicion, f.product, f.channel, f.source, f.premium";
const FORM: &str = "LEFT JOIN forms f ON f.log_partition = d.log_partition AND f.log_offset = d.log_offset";

fn conditions(filter: &DecisionFilter) -> Where {
    let mut wanted = Where::default();
    wanted.plain("d.is_current = 1");
    wanted.and("d.event_time >= $", filter.from);
    wanted.and("d.event_time < $", filter.to);
    wanted.and_maybe("d.tenant = $", filter.tenant.as_deref());
    wanted.and_maybe("d.quote_id = $", filter.quote_id.as_deref());
    wanted.and_maybe("d.verdict = $", filter.verdict.map(Verdict::name));
    // Said again in the words of the index that holds only these.
    if filter.rule.is_some() || filter.verdict.is_some_and(|verdict| verdict != Verdict::Accept) {
        wanted.plain("(d.verdict <> 'accept' OR d.rules <> '')");
    }
    // An id of a rule holds none of the signs that mean more in a pattern.
    let rule = filter.rule.as_deref().map(|rule| format!("% {} %", rule.replace(['%', '_', '\\'], "")));
    wanted.and_maybe("d.rules LIKE $", rule);
    wanted
}

pub(super) async fn page(
    db: &Db,
    filter: &DecisionFilter,
    after: Option<DecisionKey>,
    limit: usize,
) -> Result<DecisionPage, StoreError> {
    read(db, filter, after, limit.clamp(1, PAGE_MAX)).await
}

async fn read(db: &Db, filter: &DecisionFilter, after: Option<DecisionKey>, limit: usize) -> Result<DecisionPage, StoreError> {
    let mut wanted = conditions(filter);
    if let Some(key) = after {
        let key = [wanted.place(key.event_time), wanted.place(key.partition), wanted.place(key.offset)].join(", ");
        wanted.plain(&format!("(d.event_time, d.log_partition, d.log_offset) < ({key})"));
    }
    // Cut first, joined then: the forms of the page are looked up, no more.
    let sql = format!(
        "SELECT {COLUMNS} FROM (SELECT * FROM decisions d{} ORDER BY d.event_time DESC, d.log_partition DESC, d.log_offset DESC \
         LIMIT {}) d {FORM} ORDER BY d.event_time DESC, d.log_partition DESC, d.log_offset DESC",
        wanted.sql(),
        limit + 1
    );
    let rows = db.all(&sql, wanted.values).await?;
    let has_more = rows.len() > limit;
    let rows = rows.iter().take(limit).map(row).collect::<Result<Vec<_>, _>>()?;
    let next = rows.last().filter(|_| has_more).map(|row| row.key);
    Ok(DecisionPage { rows, next })
}

fn row(row: &Row) -> Result<DecisionRow, StoreError> {
    let verdict = |column| {
        let name: String = row.get(column)?;
        Verdict::parse(&name).ok_or_else(|| StoreError::Refused(format!("the desk was written by a later version: {name}")))
    };
    Ok(DecisionRow {
        key: DecisionKey { event_time: row.get(0)?, partition: row.get(1)?, offset: row.get(2)? },
        decision_id: row.get(3)?,
        revision: row.get(4)?,
        tenant: row.get(5)?,
        quote_id: row.get(6)?,
        verdict: verdict(7)?,
        answer: verdict(8)?,
        referral_id: row.get(9)?,
        rules: row.get::<String>(10)?.split_whitespace().map(str::to_owned).collect(),
        attempts: row.get(11)?,
        suspicious_attempts: row.get(12)?,
        suspicion: row.get(13)?,
        product: row.get(14)?,
        channel: row.get(15)?,
        source: row.get(16)?,
        premium: row.get(17)?,
    })
}

/// Reads page after page as fast as the receiver takes rows; ends when it is gone.
pub(super) async fn export(
    db: &Db,
    filter: &DecisionFilter,
    mut after: Option<DecisionKey>,
    rows: &Sender<Result<DecisionRow, StoreError>>,
) {
    loop {
        let page = match read(db, filter, after, EXPORT_PAGE).await {
            Ok(page) => page,
            Err(error) => {
                let _ = rows.send(Err(error)).await;
                return;
            }
        };
        for row in page.rows {
            if rows.send(Ok(row)).await.is_err() {
                return;
            }
        }
        after = page.next;
        if after.is_none() {
            return;
        }
    }
}

/// From the tallies where they know the answer, which is what was decided first; else from the rows.
pub(super) async fn histogram(db: &Db, filter: &DecisionFilter, minutes: u32) -> Result<Vec<Bucket>, StoreError> {
    let span = i64::from(minutes.max(1)) * MINUTE;
    let (wanted, from, time, count) = if filter.rule.is_none() && filter.quote_id.is_none() {
        let mut wanted = Where::default();
        wanted.plain("d.kind = 'verdict'");
        wanted.and("d.minute >= $", EventTime(filter.from.0.div_euclid(MINUTE) * MINUTE));
        wanted.and("d.minute < $", filter.to);
        wanted.and_maybe("d.tenant = $", filter.tenant.as_deref());
        wanted.and_maybe("d.name = $", filter.verdict.map(Verdict::name));
        (wanted, "tallies d", "d.minute", "d.name, CAST(sum(d.count) AS BIGINT)")
    } else {
        (conditions(filter), "decisions d", "d.event_time", "d.verdict, count(*)")
    };
    let name = &count[..count.find(',').unwrap_or(count.len())];
    let sql = format!(
        "SELECT {time} / {span} * {span} AS at, {count} FROM {from}{} GROUP BY {time} / {span} * {span}, {name} ORDER BY 1",
        wanted.sql()
    );
    buckets(&db.all(&sql, wanted.values).await?)
}

/// Rows of time, verdict and count, ordered by time.
pub(super) fn buckets(rows: &[Row]) -> Result<Vec<Bucket>, StoreError> {
    let mut buckets: Vec<Bucket> = Vec::new();
    for row in rows {
        let (at, name, count): (EventTime, String, u64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        if buckets.last().is_none_or(|last| last.at != at) {
            buckets.push(Bucket { at, ..Bucket::default() });
        }
        let Some(last) = buckets.last_mut() else { continue };
        match Verdict::parse(&name) {
            Some(Verdict::Accept) => last.accept += count,
            Some(Verdict::Flag) => last.flag += count,
            Some(Verdict::Refer) => last.refer += count,
            None => {}
        }
    }
    Ok(buckets)
}
