//! The queue, a page at a time.

use super::db::Db;
use super::value::{Row, Value};
use super::{DeskStore, Tx, form};
use crate::pipeline::StoreError;
use crate::pipeline::desk::views::{Lease, Premium, QueueCounts, Snooze};
use crate::pipeline::desk::{CaseRow, DeskError, PAGE_MAX, QueueFilter, QueueKey, QueuePage, Status};
use crate::vault::Place;

/// Of a case and the newest of its forms: what [`row`] reads.
pub(super) const COLUMNS: &str = "c.referral_id, c.tenant, c.status, c.revision, c.opened_at, c.active_at, c.reason, c.rule, c.quotes, \
    c.variants, c.premium_first, c.premium_lowest, c.premium_last, c.snoozed_rule, c.snoozed_until, c.assignee, \
    CASE WHEN c.lease_until > {now} THEN c.lease_by END, c.lease_until, f.body, f.quote_id, c.newest_partition, c.newest_offset";
pub(super) const FROM: &str =
    "cases c LEFT JOIN forms f ON f.log_partition = c.newest_partition AND f.log_offset = c.newest_offset";
const WAITING: &str = "c.status IN ('open', 'proof_requested')";

/// Conditions of a statement and their values, which are numbered as they come.
#[derive(Default)]
pub(super) struct Where {
    sql: String,
    pub values: Vec<Value>,
}

impl Where {
    /// `condition` holds `$` where the value goes, once.
    pub fn and(&mut self, condition: &str, value: impl Into<Value>) {
        self.values.push(value.into());
        let condition = condition.replace('$', &format!("${}", self.values.len()));
        self.plain(&condition);
    }

    /// The same, where there is a value.
    pub fn and_maybe(&mut self, condition: &str, value: Option<impl Into<Value>>) {
        if let Some(value) = value {
            self.and(condition, value);
        }
    }

    /// A condition without a value.
    pub fn plain(&mut self, condition: &str) {
        self.sql.push_str(if self.sql.is_empty() { " WHERE " } else { " AND " });
        self.sql.push_str(condition);
    }

    /// The place of a further value.
    pub fn place(&mut self, value: impl Into<Value>) -> String {
        self.values.push(value.into());
        format!("${}", self.values.len())
    }

    pub fn sql(&self) -> &str {
        &self.sql
    }
}

/// The cases of a filter, without their order.
pub(super) fn conditions(filter: &QueueFilter) -> Where {
    let mut wanted = Where::default();
    match filter.status {
        Some(status) => wanted.and("c.status = $", status.name()),
        None => wanted.plain(WAITING),
    }
    wanted.plain("c.quotes > 0");
    wanted.and_maybe("c.tenant = $", filter.tenant.as_deref());
    wanted.and_maybe("c.assignee = $", filter.assignee.as_deref());
    wanted.and_maybe("c.reason = $", filter.reason.as_deref());
    if filter.unassigned {
        wanted.plain("c.assignee IS NULL");
    }
    wanted
}

pub(super) async fn page(
    desk: &DeskStore,
    filter: QueueFilter,
    after: Option<QueueKey>,
    limit: usize,
) -> Result<QueuePage, DeskError> {
    let limit = limit.clamp(1, PAGE_MAX);
    let is_newest_first = filter.status.is_some_and(|status| !status.is_waiting());
    let mut wanted = conditions(&filter);
    if let Some(QueueKey { opened_at, referral_id }) = after {
        let (at, id) = (wanted.place(opened_at), wanted.place(referral_id));
        let beyond = if is_newest_first { '<' } else { '>' };
        wanted.plain(&format!("(c.opened_at, c.referral_id) {beyond} ({at}, {id})"));
    }
    let order = if is_newest_first { "DESC" } else { "ASC" };
    let sql = format!(
        "SELECT {COLUMNS} FROM {FROM}{} ORDER BY c.opened_at {order}, c.referral_id {order} LIMIT {}",
        wanted.sql(),
        limit + 1
    );
    let rows = desk.db.all(&sql, wanted.values).await?;
    let has_more = rows.len() > limit;
    let cases = rows.iter().take(limit).map(|found| row(desk, found)).collect::<Result<Vec<_>, _>>()?;
    let key = |case: &CaseRow| QueueKey { opened_at: case.opened_at, referral_id: case.referral_id.clone() };
    let next = cases.last().filter(|_| has_more).map(key);
    Ok(QueuePage { next, cases, counts: counts(&desk.db, filter.tenant.as_deref()).await? })
}

