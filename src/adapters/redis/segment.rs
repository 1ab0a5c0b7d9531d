//! One segment as Redis holds it: a header, then the deltas compressed.

use xxhash_rust::xxh3::Xxh3;

use crate::engine::time::EventTime;
use crate::pipeline::{Segment, StoreError};

const MAGIC: [u8; 3] = *b"QGS";
const FORMAT: u8 = 1;
/// Fast, and half the size is won at once.
const LEVEL: i32 = 1;
/// Magic, format, from, to, newest event time, bytes of the deltas, checksum.
const HEADER: usize = 4 + 3 * 8 + 4 + 8;
const CHECKSUM_AT: usize = HEADER - 8;
/// Bytes of one segment's deltas; a batch of the writer has a few MB at most. Beyond: not written, and not unpacked.
const DELTAS_BYTES_MAX: usize = 64 * 1024 * 1024;

pub fn encode(segment: &Segment) -> Result<Vec<u8>, StoreError> {
    if segment.deltas.len() > DELTAS_BYTES_MAX {
        let (from, bytes) = (segment.from, segment.deltas.len());
        return Err(StoreError::Refused(format!(
            "the segment at offset {from} has {bytes} bytes, at most {DELTAS_BYTES_MAX} are written"
        )));
    }
    let mut blob = Vec::with_capacity(HEADER + segment.deltas.len() / 2);
    blob.extend_from_slice(&MAGIC);
    blob.push(FORMAT);
    blob.extend_from_slice(&segment.from.to_le_bytes());
    blob.extend_from_slice(&segment.to.to_le_bytes());
    blob.extend_from_slice(&segment.max_event_time.0.to_le_bytes());
    blob.extend_from_slice(&(segment.deltas.len() as u32).to_le_bytes());
    blob.extend_from_slice(&[0; 8]);
    let packed = zstd::bulk::compress(&segment.deltas, LEVEL).map_err(|e| StoreError::Unavailable(e.to_string()))?;
    blob.extend_from_slice(&packed);
    let checksum = checksum(&blob).to_le_bytes();
    blob[CHECKSUM_AT..HEADER].copy_from_slice(&checksum);
    Ok(blob)
}

/// # Errors
/// [`StoreError::Refused`] for a later format, [`StoreError::Damaged`] for whatever else is not a whole segment.
pub fn decode(blob: &[u8]) -> Result<Segment, StoreError> {
    let (Some(header), Some([magic @ .., format])) = (blob.first_chunk::<HEADER>(), blob.first_chunk::<4>()) else {
        return Err(damaged("it ends early"));
    };
    if *magic != MAGIC {
        return Err(damaged("it is none"));
    }
    if *format != FORMAT {
        return Err(super::later_format("segment", u64::from(*format)));
    }
    let number = |at: usize| header[at..].first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    if number(CHECKSUM_AT) != checksum(blob) {
        return Err(damaged("its checksum is wrong"));
    }
    let bytes = header[CHECKSUM_AT - 4..].first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes)) as usize;
    if bytes > DELTAS_BYTES_MAX {
        return Err(damaged("it is too large"));
    }
    let deltas = zstd::bulk::decompress(&blob[HEADER..], bytes).map_err(|_| damaged("it does not unpack"))?;
    if deltas.len() != bytes {
        return Err(damaged("it is shorter than it says"));
    }
    Ok(Segment { from: number(4), to: number(12), max_event_time: EventTime(number(20).cast_signed()), deltas })
}

/// Of everything but the place of the checksum itself.
fn checksum(blob: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&blob[..CHECKSUM_AT]);
    hash.update(&blob[HEADER..]);
    hash.digest()
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("a stored segment: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_segment_reads_back_and_any_flipped_bit_or_cut_is_noticed() {
        let deltas = (0..2_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        let segment = Segment { from: 3, to: u64::MAX, max_event_time: EventTime(-5), deltas };
        let blob = encode(&segment).expect("small enough");
        assert!(blob.len() < segment.deltas.len() / 2, "{} bytes", blob.len());
        assert_eq!(decode(&blob).expect("whole"), segment);
        for at in 0..blob.len() {
            let mut flipped = blob.clone();
            flipped[at] ^= 1 << (at % 8);
            let error = decode(&flipped).expect_err("one bit is wrong");
            assert_eq!(matches!(error, StoreError::Refused(_)), at == 3, "at {at}: {error}");
            assert!(matches!(decode(&blob[..at]), Err(StoreError::Damaged(_))), "cut at {at}");
        }
    }

    #[test]
    fn a_segment_of_nothing_reads_back() {
        let segment = Segment { from: 1, to: 2, max_event_time: EventTime(i64::MIN), deltas: Vec::new() };
        assert_eq!(decode(&encode(&segment).expect("small enough")).expect("whole"), segment);
    }
}
