//! Whether a form was sent by a page of our own, as the browser tells.

use axum::http::HeaderMap;
use axum::http::header::{HOST, ORIGIN};

/// Browsers send at least one of the two headers with a form, and a page elsewhere cannot alter them. A client that sends neither is no
/// browser: it has no cookies of somebody else's, and the form's token still counts.
pub fn is_own(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|value| value.to_str().unwrap_or("?"));
    if let Some(site) = text("sec-fetch-site") {
        return site == "same-origin";
    }
    let Some(origin) = text(ORIGIN.as_str()) else { return true };
    let host = text(HOST.as_str()).unwrap_or_default();
    origin.split_once("://").is_some_and(|(_, of)| !host.is_empty() && of.eq_ignore_ascii_case(host))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_elsewhere_are_told_apart() {
        for (headers, expected) in [
            (&[][..], true),
            (&[("sec-fetch-site", "same-origin")], true),
            (&[("sec-fetch-site", "same-site")], false),
            (&[("sec-fetch-site", "cross-site")], false),
            (&[("sec-fetch-site", "none")], false),
            (&[("sec-fetch-site", "same-origin"), ("origin", "null")], true),
            (&[("origin", "http://desk.example"), ("host", "desk.example")], true),
            (&[("origin", "https://desk.example:8443"), ("host", "desk.example:8443")], true),
            (&[("origin", "https://evil.example"), ("host", "desk.example")], false),
            (&[("origin", "https://desk.example.evil"), ("host", "desk.example")], false),
            (&[("origin", "null"), ("host", "desk.example")], false),
            (&[("origin", "http://"), ("host", "")], false),
        ] {
            let map: HeaderMap =
                headers.iter().map(|(name, value)| (name.parse().expect("a name"), value.parse().expect("a value"))).collect();
            assert_eq!(is_own(&map), expected, "{headers:?}");
        }
    }
}
