use super::*;
use crate::engine::decision::{Cause, Change, DecisionId, Flag, Flags, Linked, Reason, ReferralId, RuleBookRef, Verdict};
use crate::engine::field::{Field, Level};
use crate::engine::quote::Position;
use crate::engine::time::EventTime;

fn referred() -> Decision {
    let mut flags = Flags::default();
    flags.set(Flag::MixedScript);
    flags.set(Flag::Late);
    Decision {
        decision_id: DecisionId(0x0d5c),
        quote_id: "q-4".into(),
        tenant: "default".into(),
        revision: 2,
        verdict: Verdict::Refer,
        answer: Verdict::Flag,
        referral_id: Some(ReferralId(0xab)),
        reasons: vec![Reason {
            code: "PARAMETER_PICKING".into(),
            rule: "picking-24h".into(),
            text: "4 versions of \"vin\"".into(),
        }],
        attempts: 5,
        suspicious_attempts: 3,
        suspicion: 4.2,
        features: vec![("premium_drop_pct".into(), 12.346), ("variants.vin".into(), 3.0)],
        linked: vec![Linked {
            quote_id: "q-3".into(),
            submitted_at: EventTime(1_795_501_800_120_000),
            weight: 21.449,
            changes: vec![
                Change { field: Field::Vin, level: Level::Near },
                Change { field: Field::Deductible, level: Level::Different },
            ],
        }],
        linked_total: 4,
        rule_book: RuleBookRef { version: 7, hash: 0xbeef },
        event_time: EventTime(1_795_501_860_000_001),
        position: Position { partition: 0, offset: 812 },
        cause: Some(Cause { quote_id: "q-2".into(), position: Position { partition: 0, offset: 900 } }),
        flags,
        shadow: vec![],
    }
}

fn written(decision: &Decision) -> String {
    let mut out = Vec::new();
    write_decision(decision, &mut out);
    String::from_utf8(out).expect("UTF-8")
}

#[test]
fn a_decision_is_written_in_the_contracts_order() {
    let expected = concat!(
        r#"{"decision_id":"00000000000000000000000000000d5c","quote_id":"q-4","revision":2,"decision":"refer","answer":"flag","#,
        r#""referral_id":"R-00000000000000ab","tenant":"default","#,
        r#""reasons":[{"code":"PARAMETER_PICKING","rule":"picking-24h","text":"4 versions of \"vin\""}],"#,
        r#""attempts":5,"suspicious_attempts":3,"suspicion":4.2,"features":{"premium_drop_pct":12.35,"variants.vin":3},"#,
        r#""linked":[{"quote_id":"q-3","submitted_at":"2026-11-24T06:30:00.120Z","weight":21.4,"#,
        r#""changes":[{"field":"vehicle.vin","level":"near","is":"fact"},{"field":"coverage.deductible","level":"different","is":"choice"}]}],"#,
        r#""linked_total":4,"rule_book":{"version":7,"hash":"000000000000beef"},"engine":"1","event_time":"2026-11-24T06:31:00.000001Z","#,
        r#""position":{"partition":0,"offset":812},"cause":{"quote_id":"q-2","position":{"partition":0,"offset":900}},"#,
        r#""flags":["late","mixed_script"]}"#,
    );
    assert_eq!(written(&referred()), expected);
}

#[test]
fn what_is_absent_is_null_or_empty() {
    let plain = Decision {
        referral_id: None,
        cause: None,
        reasons: vec![],
        features: vec![],
        linked: vec![],
        flags: Flags::default(),
        ..referred()
    };
    let text = written(&plain);
    for expected in
        [r#""referral_id":null"#, r#""cause":null"#, r#""reasons":[]"#, r#""features":{}"#, r#""linked":[]"#, r#""flags":[]"#]
    {
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn what_matched_in_shadow_is_told_at_the_end() {
    assert!(!written(&referred()).contains("shadow"));
    let told = Decision { shadow: vec!["picking-7d".into(), "many".into()], ..referred() };
    assert!(written(&told).ends_with(r#""flags":["late","mixed_script"],"shadow":["picking-7d","many"]}"#));
}

#[test]
fn the_reader_writes_what_it_read() {
    let text = written(&Decision { shadow: vec!["many".into()], ..referred() });
    let read: DecisionV1 = serde_json::from_str(&text).expect("reads");
    assert_eq!(serde_json::to_string(&read).expect("serialises"), text);
    assert_eq!(
        (read.decision, read.answer, read.flags),
        (VerdictV1::Refer, VerdictV1::Flag, vec![FlagV1::Late, FlagV1::MixedScript])
    );
}

/// The reader knows every word of the engine's closed lists.
#[test]
fn every_word_of_the_engine_is_read() {
    for verdict in [Verdict::Accept, Verdict::Flag, Verdict::Refer] {
        for level in [Level::Missing, Level::Same, Level::Disguised, Level::Near, Level::Different] {
            let mut decision = Decision { verdict, answer: verdict, flags: Flags(u8::MAX), ..referred() };
            decision.linked[0].changes = Field::ALL.map(|field| Change { field, level }).to_vec();
            let text = written(&decision);
            let read: DecisionV1 = serde_json::from_str(&text).expect("reads");
            assert_eq!(serde_json::to_string(&read).expect("serialises"), text);
            assert_eq!(read.flags.len(), Flag::ALL.len());
        }
    }
}
