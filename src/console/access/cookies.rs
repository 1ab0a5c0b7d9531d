//! The cookies of the console, read and written.

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

/// Names of a deployment: `__Host-` binds a cookie to this very host over TLS; a host of plain HTTP has to go without.
#[derive(Clone, Copy, Debug)]
pub struct Cookies {
    pub is_insecure: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cookie {
    Session,
    /// Before a log-in: what its form is bound to.
    Visitor,
    /// A log-in elsewhere that is under way.
    Sso,
    Language,
    Theme,
}

impl Cookie {
    fn name(self) -> &'static str {
        match self {
            Cookie::Session => "quoteguard-session",
            Cookie::Visitor => "quoteguard-visitor",
            Cookie::Sso => "quoteguard-sso",
            Cookie::Language => "quoteguard-language",
            Cookie::Theme => "quoteguard-theme",
        }
    }

    /// Scripts may not read it; a link from elsewhere brings only what a log-in elsewhere must bring back.
    fn attributes(self) -> &'static str {
        match self {
            Cookie::Session | Cookie::Sso => "; Path=/; HttpOnly; SameSite=Lax",
            Cookie::Visitor | Cookie::Language | Cookie::Theme => "; Path=/; HttpOnly; SameSite=Strict",
        }
    }
}

impl Cookies {
    fn name(self, cookie: Cookie) -> String {
        format!("{}{}", if self.is_insecure { "" } else { "__Host-" }, cookie.name())
    }

    pub fn get(self, headers: &HeaderMap, cookie: Cookie) -> Option<&str> {
        let wanted = self.name(cookie);
        let pairs = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(';'));
        pairs.filter_map(|pair| pair.trim().split_once('=')).find(|(name, _)| *name == wanted).map(|(_, value)| value)
    }

    /// A `Set-Cookie`; the value must be of characters that need no quoting. For the browser's session unless `max_age_secs`.
    pub fn set(self, cookie: Cookie, value: &str, max_age_secs: Option<u64>) -> HeaderValue {
        let secure = if self.is_insecure { "" } else { "; Secure" };
        let age = max_age_secs.map_or_else(String::new, |secs| format!("; Max-Age={secs}"));
        let text = format!("{}={value}{}{secure}{age}", self.name(cookie), cookie.attributes());
        HeaderValue::try_from(text).unwrap_or_else(|_| HeaderValue::from_static("quoteguard-none=; Max-Age=0"))
    }

    pub fn forget(self, cookie: Cookie) -> HeaderValue {
        self.set(cookie, "", Some(0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_bound_to_the_host_and_hidden_from_scripts() {
        let cookies = Cookies { is_insecure: false };
        let set = cookies.set(Cookie::Session, "abc", None);
        assert_eq!(set, "__Host-quoteguard-session=abc; Path=/; HttpOnly; SameSite=Lax; Secure");
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_static("a=b; quoteguard-session=no; __Host-quoteguard-session=abc"));
        assert_eq!(cookies.get(&headers, Cookie::Session), Some("abc"));
        assert_eq!(cookies.get(&headers, Cookie::Visitor), None);
        assert_eq!(Cookies { is_insecure: true }.get(&headers, Cookie::Session), Some("no"));
    }
}
