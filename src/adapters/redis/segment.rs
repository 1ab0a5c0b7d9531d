//! One segment as Redis holds it: a header, then the deltas compressed, and sealed where there is a key.

use std::sync::Arc;

use xxhash_rust::xxh3::Xxh3;

use crate::engine::time::EventTime;
use crate::pipeline::{Segment, StoreError};
use crate::vault::{KeyId, Place, Sealed, Vault, VaultError};

const MAGIC: [u8; 3] = *b"QGS";
const PLAIN: u8 = 1;
/// The id of the key follows the header, then what is sealed, of releases that bound it to its offsets alone.
const SEALED_LOOSELY: u8 = 2;
/// The same, bound to its partition of its log, too.
const SEALED: u8 = 3;
const KEY_BYTES: usize = 4;
/// Fast, and half the size is won at once.
const LEVEL: i32 = 1;
/// Magic, format, from, to, newest event time, bytes of the deltas, checksum.
const HEADER: usize = 4 + 3 * 8 + 4 + 8;
const CHECKSUM_AT: usize = HEADER - 8;
/// Bytes of one segment's deltas; a batch of the writer has a few MB at most. Beyond: not written, and not unpacked.
const DELTAS_BYTES_MAX: usize = 64 * 1024 * 1024;

/// With what the segments of a partition are sealed, and whose they are: one of another log or partition does not open.
pub struct Seal {
    pub vault: Arc<Vault>,
    pub log_id: String,
    pub partition: u32,
}

impl Seal {
    fn place(&self, from: u64, to: u64) -> Place<'_> {
        Place::LogSegment { log_id: &self.log_id, partition: self.partition, from, to }
    }
}

pub fn encode(segment: &Segment, seal: &Seal) -> Result<Vec<u8>, StoreError> {
    if segment.deltas.len() > DELTAS_BYTES_MAX {
        let (from, bytes) = (segment.from, segment.deltas.len());
        return Err(StoreError::Refused(format!(
            "the segment at offset {from} has {bytes} bytes, at most {DELTAS_BYTES_MAX} are written"
        )));
    }
    let packed = zstd::bulk::compress(&segment.deltas, LEVEL).map_err(|e| StoreError::Unavailable(e.to_string()))?;
    let Sealed { key, bytes } = seal.vault.seal(seal.place(segment.from, segment.to), &packed)?;
    let mut blob = Vec::with_capacity(HEADER + KEY_BYTES + bytes.len());
    blob.extend_from_slice(&MAGIC);
    blob.push(if key.is_some() { SEALED } else { PLAIN });
    blob.extend_from_slice(&segment.from.to_le_bytes());
    blob.extend_from_slice(&segment.to.to_le_bytes());
    blob.extend_from_slice(&segment.max_event_time.0.to_le_bytes());
    blob.extend_from_slice(&(segment.deltas.len() as u32).to_le_bytes());
    blob.extend_from_slice(&[0; 8]);
    blob.extend(key.into_iter().flat_map(|key| key.0.to_le_bytes()));
    blob.extend_from_slice(&bytes);
    let checksum = checksum(&blob).to_le_bytes();
    blob[CHECKSUM_AT..HEADER].copy_from_slice(&checksum);
    Ok(blob)
}

