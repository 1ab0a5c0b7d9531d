//! Cutting a stream of bytes into records without ever holding more than one bounded record.

use std::io::{self, BufRead};

use memchr::{memchr, memchr2};

use crate::engine::limits::BODY_BYTES_MAX;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    Jsonl,
    /// RFC 4180 with a header; a quoted value may hold line breaks.
    Csv,
}

/// What was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// A whole record.
    Record,
    /// More than `BODY_BYTES_MAX`: its beginning was appended, the rest skipped.
    TooLong,
    /// The stream ends within a record: more may come, or this is all.
    Unterminated,
    End,
}

pub struct RecordReader<R> {
    inner: R,
    format: Format,
    byte_offset: u64,
    lines: u64,
}

impl<R: BufRead> RecordReader<R> {
    /// Reads on at `byte_offset`, before which `lines` lines lie.
    pub fn new(inner: R, format: Format, byte_offset: u64, lines: u64) -> Self {
        RecordReader { inner, format, byte_offset, lines }
    }

    /// Bytes before the next record.
    pub fn byte_offset(&self) -> u64 {
        self.byte_offset
    }

    /// Lines before the next record.
    pub fn lines(&self) -> u64 {
        self.lines
    }

    /// Appends the next record to `out`, without its line end. Blank lines are passed over.
    pub fn next(&mut self, out: &mut Vec<u8>) -> io::Result<Next> {
        loop {
            let (start, first) = (out.len(), self.byte_offset == 0);
            let next = self.cut(out)?;
            if first && out[start..].starts_with(b"\xEF\xBB\xBF") {
                out.drain(start..start + 3);
            }
            if next == Next::Record && out.last() == Some(&b'\r') {
                out.pop();
            }
            if next == Next::End || out[start..].iter().any(|byte| !byte.is_ascii_whitespace()) {
                return Ok(next);
            }
            out.truncate(start);
        }
    }

    fn cut(&mut self, out: &mut Vec<u8>) -> io::Result<Next> {
        let limit = out.len() + BODY_BYTES_MAX;
        let (mut quoted, mut long, mut any) = (false, false, false);
        loop {
            let buffer = match self.inner.fill_buf() {
                Ok(buffer) => buffer,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if buffer.is_empty() {
                return Ok(if long {
                    Next::TooLong
                } else if any {
                    Next::Unterminated
                } else {
                    Next::End
                });
            }
            any = true;
            let (taken, breaks, ended) = match self.format {
                Format::Jsonl => line(buffer),
                // A quote that is never closed must not swallow the file: beyond the limit a line end ends the record.
                Format::Csv => csv_record(buffer, &mut quoted, long),
            };
            let content = taken - usize::from(ended);
            let kept = content.min(limit - out.len());
            out.extend_from_slice(&buffer[..kept]);
            long |= kept < content;
            self.inner.consume(taken);
            self.byte_offset += taken as u64;
            self.lines += breaks;
            if ended {
                return Ok(if long { Next::TooLong } else { Next::Record });
            }
        }
    }
}

/// Bytes up to and with the line end, line ends among them, and whether it was reached.
fn line(buffer: &[u8]) -> (usize, u64, bool) {
    memchr(b'\n', buffer).map_or((buffer.len(), 0, false), |end| (end + 1, 1, true))
}

fn csv_record(buffer: &[u8], quoted: &mut bool, ignore_quotes: bool) -> (usize, u64, bool) {
    if ignore_quotes {
        return line(buffer);
    }
    let (mut at, mut breaks) = (0, 0);
    while let Some(found) = memchr2(b'"', b'\n', &buffer[at..]) {
        at += found + 1;
        if buffer[at - 1] == b'"' {
            *quoted = !*quoted;
        } else {
            breaks += 1;
            if !*quoted {
                return (at, breaks, true);
            }
        }
    }
    (buffer.len(), breaks, false)
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    /// Reads everything through a buffer of `capacity` bytes.
    fn all(input: &[u8], format: Format, capacity: usize) -> Vec<(Next, String, u64, u64)> {
        let mut reader = RecordReader::new(BufReader::with_capacity(capacity, input), format, 0, 0);
        let mut found = Vec::new();
        loop {
            let mut out = Vec::new();
            let next = reader.next(&mut out).expect("in memory");
            if next == Next::End {
                return found;
            }
            found.push((next, String::from_utf8_lossy(&out).into_owned(), reader.byte_offset(), reader.lines()));
        }
    }

    #[test]
    fn records_are_the_same_through_any_buffer() {
        let csv = "a,b\n\"x\ny\",\"say \"\"hi\"\"\"\n1,2";
        for (input, format, expected) in [
            ("", Format::Jsonl, vec![]),
            ("\n \r\n", Format::Jsonl, vec![]),
            ("{}\n\n[]\r\n", Format::Jsonl, vec![(Next::Record, "{}", 3, 1), (Next::Record, "[]", 8, 3)]),
            ("{}\n{", Format::Jsonl, vec![(Next::Record, "{}", 3, 1), (Next::Unterminated, "{", 4, 1)]),
            ("\u{FEFF}{}\n", Format::Jsonl, vec![(Next::Record, "{}", 6, 1)]),
            (
                csv,
                Format::Csv,
                vec![
                    (Next::Record, "a,b", 4, 1),
                    (Next::Record, "\"x\ny\",\"say \"\"hi\"\"\"", 23, 3),
                    (Next::Unterminated, "1,2", 26, 3),
                ],
            ),
        ] {
            let expected: Vec<_> = expected.into_iter().map(|(n, t, b, l)| (n, t.to_owned(), b, l)).collect();
            for capacity in [1, 2, 3, 7, 4096] {
                assert_eq!(all(input.as_bytes(), format, capacity), expected, "{input:?} through {capacity} bytes");
            }
        }
    }

    #[test]
    fn a_long_record_is_cut_and_the_next_one_whole() {
        for (format, open) in [(Format::Jsonl, ""), (Format::Csv, "\"")] {
            let input = format!("{open}{}\nnext\n", "x".repeat(3 * BODY_BYTES_MAX));
            let found = all(input.as_bytes(), format, 4096);
            assert_eq!(found.len(), 2, "{format:?}");
            assert_eq!((found[0].0, found[0].1.len()), (Next::TooLong, BODY_BYTES_MAX), "{format:?}");
            assert_eq!((found[1].0, found[1].1.as_str(), found[1].3), (Next::Record, "next", 2), "{format:?}");
        }
    }

    #[test]
    fn the_longest_allowed_record_is_whole() {
        let found = all(format!("{}\n", "x".repeat(BODY_BYTES_MAX)).as_bytes(), Format::Jsonl, 4096);
        assert_eq!((found[0].0, found[0].1.len()), (Next::Record, BODY_BYTES_MAX));
    }
}
