//! Requests built before the run.

use std::io::BufRead;

use anyhow::Result;

use crate::template::{self, Template};

/// A whole HTTP request, but for the id and the time of its quote.
#[derive(Clone, Debug)]
pub struct Request {
    head: String,
    body: Template,
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
    fn build(head: &Head, body: Template) -> Request {
        Request { head: head.render(body.size()), body }
    }

    /// Copies the request to `out` with the id of the `number`th request of `run` and the time `now_ms` since 1970.
    pub fn write(&self, out: &mut Vec<u8>, run: u64, number: u64, now_ms: i64) {
        out.clear();
        out.extend_from_slice(self.head.as_bytes());
        self.body.append(out, run, number, now_ms);
    }
}

/// Builds requests from the first `most` lines of a quotes file.
pub fn load(head: &Head, quotes: impl BufRead, most: usize, as_is: bool) -> Result<Vec<Request>> {
    Ok(template::load(quotes, most, as_is)?.into_iter().map(|body| Request::build(head, body)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_is_true() {
        let head = Head { host: "127.0.0.1:8080".into(), path: "/v1/quotes/check".into(), api_key: Some("k".into()) };
        let body = Template::build(r#"{"product":"osago","quote_id":"old"}"#, false).expect("valid");
        let mut sent = Vec::new();
        Request::build(&head, body).write(&mut sent, 10, 11, 0);
        let text = String::from_utf8(sent).expect("UTF-8");
        let (head, body) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.contains(&format!("content-length: {}", body.len())) && head.contains("x-api-key: k"), "{head}");
    }
}
