//! Opening a source by its name: `-` is stdin, `.gz` and `.zst` are decompressed on the way.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::Format;

/// Large enough that a read of a fast disk is not felt, small enough for the cache.
const BUFFER_BYTES: usize = 256 * 1024;

pub type Input = Box<dyn BufRead + Send>;

/// The record format told by the name, compression suffix aside; stdin is JSONL.
pub fn format_of(path: &Path) -> Format {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
    if name.ends_with(".csv") { Format::Csv } else { Format::Jsonl }
}

/// Opens `path`. `count` sees every compressed byte that is read, for a progress bar.
pub fn open(path: &Path, count: impl FnMut(u64) + Send + 'static) -> io::Result<Input> {
    if path == Path::new("-") {
        return Ok(buffered(Counted { inner: io::stdin(), count }));
    }
    let file = Counted { inner: File::open(path)?, count };
    Ok(match path.extension().and_then(|extension| extension.to_str()) {
        Some("gz") => buffered(flate2::bufread::MultiGzDecoder::new(BufReader::with_capacity(BUFFER_BYTES, file))),
        Some("zst") => buffered(zstd::Decoder::with_buffer(BufReader::with_capacity(BUFFER_BYTES, file))?),
        _ => buffered(file),
    })
}

fn buffered(reader: impl Read + Send + 'static) -> Input {
    Box::new(BufReader::with_capacity(BUFFER_BYTES, reader))
}

struct Counted<R, F> {
    inner: R,
    count: F,
}

impl<R: Read, F: FnMut(u64)> Read for Counted<R, F> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        (self.count)(read as u64);
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    #[test]
    fn compressed_files_read_as_their_content() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let text = b"{\"a\":1}\n{\"a\":2}\n";
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(text).expect("in memory");
        for (name, bytes, format) in [
            ("q.jsonl", text.to_vec(), Format::Jsonl),
            ("q.jsonl.gz", gz.finish().expect("in memory"), Format::Jsonl),
            ("q.csv.zst", zstd::encode_all(&text[..], 1).expect("in memory"), Format::Csv),
        ] {
            let path = folder.path().join(name);
            std::fs::write(&path, &bytes).expect("written");
            let counted = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(0));
            let counter = counted.clone();
            let count = move |read| {
                counter.fetch_add(read, std::sync::atomic::Ordering::Relaxed);
            };
            let mut content = Vec::new();
            open(&path, count).expect("opens").read_to_end(&mut content).expect("reads");
            assert_eq!(content, text, "{name}");
            assert_eq!(counted.load(std::sync::atomic::Ordering::Relaxed), bytes.len() as u64, "{name}");
            assert_eq!(format_of(&path), format, "{name}");
        }
    }
}
