//! The log's rows into tables: positions moved by compare-and-set, in one transaction with the rows that they speak of. Of a page that has
//! both, forms and decisions are two such transactions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

#[cfg(feature = "postgres")]
use super::months::Months;
#[cfg(feature = "postgres")]
use super::server::SinkLock;
use super::value::{Value, ValueKind};
use super::{Db, DeskStore, Relation, Tx};
use super::{audit, cases, keep, queue, ruled};
use crate::engine::time::MINUTE;
use crate::pipeline::StoreError;
use crate::pipeline::desk::feed::{DecisionRecord, Form, Move, Page, Part, Positions};
use crate::pipeline::desk::sink::{Gained, Projection};
use crate::pipeline::desk::views::QueueCounts;
use crate::vault::Place;

const LOG_ID: &str = "SELECT value FROM desk WHERE key = 'log_id'";
const POSITIONS: &str = "SELECT feed, log_partition, next FROM sink_offsets";
const MOVE: &str = "UPDATE sink_offsets SET next = $1 WHERE feed = $2 AND log_partition = $3 AND next = $4";
const BEGIN: &str = "INSERT INTO sink_offsets (feed, log_partition, next) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";

const FORMS: &str = "INSERT INTO forms (log_partition, log_offset, arrival, tenant, quote_id, product, channel, source, premium, body) \
    SELECT log_partition, log_offset, arrival, tenant, quote_id, product, channel, source, premium, body FROM {v} WHERE true \
    ON CONFLICT DO NOTHING";
const ERASED: &str =
    "SELECT e.tenant, e.quote_id, e.at FROM {v} JOIN erased e ON e.tenant = v.tenant AND e.quote_id = v.quote_id";
const DECISIONS: &str = "INSERT INTO decisions (log_partition, log_offset, revision, event_time, is_current, decision_id, tenant, quote_id, \
    verdict, answer, referral_id, rules, attempts, suspicious_attempts, suspicion, json) \
    SELECT log_partition, log_offset, revision, event_time, 1, decision_id, tenant, quote_id, \
    verdict, answer, referral_id, rules, attempts, suspicious_attempts, suspicion, json FROM {v} WHERE true \
    ON CONFLICT DO NOTHING RETURNING log_partition, log_offset, revision";
/// The first revision comes before the later ones in each partition; only they take its place.
const CURRENT: &str = "UPDATE decisions SET is_current = CASE WHEN revision = (SELECT max(d.revision) FROM decisions d \
        WHERE d.log_partition = decisions.log_partition AND d.log_offset = decisions.log_offset) THEN 1 ELSE 0 END \
    FROM {v} WHERE decisions.log_partition = v.log_partition AND decisions.log_offset = v.log_offset \
        AND decisions.event_time = v.event_time";
const TALLY: &str = "INSERT INTO tallies (minute, tenant, kind, name, count) SELECT minute, tenant, kind, name, count FROM {v} WHERE true \
    ON CONFLICT (minute, tenant, kind, name) DO UPDATE SET count = tallies.count + excluded.count";

/// The sink's side of the store.
pub struct Projector {
    desk: DeskStore,
    runtime: Handle,
    tidied: Option<Instant>,
    #[cfg(feature = "postgres")]
    lock: Option<SinkLock>,
    #[cfg(feature = "postgres")]
    months: Months,
}

/// How often what is old is dropped.
const TIDY_EVERY: Duration = Duration::from_secs(60);

impl Projector {
    /// Its methods block the calling thread, which must not be one of the runtime's.
    pub fn new(desk: DeskStore, runtime: Handle) -> Projector {
        Projector {
            desk,
            runtime,
            tidied: None,
            #[cfg(feature = "postgres")]
            lock: None,
            #[cfg(feature = "postgres")]
            months: Months::default(),
        }
    }

