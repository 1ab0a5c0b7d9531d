//! Personal data at rest: sealed with XChaCha20-Poly1305 (RFC 8439, with the 192-bit nonce of draft-irtf-cfrg-xchacha), so that nonces may be
//! drawn at random for as many records as there will ever be.
//!
//! The first key seals; every key opens what was sealed with it. Without a key nothing is sealed. What a record is sealed for, its
//! [`Place`], is authenticated with it: a record that was moved to another place does not open.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, Payload};
use chacha20poly1305::{Key, KeyInit, XChaCha20Poly1305, XNonce};
use sha2::{Digest, Sha256};

const KEY_BYTES: usize = 32;
const NONCE_BYTES: usize = 24;
/// First byte of what [`Vault::wrap`] has sealed, and the bytes of the key that follow.
const WRAPPED: u8 = 2;
/// The same, of releases that bound a form to the column alone. Sealing anew binds it to its row.
const WRAPPED_LOOSELY: u8 = 1;
const WRAPPED_KEY: usize = 4;
/// Keys of one file: a rotation a month for years. Beyond: refused, for the oldest can be taken out after a reseal.
const KEYS_MAX: usize = 64;

/// Names a key without telling anything about it: the first four bytes of its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct KeyId(pub u32);

impl std::fmt::Display for KeyId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:08x}", self.0)
    }
}

/// What a record is and where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place<'a> {
    /// A record of the log, by offset.
    Log(u64),
    /// A dead letter, by offset.
    Reject(u64),
    /// A segment of a checkpoint: from, to.
    Segment(u64, u64),
    /// A segment of a checkpoint apart from its log.
    LogSegment { log_id: &'a str, partition: u32, from: u64, to: u64 },
    /// A column of another store, by name.
    Column(&'a str),
    /// A form on the desk.
    Form { tenant: &'a str, quote_id: &'a str, partition: u32, offset: u64 },
    /// A comment on a case.
    Comment { case: &'a str, author: &'a str, id: u64 },
}

impl Place<'_> {
    /// Distinct for distinct places.
    fn bytes(self) -> Vec<u8> {
        let two = |tag: u8, a: u64, b: u64| [&[tag][..], &a.to_le_bytes(), &b.to_le_bytes()].concat();
        match self {
            Place::Log(offset) => two(0, offset, 0),
            Place::Reject(offset) => two(1, offset, 0),
            Place::Segment(from, to) => two(2, from, to),
            Place::Column(name) => [&[3][..], name.as_bytes()].concat(),
            Place::Form { tenant, quote_id, partition, offset } => {
                let position = [u64::from(partition).to_le_bytes(), offset.to_le_bytes()].concat();
                [&[4][..], &position, &told(tenant), quote_id.as_bytes()].concat()
            }
            Place::LogSegment { log_id, partition, from, to } => {
                let offsets = [from.to_le_bytes(), to.to_le_bytes()].concat();
                [&[6][..], &partition.to_le_bytes(), &offsets, log_id.as_bytes()].concat()
            }
            Place::Comment { case, author, id } => [&[5][..], &id.to_le_bytes(), &told(case), author.as_bytes()].concat(),
        }
    }

    /// What was bound for it loosely.
    fn loose(self) -> Self {
        match self {
            Place::Form { .. } => Place::Column("form"),
            place => place,
        }
    }
}

/// A text with its length before it: what follows cannot be taken for a part of it.
fn told(text: &str) -> Vec<u8> {
    [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat()
}

/// Bytes as they are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sealed {
    /// `None`: as they came.
    pub key: Option<KeyId>,
    pub bytes: Vec<u8>,
}

impl Sealed {
    /// Bytes that hold nothing personal.
    pub fn plain(bytes: &[u8]) -> Sealed {
        Sealed { key: None, bytes: bytes.to_vec() }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum VaultError {
    #[error("{0}")]
    Keys(String),
    #[error("it is sealed with key {0}, which is not among the given ones; see privacy.key_file")]
    NoKey(KeyId),
    #[error("it does not open with key {0}: it was changed, or belongs to another place")]
    Damaged(KeyId),
    #[error("no randomness: {0}")]
    NoRandomness(String),
}

/// The keys, newest first.
#[derive(Default)]
pub struct Vault(Vec<(KeyId, XChaCha20Poly1305)>);

impl std::fmt::Debug for Vault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(id, _)| id)).finish()
    }
}

impl Vault {
    /// Keys of a file that its owner alone may read: one a line, 32 bytes in base64; `#` begins a comment.
    ///
    /// # Errors
    /// The file cannot be read, others may read it, or it holds no key.
    pub fn from_file(path: &Path) -> Result<Vault, VaultError> {
        let at = |problem: String| VaultError::Keys(format!("privacy.key_file: {}: {problem}", path.display()));
        only_its_owner(path).map_err(at)?;
        let text = std::fs::read_to_string(path).map_err(|error| at(error.to_string()))?;
        Vault::parse(&text).map_err(at)
    }

