//! Time to decode one quote of about 1 KB, beside serde_json's own time for the same bytes, and to write a decision.
//! `cargo bench --bench decode`

use std::hint::black_box;
use std::time::Instant;

use quoteguard::contract::decision::write_decision;
use quoteguard::contract::quote::{QuoteV1, decode};
use quoteguard::engine::decision::{Change, Decision, DecisionId, Flags, Linked, Reason, ReferralId, RuleBookRef, Verdict};
use quoteguard::engine::field::{Field, Level};
use quoteguard::engine::quote::Position;
use quoteguard::engine::time::EventTime;

const ROUNDS: u32 = 200_000;

const BODY: &str = r#"{"quote_id":"q-2026-11-24-000123","submitted_at":"2026-11-24T09:30:00.123+03:00","product":"osago","channel":{"kind":"web",
"session_id":"5f0c2d6e9b7a4c11","device_id":"d-7c9e6679f4c145f7","ip":"192.0.2.17"},"policyholder":{"last_name":"Петрова","first_name":"Мария",
"middle_name":"Ивановна","birth_date":"1984-02-29","id_document":"00 00 123456","driver_licence":"00 00 654321","phone":"+7 900 000-00-00",
"email":"m.petrova@example.org","address":{"postal_code":"000000","region":"Московская обл.","city":"Подольск","street":"ул. Мира","house":"5к1","flat":"12"}},
"drivers":[{"last_name":"Петрова","first_name":"Мария","middle_name":"Ивановна","birth_date":"1984-02-29","driver_licence":"00 00 654321","licensed_since":"2004-05-17"}],
"vehicle":{"vin":"XTA219010K0123456","plate":"А000АА00","make":"Lada","model":"Granta","year":2019,"power_hp":87},
"coverage":{"term_months":12,"deductible":0,"extra":{"accident":true,"region_factor":1.64,"repair":"dealer"}},"premium":12450.50}"#;

fn report(name: &str, mut once: impl FnMut()) {
    (0..ROUNDS / 10).for_each(|_| once());
    let start = Instant::now();
    (0..ROUNDS).for_each(|_| once());
    let nanos = start.elapsed().as_nanos() as f64 / f64::from(ROUNDS);
    println!("{name:<28} {:>8.2} us", nanos / 1_000.0);
}

fn decision() -> Decision {
    let linked = Linked {
        quote_id: "q-2026-11-24-000122".into(),
        submitted_at: EventTime(1_795_501_800_123_000),
        weight: 21.449,
        changes: vec![
            Change { field: Field::Vin, level: Level::Near },
            Change { field: Field::Deductible, level: Level::Different },
        ],
    };
    Decision {
        decision_id: DecisionId(0x0d5c << 96),
        quote_id: "q-2026-11-24-000123".into(),
        tenant: "default".into(),
        revision: 1,
        verdict: Verdict::Refer,
        answer: Verdict::Refer,
        referral_id: Some(ReferralId(0x0d5c)),
        reasons: vec![Reason {
            code: "PARAMETER_PICKING".into(),
            rule: "picking-24h".into(),
            text: "4 versions within 24h".into(),
        }],
        attempts: 5,
        suspicious_attempts: 3,
        suspicion: 4.2,
        features: vec![("distinct.vehicle.vin".into(), 3.0), ("premium_drop_pct".into(), 12.346)],
        linked: vec![linked; 4],
        linked_total: 4,
        rule_book: RuleBookRef { version: 7, hash: 0xbeef },
        event_time: EventTime(1_795_501_860_000_000),
        position: Position { partition: 0, offset: 812 },
        cause: None,
        flags: Flags::default(),
        shadow: vec![],
    }
}

fn main() {
    println!("{} bytes", BODY.len());
    report("serde_json, parse and drop", || drop(black_box(serde_json::from_str::<serde::de::IgnoredAny>(black_box(BODY)))));
    report("serde_json, plain structure", || drop(black_box(serde_json::from_str::<QuoteV1>(black_box(BODY)))));
    report("decode", || drop(black_box(decode(black_box(BODY.as_bytes()), None))));
    let (decision, mut out) = (decision(), Vec::new());
    report("write_decision, 4 linked", || {
        out.clear();
        write_decision(black_box(&decision), &mut out);
    });
    println!("{} bytes", out.len());
}
