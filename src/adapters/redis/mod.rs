//! Checkpoints in Redis: for each partition a list of segments and a manifest, moved together.
//!
//! A write is a transaction (WATCH, compare, MULTI, EXEC) that happens only if the stored manifest is, byte for byte, the one it
//! follows. So a write that is sent twice, arrives late or comes from an owner of before does nothing; a timeout, which means
//! "unknown", is settled by reading the manifest again. Whoever wrote last is told by the manifest's epoch, which is minted in
//! Kafka, for Redis can go back in time.

mod known;
mod link;
mod manifest;
mod segment;
mod server;

pub use link::Options;
pub use server::check;

use redis::Pipeline;

use self::known::{Change, Known, follow};
use self::link::Link;
use self::segment::Seal;
use crate::engine::time::EventTime;
use crate::pipeline::checkpoint::{CheckpointError, Checkpoints, Manifest};
use crate::pipeline::{Segment, StoreError};

/// Segments read by one command.
const READ_SEGMENTS: usize = 64;
/// Bytes staged by one command, so that no other client waits long.
const STAGED_BYTES: usize = 1024 * 1024;
/// A staged list that is never put in its place goes by itself, seconds.
const STAGED_SECS: i64 = 3600;

/// Checkpoints of one partition. Its methods block the calling thread, at most a few timeouts long.
pub struct RedisCheckpoints {
    link: Link,
    seal: Seal,
    keys: Keys,
    /// As of the last read or write; `None` before the first and after a surprise.
    known: Option<Known>,
    /// What is stored if a write whose answer never came has happened.
    unsure: Option<Known>,
    /// Lists staged so far.
    staged: u64,
}

/// One hash slot for all, should they live in a cluster one day.
struct Keys {
    manifest: String,
    segments: String,
    staging: String,
}

/// What became of a write.
enum Outcome {
    Done,
    /// The stored manifest is another one.
    Moved,
    /// The list is not the manifest's.
    Lost,
}

impl RedisCheckpoints {
    /// Connects when it is first used: a server that is down delays nothing.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for options that cannot work, by key.
    pub fn new(options: &Options, log_id: &str, partition: u32) -> Result<RedisCheckpoints, StoreError> {
        let key = |name: &str| format!("quoteguard:{{{log_id}:{partition}}}:{name}");
        let keys = Keys { manifest: key("manifest"), segments: key("segments"), staging: key("staging") };
        let seal = Seal { vault: options.vault.clone(), log_id: log_id.to_owned(), partition };
        Ok(RedisCheckpoints { link: Link::new(options.clone())?, seal, keys, known: None, unsure: None, staged: 0 })
    }

    /// The manifest as stored; empty when there is none.
    fn stored(&mut self) -> Result<Vec<u8>, StoreError> {
        let key = &self.keys.manifest;
        Ok(self.link.run(|connection| redis::cmd("GET").arg(key).query::<Option<Vec<u8>>>(connection))?.unwrap_or_default())
    }

    /// Changes the list and sets the manifest, all or nothing, if the stored manifest is `follows` and the list at `key` has
    /// `held` segments. Every check comes before the first write, for a transaction does not roll back.
    fn write(
        &mut self,
        follows: &[u8],
        (key, held): (&str, usize),
        next: &Known,
        change: impl FnOnce(&mut Pipeline),
    ) -> Result<Outcome, StoreError> {
        let manifest = &self.keys.manifest;
        self.link.run(|connection| {
            let mut look = redis::pipe();
            look.cmd("WATCH").arg(manifest).arg(key).ignore().get(manifest).llen(key);
            let (stored, found) = look.query::<(Option<Vec<u8>>, usize)>(connection)?;
            let stored = stored.unwrap_or_default();
            if stored != follows || found != held {
                redis::cmd("UNWATCH").exec(connection)?;
                let is_done = stored == next.text.as_bytes();
                return Ok(if stored == follows {
                    Outcome::Lost
                } else if is_done {
                    Outcome::Done
                } else {
                    Outcome::Moved
                });
            }
            let mut write = redis::pipe();
            change(write.atomic());
            let done = write.set(manifest, &next.text).ignore().query::<Option<()>>(connection)?;
            Ok(if done.is_some() { Outcome::Done } else { Outcome::Moved })
        })
    }

