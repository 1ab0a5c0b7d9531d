//! The manifest as Redis holds it: one line that says what it is, its checksum, then JSON, so that `redis-cli` shows it to
//! people.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::engine::decision::RuleBookRef;
use crate::engine::time::{Arrivals, EventTime};
use crate::pipeline::StoreError;
use crate::pipeline::checkpoint::{LastRecord, Manifest};

const NAME: &str = "quoteguard-checkpoint";
const FORMAT: u64 = 1;

/// The list of segments that a manifest belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Listed {
    pub segments: usize,
    /// Hash of the last one as stored; zero where there is none.
    pub tail: u64,
}

/// Hashes are hex, for a reader of JSON may keep 53 bits of a number only.
#[derive(Serialize, Deserialize)]
struct Wire {
    next_offset: u64,
    epoch: u64,
    segments: usize,
    tail: String,
    engine: Box<str>,
    settings: Box<str>,
    partitions: u32,
    arrival_log: Option<i64>,
    arrival_event: Option<i64>,
    books: Vec<WireBook>,
    /// Offset and number in the log, offset in the control topic.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    rulings: Vec<(u64, u32, u64)>,
    control_applied: Option<u64>,
    last: Option<WireLast>,
    digest: String,
    emitted_to: u64,
    /// Absent where an earlier release wrote it: then every record counts, as it did there.
    #[serde(default)]
    emitted_epoch: u64,
    begins_late: Option<i64>,
}

#[derive(Serialize, Deserialize)]
struct WireBook {
    from: u64,
    version: u32,
    hash: String,
}

#[derive(Serialize, Deserialize)]
struct WireLast {
    offset: u64,
    arrival: i64,
    crc: u32,
}

pub fn encode(manifest: &Manifest, listed: Listed) -> Result<String, StoreError> {
    let m = manifest.clone();
    let book = |(from, book): (u64, RuleBookRef)| WireBook { from, version: book.version, hash: hex(book.hash) };
    let wire = Wire {
        next_offset: m.next_offset,
        epoch: m.epoch,
        segments: listed.segments,
        tail: hex(listed.tail),
        engine: m.engine_version,
        settings: m.settings,
        partitions: m.partitions,
        arrival_log: m.arrivals.log,
        arrival_event: m.arrivals.event,
        books: m.books.into_iter().map(book).collect(),
        rulings: m.rulings.into_iter().map(|((from, number), record)| (from, number, record)).collect(),
        control_applied: m.control_applied,
        last: m.last.map(|LastRecord { offset, arrival, crc }| WireLast { offset, arrival, crc }),
        digest: hex(m.digest),
        emitted_to: m.emitted_to,
        emitted_epoch: m.emitted_epoch,
        begins_late: m.begins_late.map(|at| at.0),
    };
    let json = serde_json::to_string(&wire).map_err(|e| StoreError::Damaged(format!("the manifest has no JSON: {e}")))?;
    Ok(format!("{NAME} {FORMAT} {} {json}", hex(xxh3_64(json.as_bytes()))))
}

/// # Errors
/// [`StoreError::Refused`] for a later format, [`StoreError::Damaged`] for whatever else is not a whole manifest.
pub fn decode(stored: &[u8]) -> Result<(Manifest, Listed), StoreError> {
    let text = std::str::from_utf8(stored).map_err(|_| damaged("it is not UTF-8"))?;
    let mut parts = text.splitn(4, ' ');
    let [name, format, checksum, json] = [(); 4].map(|()| parts.next().unwrap_or_default());
    if name != NAME {
        return Err(damaged("it is none"));
    }
    match format.parse() {
        Ok(FORMAT) => {}
        Ok(format) => return Err(super::later_format("manifest", format)),
        Err(_) => return Err(damaged("it has no format")),
    }
    if unhex(checksum) != Ok(xxh3_64(json.as_bytes())) {
        return Err(damaged("its checksum is wrong"));
    }
    let wire: Wire = serde_json::from_str(json).map_err(|e| damaged(&e.to_string()))?;
    manifest(wire).map_err(|_| damaged("a hash in it is not hex"))
}

fn manifest(wire: Wire) -> Result<(Manifest, Listed), std::num::ParseIntError> {
    let book = |b: WireBook| Ok((b.from, RuleBookRef { version: b.version, hash: unhex(&b.hash)? }));
    let manifest = Manifest {
        next_offset: wire.next_offset,
        epoch: wire.epoch,
        engine_version: wire.engine,
        settings: wire.settings,
        partitions: wire.partitions,
        arrivals: Arrivals { log: wire.arrival_log, event: wire.arrival_event },
        books: wire.books.into_iter().map(book).collect::<Result<_, _>>()?,
        rulings: wire.rulings.into_iter().map(|(from, number, record)| ((from, number), record)).collect(),
        control_applied: wire.control_applied,
        last: wire.last.map(|WireLast { offset, arrival, crc }| LastRecord { offset, arrival, crc }),
        digest: unhex(&wire.digest)?,
        emitted_to: wire.emitted_to,
        emitted_epoch: wire.emitted_epoch,
        begins_late: wire.begins_late.map(EventTime),
    };
    Ok((manifest, Listed { segments: wire.segments, tail: unhex(&wire.tail)? }))
}

fn hex(hash: u64) -> String {
    format!("{hash:016x}")
}

fn unhex(text: &str) -> Result<u64, std::num::ParseIntError> {
    u64::from_str_radix(text, 16)
}

fn damaged(what: &str) -> StoreError {
    StoreError::Damaged(format!("the stored manifest: {what}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn example() -> Manifest {
        Manifest {
            next_offset: 813,
            epoch: 7,
            engine_version: "3".into(),
            settings: "time.retention_secs = 2592000\n\"quoted\"".into(),
            partitions: 4,
            arrivals: Arrivals { log: Some(1_793_491_200_000_000), event: None },
            books: vec![(0, RuleBookRef { version: 1, hash: u64::MAX }), (512, RuleBookRef { version: 2, hash: 0 })],
            rulings: vec![((600, 0), 9), ((600, 1), 10)],
            control_applied: Some(11),
            last: Some(LastRecord { offset: 812, arrival: -1, crc: u32::MAX }),
            digest: 0x0123_4567_89ab_cdef,
            emitted_to: 900,
            emitted_epoch: 7,
            begins_late: Some(EventTime(-7)),
        }
    }

    #[test]
    fn a_manifest_reads_back() {
        for (manifest, listed) in
            [(example(), Listed { segments: 600, tail: u64::MAX }), (Manifest::default(), Listed::default())]
        {
            let text = encode(&manifest, listed).expect("encodes");
            assert_eq!(decode(text.as_bytes()).expect("whole"), (manifest, listed));
        }
    }

    #[test]
    fn any_flipped_bit_or_cut_is_noticed() {
        let text = encode(&example(), Listed { segments: 1, tail: 2 }).expect("encodes").into_bytes();
        for at in 0..text.len() {
            for bit in 0..8 {
                let mut flipped = text.clone();
                flipped[at] ^= 1 << bit;
                // The checksum is read in either case.
                let is_same = flipped.to_ascii_lowercase() == text && (24..40).contains(&at);
                assert_eq!(decode(&flipped).is_ok(), is_same, "bit {bit} at {at}");
            }
            assert!(decode(&text[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn a_later_format_is_refused_and_not_called_damage() {
        let text = encode(&example(), Listed::default()).expect("encodes").replacen(" 1 ", " 2 ", 1);
        let error = decode(text.as_bytes()).expect_err("refused");
        assert!(matches!(&error, StoreError::Refused(text) if text.contains("format 2")), "{error}");
    }
}
