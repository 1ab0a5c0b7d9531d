//! Passwords: argon2id with OWASP's parameters (19 MiB, two passes, one lane), off the runtime's threads, a few at a time.

use std::sync::OnceLock;

use argon2::Argon2;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};
use tokio::sync::Semaphore;

use super::token::random;

pub const CHARS_MIN: usize = 12;
/// Beyond: refused, so that hashing costs what it is meant to.
pub const CHARS_MAX: usize = 256;

/// Hashes computed at once: each takes 19 MiB and tens of milliseconds. Beyond: they wait.
const AT_ONCE: usize = 4;

static ROOM: Semaphore = Semaphore::const_new(AT_ONCE);

/// What is wrong with a password that somebody chose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Weak {
    Short,
    Long,
    /// The name, or the one before.
    Plain,
}

/// # Errors
/// Why it cannot be taken.
pub fn check(password: &str, name: &str, before: &str) -> Result<(), Weak> {
    let chars = password.chars().count();
    if chars < CHARS_MIN {
        return Err(Weak::Short);
    }
    if chars > CHARS_MAX {
        return Err(Weak::Long);
    }
    let is_plain = password.eq_ignore_ascii_case(name) || password == before;
    if is_plain { Err(Weak::Plain) } else { Ok(()) }
}

/// In the PHC format; `None` when the machine lacks the memory or randomness for it.
pub async fn hash(password: String) -> Option<String> {
    let _room = ROOM.acquire().await.ok()?;
    tokio::task::spawn_blocking(move || hash_now(&password)).await.ok().flatten()
}

/// As [`hash`], on this thread.
pub fn hash_now(password: &str) -> Option<String> {
    let salt = random::<16>()?;
    Some(Argon2::default().hash_password_with_salt(password.as_bytes(), &salt).ok()?.to_string())
}

/// Whether it is the password of this hash. Without one it takes the same time and is not.
pub async fn is_right(password: String, hash: Option<String>) -> bool {
    let Ok(_room) = ROOM.acquire().await else { return false };
    let verify = move || {
        if password.len() > CHARS_MAX * 4 {
            return false;
        }
        let (hash, is_known) = match &hash {
            Some(hash) => (hash.as_str(), true),
            None => (nobodys(), false),
        };
        Argon2::default().verify_password(password.as_bytes(), hash).is_ok() && is_known
    };
    tokio::task::spawn_blocking(verify).await.unwrap_or(false)
}

/// A hash of no account: unknown names cost what known ones do.
fn nobodys() -> &'static str {
    static HASH: OnceLock<String> = OnceLock::new();
    HASH.get_or_init(|| hash_now("nobody's").unwrap_or_default())
}

/// Letters and digits that are not taken for one another, in groups of five: 100 bits.
const ALPHABET: &[u8; 32] = b"abcdefghijkmnpqrstuvwxyz23456789";
const GROUPS: usize = 4;

/// A password for somebody who will change it.
pub fn generate() -> Option<String> {
    let bytes = random::<{ GROUPS * 5 }>()?;
    let letter = |byte: &u8| char::from(ALPHABET[usize::from(byte & 31)]);
    let groups: Vec<String> = bytes.chunks(5).map(|group| group.iter().map(letter).collect()).collect();
    Some(groups.join("-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weak_passwords_are_refused() {
        for (password, expected) in [
            ("elevenchars", Err(Weak::Short)),
            ("двенадцатьбк", Ok(())),
            ("Olga.Petrova", Err(Weak::Plain)),
            ("the old password", Err(Weak::Plain)),
            ("a few plain words", Ok(())),
        ] {
            assert_eq!(check(password, "olga.petrova", "the old password"), expected, "{password}");
        }
        assert_eq!(check(&"x".repeat(257), "", ""), Err(Weak::Long));
    }

    #[tokio::test]
    async fn only_the_right_password_opens() {
        let password = generate().expect("randomness");
        assert_eq!(password.len(), 23, "{password}");
        let hash = hash(password.clone()).await.expect("memory");
        assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
        assert!(is_right(password.clone(), Some(hash.clone())).await);
        assert!(!is_right(format!("{password}x"), Some(hash)).await);
        assert!(!is_right(password, None).await, "nobody has a password");
        assert!(!is_right("nobody's".into(), None).await, "not even that one");
    }
}