/// What waits, of one tenant or all.
pub(super) async fn counts(db: &Db, tenant: Option<&str>) -> Result<QueueCounts, StoreError> {
    let mut wanted = Where::default();
    wanted.plain(WAITING);
    wanted.plain("c.quotes > 0");
    wanted.and_maybe("c.tenant = $", tenant);
    let sql = format!("SELECT c.status, count(*), min(c.opened_at) FROM cases c{} GROUP BY c.status", wanted.sql());
    let mut counts = QueueCounts::default();
    for row in db.all(&sql, wanted.values).await? {
        let (status, count): (String, u64) = (row.get(0)?, row.get(1)?);
        if status == Status::Open.name() {
            counts.open = count;
        } else {
            counts.proof_requested = count;
        }
        let oldest = row.get(2)?;
        counts.oldest = Some(counts.oldest.map_or(oldest, |other| other.min(oldest)));
    }
    Ok(counts)
}

pub(super) fn status(name: &str) -> Result<Status, StoreError> {
    Status::parse(name).ok_or_else(|| StoreError::Refused(format!("the desk was written by a later version: status {name}")))
}

pub(super) fn row(desk: &DeskStore, row: &Row) -> Result<CaseRow, StoreError> {
    let (snoozed_rule, snoozed_until) = (row.get::<Option<String>>(13)?, row.get(14)?);
    let (lease_by, lease_until) = (row.get::<Option<String>>(16)?, row.get(17)?);
    let (body, quote_id): (Option<Vec<u8>>, Option<String>) = (row.get(18)?, row.get(19)?);
    let (tenant, quote_id): (String, String) = (row.get(1)?, quote_id.unwrap_or_default());
    let place = Place::Form { tenant: &tenant, quote_id: &quote_id, partition: row.get(20)?, offset: row.get(21)? };
    // One that does not open must not take the list away; the case's own page says what is wrong.
    let newest_form = body.and_then(|sealed| match form(desk, place, &sealed) {
        Ok(form) => Some(form),
        Err(error) => {
            tracing::error!(%error, "a form on the desk does not open");
            None
        }
    });
    Ok(CaseRow {
        referral_id: row.get(0)?,
        tenant,
        status: status(&row.get::<String>(2)?)?,
        revision: row.get(3)?,
        opened_at: row.get(4)?,
        active_at: row.get(5)?,
        reason: row.get(6)?,
        rule: row.get(7)?,
        quotes: row.get(8)?,
        variants: row.get(9)?,
        premium: Premium { first: row.get(10)?, lowest: row.get(11)?, last: row.get(12)? },
        snooze: snoozed_rule.zip(snoozed_until).map(|(rule, until)| Snooze { rule, until }),
        assignee: row.get(15)?,
        lease: lease_by.zip(lease_until).map(|(by, until)| Lease { by, until }),
        newest_form,
    })
}

/// The status, revision and lease of a case, held until the transaction ends.
pub(super) async fn locked(tx: &mut Tx, referral_id: &str) -> Result<Locked, DeskError> {
    // An update that changes nothing takes the row in both databases.
    let sql = "UPDATE cases SET revision = revision WHERE referral_id = $1 \
        RETURNING status, revision, lease_by, lease_until, deciding, deciding_until, {now}";
    let row = tx.first(sql, vec![referral_id.into()]).await?;
    let row = row.ok_or_else(|| DeskError::NoCase(referral_id.to_owned()))?;
    let now: i64 = row.get(6)?;
    let held = |until: Option<i64>| until.is_some_and(|until| until > now);
    let lease = Option::zip(row.get::<Option<String>>(2)?, row.get(3)?).map(|(by, until)| Lease { by, until });
    Ok(Locked {
        status: status(&row.get::<String>(0)?)?,
        revision: row.get(1)?,
        lease: lease.filter(|lease| lease.until.0 > now),
        deciding: row.get::<Option<String>>(4)?.filter(|_| matches!(row.get(5), Ok(until) if held(until))),
        now,
    })
}

pub(super) struct Locked {
    pub status: Status,
    pub revision: u32,
    /// Unless it has run out.
    pub lease: Option<Lease>,
    /// The id of a ruling that is on its way, unless its reservation has lapsed.
    pub deciding: Option<String>,
    /// The database's clock, microseconds since 1970.
    pub now: i64,
}