    /// Finds out whether the write happened whose answer never came.
    fn settle(&mut self) -> Result<(), StoreError> {
        let Some(unsure) = &self.unsure else { return Ok(()) };
        let text = unsure.text.clone();
        let is_done = self.stored()? == text.as_bytes();
        let unsure = self.unsure.take();
        if is_done {
            self.known = unsure;
        }
        Ok(())
    }

    /// A write failed, perhaps only its answer.
    fn unanswered(&mut self, next: Known, error: StoreError) -> Result<(), CheckpointError> {
        let expected = next.manifest.clone();
        self.unsure = Some(next);
        // The first error is the one to tell.
        let is_done = self.settle().is_ok() && self.known.as_ref().is_some_and(|known| known.manifest == expected);
        if is_done { Ok(()) } else { Err(error.into()) }
    }

    /// Somebody else wrote, or the server lost what it had.
    fn surprised(&mut self, manifest: &Manifest) -> CheckpointError {
        self.known = None;
        match self.manifest() {
            Err(error) => error.into(),
            Ok(Some(stored)) if stored.epoch > manifest.epoch => fenced(&stored, manifest),
            Ok(stored) => CheckpointError::Rewound { stored: stored.map(|stored| stored.next_offset) },
        }
    }

    /// The stored list from its beginning, each segment checked against the one before, all against the manifest.
    fn read(&mut self, text: &[u8], each: &mut dyn FnMut(Segment) -> Result<(), StoreError>) -> Result<Known, StoreError> {
        let (manifest, listed) = manifest::decode(text)?;
        let mut known = Known::default();
        let mut next = None;
        while known.newest.len() < listed.segments {
            let from = known.newest.len();
            let range = (from, (from + READ_SEGMENTS).min(listed.segments) - 1);
            let key = &self.keys.segments;
            let stored: Vec<Vec<u8>> =
                self.link.run(|connection| redis::cmd("LRANGE").arg(key).arg(range.0).arg(range.1).query(connection))?;
            if stored.is_empty() {
                return Err(lacks(from, listed.segments));
            }
            for stored in stored {
                let segment = segment::decode(&stored, &self.seal)?;
                follow(next, std::slice::from_ref(&segment), segment.to).map_err(chain)?;
                next = Some(segment.to);
                known.list(segment.clone(), &stored);
                each(segment)?;
            }
        }
        follow(next, &[], manifest.next_offset).map_err(chain)?;
        if known.listed() != listed {
            return Err(StoreError::Damaged("the stored segments: the last one is not the manifest's".to_owned()));
        }
        known.seal(&manifest)?;
        Ok(known)
    }

    /// Stages segments beside the stored ones, in portions; what will be known when they take their place.
    fn stage(
        &mut self,
        key: &str,
        segments: &mut dyn Iterator<Item = Segment>,
        manifest: &Manifest,
    ) -> Result<Known, StoreError> {
        let mut known = Known::default();
        let mut next = None;
        let mut segments = segments.peekable();
        while segments.peek().is_some() {
            let (mut portion, mut bytes) = (Vec::new(), 0);
            while bytes < STAGED_BYTES {
                let Some(segment) = segments.next() else { break };
                follow(next, std::slice::from_ref(&segment), segment.to)?;
                next = Some(segment.to);
                let stored = segment::encode(&segment, &self.seal)?;
                known.list(segment, &stored);
                bytes += stored.len();
                portion.push(stored);
            }
            let mut push = redis::pipe();
            push.atomic().rpush(key, portion).expire(key, STAGED_SECS).ignore();
            let (held,) = self.link.run(|connection| push.query::<(usize,)>(connection))?;
            if held != known.newest.len() {
                return Err(elsewhere());
            }
        }
        follow(next, &[], manifest.next_offset)?;
        known.seal(manifest)?;
        Ok(known)
    }
}

impl Checkpoints for RedisCheckpoints {
    fn manifest(&mut self) -> Result<Option<Manifest>, StoreError> {
        match &*self.stored()? {
            [] => Ok(None),
            stored => manifest::decode(stored).map(|(manifest, _)| Some(manifest)),
        }
    }

    fn segments(&mut self, each: &mut dyn FnMut(Segment) -> Result<(), StoreError>) -> Result<(), StoreError> {
        (self.known, self.unsure) = (None, None);
        let stored = self.stored()?;
        if stored.is_empty() {
            self.known = Some(Known::default());
            return Ok(());
        }
        let read = self.read(&stored, each);
        // An owner of before may still have written between two portions.
        if self.stored()? != stored {
            return Err(StoreError::Unavailable("the checkpoint was moved while it was read; read it again".to_owned()));
        }
        self.known = Some(read?);
        Ok(())
    }