    /// Keys as a command prints them: that of a key management service, which has the say who may see them.
    ///
    /// # Errors
    /// The command fails or prints no keys.
    pub fn from_command(command: &[String]) -> Result<Vault, VaultError> {
        let failed = |problem: String| VaultError::Keys(format!("privacy.key_command: {problem}"));
        let [program, arguments @ ..] = command else { return Err(failed("names no program".to_owned())) };
        let output = Command::new(program).args(arguments).output().map_err(|error| failed(format!("{program}: {error}")))?;
        if !output.status.success() {
            // What it says on stderr is for people, and may hold what they gave it: it is not repeated here.
            return Err(failed(format!("{program} ended with {}", output.status)));
        }
        let text = String::from_utf8(output.stdout).map_err(|_| failed(format!("{program} printed no text")))?;
        Vault::parse(&text).map_err(|problem| failed(format!("{program}: {problem}")))
    }

    /// Of the text of a key file.
    ///
    /// # Errors
    /// It holds no key, or a line that is none.
    pub fn new(text: &str) -> Result<Vault, VaultError> {
        Vault::parse(text).map_err(VaultError::Keys)
    }

    fn parse(text: &str) -> Result<Vault, String> {
        let lines = (1..).zip(text.lines()).map(|(number, line)| (number, line.split('#').next().unwrap_or_default().trim()));
        let mut keys: Vec<(KeyId, XChaCha20Poly1305)> = Vec::new();
        for (number, line) in lines.filter(|(_, line)| !line.is_empty()) {
            let key = STANDARD.decode(line).ok().and_then(|bytes| <[u8; KEY_BYTES]>::try_from(bytes).ok());
            let key = key.ok_or_else(|| format!("line {number} is no key: `quoteguard keys new` makes one"))?;
            let id = key_id(&key);
            if keys.iter().any(|(other, _)| *other == id) {
                return Err(format!("line {number} has a key that is there already"));
            }
            keys.push((id, XChaCha20Poly1305::new(&Key::from(key))));
        }
        match keys.len() {
            0 => Err("holds no key: `quoteguard keys new` makes one".to_owned()),
            1..=KEYS_MAX => Ok(Vault(keys)),
            more => Err(format!("holds {more} keys, at most {KEYS_MAX} are read: reseal, then take the oldest out")),
        }
    }

    /// The key that seals; `None`: nothing is sealed.
    pub fn key(&self) -> Option<KeyId> {
        self.0.first().map(|(id, _)| *id)
    }

    /// Seals the bytes with the first key; without one they stay as they are.
    ///
    /// # Errors
    /// The system gives no random numbers.
    pub fn seal(&self, place: Place, plain: &[u8]) -> Result<Sealed, VaultError> {
        let Some((id, cipher)) = self.0.first() else { return Ok(Sealed::plain(plain)) };
        let mut nonce = [0u8; NONCE_BYTES];
        getrandom::fill(&mut nonce).map_err(|error| VaultError::NoRandomness(error.to_string()))?;
        let payload = Payload { msg: plain, aad: &place.bytes() };
        // It fails only for messages of hundreds of gigabytes.
        let sealed = cipher.encrypt(&XNonce::from(nonce), payload).map_err(|_| VaultError::Damaged(*id))?;
        let mut bytes = Vec::with_capacity(NONCE_BYTES + sealed.len());
        bytes.extend_from_slice(&nonce);
        bytes.extend_from_slice(&sealed);
        Ok(Sealed { key: Some(*id), bytes })
    }

    /// [`Vault::seal`] for a column that tells by itself: what is sealed begins with a byte that no JSON begins with, and its key.
    ///
    /// # Errors
    /// Those of [`Vault::seal`].
    pub fn wrap(&self, place: Place, json: &[u8]) -> Result<Vec<u8>, VaultError> {
        let Sealed { key, bytes } = self.seal(place, json)?;
        let Some(key) = key else { return Ok(bytes) };
        let mut wrapped = Vec::with_capacity(1 + WRAPPED_KEY + bytes.len());
        wrapped.push(WRAPPED);
        wrapped.extend_from_slice(&key.0.to_le_bytes());
        wrapped.extend_from_slice(&bytes);
        Ok(wrapped)
    }

    /// Whether it is wrapped as [`Vault::wrap`] would do it now.
    pub fn is_newest(&self, wrapped: &[u8]) -> bool {
        match (self.key(), wrapped.split_first()) {
            (Some(key), Some((&WRAPPED, rest))) => rest.starts_with(&key.0.to_le_bytes()),
            (None, _) => !Vault::is_sealed(wrapped),
            (Some(_), _) => false,
        }
    }

