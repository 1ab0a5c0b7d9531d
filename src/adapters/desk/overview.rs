//! The figures of the first page.

use std::collections::BTreeMap;

use super::db::Db;
use super::explore::buckets;
use super::queue::{Where, counts};
use crate::engine::time::{EventTime, HOUR};
use crate::pipeline::StoreError;
use crate::pipeline::desk::views::RuleFigures;
use crate::pipeline::desk::{Bucket, Overview};

/// Rules that are listed. Beyond: those with the fewest hits are left out.
const RULES_SHOWN_MAX: usize = 20;

/// The log has moved, or somebody has done something: every action is in the audit.
const PULSE: &str = "SELECT CAST((SELECT coalesce(sum(next), 0) FROM sink_offsets) + (SELECT seq FROM audit_head) AS BIGINT)";

pub(super) async fn pulse(db: &Db) -> Result<i64, StoreError> {
    db.first(PULSE, vec![]).await?.map_or(Ok(0), |row| row.get(0))
}

pub(super) async fn overview(db: &Db, tenant: Option<String>, now: EventTime, today: EventTime) -> Result<Overview, StoreError> {
    let tenant = tenant.as_deref();
    // Beside each other: the page waits for the slowest alone.
    let (minutes, (opened_today, premium_protected), counts, rules) =
        tokio::try_join!(minutes(db, tenant, now), opened(db, tenant, today), counts(db, tenant), rules(db, tenant, today))?;
    Ok(Overview { minutes, counts, premium_protected, opened_today, rules })
}

/// Decisions of the last hour.
async fn minutes(db: &Db, tenant: Option<&str>, now: EventTime) -> Result<Vec<Bucket>, StoreError> {
    let mut wanted = Where::default();
    wanted.plain("kind = 'verdict'");
    wanted.and("minute > $", EventTime(now.0 - HOUR));
    wanted.and("minute <= $", now);
    wanted.and_maybe("tenant = $", tenant);
    let sql =
        format!("SELECT minute, name, CAST(sum(count) AS BIGINT) FROM tallies{} GROUP BY minute, name ORDER BY 1", wanted.sql());
    buckets(&db.all(&sql, wanted.values).await?)
}

/// Cases of today, and how far the price had fallen in them.
async fn opened(db: &Db, tenant: Option<&str>, today: EventTime) -> Result<(u64, f64), StoreError> {
    let mut wanted = Where::default();
    wanted.and("opened_at >= $", today);
    wanted.and_maybe("tenant = $", tenant);
    // Whom an underwriter has cleared was no picker: nothing was protected there.
    let protected = "CASE WHEN status <> 'cleared' THEN premium_first - premium_lowest END";
    let sql = format!("SELECT count(*), coalesce(sum({protected}), 0.0) FROM cases{}", wanted.sql());
    db.first(&sql, wanted.values).await?.map_or(Ok((0, 0.0)), |row| Ok((row.get(0)?, row.get(1)?)))
}

async fn rules(db: &Db, tenant: Option<&str>, today: EventTime) -> Result<Vec<RuleFigures>, StoreError> {
    let mut wanted = Where::default();
    wanted.plain("kind = 'rule'");
    wanted.and("minute >= $", today);
    wanted.and_maybe("tenant = $", tenant);
    let sql = format!("SELECT name, CAST(sum(count) AS BIGINT) FROM tallies{} GROUP BY name", wanted.sql());
    let mut figures: BTreeMap<String, RuleFigures> = BTreeMap::new();
    let of = |rule: String| RuleFigures { rule, ..RuleFigures::default() };
    for row in db.all(&sql, wanted.values).await? {
        let rule: String = row.get(0)?;
        figures.entry(rule.clone()).or_insert_with(|| of(rule)).hits = row.get(1)?;
    }
    let mut wanted = Where::default();
    wanted.plain("c.status IN ('confirmed', 'cleared')");
    wanted.and_maybe("c.tenant = $", tenant);
    let sql = format!(
        "SELECT r.rule, c.status, count(*) FROM cases c JOIN case_rules r ON r.referral_id = c.referral_id{} GROUP BY r.rule, c.status",
        wanted.sql()
    );
    for row in db.all(&sql, wanted.values).await? {
        let (rule, status): (String, String) = (row.get(0)?, row.get(1)?);
        let figures = figures.entry(rule.clone()).or_insert_with(|| of(rule));
        *if status == "confirmed" { &mut figures.confirmed } else { &mut figures.cleared } = row.get(2)?;
    }
    let mut rules: Vec<RuleFigures> = figures.into_values().collect();
    rules.sort_by(|a, b| b.hits.cmp(&a.hits).then_with(|| a.rule.cmp(&b.rule)));
    rules.truncate(RULES_SHOWN_MAX);
    Ok(rules)
}