    fn append(
        &mut self,
        base: Option<u64>,
        segments: &[Segment],
        horizon: i64,
        manifest: &Manifest,
    ) -> Result<(), CheckpointError> {
        self.settle()?;
        if self.known.is_none() {
            self.segments(&mut |_| Ok(()))?;
        }
        let known = self.known.get_or_insert_default();
        let (next, change) = match &known.manifest {
            Some(stored) if stored.epoch > manifest.epoch => return Err(fenced(stored, manifest)),
            // Done already, as far as we know: the server is asked all the same.
            Some(stored) if stored == manifest => (known.clone(), Change::default()),
            _ if known.next_offset() != base => return Err(CheckpointError::Rewound { stored: known.next_offset() }),
            _ => known.append(segments, EventTime(horizon), manifest, &self.seal)?,
        };
        let (follows, held) = (known.text.clone().into_bytes(), known.newest.len());
        let list = self.keys.segments.clone();
        let done = self.write(&follows, (&list, held), &next, |write| {
            if change.is_tail_replaced {
                write.ltrim(&list, 0, -2).ignore();
            }
            if !change.push.is_empty() {
                write.rpush(&list, &change.push).ignore();
            }
            if change.drop > 0 {
                write.ltrim(&list, change.drop as isize, -1).ignore();
            }
        });
        match done {
            Ok(Outcome::Done) => {
                self.known = Some(next);
                Ok(())
            }
            Ok(Outcome::Moved) => Err(self.surprised(manifest)),
            Ok(Outcome::Lost) => {
                self.known = None;
                Err(CheckpointError::Rewound { stored: None })
            }
            Err(error) => self.unanswered(next, error),
        }
    }

    fn replace(&mut self, segments: &mut dyn Iterator<Item = Segment>, manifest: &Manifest) -> Result<(), CheckpointError> {
        (self.known, self.unsure) = (None, None);
        let stored = self.stored()?;
        match manifest::decode(&stored) {
            Ok((stored, _)) if stored.epoch > manifest.epoch => return Err(fenced(&stored, manifest)),
            // A later format is not ours to overwrite; what is damaged or missing is.
            Err(error @ StoreError::Refused(_)) => return Err(error.into()),
            Ok(_) | Err(_) => {}
        }
        self.staged += 1;
        let key = format!("{}:{}-{}", self.keys.staging, manifest.epoch, self.staged);
        self.link.run(|connection| redis::cmd("UNLINK").arg(&key).query::<()>(connection))?;
        let next = self.stage(&key, segments, manifest)?;
        let (list, held) = (self.keys.segments.clone(), next.newest.len());
        let done = self.write(&stored, (&key, held), &next, |write| {
            write.cmd("UNLINK").arg(&list).ignore();
            if held > 0 {
                write.rename(&key, &list).ignore().persist(&list).ignore();
            }
        });
        match done {
            Ok(Outcome::Done) => {
                self.known = Some(next);
                Ok(())
            }
            Ok(Outcome::Moved) => Err(self.surprised(manifest)),
            Ok(Outcome::Lost) => Err(elsewhere().into()),
            Err(error) => self.unanswered(next, error),
        }
    }
}

fn fenced(stored: &Manifest, ours: &Manifest) -> CheckpointError {
    CheckpointError::Fenced { stored: stored.epoch, ours: ours.epoch }
}

/// What was staged is not there whole.
fn elsewhere() -> StoreError {
    StoreError::Unavailable("Redis lost what was staged for a new checkpoint; write it again".to_owned())
}

fn lacks(held: usize, listed: usize) -> StoreError {
    StoreError::Damaged(format!("the stored segments: {held} are there, the manifest lists {listed}"))
}

/// A break in what is stored is damage, whatever it would have been on its way in.
fn chain(error: StoreError) -> StoreError {
    StoreError::Damaged(format!("the stored segments: {error}"))
}

/// Of a newer version: neither read nor overwritten.
fn later_format(what: &str, format: u64) -> StoreError {
    StoreError::Refused(format!(
        "the stored {what} has format {format}, written by a later version of quoteguard: run that version, or delete the keys \
         quoteguard:* and let the checkpoint be computed from the log again"
    ))
}
