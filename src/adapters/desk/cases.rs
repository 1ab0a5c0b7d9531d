//! Cases out of decisions and rulings, whichever comes first.

use std::collections::{BTreeMap, BTreeSet};

use super::project::matched;
use super::value::{Value, ValueKind};
use super::{Relation, Tx};
use crate::contract::instant;
use crate::engine::time::{DAY, EventTime};
use crate::pipeline::StoreError;
use crate::pipeline::desk::feed::{DecisionRecord, Form, RulingRecord};
use crate::pipeline::desk::status::{RulingKind, projected};

/// A newer referral tells why the case is open now.
const CASES: &str = "INSERT INTO cases (referral_id, tenant, status, revision, opened_at, active_at, reason, rule, quotes, variants, \
        newest_partition, newest_offset, published_revision) \
    SELECT referral_id, tenant, 'open', 1, opened_at, active_at, reason, rule, 0, variants, newest_partition, newest_offset, 0 \
    FROM {v} WHERE true ON CONFLICT (referral_id) DO UPDATE SET \
    opened_at = CASE WHEN excluded.opened_at < cases.opened_at THEN excluded.opened_at ELSE cases.opened_at END, \
    reason = CASE WHEN (excluded.active_at, excluded.newest_offset) >= (cases.active_at, cases.newest_offset) \
        THEN excluded.reason ELSE cases.reason END, \
    rule = CASE WHEN (excluded.active_at, excluded.newest_offset) >= (cases.active_at, cases.newest_offset) \
        THEN excluded.rule ELSE cases.rule END, \
    variants = CASE WHEN excluded.variants > cases.variants THEN excluded.variants ELSE cases.variants END, \
    newest_partition = CASE WHEN (excluded.active_at, excluded.newest_offset) >= (cases.active_at, cases.newest_offset) \
        THEN excluded.newest_partition ELSE cases.newest_partition END, \
    newest_offset = CASE WHEN (excluded.active_at, excluded.newest_offset) >= (cases.active_at, cases.newest_offset) \
        THEN excluded.newest_offset ELSE cases.newest_offset END, \
    active_at = CASE WHEN excluded.active_at > cases.active_at THEN excluded.active_at ELSE cases.active_at END";
const REFERRED: &str = "INSERT INTO case_quotes (referral_id, log_partition, log_offset, is_referred, tenant, quote_id, event_time, premium) \
    SELECT v.referral_id, v.log_partition, v.log_offset, 1, v.tenant, v.quote_id, v.event_time, f.premium \
    FROM {v} LEFT JOIN forms f ON f.log_partition = v.log_partition AND f.log_offset = v.log_offset WHERE true \
    ON CONFLICT (referral_id, log_partition, log_offset) DO UPDATE SET is_referred = 1";
/// Linked attempts were decided before in the same partition; those that are not held any more are left out.
const LINKED: &str = "INSERT INTO case_quotes (referral_id, log_partition, log_offset, is_referred, tenant, quote_id, event_time, premium) \
    SELECT v.referral_id, d.log_partition, d.log_offset, 0, d.tenant, d.quote_id, d.event_time, f.premium \
    FROM {v} JOIN decisions d ON d.tenant = v.tenant AND d.quote_id = v.quote_id AND d.event_time = v.event_time AND d.revision = 1 \
        AND d.log_partition = v.log_partition \
    LEFT JOIN forms f ON f.log_partition = d.log_partition AND f.log_offset = d.log_offset WHERE true \
    ON CONFLICT (referral_id, log_partition, log_offset) DO NOTHING";
const UNPRICED: &str =
    "SELECT 1 FROM case_quotes WHERE log_partition = $1 AND log_offset BETWEEN $2 AND $3 AND premium IS NULL LIMIT 1";
const PREMIUMS: &str = "UPDATE case_quotes SET premium = v.premium FROM {v} \
    WHERE case_quotes.log_partition = v.log_partition AND case_quotes.log_offset = v.log_offset AND case_quotes.premium IS NULL \
    RETURNING case_quotes.referral_id";
