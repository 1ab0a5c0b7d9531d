//! One request after another, with the answers: for those who look at what a service says rather than how fast.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::connection::Connection;
use super::request::Head;
use super::{REQUEST_TIMEOUT, target};

pub struct Client {
    connection: Connection,
    head: Head,
}

pub struct Answer {
    pub status: u16,
    /// Null when the body is not JSON.
    pub body: Value,
    /// From sending to the whole answer.
    pub latency: Duration,
}

impl Client {
    /// For a service on this machine; `url` is its address, as in `http://127.0.0.1:8080`.
    pub fn connect(url: &str, api_key: Option<String>) -> Result<Client> {
        let (address, head) = target(url, api_key)?;
        let connection = Connection::open(address, REQUEST_TIMEOUT).with_context(|| format!("cannot connect to {address}"))?;
        Ok(Client { connection, head })
    }

    pub fn get(&mut self, path: &str) -> Result<Answer> {
        let request = self.head.get(path);
        self.exchange(request.as_bytes())
    }

    /// Posts a quote form.
    pub fn check(&mut self, quote: &str) -> Result<Answer> {
        let request = self.head.post("/v1/quotes/check", quote.len()) + quote;
        self.exchange(request.as_bytes())
    }

    /// The text of a page, whatever kind it is.
    ///
    /// # Errors
    /// No answer, or another than 200.
    pub fn text(&mut self, path: &str) -> Result<String> {
        let answer = self.get(path)?;
        ensure!(answer.status == 200, "{path}: {}", answer.status);
        Ok(String::from_utf8_lossy(self.connection.body()).into_owned())
    }

    fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        let sent = Instant::now();
        let status = self.connection.exchange(request).context("the service did not answer")?;
        let latency = sent.elapsed();
        Ok(Answer { status, body: serde_json::from_slice(self.connection.body()).unwrap_or_default(), latency })
    }
}
