//! Secrets in the browser's hands: the session's id, and what is derived from it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::pipeline::access::SessionHash;

/// Random bytes of the system; `None` when it has none to give.
pub fn random<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).ok()?;
    Some(bytes)
}

/// A random 256-bit secret in a cookie: the id of a session, or of a browser that has none yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Token([u8; 32]);

impl Token {
    pub fn new() -> Option<Token> {
        random().map(Token)
    }

    pub fn parse(text: &str) -> Option<Token> {
        Some(Token(URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?))
    }

    pub fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// What the database knows of it.
    pub fn hash(&self) -> SessionHash {
        Sha256::digest(self.0).into()
    }

    /// A proof that whoever shows it was given it in this session, for `purpose`.
    pub fn sign(&self, purpose: &str) -> String {
        URL_SAFE_NO_PAD.encode(self.mac(purpose).finalize().into_bytes())
    }

    /// In constant time.
    pub fn is_signed(&self, purpose: &str, signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else { return false };
        self.mac(purpose).verify_slice(&signature).is_ok()
    }

    fn mac(&self, purpose: &str) -> Hmac<Sha256> {
        let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(&self.0).expect("HMAC takes keys of any length");
        mac.update(purpose.as_bytes());
        mac
    }

    /// What every form of the session carries.
    pub fn csrf(&self) -> String {
        self.sign("form")
    }

    pub fn is_csrf(&self, signature: &str) -> bool {
        self.is_signed("form", signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_is_of_one_session_and_one_purpose() {
        let (one, other) = (Token::new().expect("random"), Token::new().expect("random"));
        assert!(one.is_csrf(&one.csrf()));
        assert!(!other.is_csrf(&one.csrf()));
        assert!(!one.is_csrf(&one.sign("open")));
        for forged in ["", "AA", "%", &one.csrf()[1..], &format!("{}A", one.csrf())] {
            assert!(!one.is_csrf(forged), "{forged:?}");
        }
        assert!(Token::parse(&one.text()).is_some_and(|read| read == one));
        for text in ["", "AA", "!", &one.text()[1..]] {
            assert!(Token::parse(text).is_none(), "{text:?}");
        }
        assert_ne!(one.hash(), other.hash());
    }
}
