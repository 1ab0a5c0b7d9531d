//! The chain of what people did and saw: each row's hash covers it and the hash of the row before.
//!
//! Whoever can write to the database can compute plain hashes anew. Where there is a key for personal data the hashes are made with a
//! key of the chain's own, which stands beside its head, sealed: other keys may seal it later, and what it has bound still verifies.

use std::fmt::Write;

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::db::{Db, Tx};
use super::queue::Where;
use super::sealed_fault;
use super::value::Row;
use crate::pipeline::StoreError;
use crate::pipeline::desk::views::{AuditEntry, Tampering};
use crate::pipeline::desk::{AuditFilter, AuditPage, AuditVerdict, NewAudit, PAGE_MAX};
use crate::vault::{Place, Vault};

/// Rows of one read of the whole chain.
const VERIFY_PAGE: u64 = 1_000;
/// Of the entry before the first.
const ROOT: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// Takes the head until the transaction ends: two entries cannot follow the same one.
const TAKE_HEAD: &str = "UPDATE audit_head SET seq = seq + 1 WHERE id = 0 RETURNING seq, hash, {now}, key";
/// Takes it as it is.
const HOLD_HEAD: &str = "UPDATE audit_head SET seq = seq WHERE id = 0 RETURNING seq, key";
const MOVE_HEAD: &str = "UPDATE audit_head SET hash = $1 WHERE id = 0";
const GIVE_KEY: &str = "UPDATE audit_head SET key = $1 WHERE id = 0";
const APPEND: &str =
    "INSERT INTO audit (seq, at, actor, action, subject, detail, prev, hash) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)";
const COLUMNS: &str = "seq, at, actor, action, subject, detail, hash, prev";

const KEY_BYTES: usize = 32;
const KEY: Place = Place::Column("audit_head.key");
/// Before a hash that was made with the key; no hash begins so without.
const KEYED: char = 'h';

/// What the hashes are made with from one entry on.
struct ChainKey {
    key: [u8; KEY_BYTES],
    from: u64,
}

impl ChainKey {
    fn new(from: u64) -> Result<ChainKey, StoreError> {
        let mut key = [0; KEY_BYTES];
        getrandom::fill(&mut key).map_err(|error| StoreError::Unavailable(format!("no randomness: {error}")))?;
        Ok(ChainKey { key, from })
    }

    fn seal(&self, vault: &Vault) -> Result<Vec<u8>, StoreError> {
        Ok(vault.wrap(KEY, &[&self.key[..], &self.from.to_le_bytes()].concat())?)
    }

    /// One that lies there unsealed is not ours: whoever writes the tables could have put his own.
    fn open(vault: &Vault, sealed: &[u8]) -> Result<ChainKey, StoreError> {
        if !Vault::is_sealed(sealed) {
            return Err(StoreError::Damaged(
                "the key of the audit chain is not sealed: it is not the one that was made here".to_owned(),
            ));
        }
        let opened = vault.unwrap(KEY, sealed).map_err(|error| sealed_fault("key of the audit chain", error))?;
        let parts = opened.split_first_chunk::<KEY_BYTES>().and_then(|(key, from)| Some((*key, from.try_into().ok()?)));
        let (key, from) = parts.ok_or_else(|| StoreError::Damaged("the key of the audit chain is none".to_owned()))?;
        Ok(ChainKey { key, from: u64::from_le_bytes(from) })
    }
}

pub(super) async fn append(db: &Db, vault: &Vault, entry: NewAudit) -> Result<(), StoreError> {
    commit(db.begin().await?, vault, entry).await
}

