//! Small files that are there whole or not at all.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Writes beside it, then takes its name; durable when this comes back.
pub fn write(file: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut half = file.as_os_str().to_owned();
    half.push(".tmp");
    let half = PathBuf::from(half);
    let mut out = File::create(&half)?;
    out.write_all(bytes)?;
    out.sync_all()?;
    fs::rename(&half, file)?;
    sync(folder_of(file))
}

/// Makes the names in a folder durable.
pub fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

pub fn folder_of(file: &Path) -> &Path {
    file.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