/// # Errors
/// [`StoreError::Refused`] for a later format and for a key that is not there, [`StoreError::Damaged`] for whatever else is not a
/// whole segment.
pub fn decode(blob: &[u8], seal: &Seal) -> Result<Segment, StoreError> {
    let (Some(header), Some([magic @ .., format])) = (blob.first_chunk::<HEADER>(), blob.first_chunk::<4>()) else {
        return Err(damaged("it ends early"));
    };
    if *magic != MAGIC {
        return Err(damaged("it is none"));
    }
    if ![PLAIN, SEALED_LOOSELY, SEALED].contains(format) {
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
    let (from, to) = (number(4), number(12));
    let place = if *format == SEALED { seal.place(from, to) } else { Place::Segment(from, to) };
    let packed = unseal(*format, place, &blob[HEADER..], &seal.vault)?;
    let deltas = zstd::bulk::decompress(&packed, bytes).map_err(|_| damaged("it does not unpack"))?;
    if deltas.len() != bytes {
        return Err(damaged("it is shorter than it says"));
    }
    Ok(Segment { from, to, max_event_time: EventTime(number(20).cast_signed()), deltas })
}

fn unseal(format: u8, place: Place, stored: &[u8], vault: &Vault) -> Result<Vec<u8>, StoreError> {
    let (key, bytes) = match stored.split_first_chunk::<KEY_BYTES>() {
        Some((key, bytes)) if format != PLAIN => (Some(KeyId(u32::from_le_bytes(*key))), bytes),
        None if format != PLAIN => return Err(damaged("it ends early")),
        _ => (None, stored),
    };
    vault.open(place, Sealed { key, bytes: bytes.to_vec() }).map_err(|error| match error {
        VaultError::Damaged(_) => damaged(&error.to_string()),
        other => StoreError::Refused(format!("a stored segment: {other}")),
    })
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
    use crate::vault::new_key;

    fn seal(vault: Vault) -> Seal {
        Seal { vault: Arc::new(vault), log_id: "log".to_owned(), partition: 0 }
    }

    fn seals() -> [Seal; 2] {
        [seal(Vault::default()), seal(Vault::new(&new_key().expect("random")).expect("a key"))]
    }

    #[test]
    fn a_segment_reads_back_and_any_flipped_bit_or_cut_is_noticed() {
        seals().iter().for_each(reads_back);
    }

    fn reads_back(seal: &Seal) {
        let deltas = (0..2_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        let segment = Segment { from: 3, to: u64::MAX, max_event_time: EventTime(-5), deltas };
        let blob = encode(&segment, seal).expect("small enough");
        assert!(blob.len() < segment.deltas.len() / 2, "{} bytes", blob.len());
        assert_eq!(decode(&blob, seal).expect("whole"), segment);
        for at in 0..blob.len() {
            let mut flipped = blob.clone();
            flipped[at] ^= 1 << (at % 8);
            let error = decode(&flipped, seal).expect_err("one bit is wrong");
            assert_eq!(matches!(error, StoreError::Refused(_)), at == 3, "at {at}: {error}");
            assert!(matches!(decode(&blob[..at], seal), Err(StoreError::Damaged(_))), "cut at {at}");
        }
    }

    #[test]
    fn a_sealed_segment_needs_its_key_and_is_not_called_damaged_without_it() {
        let [none, some] = seals();
        let deltas = b"somebody's papers".repeat(50);
        let segment = Segment { from: 1, to: 2, max_event_time: EventTime(0), deltas };
        let blob = encode(&segment, &some).expect("small enough");
        assert!(!blob.windows(17).any(|bytes| bytes == b"somebody's papers"));
        assert!(matches!(decode(&blob, &none), Err(StoreError::Refused(text)) if text.contains("privacy.key_file")));
        // One from before there was a key.
        assert_eq!(decode(&encode(&segment, &none).expect("small enough"), &some).expect("whole"), segment);
    }

    #[test]
    fn a_segment_opens_in_its_partition_of_its_log_alone() {
        let [_, ours] = seals();
        let segment = Segment { from: 1, to: 2, max_event_time: EventTime(0), deltas: b"papers".to_vec() };
        let blob = encode(&segment, &ours).expect("small enough");
        let elsewhere = |log_id: &str, partition| Seal { vault: ours.vault.clone(), log_id: log_id.to_owned(), partition };
        assert_eq!(decode(&blob, &elsewhere("log", 0)).expect("whole"), segment);
        for other in [elsewhere("log", 1), elsewhere("another", 0)] {
            assert!(matches!(decode(&blob, &other), Err(StoreError::Damaged(text)) if text.contains("another place")));
        }
        // One of before was bound to its offsets alone.
        let packed = zstd::bulk::compress(&segment.deltas, LEVEL).expect("packs");
        let sealed = ours.vault.seal(Place::Segment(1, 2), &packed).expect("sealed");
        let mut before = blob[..HEADER + KEY_BYTES].to_vec();
        before[3] = SEALED_LOOSELY;
        before.extend_from_slice(&sealed.bytes);
        let sum = checksum(&before).to_le_bytes();
        before[CHECKSUM_AT..HEADER].copy_from_slice(&sum);
        assert_eq!(decode(&before, &ours).expect("opens"), segment);
    }

    #[test]
    fn a_segment_of_nothing_reads_back() {
        let segment = Segment { from: 1, to: 2, max_event_time: EventTime(i64::MIN), deltas: Vec::new() };
        let [none, _] = seals();
        assert_eq!(decode(&encode(&segment, &none).expect("small enough"), &none).expect("whole"), segment);
    }
}
