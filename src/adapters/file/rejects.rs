//! The rejects file: what could not be decided, where it stood and why, with the bytes as they came.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::Serialize;

/// One line of the file.
#[derive(Clone, Debug, PartialEq)]
pub struct Reject {
    pub file: Box<str>,
    /// From 1 within `file`; the last line of a record that spans several.
    pub line: u64,
    pub error: String,
    /// JSON pointer of the first offending field, empty for the whole record.
    pub pointer: String,
    pub raw: Vec<u8>,
}

#[derive(Serialize)]
struct Line<'a> {
    file: &'a str,
    line: u64,
    error: &'a str,
    pointer: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_base64: Option<String>,
}

/// `out.jsonl` -> `out.rejects.jsonl`, in the same folder.
pub fn rejects_path(decisions: &Path) -> PathBuf {
    let stem = if decisions.extension().is_some_and(|e| e == "jsonl") { decisions.file_stem() } else { decisions.file_name() };
    let mut name = stem.unwrap_or_default().to_owned();
    name.push(".rejects.jsonl");
    decisions.with_file_name(name)
}

pub struct RejectsWriter(BufWriter<File>);

impl RejectsWriter {
    /// Creates the file anew, so that an empty one says "none".
    pub fn create(path: &Path) -> io::Result<Self> {
        Ok(RejectsWriter(BufWriter::new(File::create(path)?)))
    }

    pub fn write(&mut self, reject: &Reject) -> io::Result<()> {
        let text = std::str::from_utf8(&reject.raw).ok();
        let line = Line {
            file: &reject.file,
            line: reject.line,
            error: &reject.error,
            pointer: &reject.pointer,
            raw: text,
            raw_base64: text.is_none().then(|| BASE64_STANDARD.encode(&reject.raw)),
        };
        serde_json::to_writer(&mut self.0, &line)?;
        self.0.write_all(b"\n")
    }

    pub fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_lie_beside_the_decisions() {
        for (decisions, expected) in [
            ("out.jsonl", "out.rejects.jsonl"),
            ("dir/a.b.jsonl", "dir/a.b.rejects.jsonl"),
            ("/dev/null", "/dev/null.rejects.jsonl"),
            ("out", "out.rejects.jsonl"),
        ] {
            assert_eq!(rejects_path(Path::new(decisions)), Path::new(expected), "{decisions}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_go_as_base64() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("r.jsonl");
        let mut writer = RejectsWriter::create(&path).expect("created");
        let reject = |raw: &[u8]| Reject {
            file: "q.jsonl".into(),
            line: 7,
            error: "no JSON".into(),
            pointer: String::new(),
            raw: raw.into(),
        };
        writer.write(&reject(b"{\"a\"")).expect("written");
        writer.write(&reject(b"\xFF{")).expect("written");
        writer.flush().expect("flushed");
        assert_eq!(
            std::fs::read_to_string(&path).expect("read"),
            concat!(
                r#"{"file":"q.jsonl","line":7,"error":"no JSON","pointer":"","raw":"{\"a\""}"#,
                "\n",
                r#"{"file":"q.jsonl","line":7,"error":"no JSON","pointer":"","raw_base64":"/3s="}"#,
                "\n"
            )
        );
    }
}
