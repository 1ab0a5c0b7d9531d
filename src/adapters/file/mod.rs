//! Files as a source (JSONL, CSV, .gz, .zst, stdin) and as a sink of rejects.

mod intake;
mod open;
mod records;
mod rejects;
mod watch;

pub use intake::{Columns, Refused, read_quote};
pub use open::{Input, format_of, open};
pub use records::{Format, Next, RecordReader};
pub use rejects::{Reject, RejectsWriter, rejects_path};
pub use watch::Watch;