    /// Whether it is ours to fill the desk: of several instances over one server one does, for two would do the same work.
    async fn is_ours(&mut self) -> Result<bool, StoreError> {
        #[cfg(feature = "postgres")]
        if let Some(server) = &self.desk.server {
            self.desk.prepare().await?;
            // The server may have been away, and the lock with it.
            if let Some(lock) = &mut self.lock
                && lock.show_life().await.is_err()
            {
                self.lock = None;
            }
            if self.lock.is_none() {
                self.lock = SinkLock::take(server).await?;
            }
            return Ok(self.lock.is_some());
        }
        Ok(true)
    }

    async fn read_positions(&mut self, log_id: &str) -> Result<Option<Positions>, StoreError> {
        if !self.is_ours().await? {
            return Ok(None);
        }
        // Another instance may have dropped some meanwhile.
        #[cfg(feature = "postgres")]
        self.months.forget();
        identify(&self.desk, log_id).await?;
        let mut positions = Positions::new();
        for row in &self.desk.db.all(POSITIONS, vec![]).await? {
            let (name, partition, next) = (row.get::<String>(0)?, row.get(1)?, row.get(2)?);
            let part = Part::parse(&name)
                .ok_or_else(|| StoreError::Refused(format!("the desk was written by a later version: it reads {name}")))?;
            positions.insert((part, partition), next);
        }
        Ok(Some(positions))
    }

    async fn look_after(&mut self, is_told: bool) -> Result<(), StoreError> {
        #[cfg(feature = "postgres")]
        if let Some(lock) = &mut self.lock
            && let Err(error) = lock.renew().await
        {
            self.lock = None;
            return Err(error);
        }
        if self.tidied.is_none_or(|at| at.elapsed() >= TIDY_EVERY) {
            // What is not dropped now is dropped next time; what is new does not wait for it.
            if let Err(error) = keep::drop_old(&self.desk.db, self.desk.keeping, is_told).await {
                tracing::warn!(%error, "the desk keeps what is older than it should for another minute");
            }
            #[cfg(feature = "postgres")]
            self.months.forget();
            self.tidied = Some(Instant::now());
        }
        Ok(())
    }
}

impl Projection for Projector {
    fn positions(&mut self, log_id: &str) -> Result<Option<Positions>, StoreError> {
        let runtime = self.runtime.clone();
        runtime.block_on(self.read_positions(log_id))
    }

    fn project(&mut self, page: &Page) -> Result<Option<Gained>, StoreError> {
        let runtime = self.runtime.clone();
        runtime.block_on(async {
            #[cfg(feature = "postgres")]
            if self.desk.server.is_some() {
                self.months.make_for(&self.desk.db, page).await?;
            }
            let projected = project(&self.desk, page).await;
            #[cfg(feature = "postgres")]
            if projected.is_err() {
                self.months.forget();
            }
            projected
        })
    }

    fn waiting(&mut self) -> Result<QueueCounts, StoreError> {
        let runtime = self.runtime.clone();
        runtime.block_on(queue::counts(&self.desk.db, None))
    }

    fn upkeep(&mut self, is_told: bool) -> Result<(), StoreError> {
        let runtime = self.runtime.clone();
        runtime.block_on(self.look_after(is_told))
    }
}

/// Everything that the log says; what is people's stays. A case that the log does not open again is in no queue.
pub(super) async fn start_over(db: &Db) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    for table in ["sink_offsets", "decisions", "forms", "case_quotes", "case_rules", "dispositions", "tallies"] {
        tx.run(&format!("DELETE FROM {table}"), vec![]).await?;
    }
    let fresh = "UPDATE cases SET status = 'open', revision = 1, quotes = 0, variants = 0, opened_at = $1, active_at = $2, newest_offset = 0";
    tx.run(fresh, vec![i64::MAX.into(), i64::MIN.into()]).await?;
    tx.commit().await
}

