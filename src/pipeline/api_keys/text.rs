//! How a key is written: `qg_`, its id, `_`, 256 random bits, and a checksum over all of it, in hex. Scanners for leaked secrets find
//! it by `qg_[0-9a-f]{12}_[0-9a-f]{72}`, and a mistyped one is known without asking anybody.

use std::fmt;

use flate2::Crc;
use sha2::{Digest, Sha256};

const PREFIX: &str = "qg_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
const CHECKSUM_CHARS: usize = 8;
const CHARS: usize = PREFIX.len() + 2 * ID_BYTES + 1 + 2 * SECRET_BYTES + CHECKSUM_CHARS;

/// SHA-256 of a whole key.
pub type KeyHash = [u8; 32];

/// Names a key and opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId([u8; ID_BYTES]);

impl KeyId {
    /// 12 lower-case hex digits, with `qg_` before them or not.
    pub fn parse(text: &str) -> Option<KeyId> {
        let digits = text.strip_prefix(PREFIX).unwrap_or(text).as_bytes();
        let is_hex = digits.len() == 2 * ID_BYTES && digits.iter().all(is_lower_hex);
        let digit = |b: u8| if b.is_ascii_digit() { b - b'0' } else { b - b'a' + 10 };
        is_hex.then(|| KeyId(std::array::from_fn(|i| digit(digits[2 * i]) << 4 | digit(digits[2 * i + 1]))))
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A key that was made just now: the only time that it is whole.
pub struct Fresh {
    pub id: KeyId,
    text: String,
}

impl Fresh {
    /// # Errors
    /// The system gives no random numbers.
    pub fn new() -> Result<Fresh, getrandom::Error> {
        let (mut id, mut secret) = ([0; ID_BYTES], [0; SECRET_BYTES]);
        getrandom::fill(&mut id)?;
        getrandom::fill(&mut secret)?;
        Ok(Fresh::of(KeyId(id), &secret))
    }

    fn of(id: KeyId, secret: &[u8; SECRET_BYTES]) -> Fresh {
        let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        let body = format!("{PREFIX}{id}_{secret}");
        let text = format!("{body}{:08x}", checksum(body.as_bytes()));
        Fresh { id, text }
    }

    /// To be shown once.
    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn hash(&self) -> KeyHash {
        Sha256::digest(&self.text).into()
    }
}

fn is_lower_hex(digit: &u8) -> bool {
    matches!(digit, b'0'..=b'9' | b'a'..=b'f')
}

/// CRC-32: it finds slips, and keeps nobody out.
fn checksum(bytes: &[u8]) -> u32 {
    let mut crc = Crc::new();
    crc.update(bytes);
    crc.sum()
}

/// What somebody sent as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// One of the desk's, by its form.
    Key(KeyId),
    /// It begins like one and was cut or mistyped.
    Mistyped,
    /// Something else, perhaps a key of the configuration.
    Other,
}

impl Written {
    pub fn read(sent: &[u8]) -> Written {
        if !sent.starts_with(PREFIX.as_bytes()) {
            return Written::Other;
        }
        let Some(text) = std::str::from_utf8(sent).ok().filter(|text| text.len() == CHARS && text.is_ascii()) else {
            return Written::Mistyped;
        };
        let (body, sum) = text.split_at(CHARS - CHECKSUM_CHARS);
        let id = KeyId::parse(&body[..PREFIX.len() + 2 * ID_BYTES]);
        let sum = u32::from_str_radix(sum, 16).ok().filter(|_| sum.as_bytes().iter().all(is_lower_hex));
        match id {
            Some(id) if sum == Some(checksum(body.as_bytes())) => Written::Key(id),
            _ => Written::Mistyped,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_names_itself_and_a_slip_is_seen() {
        let key = Fresh::of(KeyId([0, 1, 2, 0xab, 0xcd, 0xef]), &[7; SECRET_BYTES]);
        assert_eq!(key.text().len(), CHARS);
        assert!(key.text().starts_with("qg_000102abcdef_0707"), "{}", key.text());
        assert_eq!(Written::read(key.text().as_bytes()), Written::Key(key.id));
        for at in PREFIX.len()..CHARS {
            let mut slipped = key.text().as_bytes().to_vec();
            slipped[at] = if slipped[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(Written::read(&slipped), Written::Mistyped, "at {at}");
        }
        for (sent, expected) in [
            (&key.text().as_bytes()[..CHARS - 1], Written::Mistyped),
            (key.text().to_uppercase().replacen("QG_", "qg_", 1).as_bytes(), Written::Mistyped),
            (b"qg_", Written::Mistyped),
            ("qg_ключ".as_bytes(), Written::Mistyped),
            (b"correct-horse-battery", Written::Other),
            (b"", Written::Other),
        ] {
            assert_eq!(Written::read(sent), expected);
        }
        assert_ne!(Fresh::new().expect("random").text(), Fresh::new().expect("random").text());
    }

    #[test]
    fn an_id_is_read_as_it_is_written() {
        let id = KeyId([0xde, 0xad, 0xbe, 0xef, 0, 1]);
        for text in ["deadbeef0001", "qg_deadbeef0001"] {
            assert_eq!(KeyId::parse(text), Some(id));
        }
        for text in ["DEADBEEF0001", "deadbeef000", "deadbeef00011", "", "qg_", "deadbeef000г"] {
            assert_eq!(KeyId::parse(text), None, "{text}");
        }
        assert_eq!(id.to_string(), "deadbeef0001");
    }
}
