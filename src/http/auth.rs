//! API keys: who is asking, and for which tenant.

use std::sync::Arc;

use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use tokio::sync::Semaphore;

use super::reply::Refusal;
use crate::config::{ApiKey, Permission};
use crate::contract::problem::Problem;

/// Whom a request speaks for.
#[derive(Clone, Debug)]
pub struct Client {
    pub name: Arc<str>,
    pub tenant: Arc<str>,
    pub may: Arc<[Permission]>,
    /// Its quotes in the queue, so that it cannot fill it alone.
    pub room: Arc<Semaphore>,
}

#[derive(Clone, Debug)]
pub enum Caller {
    /// No keys are configured: everybody may, for any tenant.
    Anyone,
    Known(Client),
    /// Keys are configured, and none or a wrong one was given.
    Unknown,
}

pub struct Keys(Vec<([u8; 32], Client)>);

/// Of an entry's key, whichever way it is given; `None` without a usable one.
pub fn digest(entry: &ApiKey) -> Option<[u8; 32]> {
    match (&entry.key, &entry.key_sha256) {
        (Some(key), _) => Some(Sha256::digest(key.0.as_bytes()).into()),
        (None, Some(hash)) => parse_sha256(hash),
        (None, None) => None,
    }
}

impl Keys {
    /// From a checked configuration; an entry without a usable key lets nobody in.
    ///
    /// `queue_client_max` is how many of its quotes may wait for the writer.
    pub fn new(keys: &[ApiKey], queue_client_max: usize) -> Keys {
        let client = |key: &ApiKey| Client {
            name: key.name.as_str().into(),
            tenant: key.tenant.as_str().into(),
            may: key.may.as_slice().into(),
            room: Arc::new(Semaphore::new(queue_client_max.min(Semaphore::MAX_PERMITS))),
        };
        Keys(keys.iter().filter_map(|key| Some((digest(key)?, client(key)))).collect())
    }

    /// Who asks for what needs a permission; `None` when no keys are configured, and everybody may.
    ///
    /// # Errors
    /// 401 without a valid key, 403 with one that does not open this.
    pub fn authorise(&self, headers: &HeaderMap, permission: Permission) -> Result<Option<Client>, Refusal> {
        match self.caller(headers) {
            Caller::Anyone => Ok(None),
            Caller::Known(client) if client.may.contains(&permission) => Ok(Some(client)),
            Caller::Known(_) => {
                Err(Problem::forbidden("the key was not given this; see `may` of http.keys in the configuration").into())
            }
            Caller::Unknown => Err(Problem::unauthorized().into()),
        }
    }

    /// Looks at `Authorization: Bearer` and `X-Api-Key`. Takes the same time whichever key matches, or none.
    pub fn caller(&self, headers: &HeaderMap) -> Caller {
        if self.0.is_empty() {
            return Caller::Anyone;
        }
        let Some(key) = presented(headers) else { return Caller::Unknown };
        let hash: [u8; 32] = Sha256::digest(key).into();
        let mut found = u32::MAX;
        for (i, (expected, _)) in (0..).zip(&self.0) {
            let equal: Choice = expected.ct_eq(&hash);
            found.conditional_assign(&i, equal);
        }
        self.0.get(found as usize).map_or(Caller::Unknown, |(_, client)| Caller::Known(client.clone()))
    }
}

fn presented(headers: &HeaderMap) -> Option<&[u8]> {
    let bearer = headers.get(AUTHORIZATION).map(axum::http::HeaderValue::as_bytes).and_then(|value| {
        let (scheme, key) = value.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case(b"bearer ").then_some(key)
    });
    bearer.or_else(|| headers.get("x-api-key").map(axum::http::HeaderValue::as_bytes))
}

/// 64 hex digits.
pub fn parse_sha256(text: &str) -> Option<[u8; 32]> {
    let digits = text.as_bytes();
    let mut hash = [0; 32];
    if digits.len() != 64 {
        return None;
    }
    for (byte, pair) in hash.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Secret;

    const SHA256_OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn a_key_opens_its_tenant_and_nothing_else_does() {
        let may = vec![Permission::Checks];
        let plain = ApiKey {
            name: "site".into(),
            tenant: "t1".into(),
            key: Some(Secret("0123456789abcdef".into())),
            key_sha256: None,
            may: may.clone(),
        };
        let hashed =
            ApiKey { name: "broker".into(), tenant: "t2".into(), key: None, key_sha256: Some(SHA256_OF_ABC.into()), may };
        let keys = Keys::new(&[plain, hashed], 1);
        for (name, value, expected) in [
            ("authorization", "Bearer 0123456789abcdef", Some("t1")),
            ("authorization", "bearer abc", Some("t2")),
            ("x-api-key", "abc", Some("t2")),
            ("x-api-key", "abd", None),
            ("x-api-key", "", None),
            ("authorization", "Basic abc", None),
            ("authorization", "Bearer", None),
            ("authorization", "Bearer  abc", None),
            ("x-other", "abc", None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, value.parse().expect("a header"));
            let tenant = match keys.caller(&headers) {
                Caller::Known(client) => Some(client.tenant),
                Caller::Unknown => None,
                Caller::Anyone => panic!("keys are configured"),
            };
            assert_eq!(tenant.as_deref(), expected, "{name}: {value}");
        }
        assert!(matches!(Keys::new(&[], 1).caller(&HeaderMap::new()), Caller::Anyone));
    }
}