const DISPOSITIONS: &str = "INSERT INTO dispositions (log_partition, log_offset, at, ruling_id, tenant, referral_id, kind, rule, until, by_whom, quote_ids) \
    SELECT log_partition, log_offset, at, ruling_id, tenant, referral_id, kind, rule, until, by_whom, quote_ids FROM {v} WHERE true \
    ON CONFLICT DO NOTHING";
const ERASE: &str = "INSERT INTO erased (tenant, quote_id, at) SELECT tenant, quote_id, at FROM {v} WHERE true \
    ON CONFLICT (tenant, quote_id) DO UPDATE SET at = excluded.at";
const SHRED: &str = "UPDATE forms SET body = NULL FROM {v} \
    WHERE forms.tenant = v.tenant AND forms.quote_id = v.quote_id AND forms.arrival <= v.at";
/// Comments may speak of whoever is erased.
const SILENCE: &str = "UPDATE comments SET text = '', sealed = NULL FROM {v} \
    JOIN case_quotes q ON q.tenant = v.tenant AND q.quote_id = v.quote_id \
    WHERE comments.referral_id = q.referral_id AND comments.at <= v.at";
const RULED: &str = "SELECT d.referral_id, d.kind, d.rule, d.until, d.ruling_id FROM {v} JOIN cases c ON c.referral_id = v.referral_id \
    JOIN dispositions d ON d.referral_id = c.referral_id AND d.tenant = c.tenant \
    ORDER BY d.referral_id, d.log_partition, d.log_offset";
/// A ruling that is on its way stays so when a further quote joins its case.
const STATUS: &str = "UPDATE cases SET status = v.status, revision = v.revision, snoozed_rule = v.snoozed_rule, \
    snoozed_until = v.snoozed_until, \
    deciding = CASE WHEN cases.revision <> v.revision THEN NULL ELSE cases.deciding END, \
    deciding_until = CASE WHEN cases.revision <> v.revision THEN NULL ELSE cases.deciding_until END \
    FROM {v} WHERE cases.referral_id = v.referral_id";
/// What is told grows with each change of the status and with each further quote: whoever hears twice knows which is newer.
const OUTBOX: &str = "INSERT INTO webhook_outbox (referral_id, revision, tenant, at) SELECT c.referral_id, c.revision + c.quotes - 1, c.tenant, {now} \
    FROM {v} JOIN cases c ON c.referral_id = v.referral_id WHERE c.quotes > 0 ON CONFLICT (referral_id, revision) DO NOTHING";
const FORGOTTEN: &str = "DELETE FROM webhook_outbox WHERE at < {now} - $1";
/// How long a webhook that is away has time to hear of a change.
const OUTBOX_KEPT: i64 = 30 * DAY;
const RULES: &str =
    "INSERT INTO case_rules (referral_id, rule) SELECT referral_id, rule FROM {v} WHERE true ON CONFLICT DO NOTHING";
const PROTECTED: &str = "SELECT c.referral_id, c.premium_first - c.premium_lowest FROM {v} JOIN cases c ON c.referral_id = v.referral_id \
    WHERE c.status <> 'cleared' AND c.premium_first > c.premium_lowest";
const FIGURES: &str = "UPDATE cases SET \
    quotes = (SELECT count(*) FROM case_quotes q WHERE q.referral_id = cases.referral_id AND q.is_referred = 1), \
    premium_first = (SELECT q.premium FROM case_quotes q WHERE q.referral_id = cases.referral_id AND q.premium IS NOT NULL \
        ORDER BY q.event_time, q.log_offset LIMIT 1), \
    premium_lowest = (SELECT min(q.premium) FROM case_quotes q WHERE q.referral_id = cases.referral_id), \
    premium_last = (SELECT q.premium FROM case_quotes q WHERE q.referral_id = cases.referral_id AND q.premium IS NOT NULL \
        ORDER BY q.event_time DESC, q.log_offset DESC LIMIT 1) \
    FROM {v} WHERE cases.referral_id = v.referral_id";

