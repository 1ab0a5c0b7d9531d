//! One case with everything that an underwriter has to see.

use std::collections::{BTreeMap, BTreeSet};

use super::db::Db;
use super::history;
use super::queue::{COLUMNS, FROM, row, status};
use super::value::Row;
use super::{DeskStore, Value, form, sealed_fault};
use crate::contract::instant::Utc;
use crate::engine::time::EventTime;
use crate::pipeline::StoreError;
use crate::pipeline::desk::matrix::changes;
use crate::pipeline::desk::views::{CaseQuote, Comment, Disposition, ReferralDisposition, Related};
use crate::pipeline::desk::{Case, DeskError, Referral, RulingKind};
use crate::vault::Place;

/// Quotes of a case that are shown, the newest: an applicant who goes on for ever must not fill the page. Beyond: the oldest are left out.
const QUOTES_SHOWN_MAX: usize = 200;
const COMMENTS_SHOWN_MAX: usize = 500;
const RELATED_SHOWN_MAX: usize = 50;

const QUOTES: &str = "SELECT q.quote_id, q.event_time, q.log_partition, q.log_offset, q.is_referred, q.premium, f.body \
    FROM case_quotes q LEFT JOIN forms f ON f.log_partition = q.log_partition AND f.log_offset = q.log_offset \
    WHERE q.referral_id = $1 ORDER BY q.event_time DESC, q.log_offset DESC LIMIT $2";
const DECISIONS: &str = "SELECT d.log_partition, d.log_offset, d.json FROM case_quotes q JOIN decisions d \
    ON d.log_partition = q.log_partition AND d.log_offset = q.log_offset AND d.event_time = q.event_time \
    WHERE q.referral_id = $1 AND q.event_time >= $2 ORDER BY d.log_partition, d.log_offset, d.revision";
const DISPOSITIONS: &str = "SELECT d.ruling_id, d.kind, d.at, d.by_whom, d.rule, d.until, d.quote_ids FROM dispositions d \
    JOIN cases c ON c.referral_id = d.referral_id AND c.tenant = d.tenant WHERE d.referral_id = $1 ORDER BY d.log_partition, d.log_offset";
const COMMENTS: &str = "SELECT at, actor, text, id, sealed FROM comments WHERE referral_id = $1 ORDER BY id DESC LIMIT $2";
const RELATED: &str = "SELECT c.referral_id, c.status, c.opened_at, count(*) FROM case_quotes mine \
    JOIN case_quotes other ON other.log_partition = mine.log_partition AND other.log_offset = mine.log_offset \
    JOIN cases c ON c.referral_id = other.referral_id \
    WHERE mine.referral_id = $1 AND other.referral_id <> $1 \
    GROUP BY c.referral_id, c.status, c.opened_at ORDER BY c.opened_at DESC LIMIT $2";
const REFERRED: &str =
    "SELECT quote_id FROM case_quotes WHERE referral_id = $1 AND is_referred = 1 ORDER BY event_time, log_offset";

pub(super) async fn case(desk: &DeskStore, referral_id: &str, tenant: Option<&str>) -> Result<Case, DeskError> {
    let sql = format!("SELECT {COLUMNS} FROM {FROM} WHERE c.referral_id = $1 AND ($2 IS NULL OR c.tenant = $2)");
    let found = desk.db.first(&sql, vec![referral_id.into(), Value::Text(tenant.map(str::to_owned))]).await?;
    let found = found.ok_or_else(|| DeskError::NoCase(referral_id.to_owned()))?;
    let row = row(desk, &found)?;
    let id = || Value::from(referral_id);
    let mut quotes = quotes(desk, referral_id, &row.tenant).await?;
    let from = quotes.first().map_or(EventTime(i64::MIN), |quote| quote.event_time);
    let mut decisions: BTreeMap<(u32, u64), Vec<String>> = BTreeMap::new();
    for row in desk.db.all(DECISIONS, vec![id(), from.into()]).await? {
        decisions.entry((row.get(0)?, row.get(1)?)).or_default().push(row.get(2)?);
    }
    for quote in &mut quotes {
        quote.decisions = decisions.remove(&(quote.partition, quote.offset)).unwrap_or_default();
    }
    let dispositions = dispositions(&desk.db, referral_id).await?;
    let events = history::events(&desk.db, referral_id, &quotes).await?;
    let comments = desk.db.all(COMMENTS, vec![id(), limit(COMMENTS_SHOWN_MAX)]).await?;
    let related = desk.db.all(RELATED, vec![id(), limit(RELATED_SHOWN_MAX)]).await?;
    Ok(Case {
        row,
        quotes,
        dispositions,
        events,
        comments: comments.iter().rev().map(|row| comment(desk, referral_id, row)).collect::<Result<_, _>>()?,
        related: related.iter().map(related_case).collect::<Result<_, _>>()?,
    })
}

fn limit(most: usize) -> Value {
    (most as u64).into()
}

fn comment(desk: &DeskStore, case: &str, row: &Row) -> Result<Comment, StoreError> {
    let (author, id, sealed): (String, u64, Option<Vec<u8>>) = (row.get(1)?, row.get(3)?, row.get(4)?);
    let text = match sealed {
        Some(sealed) => {
            let opened = desk.vault.unwrap(Place::Comment { case, author: &author, id }, &sealed);
            let opened = opened.map_err(|error| sealed_fault(&format!("comment {id}"), error))?;
            String::from_utf8(opened).map_err(|_| StoreError::Damaged(format!("the desk's comment {id} is no text")))?
        }
        None => row.get(2)?,
    };
    Ok(Comment { at: row.get(0)?, actor: author, text })
}