/// Ends a transaction with the entry of what it did.
pub(super) async fn commit(mut tx: Tx, vault: &Vault, entry: NewAudit) -> Result<(), StoreError> {
    let grown = append_in(&mut tx, vault, entry).await?;
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
pub(super) async fn append_in(tx: &mut Tx, vault: &Vault, entry: NewAudit) -> Result<Grown, StoreError> {
    let head = tx.first(TAKE_HEAD, vec![]).await?.ok_or_else(headless)?;
    let (seq, prev, at): (u64, String, i64) = (head.get(0)?, head.get(1)?, head.get(2)?);
    let key = match head.get::<Option<Vec<u8>>>(3)? {
        Some(sealed) => Some(ChainKey::open(vault, &sealed)?),
        None if seq == 1 => give_key(tx, vault, seq).await?,
        None => None,
    };
    // As PostgreSQL keeps a text: without NUL.
    let text = |text: String| text.replace('\0', "");
    let (actor, action, subject) = (text(entry.actor), text(entry.action), text(entry.subject));
    let detail = text(entry.detail.to_string());
    let hash = hash(key.as_ref(), &prev, seq, at, [&actor, &action, &subject, &detail]);
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

fn headless() -> StoreError {
    StoreError::Damaged("the head of the audit chain is gone".to_owned())
}

/// A new key for the entries from this one on, where there is one to seal it with.
async fn give_key(tx: &mut Tx, vault: &Vault, from: u64) -> Result<Option<ChainKey>, StoreError> {
    if vault.key().is_none() {
        return Ok(None);
    }
    let key = ChainKey::new(from)?;
    tx.run(GIVE_KEY, vec![key.seal(vault)?.into()]).await?;
    Ok(Some(key))
}

/// Seals the chain's key with the vault's first one; a chain that began without gets one for what follows. Instances of before would
/// go on without it: this is for when none runs.
pub(super) async fn reseal(db: &Db, vault: &Vault) -> Result<(), StoreError> {
    let mut tx = db.begin().await?;
    let head = tx.first(HOLD_HEAD, vec![]).await?.ok_or_else(headless)?;
    match head.get::<Option<Vec<u8>>>(1)? {
        Some(sealed) if vault.is_newest(&sealed) => {}
        Some(sealed) => {
            let sealed = ChainKey::open(vault, &sealed)?.seal(vault)?;
            tx.run(GIVE_KEY, vec![sealed.into()]).await?;
        }
        None => {
            give_key(&mut tx, vault, head.get::<u64>(0)? + 1).await?;
        }
    }
    tx.commit().await
}

/// Each part with its length before it, so that no two rows are the same bytes.
fn hash(key: Option<&ChainKey>, prev: &str, seq: u64, at: i64, texts: [&str; 4]) -> String {
    let mut row = Vec::new();
    row.extend_from_slice(prev.as_bytes());
    row.extend_from_slice(&seq.to_be_bytes());
    row.extend_from_slice(&at.to_be_bytes());
    for text in texts {
        row.extend_from_slice(&(text.len() as u64).to_be_bytes());
        row.extend_from_slice(text.as_bytes());
    }
    let (mut hex, digest) = match key.filter(|key| seq >= key.from) {
        Some(ChainKey { key, .. }) => {
            let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(key).expect("HMAC takes keys of any length");
            mac.update(&row);
            (String::from(KEYED), mac.finalize().into_bytes())
        }
        None => (String::new(), Sha256::digest(&row)),
    };
    for byte in digest {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
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
pub(super) async fn verify(db: &Db, vault: &Vault) -> Result<AuditVerdict, StoreError> {
    let head = db.first("SELECT seq, hash, key FROM audit_head WHERE id = 0", vec![]).await?;
    let (entries, head, key): (u64, String, Option<Vec<u8>>) = match head {
        Some(row) => (row.get(0)?, row.get(1)?, row.get(2)?),
        None => (0, ROOT.to_owned(), None),
    };
    if key.as_ref().is_some_and(|key| !Vault::is_sealed(key)) {
        return Ok(AuditVerdict::Broken { seq: 1, what: Tampering::Unkeyed });
    }
    let key = key.map(|sealed| ChainKey::open(vault, &sealed)).transpose()?;
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
            if says != prev || found.hash != hash(key.as_ref(), &prev, found.seq, found.at.0, texts) {
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
        // Written anew by somebody without the key, or begun before there was one.
        None if key.is_none() && vault.key().is_some() && entries > 0 => {
            Ok(AuditVerdict::Broken { seq: 1, what: Tampering::Unkeyed })
        }
        None => Ok(AuditVerdict::Whole { entries, head, keyed_from: key.map(|key| key.from) }),
    }
}

/// Whether an entry has this hash: of a whole chain, that all up to a head of before are still there.
pub(super) async fn holds(db: &Db, hash: &str, seq: Option<u64>) -> Result<bool, StoreError> {
    if seq.unwrap_or_default() == 0 && hash == ROOT {
        return Ok(true);
    }
    let mut wanted = Where::default();
    wanted.and("hash = $", hash);
    wanted.and_maybe("seq = $", seq);
    let sql = format!("SELECT 1 FROM audit{} LIMIT 1", wanted.sql());
    Ok(db.first(&sql, wanted.values).await?.is_some())
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
