//! What the producers send: the labelled workload of several insurers within the last minutes, and what goes wrong on its way.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::num::NonZeroU32;

use loadtest::calendar::{DAY_MS, START_MS};
use loadtest::generate::release;
use loadtest::plan::{Config, Mix};
use quoteguard::contract::kafka::POINTER;
use quoteguard::pipeline::partitioner::partition_of;
use serde_json::Value;
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime};

use super::cluster::PARTITIONS;
use crate::quotes::{Lcg, instant};

/// Each partition holds so many.
const TENANTS_A_PARTITION: usize = 2;
/// Event times lie within so many minutes before now: less than the allowed lateness.
const MINUTES: i64 = 40;

/// A record as a producer sends it.
#[derive(Clone, Debug, Default)]
pub struct Record {
    pub key: Option<Vec<u8>>,
    pub value: Option<Vec<u8>>,
    /// Where it goes when not where its key says.
    pub partition: Option<i32>,
    pub headers: Vec<(&'static str, Vec<u8>)>,
}

/// Names of insurers, as many in each partition.
pub fn tenants() -> Vec<String> {
    let mut room = BTreeMap::from_iter((0..PARTITIONS).map(|partition| (partition, TENANTS_A_PARTITION)));
    let partitions = NonZeroU32::new(PARTITIONS).expect("not zero");
    let mut fits = |name: &String| match room.get_mut(&partition_of(name.as_bytes(), partitions)) {
        Some(left @ 1..) => {
            *left -= 1;
            true
        }
        _ => false,
    };
    let names = (0..).map(|number| format!("insurer-{number}"));
    names.filter(|name| fits(name)).take(TENANTS_A_PARTITION * PARTITIONS as usize).collect()
}

/// Some `count` quotes over all insurers in order of event time, tweakers among them. The same for one seed, but for the clock.
pub fn quotes(seed: u64, count: usize) -> Vec<Record> {
    let tenants = tenants();
    let begin = OffsetDateTime::now_utc() - Duration::minutes(MINUTES);
    let mut records: Vec<(OffsetDateTime, Record)> = Vec::with_capacity(count);
    for (number, tenant) in (0..).zip(&tenants) {
        let config = Config { seed: seed * 1_000 + number, quotes: count / tenants.len(), mix: Mix::Stress, days: 1, tenants: 0 };
        release(&config, |record| {
            let mut quote: Value = serde_json::from_str(&record.quote).expect("JSON");
            let at = OffsetDateTime::parse(quote["submitted_at"].as_str().expect("text"), &Rfc3339).expect("a time");
            let ms = (at.unix_timestamp_nanos() / 1_000_000) as i64 - START_MS;
            let at = begin + Duration::milliseconds(ms * MINUTES * 60_000 / DAY_MS);
            quote["submitted_at"] = instant(at).into();
            records.push((at, of(tenant, &quote)));
            Ok(())
        })
        .expect("memory takes all");
    }
    records.sort_by_key(|(at, _)| *at);
    records.into_iter().map(|(_, record)| record).collect()
}

fn of(tenant: &str, quote: &Value) -> Record {
    Record { key: Some(tenant.into()), value: Some(quote.to_string().into_bytes()), ..Record::default() }
}

/// Sent twice, out of order, in floods that come late, and with ids that were used before.
pub fn disorder(seed: u64, records: Vec<Record>) -> Vec<Record> {
    let mut random = Lcg(seed);
    let count = records.len() as u64;
    let mut placed = Vec::with_capacity(records.len() * 6 / 5);
    for (place, record) in (0..).zip(records) {
        let mut put = |place: u64, record: Record| placed.push((place, Reverse(placed.len()), record));
        if random.below(20) == 0 {
            put(place + random.below(200), record.clone());
        }
        if random.below(40) == 0 {
            put(place + 1 + random.below(200), with_another_body(&record));
        }
        match random.below(10) {
            // A flood: what piled up somewhere comes at once.
            0 => put((place / 500 + 1 + random.below(3)) * 500, record),
            1..4 => put(place + random.below(30), record),
            _ => put(place, record),
        }
    }
    placed.sort_by_key(|(place, number, _)| ((*place).min(count), *number));
    placed.into_iter().map(|(_, _, record)| record).collect()
}

fn with_another_body(record: &Record) -> Record {
    let mut quote: Value = serde_json::from_slice(record.value.as_deref().expect("a quote")).expect("JSON");
    quote["premium"] = 1.into();
    Record { value: Some(quote.to_string().into_bytes()), ..record.clone() }
}

/// Mixes in what is no quote, each kind several times.
pub fn poisoned(seed: u64, records: Vec<Record>) -> Vec<Record> {
    let mut random = Lcg(seed);
    let mut mixed = Vec::with_capacity(records.len());
    let poison = poison();
    let every = records.len() as u64 / (poison.len() as u64 * 3);
    for (number, record) in (0u64..).zip(records) {
        mixed.push(record);
        if number.is_multiple_of(every) {
            let mut bad = poison[(number / every) as usize % poison.len()].clone();
            if let Some(key) = &mut bad.key {
                key.extend_from_slice(tenants()[random.below(8) as usize].as_bytes());
            }
            mixed.push(bad);
        }
    }
    mixed
}

/// One of each kind; where there is a key, a tenant's name is to be added.
fn poison() -> Vec<Record> {
    let keyed = |value: &[u8]| Record { key: Some(Vec::new()), value: Some(value.to_vec()), ..Record::default() };
    let form = crate::quotes::quote("poison").to_string().into_bytes();
    let mut elsewhere = crate::quotes::quote("poison");
    elsewhere["tenant"] = "somebody else".into();
    let large = format!("{{\"quote_id\":\"{}\"}}", "x".repeat(999_000 - 100));
    vec![
        keyed(b"{\"quote_id\": 7,"),
        keyed(b"{\"quote_id\":\"\xff\xfe\"}"),
        keyed(b"{\"quote_id\":\"no more\"}"),
        keyed(b""),
        keyed(large.as_bytes()),
        keyed(elsewhere.to_string().as_bytes()),
        keyed("[".repeat(10_000).as_bytes()),
        Record { value: None, ..keyed(b"") },
        Record { key: None, ..keyed(&form) },
        // Every name begins with it, so that no name is whole.
        Record { key: Some(b"\xff".to_vec()), ..keyed(&form) },
        Record { key: Some(b"far-away-".to_vec()), partition: Some(0), ..keyed(&form) },
        pointer(1, "{\"control_offset\":-1}"),
        // It names a control record that is not there.
        pointer(2, "{\"control_offset\":1000000}"),
    ]
}

fn pointer(partition: i32, value: &str) -> Record {
    let headers = vec![(POINTER, b"1".to_vec())];
    Record { value: Some(value.into()), partition: Some(partition), headers, ..Record::default() }
}