    /// Whether bytes of [`Vault::wrap`] were sealed, by whichever key.
    pub fn is_sealed(wrapped: &[u8]) -> bool {
        wrapped.first().is_some_and(|first| [WRAPPED, WRAPPED_LOOSELY].contains(first))
    }

    /// What was wrapped.
    ///
    /// # Errors
    /// Those of [`Vault::open`].
    pub fn unwrap(&self, place: Place, wrapped: &[u8]) -> Result<Vec<u8>, VaultError> {
        let (place, rest) = match wrapped.split_first() {
            Some((&WRAPPED, rest)) => (place, rest),
            Some((&WRAPPED_LOOSELY, rest)) => (place.loose(), rest),
            _ => return Ok(wrapped.to_vec()),
        };
        let (key, bytes) = rest.split_first_chunk::<WRAPPED_KEY>().ok_or(VaultError::Damaged(KeyId(0)))?;
        self.open(place, Sealed { key: Some(KeyId(u32::from_le_bytes(*key))), bytes: bytes.to_vec() })
    }

    /// The bytes that were sealed.
    ///
    /// # Errors
    /// Its key is not here, or it is not what was sealed for this place.
    pub fn open(&self, place: Place, sealed: Sealed) -> Result<Vec<u8>, VaultError> {
        let Sealed { key, bytes } = sealed;
        let Some(id) = key else { return Ok(bytes) };
        let (_, cipher) = self.0.iter().find(|(other, _)| *other == id).ok_or(VaultError::NoKey(id))?;
        let (nonce, message) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or(VaultError::Damaged(id))?;
        let payload = Payload { msg: message, aad: &place.bytes() };
        cipher.decrypt(&XNonce::from(*nonce), payload).map_err(|_| VaultError::Damaged(id))
    }
}

/// A line for the key file.
///
/// # Errors
/// The system gives no random numbers.
pub fn new_key() -> Result<String, VaultError> {
    let mut key = [0u8; KEY_BYTES];
    getrandom::fill(&mut key).map_err(|error| VaultError::NoRandomness(error.to_string()))?;
    Ok(format!("{}  # {}", STANDARD.encode(key), key_id(&key)))
}

fn key_id(key: &[u8; KEY_BYTES]) -> KeyId {
    let hash = Sha256::digest(key);
    KeyId(u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]]))
}

#[cfg(unix)]
fn only_its_owner(path: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt;
    let mode = std::fs::metadata(path).map_err(|error| error.to_string())?.permissions().mode();
    if mode & 0o077 == 0 {
        return Ok(());
    }
    Err(format!("others may read it (mode {:03o}): chmod 600 {}", mode & 0o777, path.display()))
}

