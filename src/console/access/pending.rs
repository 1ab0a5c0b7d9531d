//! A log-in elsewhere that is under way: all of it is in a cookie of the browser that began it, so that any instance can end it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::guard::own_path;
use super::token::Token;
use crate::engine::time::{EventTime, SECOND};
use crate::pipeline::sign_on::Flow;

/// How long it may take.
pub const PENDING_SECS: u64 = 10 * 60;
/// A longer path is not come back to: a cookie has room for 4 KiB.
const BACK_BYTES_MAX: usize = 1_024;

/// What goes to the provider is derived from the token by one-way functions, one for each purpose: who sees the state in an address
/// learns neither the nonce nor the verifier.
pub struct Pending {
    token: Token,
    /// Seconds since 1970.
    began: i64,
    back: String,
}

impl Pending {
    /// `None` when the machine has no randomness to give.
    pub fn new(now: EventTime, back: Option<&str>) -> Option<Pending> {
        let back = own_path(back.filter(|back| back.len() <= BACK_BYTES_MAX)).to_owned();
        Some(Pending { token: Token::new()?, began: now.0 / SECOND, back })
    }

    pub fn text(&self) -> String {
        format!("{}.{}.{}", self.token.text(), self.began, URL_SAFE_NO_PAD.encode(&self.back))
    }

    pub fn parse(text: &str) -> Option<Pending> {
        let mut parts = text.split('.');
        let (token, began, back) = (parts.next()?, parts.next()?, parts.next()?);
        let back = String::from_utf8(URL_SAFE_NO_PAD.decode(back).ok()?).ok()?;
        Some(Pending { token: Token::parse(token)?, began: began.parse().ok()?, back: own_path(Some(&back)).to_owned() })
    }

    fn purpose(&self, of: &str) -> String {
        format!("company {of} {}", self.began)
    }

    pub fn flow(&self) -> Flow {
        let secret = |of: &str| self.token.sign(&self.purpose(of));
        Flow { state: secret("state"), nonce: secret("nonce"), verifier: secret("verifier") }
    }

    /// Whether this answers it, in time.
    pub fn is_answered(&self, state: &str, now: EventTime) -> bool {
        let age = now.0 / SECOND - self.began;
        let is_in_time = u64::try_from(age).is_ok_and(|age| age <= PENDING_SECS);
        is_in_time && self.token.is_signed(&self.purpose("state"), state)
    }

    /// A page of the console.
    pub fn back(&self) -> &str {
        &self.back
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_this_browser_began_is_answered_and_in_time() {
        let at = |secs: i64| EventTime(secs * SECOND);
        let began = Pending::new(at(1_000), Some("/console/referrals?status=open;x")).expect("random");
        let flow = began.flow();
        assert!(flow.verifier.len() == 43 && flow.state != flow.nonce && flow.nonce != flow.verifier);
        let read = Pending::parse(&began.text()).expect("reads back");
        assert_eq!((read.flow().state, read.back()), (flow.state.clone(), "/console/referrals?status=open;x"));
        assert!(read.is_answered(&flow.state, at(1_600)));
        assert!(!read.is_answered(&flow.state, at(1_601)), "too late");
        assert!(!read.is_answered(&flow.state, at(999)), "from another time");
        let other = Pending::new(at(1_000), None).expect("random");
        for state in ["", &flow.nonce, &flow.state[1..], &other.flow().state] {
            assert!(!read.is_answered(state, at(1_000)), "{state}");
        }
        // Another beginning is another log-in: a cookie cannot be made to last.
        let later = Pending::parse(&began.text().replace(".1000.", ".1500.")).expect("reads");
        assert!(!later.is_answered(&flow.state, at(1_700)));
        let away =
            format!("{}.1000.{}", began.text().split('.').next().expect("a token"), URL_SAFE_NO_PAD.encode("//evil.example"));
        assert_eq!(Pending::parse(&away).expect("reads").back(), "/console");
        for text in ["", "a.b.c", "..", &began.text()[1..]] {
            assert!(Pending::parse(text).is_none(), "{text}");
        }
    }
}
