//! The naive detector, as a baseline: attempts that share a device, phone, document or VIN are one applicant, and from the
//! fourth within a day on he is referred.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, Write};

use anyhow::{Context, Result};
use serde_json::json;

use crate::calendar::{DAY_MS, parse_rfc3339};
use crate::wire::Quote;

/// Attempts within the window at which the naive detector refers.
const REFER_AT: usize = 4;

#[derive(Default)]
pub struct Naive {
    /// Event times within a day, by kind of key and value.
    seen: HashMap<String, VecDeque<i64>>,
    decided: HashMap<String, bool>,
}

impl Naive {
    /// Whether the quote is referred; `None` for an id seen before.
    pub fn decide(&mut self, quote: &Quote) -> Option<bool> {
        if self.decided.contains_key(&quote.quote_id) {
            return None;
        }
        let now = parse_rfc3339(&quote.submitted_at).unwrap_or(0);
        let holder = &quote.policyholder;
        let keys = [
            ("device", &quote.channel.device_id),
            ("phone", &holder.phone),
            ("document", &holder.id_document),
            ("licence", &holder.driver_licence),
            ("vin", &quote.vehicle.vin),
        ];
        let mut most = 0;
        for (kind, value) in keys.into_iter().filter(|(_, value)| !value.is_empty()) {
            let times = self.seen.entry(format!("{} {kind} {value}", quote.tenant)).or_default();
            while times.front().is_some_and(|time| now - time >= DAY_MS) {
                times.pop_front();
            }
            times.push_back(now);
            most = most.max(times.len());
        }
        let referred = most >= REFER_AT;
        self.decided.insert(quote.quote_id.clone(), referred);
        Some(referred)
    }
}

/// Decides a quotes file; writes what the scorer needs of DecisionV1.
pub fn run(quotes: impl BufRead, out: &mut impl Write) -> Result<u64> {
    let mut naive = Naive::default();
    let mut written = 0;
    for (number, line) in quotes.lines().enumerate() {
        let quote: Quote = serde_json::from_str(&line?).with_context(|| format!("quotes, line {}", number + 1))?;
        if let Some(referred) = naive.decide(&quote) {
            let said = if referred { "refer" } else { "accept" };
            writeln!(out, "{}", json!({"quote_id": quote.quote_id, "revision": 1, "decision": said, "answer": said}))?;
            written += 1;
        }
    }
    out.flush()?;
    Ok(written)
}
