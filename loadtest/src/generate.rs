//! Releases the planned episodes as one stream in order of arrival, holding only what has begun and not ended.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, Write};

use crate::calendar::START_MS;
use crate::plan::{Config, Mix, Scheduled, plan, run};
use crate::truth::Truth;
use crate::wire::Quote;

/// One line of the quotes file, with its label; a byte-for-byte retry has none of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    /// JSON without a line end.
    pub quote: String,
    pub truth: Option<Truth>,
}

/// A submission whose episode has begun.
struct Pending {
    /// (arrival, number): unique, so that the order is total.
    key: (i64, u64),
    record: Record,
}

impl PartialEq for Pending {
    fn eq(&self, other: &Pending) -> bool {
        self.key == other.key
    }
}

impl Eq for Pending {}

impl PartialOrd for Pending {
    fn partial_cmp(&self, other: &Pending) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Pending {
    fn cmp(&self, other: &Pending) -> std::cmp::Ordering {
        self.key.cmp(&other.key)
    }
}

/// Gives every record of the workload to `sink`, in order of arrival. The same config gives the same records.
pub fn release(config: &Config, mut sink: impl FnMut(Record) -> io::Result<()>) -> io::Result<()> {
    let mut pending = BinaryHeap::new();
    let mut number = 0;
    for scheduled in plan(config) {
        while pending.peek().is_some_and(|Reverse(next): &Reverse<Pending>| next.key.0 < START_MS + scheduled.start_ms) {
            if let Some(Reverse(next)) = pending.pop() {
                sink(next.record)?;
            }
        }
        begin(config, &scheduled, &mut number, &mut pending)?;
    }
    while let Some(Reverse(next)) = pending.pop() {
        sink(next.record)?;
    }
    Ok(())
}

fn begin(config: &Config, scheduled: &Scheduled, number: &mut u64, pending: &mut BinaryHeap<Reverse<Pending>>) -> io::Result<()> {
    let start_ms = START_MS + scheduled.start_ms;
    let mut last_id = String::new();
    for mut item in run(config.seed, scheduled.index, scheduled.task) {
        let shrunk = |ms: i64| (ms as f64 * scheduled.scale) as i64;
        (item.arrival_ms, item.event_ms) = (shrunk(item.arrival_ms), shrunk(item.event_ms));
        let mut quote = item.quote(start_ms);
        if quote.tenant.is_empty() && config.tenants > 0 {
            quote.tenant = format!("tenant-{}", scheduled.index % u64::from(config.tenants));
        }
        if config.mix == Mix::HotBlock {
            share_all(&mut quote);
        }
        let quote = serde_json::to_string(&quote)?;
        let key = (start_ms + item.arrival_ms, *number);
        *number += 1;
        item.truth.at_ms = start_ms + item.event_ms;
        let resent = item.truth.quote_id == last_id;
        last_id.clone_from(&item.truth.quote_id);
        let truth = (!resent).then_some(item.truth);
        pending.push(Reverse(Pending { key, record: Record { quote, truth } }));
    }
    Ok(())
}

/// What a public terminal and a dormitory would give.
fn share_all(quote: &mut Quote) {
    let channel = &mut quote.channel;
    channel.device_id = "0123456789abcdef".to_owned();
    channel.session_id = "s-hot".to_owned();
    channel.ip = "10.0.0.1".to_owned();
    let address = &mut quote.policyholder.address;
    (address.city, address.street) = ("Москва".to_owned(), "Горячая улица".to_owned());
    (address.house, address.flat, address.line) = ("1".to_owned(), "1".to_owned(), String::new());
}

/// Writes both files; gives the number of quotes and labels.
pub fn write(config: &Config, quotes: &mut impl Write, truth: &mut impl Write) -> io::Result<(u64, u64)> {
    let mut written = (0, 0);
    release(config, |record| {
        quotes.write_all(record.quote.as_bytes())?;
        quotes.write_all(b"\n")?;
        written.0 += 1;
        if let Some(label) = record.truth {
            serde_json::to_writer(&mut *truth, &label)?;
            truth.write_all(b"\n")?;
            written.1 += 1;
        }
        Ok(())
    })?;
    quotes.flush()?;
    truth.flush()?;
    Ok(written)
}