const ID: &[(&str, ValueKind)] = &[("referral_id", ValueKind::Text)];

/// What a page of decisions says of one case.
struct Opened<'a> {
    opened_at: EventTime,
    newest: &'a DecisionRecord,
    variants: u32,
}

/// Opens and extends the cases of these decisions; gives their ids.
pub(super) async fn extend(tx: &mut Tx, new: &[&DecisionRecord]) -> Result<BTreeSet<String>, StoreError> {
    let mut cases: BTreeMap<&str, Opened<'_>> = BTreeMap::new();
    let referred = new.iter().filter_map(|record| Some((record.decision.referral_id.as_deref()?, *record)));
    let referred: Vec<_> = referred.collect();
    for (id, record) in &referred {
        let variants = record.decision.suspicious_attempts + 1;
        let case = cases.entry(id).or_insert(Opened { opened_at: record.event_time, newest: record, variants });
        case.opened_at = case.opened_at.min(record.event_time);
        case.variants = case.variants.max(variants);
        if place(record) >= place(case.newest) {
            case.newest = record;
        }
    }
    if cases.is_empty() {
        return Ok(BTreeSet::new());
    }
    write_cases(tx, &cases).await?;
    write_quotes(tx, &referred).await?;
    write_rules(tx, &referred).await?;
    Ok(cases.into_keys().map(str::to_owned).collect())
}

fn place(record: &DecisionRecord) -> (EventTime, u64, u32) {
    (record.event_time, record.decision.position.offset, record.decision.revision)
}

async fn write_cases(tx: &mut Tx, cases: &BTreeMap<&str, Opened<'_>>) -> Result<(), StoreError> {
    let row = |(id, case): (&&str, &Opened<'_>)| {
        let decision = &case.newest.decision;
        let (code, rule) = decision.reasons.first().map_or(("", ""), |reason| (&*reason.code, &*reason.rule));
        vec![
            (*id).into(),
            decision.tenant.as_str().into(),
            case.opened_at.into(),
            case.newest.event_time.into(),
            code.into(),
            rule.into(),
            case.variants.into(),
            decision.position.partition.into(),
            decision.position.offset.into(),
        ]
    };
    let columns = &[
        ("referral_id", ValueKind::Text),
        ("tenant", ValueKind::Text),
        ("opened_at", ValueKind::Int),
        ("active_at", ValueKind::Int),
        ("reason", ValueKind::Text),
        ("rule", ValueKind::Text),
        ("variants", ValueKind::Int),
        ("newest_partition", ValueKind::Int),
        ("newest_offset", ValueKind::Int),
    ];
    tx.over(CASES, &[], Relation { columns, rows: cases.iter().map(row).collect() }).await?;
    Ok(())
}

async fn write_quotes(tx: &mut Tx, referred: &[(&str, &DecisionRecord)]) -> Result<(), StoreError> {
    let (mut quotes, mut linked) = (BTreeMap::new(), BTreeMap::new());
    for (id, record) in referred {
        let decision = &record.decision;
        let position = (decision.position.partition, decision.position.offset);
        quotes.insert((*id, position), *record);
        for attempt in &decision.linked {
            let Ok(time) = instant::parse(&attempt.submitted_at) else { continue };
            linked.insert((*id, &*decision.tenant, &*attempt.quote_id), (time, position.0));
        }
    }
    let row = |((id, (partition, offset)), record): ((&str, (u32, u64)), &DecisionRecord)| {
        let (tenant, quote_id) = (record.decision.tenant.as_str(), record.decision.quote_id.as_str());
        vec![id.into(), partition.into(), offset.into(), tenant.into(), quote_id.into(), record.event_time.into()]
    };
    let columns = &[
        ("referral_id", ValueKind::Text),
        ("log_partition", ValueKind::Int),
        ("log_offset", ValueKind::Int),
        ("tenant", ValueKind::Text),
        ("quote_id", ValueKind::Text),
        ("event_time", ValueKind::Int),
    ];
    tx.over(REFERRED, &[], Relation { columns, rows: quotes.into_iter().map(row).collect() }).await?;
    let row = |((id, tenant, quote_id), (time, partition)): ((&str, &str, &str), (EventTime, u32))| {
        vec![id.into(), tenant.into(), quote_id.into(), time.into(), partition.into()]
    };
    let columns = &[
        ("referral_id", ValueKind::Text),
        ("tenant", ValueKind::Text),
        ("quote_id", ValueKind::Text),
        ("event_time", ValueKind::Int),
        ("log_partition", ValueKind::Int),
    ];
    tx.over(LINKED, &[], Relation { columns, rows: linked.into_iter().map(row).collect() }).await?;
    Ok(())
}

