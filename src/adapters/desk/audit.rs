//! The chain of what people did and saw: each row's hash covers it and the hash of the row before.

use std::fmt::Write;

use sha2::{Digest, Sha256};

use super::db::{Db, Tx};
use super::queue::Where;
use super::value::Row;
use crate::pipeline::StoreError;
use crate::pipeline::desk::views::{AuditEntry, Tampering};
use crate::pipeline::desk::{AuditFilter, AuditPage, AuditVerdict, NewAudit, PAGE_MAX};

/// Rows of one read of the whole chain.
const VERIFY_PAGE: u64 = 1_000;
/// Of the entry before the first.
const ROOT: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Takes the head until the transaction ends: two entries cannot follow the same one.
const TAKE_HEAD: &str = "UPDATE audit_head SET seq = seq + 1 WHERE id = 0 RETURNING seq, hash, {now}";
const MOVE_HEAD: &str = "UPDATE audit_head SET hash = $1 WHERE id = 0";
const APPEND: &str =
    "INSERT INTO audit (seq, at, actor, action, subject, detail, prev, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const COLUMNS: &str = "seq, at, actor, action, subject, detail, hash, prev";

pub(super) async fn append(db: &Db, entry: NewAudit) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    let grown = append_in(&mut tx, entry).await?;
    tx.commit().await?;
    grown.tell();
    Ok(())
}

/// The end of the chain, once it is committed.
#[must_use]
pub(super) struct Grown {
    seq: u64,
    hash: String,
}

impl Grown {
    /// A second place that the end of the chain can be compared with.
    pub(super) fn tell(self) {
        let Grown { seq, hash } = self;
        tracing::info!(seq, hash, "the audit chain has grown");
    }
}

/// In the transaction that does what the entry says; the last thing in it, for others wait for the head.
pub(super) async fn append_in(tx: &mut Tx, entry: NewAudit) -> Result<Grown, StoreError> {
    let head = tx.first(TAKE_HEAD, vec![]).await?;
    let head = head.ok_or_else(|| StoreError::Damaged("the head of the audit chain is gone".to_owned()))?;
    let (seq, prev, at): (u64, String, i64) = (head.get(0)?, head.get(1)?, head.get(2)?);
    // As PostgreSQL keeps a text: without NUL.
    let text = |text: String| text.replace('\0', "");
    let (actor, action, subject) = (text(entry.actor), text(entry.action), text(entry.subject));
    let detail = text(entry.detail.to_string());
    let hash = hash(&prev, seq, at, [&actor, &action, &subject, &detail]);
    let values = vec![
        seq.into(),
        at.into(),
        actor.into(),
        action.into(),
        subject.into(),
        detail.into(),
        prev.into(),
        hash.as_str().into(),
    ];
    tx.run(APPEND, values).await?;
    tx.run(MOVE_HEAD, vec![hash.as_str().into()]).await?;
    Ok(Grown { seq, hash })
}

/// Each part with its length before it, so that no two rows are the same bytes.
fn hash(prev: &str, seq: u64, at: i64, texts: [&str; 4]) -> String {
    let mut row = Sha256::new();
    row.update(prev.as_bytes());
    row.update(seq.to_be_bytes());
    row.update(at.to_be_bytes());
    for text in texts {
        row.update((text.len() as u64).to_be_bytes());
        row.update(text.as_bytes());
    }
    row.finalize().iter().fold(String::with_capacity(64), |mut hex, byte| {
        let _ = write!(hex, "{byte:02x}");
        hex
    })
}

pub(super) async fn page(db: &Db, filter: &AuditFilter, before: Option<u64>, limit: usize) -> Result<AuditPage, StoreError> {
    let limit = limit.clamp(1, PAGE_MAX);
    let mut wanted = Where::default();
    wanted.and_maybe("actor = $", filter.actor.as_deref());
    wanted.and_maybe("subject = $", filter.subject.as_deref());
    if let Some(action) = &filter.action {
        let (whole, part) = (wanted.place(action.as_str()), wanted.place(format!("{}.%", action.replace(['%', '_'], ""))));
        wanted.plain(&format!("(action = {whole} OR action LIKE {part})"));
    }
    wanted.and_maybe("seq < $", before);
    let sql = format!("SELECT {COLUMNS} FROM audit{} ORDER BY seq DESC LIMIT {}", wanted.sql(), limit + 1);
    let rows = db.all(&sql, wanted.values).await?;
    let has_more = rows.len() > limit;
    let entries = rows.iter().take(limit).map(entry).collect::<Result<Vec<_>, _>>()?;
    Ok(AuditPage { next: entries.last().filter(|_| has_more).map(|entry| entry.seq), entries })
}

fn entry(row: &Row) -> Result<AuditEntry, StoreError> {
    Ok(AuditEntry {
        seq: row.get(0)?,
        at: row.get(1)?,
        actor: row.get(2)?,
        action: row.get(3)?,
        subject: row.get(4)?,
        detail: row.get(5)?,
        hash: row.get(6)?,
    })
}

/// Entries that come while it reads are not looked at: it goes to where the head stood when it began.
pub(super) async fn verify(db: &Db) -> Result<AuditVerdict, StoreError> {
    let head = db.first("SELECT seq, hash FROM audit_head WHERE id = 0", vec![]).await?;
    let (entries, head): (u64, String) = match head {
        Some(row) => (row.get(0)?, row.get(1)?),
        None => (0, ROOT.to_owned()),
    };
    let (mut seq, mut prev) = (0, ROOT.to_owned());
    let sql = format!("SELECT {COLUMNS} FROM audit WHERE seq > $1 AND seq <= $2 ORDER BY seq LIMIT {VERIFY_PAGE}");
    while seq < entries {
        let rows = db.all(&sql, vec![seq.into(), entries.into()]).await?;
        for row in &rows {
            let found = entry(row)?;
            let expected = seq + 1;
            if found.seq != expected {
                return Ok(AuditVerdict::Broken { seq: expected, what: Tampering::Deleted });
            }
            let texts = [&*found.actor, &*found.action, &*found.subject, &*found.detail];
            let says: String = row.get(7)?;
            if says != prev || found.hash != hash(&prev, found.seq, found.at.0, texts) {
                return Ok(AuditVerdict::Broken { seq: expected, what: Tampering::Changed });
            }
            (seq, prev) = (expected, found.hash);
        }
        if rows.is_empty() {
            return Ok(AuditVerdict::Broken { seq: seq + 1, what: Tampering::Cut });
        }
    }
    match beyond(db, entries, &head, &prev).await? {
        Some(seq) => Ok(AuditVerdict::Broken { seq, what: Tampering::Changed }),
        None => Ok(AuditVerdict::Whole { entries, head }),
    }
}

/// The last entry, where the head does not stand on it.
async fn beyond(db: &Db, entries: u64, head: &str, last: &str) -> Result<Option<u64>, StoreError> {
    if head != last {
        return Ok(Some(entries));
    }
    // A head that was set back leaves rows after it, unless they were written since.
    let now =
        db.first("SELECT (SELECT coalesce(max(seq), 0) FROM audit), (SELECT seq FROM audit_head WHERE id = 0)", vec![]).await?;
    let Some(now) = now else { return Ok(None) };
    let (rows, head): (u64, Option<u64>) = (now.get(0)?, now.get(1)?);
    Ok(Some(head.unwrap_or_default() + 1).filter(|next| rows >= *next))
}