/// In event time, with what changed from one to the next.
async fn quotes(desk: &DeskStore, referral_id: &str, tenant: &str) -> Result<Vec<CaseQuote>, StoreError> {
    let rows = desk.db.all(QUOTES, vec![referral_id.into(), limit(QUOTES_SHOWN_MAX)]).await?;
    let quote = |row: &Row| {
        let (sealed, quote_id): (Option<Vec<u8>>, String) = (row.get(6)?, row.get(0)?);
        let (partition, offset) = (row.get(2)?, row.get(3)?);
        let place = Place::Form { tenant, quote_id: &quote_id, partition, offset };
        let form = sealed.map(|sealed| form(desk, place, &sealed)).transpose()?;
        Ok::<_, StoreError>(CaseQuote {
            quote_id,
            event_time: row.get(1)?,
            partition,
            offset,
            is_referred: row.get(4)?,
            premium: row.get(5)?,
            form,
            decisions: Vec::new(),
            changes: Vec::new(),
        })
    };
    let mut quotes = rows.iter().rev().map(quote).collect::<Result<Vec<_>, _>>()?;
    let changed = changes(tenant, quotes.iter().map(|quote| quote.form.as_deref()));
    for (quote, changed) in quotes.iter_mut().zip(changed) {
        quote.changes = changed;
    }
    Ok(quotes)
}

async fn dispositions(db: &Db, referral_id: &str) -> Result<Vec<Disposition>, StoreError> {
    let rows = db.all(DISPOSITIONS, vec![referral_id.into()]).await?;
    let mut seen = BTreeSet::new();
    let mut ruled = rows.iter().map(disposition).collect::<Result<Vec<_>, _>>()?;
    // Sent twice, it counts once: the first time.
    ruled.retain(|disposition| seen.insert(disposition.ruling_id.clone()));
    Ok(ruled)
}

fn disposition(row: &Row) -> Result<Disposition, StoreError> {
    let kind: String = row.get(1)?;
    let quote_ids: String = row.get(6)?;
    Ok(Disposition {
        ruling_id: row.get(0)?,
        kind: RulingKind::parse(&kind)
            .ok_or_else(|| StoreError::Refused(format!("the desk was written by a later version: {kind}")))?,
        at: row.get(2)?,
        by: row.get(3)?,
        rule: row.get(4)?,
        until: row.get(5)?,
        quote_ids: serde_json::from_str(&quote_ids)
            .map_err(|error| StoreError::Damaged(format!("a disposition's quotes: {error}")))?,
    })
}

fn related_case(row: &Row) -> Result<Related, StoreError> {
    let name: String = row.get(1)?;
    Ok(Related { referral_id: row.get(0)?, status: status(&name)?, opened_at: row.get(2)?, shared: row.get(3)? })
}

pub(super) async fn unpublished(db: &Db, most: usize) -> Result<Vec<Referral>, DeskError> {
    let sql = "SELECT referral_id FROM cases WHERE published_revision < revision + quotes - 1 AND quotes > 0 LIMIT $1";
    let mut referrals = Vec::new();
    for row in db.all(sql, vec![limit(most)]).await? {
        referrals.push(referral(db, &row.get::<String>(0)?, None).await?);
    }
    Ok(referrals)
}

pub(super) async fn published(db: &Db, referral_id: &str, revision: u32) -> Result<(), DeskError> {
    let sql = "UPDATE cases SET published_revision = $1 WHERE referral_id = $2 AND published_revision < $1";
    db.run(sql, vec![revision.into(), referral_id.into()]).await?;
    Ok(())
}

pub(super) async fn referral(db: &Db, referral_id: &str, tenant: Option<&str>) -> Result<Referral, DeskError> {
    // The revision before the quotes: a message may hold more of them than it counts, never fewer.
    let sql = "SELECT status, revision + CASE WHEN quotes > 0 THEN quotes - 1 ELSE 0 END, opened_at FROM cases \
        WHERE referral_id = $1 AND ($2 IS NULL OR tenant = $2)";
    let row = db.first(sql, vec![referral_id.into(), Value::Text(tenant.map(str::to_owned))]).await?;
    let row = row.ok_or_else(|| DeskError::NoCase(referral_id.to_owned()))?;
    let quote_ids = db.all(REFERRED, vec![referral_id.into()]).await?;
    let ruled = dispositions(db, referral_id).await?;
    let last = ruled.into_iter().rev().find(|disposition| disposition.kind.status().is_some());
    Ok(Referral {
        referral_id: referral_id.to_owned(),
        revision: row.get(1)?,
        status: row.get(0)?,
        quote_ids: quote_ids.iter().map(|row| row.get(0)).collect::<Result<_, _>>()?,
        opened_at: Utc(row.get(2)?).to_string(),
        disposition: last.map(|last| ReferralDisposition {
            kind: last.kind.name().to_owned(),
            at: Utc(last.at).to_string(),
            until: last.until.map(|until| Utc(until).to_string()),
        }),
    })
}