/// A desk is the projection of one log.
async fn identify(desk: &DeskStore, log_id: &str) -> Result<(), StoreError> {
    let insert = "INSERT INTO desk (key, value) VALUES ('log_id', $1) ON CONFLICT DO NOTHING";
    if desk.db.first(LOG_ID, vec![]).await?.is_none() {
        desk.db.run(insert, vec![log_id.into()]).await?;
    }
    let found: Option<String> = desk.db.first(LOG_ID, vec![]).await?.map(|row| row.get(0)).transpose()?;
    match found {
        Some(found) if found == log_id => Ok(()),
        found => Err(StoreError::Refused(format!(
            "the desk's database shows the log {}, and this is {log_id}; name another one in desk.url",
            found.unwrap_or_default()
        ))),
    }
}

async fn project(desk: &DeskStore, page: &Page) -> Result<Option<Gained>, StoreError> {
    let is_both = !page.forms.is_empty() && !page.decisions.is_empty();
    if is_both && page.rulings.is_empty() && desk.db.has_room_for_two() {
        return project_by_two(desk, page).await;
    }
    // An entry of the audit is told to the log of the service once it is there, so it has to stay there.
    let mut tx = if page.rulings.is_empty() { begin(desk).await? } else { desk.db.begin().await? };
    if !move_parts(&mut tx, page, |_| true).await? {
        return Ok(None);
    }
    let mut touched = priced(&mut tx, desk, page).await?;
    let new = write_decisions(&mut tx, &page.decisions).await?;
    touched.extend(cases::extend(&mut tx, &new).await?);
    cases::rule(&mut tx, &page.rulings, &mut touched).await?;
    let protected = cases::settle(&mut tx, &touched).await?;
    let fresh = ruled::not_audited(&mut tx, &page.rulings).await?;
    let answers = ruled::answers(&mut tx, &fresh).await?;
    let mut grown = Vec::with_capacity(fresh.len());
    for ruling in fresh {
        grown.push(audit::append_in(&mut tx, &desk.vault, ruled::entry(ruling)).await?);
    }
    tx.commit().await?;
    grown.into_iter().for_each(audit::Grown::tell);
    Ok(Some(Gained { protected, answers }))
}

/// Forms and decisions at once, each with their own positions: a server does their rows on two processors. Cases wait for the forms, of which
/// they take the premiums.
async fn project_by_two(desk: &DeskStore, page: &Page) -> Result<Option<Gained>, StoreError> {
    let (are_there, awaited) = oneshot::channel();
    let forms = async {
        // Dropped at the latest here: then nobody waits for it.
        let are_there = are_there;
        let mut tx = begin(desk).await?;
        if !move_parts(&mut tx, page, |part| part == Part::Quotes).await? {
            return Ok(None);
        }
        let touched = priced(&mut tx, desk, page).await?;
        let protected = cases::settle(&mut tx, &touched).await?;
        tx.commit().await?;
        // Whoever does not wait any more has failed, and says why.
        let _ = are_there.send(());
        Ok::<_, StoreError>(Some(protected))
    };
    let decisions = async {
        let mut tx = begin(desk).await?;
        if !move_parts(&mut tx, page, |part| part != Part::Quotes).await? {
            return Ok(None);
        }
        let new = write_decisions(&mut tx, &page.decisions).await?;
        if awaited.await.is_err() {
            return Ok(None);
        }
        let touched = cases::extend(&mut tx, &new).await?;
        let protected = cases::settle(&mut tx, &touched).await?;
        tx.commit().await?;
        Ok::<_, StoreError>(Some(protected))
    };
    let (forms, decisions) = tokio::join!(forms, decisions);
    let gained = forms?.zip(decisions?).map(|(forms, decisions)| forms + decisions);
    Ok(gained.map(|protected| Gained { protected, answers: Vec::new() }))
}

/// Rows and positions are lost together in a crash of the server, and the log still has them: nothing waits for its disk.
async fn begin(desk: &DeskStore) -> Result<Tx, StoreError> {
    let mut tx = desk.db.begin().await?;
    tx.commit_lazily().await?;
    Ok(tx)
}

