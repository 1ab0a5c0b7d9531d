//! Decisions as Parquet files for the warehouse: each decision in one file, whatever dies in between.
//!
//! `dt=YYYY-MM-DD/tenant=NAME/part-FIRST-LAST.parquet`, where FIRST and LAST are places in the log's order of decisions. What a run will
//! write is written down first, so that the next one, after a crash, makes the very same files; a file has its name only when it is whole.

mod folder;
mod rows;

pub use folder::{Folder, FolderError, Range};
pub use rows::{Part, parts};
