//! Dead letters as people look at them: records that could not be decided, and the record itself for whoever sends it again.

use super::Reading;

/// Without the record: it may hold personal data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// In the log.
    pub offset: u64,
    pub reason: String,
    pub error: String,
    /// JSON pointer; empty where the whole is meant.
    pub pointer: String,
    /// File and line, or table and key, where it came from such.
    pub place: Option<(String, u64)>,
}

/// A letter with its record, and for whom it came.
pub struct Record {
    pub letter: Letter,
    pub body: Vec<u8>,
    /// Empty where none was told.
    pub tenant: String,
    /// Name of the API key.
    pub client: Option<String>,
}

pub trait Letters: Send + Sync {
    /// The newest first.
    fn newest(&self, limit: usize) -> Reading<Vec<Letter>>;

    /// The record as it came; `None` where there is no such letter, or its bytes were erased.
    fn record(&self, offset: u64) -> Reading<Option<Record>>;
}