#[cfg(not(unix))]
fn only_its_owner(_: &Path) -> Result<(), String> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vault(keys: &[&str]) -> Vault {
        Vault::parse(&keys.join("\n")).expect("keys")
    }

    #[test]
    fn what_is_sealed_opens_at_its_place_with_its_key_and_nowhere_else() {
        let (old, new) = (new_key().expect("random"), new_key().expect("random"));
        let before = vault(&[&old]);
        let sealed = before.seal(Place::Log(7), b"a form").expect("sealed");
        assert!(!sealed.bytes.windows(6).any(|bytes| bytes == b"a form"));
        assert_ne!(before.seal(Place::Log(7), b"a form").expect("sealed"), sealed, "a nonce of its own");

        let rotated = vault(&[&new, &old]);
        assert_eq!(rotated.open(Place::Log(7), sealed.clone()).expect("opens"), b"a form");
        assert_ne!(rotated.key(), before.key());
        for other in [Place::Log(8), Place::Reject(7), Place::Segment(7, 0), Place::Column("7")] {
            assert!(matches!(rotated.open(other, sealed.clone()), Err(VaultError::Damaged(_))), "{other:?}");
        }
        assert!(matches!(vault(&[&new]).open(Place::Log(7), sealed.clone()), Err(VaultError::NoKey(_))));
        for at in 0..sealed.bytes.len() {
            let mut changed = sealed.clone();
            changed.bytes[at] ^= 1;
            assert!(matches!(rotated.open(Place::Log(7), changed), Err(VaultError::Damaged(_))), "at {at}");
            let cut = Sealed { key: sealed.key, bytes: sealed.bytes[..at].to_vec() };
            assert!(matches!(rotated.open(Place::Log(7), cut), Err(VaultError::Damaged(_))), "cut at {at}");
        }
    }

    #[test]
    fn without_a_key_bytes_stay_as_they_are_and_open_with_any() {
        let none = Vault::default();
        let plain = none.seal(Place::Log(1), b"as it came").expect("never fails");
        assert_eq!(plain, Sealed { key: None, bytes: b"as it came".to_vec() });
        let some = vault(&[&new_key().expect("random")]);
        assert_eq!(some.open(Place::Log(2), plain).expect("opens"), b"as it came");
    }

    #[test]
    fn what_is_wrapped_tells_its_key_and_what_is_not_is_as_it_was() {
        let (form, json) = (Place::Column("form"), br#"{"quote_id":"q"}"#);
        let some = vault(&[&new_key().expect("random")]);
        assert_eq!(Vault::default().wrap(form, json).expect("plain"), json);
        let wrapped = some.wrap(form, json).expect("sealed");
        assert_ne!(wrapped, json);
        assert_eq!(some.unwrap(form, &wrapped).expect("opens"), json);
        assert_eq!(some.unwrap(form, json).expect("plain"), json);
        assert!(matches!(Vault::default().unwrap(form, &wrapped), Err(VaultError::NoKey(_))));
        assert!(matches!(some.unwrap(form, &wrapped[..3]), Err(VaultError::Damaged(_))));
        assert!(matches!(some.unwrap(Place::Column("other"), &wrapped), Err(VaultError::Damaged(_))));
    }

    #[test]
    fn what_belongs_to_one_row_opens_in_no_other() {
        let some = vault(&[&new_key().expect("random")]);
        let form = |tenant, quote_id, partition, offset| Place::Form { tenant, quote_id, partition, offset };
        let comment = |case, author, id| Place::Comment { case, author, id };
        let places = [
            form("north", "q1", 0, 7),
            form("north", "q2", 0, 7),
            form("northq", "1", 0, 7),
            form("south", "q1", 0, 7),
            form("north", "q1", 1, 7),
            form("north", "q1", 0, 8),
            comment("R-1", "anna", 7),
            comment("R-1", "boris", 7),
            comment("R-1a", "nna", 7),
            comment("R-2", "anna", 7),
            comment("R-1", "anna", 8),
        ];
        for (at, place) in places.iter().enumerate() {
            let wrapped = some.wrap(*place, b"text").expect("sealed");
            for (other, elsewhere) in places.iter().enumerate() {
                let opened = some.unwrap(*elsewhere, &wrapped);
                assert_eq!(opened.is_ok(), at == other, "{place:?} as {elsewhere:?}");
            }
        }
    }

    #[test]
    fn what_was_bound_loosely_opens_and_is_not_the_newest() {
        let some = vault(&[&new_key().expect("random")]);
        let place = Place::Form { tenant: "north", quote_id: "q1", partition: 0, offset: 7 };
        let mut before = some.wrap(Place::Column("form"), b"a form").expect("sealed");
        before[0] = WRAPPED_LOOSELY;
        assert_eq!(some.unwrap(place, &before).expect("opens"), b"a form");
        assert!(!some.is_newest(&before) && !Vault::default().is_newest(&before));
        // One that was bound to its row does not pass for one that was not.
        let mut now = some.wrap(place, b"a form").expect("sealed");
        assert!(some.is_newest(&now));
        now[0] = WRAPPED_LOOSELY;
        assert!(matches!(some.unwrap(place, &now), Err(VaultError::Damaged(_))));
    }

    #[test]
    fn a_key_file_that_cannot_be_is_refused_with_its_line() {
        let key = new_key().expect("random");
        let many: Vec<String> = (0..=KEYS_MAX).map(|_| new_key().expect("random")).collect();
        let twice = format!("{key}\n{key}");
        let cases = [
            ("", "holds no key"),
            ("# nothing\n\n", "holds no key"),
            ("c2hvcnQ=", "line 1 is no key"),
            ("# keys\nnot base64!", "line 2 is no key"),
            (twice.as_str(), "line 2 has a key that is there already"),
            (&many.join("\n"), "at most 64 are read"),
        ];
        for (text, expected) in cases {
            let refused = Vault::parse(text).map(|_| ()).expect_err(expected);
            assert!(refused.contains(expected), "{refused}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_key_file_that_others_may_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().expect("a folder");
        let path = dir.path().join("keys");
        std::fs::write(&path, new_key().expect("random")).expect("written");
        for (mode, is_taken) in [(0o600, true), (0o400, true), (0o640, false), (0o604, false)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("its mode");
            assert_eq!(Vault::from_file(&path).is_ok(), is_taken, "{mode:o}");
        }
    }

    #[test]
    fn a_command_gives_keys_or_says_why_not() {
        let key = new_key().expect("random");
        let command = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert!(Vault::from_command(&command(&["echo", &key])).is_ok_and(|vault| vault.key().is_some()));
        for (words, expected) in [
            (&[][..], "names no program"),
            (&["false"], "ended with"),
            (&["echo", "nothing"], "line 1 is no key"),
            (&["/no/such/program"], "No such file"),
        ] {
            let refused = Vault::from_command(&command(words)).map(|_| ()).expect_err(expected).to_string();
            assert!(refused.contains(expected), "{refused}");
        }
    }
}