/// `false` when one of these parts is not where the page begins.
async fn move_parts(tx: &mut Tx, page: &Page, which: impl Fn(Part) -> bool) -> Result<bool, StoreError> {
    for moved in page.moves.iter().filter(|moved| which(moved.part)) {
        if !moves(tx, moved).await? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Writes the forms; gives the cases that had waited for the premium of one.
async fn priced(tx: &mut Tx, desk: &DeskStore, page: &Page) -> Result<BTreeSet<String>, StoreError> {
    if page.forms.is_empty() {
        return Ok(BTreeSet::new());
    }
    write_forms(tx, desk, &page.forms).await?;
    Ok(cases::premiums_of(tx, &page.forms).await?.into_iter().collect())
}

/// `false` when the position is not where the page begins.
async fn moves(tx: &mut Tx, moved: &Move) -> Result<bool, StoreError> {
    let (feed, partition, to) = (moved.part.name(), moved.partition, moved.to);
    if tx.run(MOVE, vec![to.into(), feed.into(), partition.into(), moved.from.into()]).await? == 1 {
        return Ok(true);
    }
    Ok(moved.from == 0 && tx.run(BEGIN, vec![feed.into(), partition.into(), to.into()]).await? == 1)
}

async fn write_forms(tx: &mut Tx, desk: &DeskStore, forms: &[Form]) -> Result<(), StoreError> {
    let erased = erased(tx, forms).await?;
    let is_erased = |form: &Form| {
        let at = erased.get(&(form.tenant.clone(), form.quote_id.clone()));
        at.is_some_and(|at| form.arrival.0 <= *at)
    };
    let row = |form: &Form| {
        let Form { tenant, quote_id, partition, offset, body, .. } = form;
        let place = Place::Form { tenant, quote_id, partition: *partition, offset: *offset };
        let body = if is_erased(form) { Value::Blob(None) } else { desk.vault.wrap(place, body)?.into() };
        Ok::<_, StoreError>(vec![
            form.partition.into(),
            form.offset.into(),
            form.arrival.0.into(),
            form.tenant.as_str().into(),
            form.quote_id.as_str().into(),
            form.product.as_str().into(),
            form.channel.into(),
            form.source.name().into(),
            form.premium.into(),
            body,
        ])
    };
    let columns = &[
        ("log_partition", ValueKind::Int),
        ("log_offset", ValueKind::Int),
        ("arrival", ValueKind::Int),
        ("tenant", ValueKind::Text),
        ("quote_id", ValueKind::Text),
        ("product", ValueKind::Text),
        ("channel", ValueKind::Text),
        ("source", ValueKind::Text),
        ("premium", ValueKind::Real),
        ("body", ValueKind::Blob),
    ];
    let rows = forms.iter().map(row).collect::<Result<_, _>>()?;
    tx.over(FORMS, &[], Relation { columns, rows }).await?;
    Ok(())
}

/// Until when quotes of these ids were erased, microseconds since 1970.
async fn erased(tx: &mut Tx, forms: &[Form]) -> Result<BTreeMap<(String, String), i64>, StoreError> {
    if tx.first("SELECT tenant FROM erased LIMIT 1", vec![]).await?.is_none() {
        return Ok(BTreeMap::new());
    }
    let rows = forms.iter().map(|form| vec![form.tenant.as_str().into(), form.quote_id.as_str().into()]).collect();
    let relation = Relation { columns: &[("tenant", ValueKind::Text), ("quote_id", ValueKind::Text)], rows };
    let found = tx.over(ERASED, &[], relation).await?;
    found.iter().map(|row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?))).collect()
}