/// Every rule that matched, not only the first: a ruling on the case speaks of them all.
async fn write_rules(tx: &mut Tx, referred: &[(&str, &DecisionRecord)]) -> Result<(), StoreError> {
    let rules: BTreeSet<(&str, &str)> =
        referred.iter().flat_map(|(id, record)| matched(record).into_iter().map(|rule| (*id, rule))).collect();
    let columns = &[("referral_id", ValueKind::Text), ("rule", ValueKind::Text)];
    tx.over(RULES, &[], Relation { columns, rows: rules.into_iter().map(|(id, rule)| vec![id.into(), rule.into()]).collect() })
        .await?;
    Ok(())
}

/// Gives forms that came after their decisions their place in cases; the ids of these.
pub(super) async fn premiums_of(tx: &mut Tx, forms: &[Form]) -> Result<Vec<String>, StoreError> {
    let mut ranges: BTreeMap<u32, (u64, u64)> = BTreeMap::new();
    for form in forms {
        let range = ranges.entry(form.partition).or_insert((form.offset, form.offset));
        *range = (range.0.min(form.offset), range.1.max(form.offset));
    }
    // Mostly a form comes first, and no case waits for it.
    let mut waited = BTreeSet::new();
    for (partition, (first, last)) in ranges {
        if tx.first(UNPRICED, vec![partition.into(), first.into(), last.into()]).await?.is_some() {
            waited.insert(partition);
        }
    }
    let priced = forms.iter().filter(|form| form.premium.is_some() && waited.contains(&form.partition));
    let rows = priced.map(|form| vec![form.partition.into(), form.offset.into(), form.premium.into()]).collect();
    let columns = &[("log_partition", ValueKind::Int), ("log_offset", ValueKind::Int), ("premium", ValueKind::Real)];
    let rows = tx.over(PREMIUMS, &[], Relation { columns, rows }).await?;
    rows.iter().map(|row| row.get(0)).collect()
}

/// Writes rulings down and forgets what is to be forgotten; adds the cases to the touched ones.
pub(super) async fn rule(tx: &mut Tx, rulings: &[RulingRecord], touched: &mut BTreeSet<String>) -> Result<(), StoreError> {
    if rulings.is_empty() {
        return Ok(());
    }
    let rows = rulings.iter().map(disposition).collect();
    let columns = &[
        ("log_partition", ValueKind::Int),
        ("log_offset", ValueKind::Int),
        ("at", ValueKind::Int),
        ("ruling_id", ValueKind::Text),
        ("tenant", ValueKind::Text),
        ("referral_id", ValueKind::Text),
        ("kind", ValueKind::Text),
        ("rule", ValueKind::Text),
        ("until", ValueKind::Int),
        ("by_whom", ValueKind::Text),
        ("quote_ids", ValueKind::Text),
    ];
    tx.over(DISPOSITIONS, &[], Relation { columns, rows }).await?;
    touched.extend(rulings.iter().map(|ruling| ruling.referral_id.clone()));
    let mut erased = BTreeMap::new();
    for ruling in rulings.iter().filter(|ruling| ruling.kind == RulingKind::Erased) {
        erased.extend(ruling.quote_ids.iter().map(|quote_id| ((&*ruling.tenant, quote_id.as_str()), ruling.arrival.0)));
    }
    for sql in [ERASE, SHRED, SILENCE] {
        let row = |((tenant, quote_id), at): (&(&str, &str), &i64)| vec![(*tenant).into(), (*quote_id).into(), (*at).into()];
        let columns = &[("tenant", ValueKind::Text), ("quote_id", ValueKind::Text), ("at", ValueKind::Int)];
        tx.over(sql, &[], Relation { columns, rows: erased.iter().map(row).collect() }).await?;
    }
    Ok(())
}

