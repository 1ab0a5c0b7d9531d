//! What a command writes must be nothing that it reads, and no log of a service.

use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

use crate::adapters::sqlite::is_sqlite;

/// One file, whatever it is called: device and inode; of a file yet to come those of its folder, and its name.
type Identity = (u64, u64, Option<OsString>);

/// `None` for what holds nothing that could be lost, such as a terminal or `/dev/null`.
fn identity(path: &Path) -> Option<Identity> {
    if let Ok(found) = path.metadata() {
        return found.is_file().then(|| (found.dev(), found.ino(), None));
    }
    // A link to a file yet to come is that file.
    let path = fs::read_link(path).map_or_else(|_| path.to_owned(), |target| path.with_file_name(target));
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).metadata().ok()?;
    Some((folder.dev(), folder.ino(), Some(path.file_name()?.to_owned())))
}

/// The files that reading one input touches.
fn read_with(input: &Path) -> Vec<PathBuf> {
    let beside = |suffix: &str| {
        let mut name = input.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    };
    match input {
        _ if input == Path::new("-") => vec!["/dev/stdin".into()],
        _ if is_sqlite(input) => vec![input.to_owned(), beside("-wal"), beside("-shm"), beside(".lock")],
        _ => vec![input.to_owned()],
    }
}

/// Looks before anything is created: creating a file empties it.
///
/// # Errors
/// An output, each with the option that names it, that is an input or another output, under this name or another, or an SQLite file.
pub fn check_outputs(inputs: &[PathBuf], outputs: &[(&str, &Path)]) -> Result<()> {
    let read = inputs.iter().flat_map(|input| read_with(input));
    let mut taken: Vec<_> = read.filter_map(|path| Some((format!("the input {}", path.display()), identity(&path)?))).collect();
    for (name, path) in outputs {
        let output = format!("{name} {}", path.display());
        let identity = identity(path);
        if let Some((other, _)) = taken.iter().find(|(_, taken)| identity.as_ref() == Some(taken)) {
            bail!("{output} is the same file as {other}; name another one. Nothing was written");
        }
        if is_sqlite(path) {
            bail!("{output} is an SQLite file, which is not overwritten; name another one. Nothing was written");
        }
        taken.extend(identity.map(|identity| (output, identity)));
    }
    Ok(())
}
