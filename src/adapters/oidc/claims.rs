//! What a token that was believed says of a person.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use openidconnect::core::CoreIdTokenClaims;
use serde_json::{Map, Value};

use super::Settings;
use crate::pipeline::sign_on::{Identity, Person};

/// As the specification has it.
const SUBJECT_CHARS_MAX: usize = 255;

/// `token` is that of `claims`: the library keeps only those that it knows.
///
/// # Errors
/// A subject that cannot be one.
pub fn person(claims: &CoreIdTokenClaims, token: &str, settings: &Settings) -> Result<Person, String> {
    let subject = claims.subject().as_str();
    if subject.is_empty() || subject.chars().count() > SUBJECT_CHARS_MAX || subject.contains('\0') {
        return Err(format!("its subject must have 1 to {SUBJECT_CHARS_MAX} characters"));
    }
    let all = payload(token).ok_or("its claims cannot be read")?;
    Ok(Person {
        identity: Identity { issuer: claims.issuer().as_str().to_owned(), subject: subject.to_owned() },
        name: texts(find(&all, &settings.name_claim)).into_iter().next(),
        groups: texts(find(&all, &settings.role_claim)),
        tenants: settings.tenant_claim.as_ref().map(|claim| texts(find(&all, claim))).unwrap_or_default(),
    })
}

fn payload(token: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token.split('.').nth(1)?).ok()?).ok()
}

/// A claim of this very name, or the one that the dots lead to: `realm_access.roles`.
fn find<'c>(claims: &'c Map<String, Value>, name: &str) -> Option<&'c Value> {
    claims.get(name).or_else(|| {
        let (first, rest) = name.split_once('.')?;
        find(claims.get(first)?.as_object()?, rest)
    })
}

/// One text, or a list of them.
fn texts(claim: Option<&Value>) -> Vec<String> {
    match claim {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(texts)) => texts.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claims_are_found_by_name_or_by_the_way_to_them() {
        let claims = serde_json::json!({
            "groups": ["a", 1, "b"], "one": "a", "https://x.example/roles": ["c"], "realm_access": {"roles": ["d"]}, "no": 1
        });
        let Value::Object(claims) = claims else { panic!("an object") };
        for (name, expected) in [
            ("groups", &["a", "b"][..]),
            ("one", &["a"]),
            ("https://x.example/roles", &["c"]),
            ("realm_access.roles", &["d"]),
            ("realm_access", &[]),
            ("realm_access.none", &[]),
            ("groups.a", &[]),
            ("no", &[]),
            ("", &[]),
        ] {
            assert_eq!(texts(find(&claims, name)), expected, "{name}");
        }
    }
}