fn disposition(ruling: &RulingRecord) -> Vec<Value> {
    vec![
        ruling.partition.into(),
        ruling.offset.into(),
        ruling.arrival.0.into(),
        ruling.ruling_id.as_str().into(),
        ruling.tenant.as_str().into(),
        ruling.referral_id.as_str().into(),
        ruling.kind.name().into(),
        ruling.rule.as_deref().into(),
        ruling.until.into(),
        ruling.by.as_deref().into(),
        serde_json::Value::from(ruling.quote_ids.clone()).to_string().into(),
    ]
}

/// Kind, rule and end of a ruling.
type Ruled = (RulingKind, Option<String>, Option<i64>);

/// Brings the figures and the status of cases up to what their quotes and rulings say now; how much further the premiums of those
/// that were not cleared have fallen.
pub(super) async fn settle(tx: &mut Tx, touched: &BTreeSet<String>) -> Result<f64, StoreError> {
    let ids = || Relation { columns: ID, rows: touched.iter().map(|id| vec![id.as_str().into()]).collect() };
    let before = protected(tx, ids()).await?;
    tx.over(FIGURES, &[], ids()).await?;
    let after = protected(tx, ids()).await?;
    let gained = after.iter().map(|(id, fallen)| (fallen - before.get(id).unwrap_or(&0.0)).max(0.0)).sum();
    let mut ruled: BTreeMap<String, Vec<Ruled>> = BTreeMap::new();
    let mut seen = BTreeSet::new();
    for row in tx.over(RULED, &[], ids()).await? {
        // Sent twice, it counts once: the first time.
        if !seen.insert(row.get::<String>(4)?) {
            continue;
        }
        let kind: String = row.get(1)?;
        let kind = RulingKind::parse(&kind)
            .ok_or_else(|| StoreError::Refused(format!("the desk was written by a later version: {kind}")))?;
        ruled.entry(row.get(0)?).or_default().push((kind, row.get(2)?, row.get(3)?));
    }
    let row = |(id, rulings): (String, Vec<Ruled>)| {
        let (status, revision) = projected(rulings.iter().map(|(kind, ..)| *kind));
        let snooze = rulings.into_iter().rev().find(|(kind, ..)| *kind == RulingKind::Snooze);
        let (rule, until) = snooze.map_or((None, None), |(_, rule, until)| (rule, until));
        vec![id.into(), status.name().into(), revision.into(), rule.into(), until.into()]
    };
    let columns = &[
        ("referral_id", ValueKind::Text),
        ("status", ValueKind::Text),
        ("revision", ValueKind::Int),
        ("snoozed_rule", ValueKind::Text),
        ("snoozed_until", ValueKind::Int),
    ];
    tx.over(STATUS, &[], Relation { columns, rows: ruled.into_iter().map(row).collect() }).await?;
    tx.over(OUTBOX, &[], ids()).await?;
    tx.run(FORGOTTEN, vec![OUTBOX_KEPT.into()]).await?;
    Ok(gained)
}

async fn protected(tx: &mut Tx, ids: Relation) -> Result<BTreeMap<String, f64>, StoreError> {
    tx.over(PROTECTED, &[], ids).await?.iter().map(|row| Ok((row.get(0)?, row.get(1)?))).collect()
}
