//! The folder: how far it is, what is being written, and one writer at a time.

use std::fs::{self, File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::rows::Part;
use crate::pipeline::whole_file;

/// Readers of partitioned folders pass over what begins with an underscore.
const MANIFEST: &str = "_quoteguard.json";
const LOCK: &str = "_quoteguard.lock";

#[derive(Debug, thiserror::Error)]
pub enum FolderError {
    #[error("{0}: {1}")]
    Io(PathBuf, io::Error),
    #[error("{0}: {1}")]
    Parquet(PathBuf, ::parquet::errors::ParquetError),
    /// It belongs to something else.
    #[error("{0}")]
    Refused(String),
}

/// Which decisions are wanted, by the time of their quotes: RFC 3339 as given, the end exclusive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Range {
    pub from: Option<String>,
    pub until: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Manifest {
    log_id: String,
    #[serde(flatten)]
    range: Range,
    /// The first place that is in no file yet.
    next: u64,
    /// Files up to before this place are being written.
    writing_to: Option<u64>,
    /// Hash of the last decision that is in a file: a log that was computed again has another one there.
    last: Option<u64>,
}

pub struct Folder {
    dir: PathBuf,
    manifest: Manifest,
    _lock: File,
}

impl Folder {
    /// Opens or makes it, for one log and one range.
    ///
    /// # Errors
    /// [`FolderError::Refused`] when another process writes there, or it was made for another log or range.
    pub fn open(dir: &Path, log_id: &str, range: &Range) -> Result<Folder, FolderError> {
        let io = |path: &Path| {
            let path = path.to_owned();
            move |error| FolderError::Io(path, error)
        };
        fs::create_dir_all(dir).map_err(io(dir))?;
        let lock_path = dir.join(LOCK);
        let lock = File::create(&lock_path).map_err(io(&lock_path))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(FolderError::Refused(format!("{}: another quoteguard exports there now", dir.display())));
            }
            Err(TryLockError::Error(error)) => return Err(FolderError::Io(lock_path, error)),
        }
        let path = dir.join(MANIFEST);
        let manifest = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes)
                .map_err(|error| FolderError::Refused(format!("{}: {error}; name another folder", path.display())))?,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Manifest { log_id: log_id.to_owned(), range: range.clone(), next: 0, writing_to: None, last: None }
            }
            Err(error) => return Err(FolderError::Io(path, error)),
        };
        if manifest.log_id != log_id || manifest.range != *range {
            let text = format!("{}: it holds the export of another log or range; name another folder", dir.display());
            return Err(FolderError::Refused(text));
        }
        Ok(Folder { dir: dir.to_owned(), manifest, _lock: lock })
    }

    /// The place to read from, and where to end if a run before has left its files half done.
    pub fn stands(&self) -> (u64, Option<u64>) {
        (self.manifest.next, self.manifest.writing_to)
    }

    /// Writes down what will be written: everything before `to`.
    pub fn begin(&mut self, to: u64) -> Result<(), FolderError> {
        self.manifest.writing_to = Some(to);
        self.save()
    }

    /// Writes one file of what was begun; one of a run before is replaced by the same.
    pub fn write(&self, part: &Part) -> Result<(), FolderError> {
        let folder = self.dir.join(format!("dt={}", part.date)).join(format!("tenant={}", escaped(&part.tenant)));
        let last = self.manifest.writing_to.unwrap_or(self.manifest.next).saturating_sub(1);
        let name = format!("part-{:012}-{last:012}.parquet", self.manifest.next);
        let (half, whole) = (folder.join(format!(".{name}.tmp")), folder.join(&name));
        let io = |error| FolderError::Io(whole.clone(), error);
        fs::create_dir_all(&folder).map_err(io)?;
        let file = File::create(&half).map_err(io)?;
        part.write(file.try_clone().map_err(io)?).map_err(|error| FolderError::Parquet(whole.clone(), error))?;
        file.sync_all().map_err(io)?;
        fs::rename(&half, &whole).map_err(io)?;
        for made in [&*folder, folder.parent().unwrap_or(&self.dir), &self.dir] {
            whole_file::sync(made).map_err(io)?;
        }
        Ok(())
    }

    /// Hash of the decision before the place to read from.
    pub fn last(&self) -> Option<u64> {
        self.manifest.last
    }

    /// Every file of what was begun is there; `last` is the hash of its last decision.
    pub fn finish(&mut self, last: Option<u64>) -> Result<(), FolderError> {
        self.manifest.last = last.or(self.manifest.last);
        self.manifest.next = self.manifest.writing_to.take().unwrap_or(self.manifest.next);
        self.save()
    }

    fn save(&self) -> Result<(), FolderError> {
        let whole = self.dir.join(MANIFEST);
        let save = || whole_file::write(&whole, &serde_json::to_vec_pretty(&self.manifest)?);
        save().map_err(|error| FolderError::Io(whole.clone(), error))
    }
}

/// A tenant as the name of a folder: what is no letter, digit or `_.-` by percent, as Hive does.
fn escaped(tenant: &str) -> String {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    tenant.bytes().map(|b| if is_plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_is_one_folder_and_no_way_out() {
        assert_eq!(escaped("t-1"), "t-1");
        assert_eq!(escaped("../a/b"), "..%2Fa%2Fb");
        assert_eq!(escaped("Ы"), "%D0%AB");
    }

    #[test]
    fn a_folder_is_of_one_log_one_range_and_one_writer() {
        let dir = tempfile::tempdir().expect("a temporary folder");
        let range = Range { from: Some("2026-01-01T00:00:00Z".into()), until: None };
        let mut folder = Folder::open(dir.path(), "log", &range).expect("opens");
        assert!(matches!(Folder::open(dir.path(), "log", &range), Err(FolderError::Refused(_))), "one writer");
        folder.begin(7).expect("begun");
        drop(folder);
        let mut folder = Folder::open(dir.path(), "log", &range).expect("opens");
        assert_eq!(folder.stands(), (0, Some(7)));
        folder.finish(Some(9)).expect("finished");
        assert_eq!(folder.last(), Some(9));
        assert_eq!(folder.stands(), (7, None));
        drop(folder);
        assert!(matches!(Folder::open(dir.path(), "other", &range), Err(FolderError::Refused(_))));
        assert!(matches!(Folder::open(dir.path(), "log", &Range::default()), Err(FolderError::Refused(_))));
    }
}
