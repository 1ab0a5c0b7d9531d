//! Requests built before the run, so that sending one is a copy and two small patches.

use std::io::BufRead;
use std::ops::Range;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value};

use crate::calendar::rfc3339;

/// Stand-ins of the length of what replaces them.
const ID_HOLE: &str = "lt-0000000000000000-0000000000000000";
const TIME_HOLE: &str = "0000-00-00T00:00:00.000Z";

/// A whole HTTP request; with `--as-is` nothing in it is patched.
#[derive(Clone, Debug)]
pub struct Request {
    bytes: Vec<u8>,
    holes: Option<Holes>,
}

#[derive(Clone, Debug)]
struct Holes {
    quote_id: Range<usize>,
    submitted_at: Range<usize>,
}

/// What all requests of a run share.
pub struct Head {
    pub host: String,
    pub path: String,
    pub api_key: Option<String>,
}

impl Head {
    fn render(&self, body_len: usize) -> String {
        self.post(&self.path, body_len)
    }

    /// The head of a POST of JSON; the body follows.
    pub fn post(&self, path: &str, body_len: usize) -> String {
        let (host, key) = (&self.host, self.key());
        format!(
            "POST {path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n{key}content-length: {body_len}\r\n\r\n"
        )
    }

    /// A whole GET.
    pub fn get(&self, path: &str) -> String {
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{}\r\n", self.host, self.key())
    }

    fn key(&self) -> String {
        self.api_key.as_ref().map_or(String::new(), |key| format!("authorization: Bearer {key}\r\nx-api-key: {key}\r\n"))
    }
}

impl Request {
    /// From one quote; unless `as_is` its id and time will be replaced at each sending.
    pub fn build(head: &Head, quote: &str, as_is: bool) -> Result<Request> {
        if as_is {
            let mut bytes = head.render(quote.len()).into_bytes();
            bytes.extend_from_slice(quote.as_bytes());
            return Ok(Request { bytes, holes: None });
        }
        let mut fields: Map<String, Value> = serde_json::from_str(quote).context("not a JSON object")?;
        fields.remove("quote_id");
        fields.remove("submitted_at");
        let rest = serde_json::to_string(&fields)?;
        let opening = format!("{{\"quote_id\":\"{ID_HOLE}\",\"submitted_at\":\"{TIME_HOLE}\"");
        let body = if fields.is_empty() { format!("{opening}}}") } else { format!("{opening},{}", &rest[1..]) };
        let head = head.render(body.len());
        let id_at = head.len() + "{\"quote_id\":\"".len();
        let time_at = id_at + ID_HOLE.len() + "\",\"submitted_at\":\"".len();
        let holes = Holes { quote_id: id_at..id_at + ID_HOLE.len(), submitted_at: time_at..time_at + TIME_HOLE.len() };
        Ok(Request { bytes: (head + &body).into_bytes(), holes: Some(holes) })
    }

    /// Copies the request to `out` with the id of the `number`th request of `run` and the time `now_ms` since 1970.
    pub fn write(&self, out: &mut Vec<u8>, run: u64, number: u64, now_ms: i64) {
        out.clear();
        out.extend_from_slice(&self.bytes);
        if let Some(holes) = &self.holes {
            out[holes.quote_id.clone()].copy_from_slice(format!("lt-{run:016x}-{number:016x}").as_bytes());
            out[holes.submitted_at.clone()].copy_from_slice(rfc3339(now_ms).as_bytes());
        }
    }
}

/// Builds requests from the first `most` lines of a quotes file.
pub fn load(head: &Head, quotes: impl BufRead, most: usize, as_is: bool) -> Result<Vec<Request>> {
    let mut out = Vec::new();
    for (number, line) in quotes.lines().take(most).enumerate() {
        let request = line.map_err(Into::into).and_then(|line| Request::build(head, &line, as_is));
        out.push(request.with_context(|| format!("quotes, line {}", number + 1))?);
    }
    if out.is_empty() {
        bail!("the quotes file has no lines");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_patched_and_the_length_is_true() {
        let head = Head { host: "127.0.0.1:8080".into(), path: "/v1/quotes/check".into(), api_key: Some("k".into()) };
        let quote = r#"{"product":"osago","quote_id":"old","vehicle":{"vin":"ХTA"},"submitted_at":"2026-11-01T00:00:00Z"}"#;
        let mut sent = Vec::new();
        Request::build(&head, quote, false).expect("valid").write(&mut sent, 10, 11, 0);
        let text = String::from_utf8(sent).expect("UTF-8");
        let (head_text, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(
            head_text.contains(&format!("content-length: {}", body.len())) && head_text.contains("x-api-key: k"),
            "{head_text}"
        );
        let fields: Value = serde_json::from_str(body).expect("JSON");
        assert_eq!(fields["quote_id"], "lt-000000000000000a-000000000000000b");
        assert_eq!(fields["submitted_at"], "1970-01-01T00:00:00.000Z");
        assert_eq!(fields["vehicle"]["vin"], "ХTA");

        Request::build(&head, quote, true).expect("valid").write(&mut Vec::new(), 1, 1, 0);
        assert!(Request::build(&head, "[1]", false).is_err());
    }
}