/// Gives those that were not there.
async fn write_decisions<'a>(tx: &mut Tx, decisions: &'a [DecisionRecord]) -> Result<Vec<&'a DecisionRecord>, StoreError> {
    let columns = &[
        ("log_partition", ValueKind::Int),
        ("log_offset", ValueKind::Int),
        ("revision", ValueKind::Int),
        ("event_time", ValueKind::Int),
        ("decision_id", ValueKind::Text),
        ("tenant", ValueKind::Text),
        ("quote_id", ValueKind::Text),
        ("verdict", ValueKind::Text),
        ("answer", ValueKind::Text),
        ("referral_id", ValueKind::Text),
        ("rules", ValueKind::Text),
        ("attempts", ValueKind::Int),
        ("suspicious_attempts", ValueKind::Int),
        ("suspicion", ValueKind::Real),
        ("json", ValueKind::Text),
    ];
    let relation = Relation { columns, rows: decisions.iter().map(decision_row).collect() };
    let mut new = BTreeSet::new();
    for row in tx.over(DECISIONS, &[], relation).await? {
        new.insert((row.get::<u32>(0)?, row.get::<u64>(1)?, row.get::<u32>(2)?));
    }
    // A copy within the page is the same again.
    let new: Vec<_> = decisions.iter().filter(|record| new.remove(&identity(record))).collect();
    supersede(tx, &new).await?;
    tally(tx, &new).await?;
    Ok(new)
}

fn identity(record: &DecisionRecord) -> (u32, u64, u32) {
    let decision = &record.decision;
    (decision.position.partition, decision.position.offset, decision.revision)
}

fn decision_row(record: &DecisionRecord) -> Vec<Value> {
    let decision = &record.decision;
    vec![
        decision.position.partition.into(),
        decision.position.offset.into(),
        decision.revision.into(),
        record.event_time.into(),
        decision.decision_id.as_str().into(),
        decision.tenant.as_str().into(),
        decision.quote_id.as_str().into(),
        decision.decision.name().into(),
        decision.answer.name().into(),
        decision.referral_id.as_deref().into(),
        rules(record).into(),
        decision.attempts.into(),
        decision.suspicious_attempts.into(),
        decision.suspicion.into(),
        record.json.as_str().into(),
    ]
}

/// The rules that matched, each once.
pub(super) fn matched(record: &DecisionRecord) -> BTreeSet<&str> {
    record.decision.reasons.iter().map(|reason| reason.rule.as_str()).collect()
}

fn rules(record: &DecisionRecord) -> String {
    let matched = matched(record);
    if matched.is_empty() { String::new() } else { format!(" {} ", matched.into_iter().collect::<Vec<_>>().join(" ")) }
}

async fn supersede(tx: &mut Tx, new: &[&DecisionRecord]) -> Result<(), StoreError> {
    let amended = new.iter().filter(|record| record.decision.revision > 1);
    // Once each: a statement may change a row once.
    let positions: BTreeSet<_> = amended.map(|record| (identity(record).0, identity(record).1, record.event_time)).collect();
    let rows = positions.into_iter().map(|(partition, offset, time)| vec![partition.into(), offset.into(), time.into()]);
    let columns = &[("log_partition", ValueKind::Int), ("log_offset", ValueKind::Int), ("event_time", ValueKind::Int)];
    tx.over(CURRENT, &[], Relation { columns, rows: rows.collect() }).await?;
    Ok(())
}

/// Counts first revisions: an amendment is not one more quote.
async fn tally(tx: &mut Tx, new: &[&DecisionRecord]) -> Result<(), StoreError> {
    let mut counts: BTreeMap<(i64, &str, &str, &str), i64> = BTreeMap::new();
    for record in new.iter().filter(|record| record.decision.revision == 1) {
        let minute = record.event_time.0.div_euclid(MINUTE) * MINUTE;
        let verdict = ("verdict", record.decision.decision.name());
        let rules = matched(record).into_iter().map(|rule| ("rule", rule));
        for (kind, name) in std::iter::once(verdict).chain(rules) {
            *counts.entry((minute, record.decision.tenant.as_str(), kind, name)).or_default() += 1;
        }
    }
    let row = |((minute, tenant, kind, name), count): ((i64, &str, &str, &str), i64)| {
        vec![minute.into(), tenant.into(), kind.into(), name.into(), count.into()]
    };
    let columns = &[
        ("minute", ValueKind::Int),
        ("tenant", ValueKind::Text),
        ("kind", ValueKind::Text),
        ("name", ValueKind::Text),
        ("count", ValueKind::Int),
    ];
    tx.over(TALLY, &[], Relation { columns, rows: counts.into_iter().map(row).collect() }).await?;
    Ok(())
}
