//! Where Kafka puts a key: the default of its Java clients, so that whoever writes to the topic meets the same partition.

use std::num::NonZeroU32;

/// The partition of a key among `partitions`.
pub fn partition_of(key: &[u8], partitions: NonZeroU32) -> u32 {
    // Not the absolute value: the sign bit is dropped, as in Java's `Utils.toPositive`.
    (murmur2(key) & 0x7FFF_FFFF) % partitions
}

/// MurmurHash2 of 32 bits with the seed and the byte order of `org.apache.kafka.common.utils.Utils.murmur2`.
pub fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_B28C;
    const M: u32 = 0x5BD1_E995;
    // The length enters by its lower 32 bits.
    let mut hash = SEED ^ data.len() as u32;
    let (words, rest) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !rest.is_empty() {
        for (i, byte) in rest.iter().enumerate() {
            hash ^= u32::from(*byte) << (8 * i);
        }
        hash = hash.wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ hash >> 15
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From Kafka's own `UtilsTest.testMurmur2`.
    #[test]
    fn hashes_as_kafka_does() {
        for (key, expected) in [
            ("21", -973_932_308),
            ("foobar", -790_332_482),
            ("a-little-bit-long-string", -985_981_536),
            ("a-little-bit-longer-string", -1_486_304_829),
            ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
            ("abc", 479_470_107),
        ] {
            assert_eq!(murmur2(key.as_bytes()).cast_signed(), expected, "{key}");
        }
    }

    #[test]
    fn a_negative_hash_loses_its_sign_bit() {
        let partitions = NonZeroU32::new(12).expect("not zero");
        let expected = (-973_932_308_i32 & 0x7FFF_FFFF) % 12;
        assert_eq!(partition_of(b"21", partitions), expected.cast_unsigned());
    }
}
