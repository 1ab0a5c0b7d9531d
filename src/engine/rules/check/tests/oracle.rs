//! Random conditions over random evidence: ours against the interpreter of the `cel` crate.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::engine::rules::duration;

const WINDOWS: [(&str, i64); 2] = [("window", DAY), ("hour", HOUR)];

fn features(kind: Kind) -> Vec<String> {
    let named = |spec: &FeatureSpec| match spec.arguments {
        Arguments::None => vec![spec.name.to_string()],
        Arguments::Window => WINDOWS.map(|(window, _)| format!("{}({window})", spec.name)).to_vec(),
        Arguments::FieldAndWindow => vec![format!("{}(\"vehicle.vin\", window)", spec.name)],
    };
    CATALOGUE.iter().filter(|spec| spec.kind == kind).flat_map(named).collect()
}

fn leaf(kind: Kind, constants: &[&str]) -> BoxedStrategy<String> {
    let constants: Vec<String> = constants.iter().map(|text| text.to_string()).collect();
    prop_oneof![
        2 => proptest::sample::select(features(kind)),
        1 => proptest::sample::select(constants)
    ]
    .boxed()
}

fn int(depth: u32) -> BoxedStrategy<String> {
    let leaf = leaf(Kind::Int, &["0", "1", "2", "-3", "n", "9223372036854775807"]);
    if depth == 0 {
        return leaf;
    }
    let pair = (int(depth - 1), int(depth - 1));
    prop_oneof![
        3 => leaf,
        2 => (pair, proptest::sample::select(vec!["+", "-", "*", "/", "%"])).prop_map(|((a, b), op)| format!("({a} {op} {b})")),
        1 => int(depth - 1).prop_map(|a| format!("-({a})")),
        1 => double(depth - 1).prop_map(|a| format!("int({a})")),
        1 => asked().prop_map(|a| format!("size({a})")),
        1 => (boolean(depth - 1), int(depth - 1), int(depth - 1)).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
    ]
    .boxed()
}

fn double(depth: u32) -> BoxedStrategy<String> {
    let leaf = leaf(Kind::Double, &["0.0", "1.5", "-2.25", "x", "1e300"]);
    if depth == 0 {
        return leaf;
    }
    let pair = (double(depth - 1), double(depth - 1));
    prop_oneof![
        3 => leaf,
        2 => (pair, proptest::sample::select(vec!["+", "-", "*", "/"])).prop_map(|((a, b), op)| format!("({a} {op} {b})")),
        1 => double(depth - 1).prop_map(|a| format!("-({a})")),
        1 => int(depth - 1).prop_map(|a| format!("double({a})")),
        1 => (boolean(depth - 1), double(depth - 1), double(depth - 1)).prop_map(|(c, a, b)| format!("({c} ? {a} : {b})")),
    ]
    .boxed()
}

fn text() -> BoxedStrategy<String> {
    leaf(Kind::Text, &["\"web\"", "\"app\""])
}

/// A text that depends on the quote.
fn asked() -> BoxedStrategy<String> {
    proptest::sample::select(features(Kind::Text)).boxed()
}

fn number(depth: u32) -> BoxedStrategy<String> {
    prop_oneof![int(depth), double(depth)].boxed()
}

fn boolean(depth: u32) -> BoxedStrategy<String> {
    let leaf = leaf(Kind::Bool, &["true", "false"]);
    if depth == 0 {
        return leaf;
    }
    let order = proptest::sample::select(vec!["==", "!=", "<", "<=", ">", ">="]);
    let equality = proptest::sample::select(vec!["==", "!="]);
    let join = proptest::sample::select(vec!["&&", "||"]);
    let test = proptest::sample::select(vec![
        "startsWith(\"os\")",
        "endsWith(\"b\")",
        "contains(\"a\")",
        "matches(\"^(w.b|a+pp?)$\")",
        "matches(\"[a-o]{3}|Ж\")",
        "size() > 3",
    ]);
    let pair = || (boolean(depth - 1), boolean(depth - 1));
    prop_oneof![
        1 => leaf,
        4 => (number(depth - 1), order, number(depth - 1)).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (text(), equality.clone(), text()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
        1 => (pair(), equality).prop_map(|((a, b), op)| format!("({a} {op} {b})")),
        4 => (pair(), join).prop_map(|((a, b), op)| format!("({a} {op} {b})")),
        1 => boolean(depth - 1).prop_map(|a| format!("!({a})")),
        1 => (asked(), test).prop_map(|(a, test)| format!("({a}.{test})")),
        1 => (proptest::sample::select(vec!["<", ">="]), proptest::sample::select(vec!["0s", "2s", "1m30s"]))
            .prop_map(|(op, length)| format!("(seconds_since_first(window) {op} duration(\"{length}\"))")),
        1 => text().prop_map(|a| format!("({a} in list(\"brokers\"))")),
        1 => number(depth - 1).prop_map(|a| format!("({a} in [1, n, 2.5])")),
        1 => (boolean(depth - 1), pair()).prop_map(|(c, (a, b))| format!("({c} ? {a} : {b})")),
    ]
    .boxed()
}

fn window_evidence() -> impl Strategy<Value = WindowEvidence> {
    let count = || prop_oneof![4 => 0u32..6, 1 => Just(u32::MAX)];
    let double = || prop_oneof![Just(0.0), Just(2.5), 0.0..10.0f64];
    (
        (count(), count(), count(), count(), count(), count(), count(), count(), count()),
        (double(), double(), double()),
        (any::<bool>(), any::<bool>(), 0u32..1 << Field::COUNT, 0u16..9),
    )
        .prop_map(|(counts, doubles, (known_form, fresh_source, changed, vins))| {
            let mut window = WindowEvidence {
                attempts: counts.0,
                suspicious_attempts: counts.1,
                oscillations: counts.2,
                disguises: counts.3,
                sources: counts.4,
                same_source_attempts: counts.5,
                same_source_suspicious: counts.6,
                source_applicants: counts.7,
                suspicion: doubles.0,
                premium_drop_pct: doubles.1,
                seconds_since_first: doubles.2,
                known_form,
                fresh_source,
                changed,
                ..Default::default()
            };
            window.distinct[Field::Vin as usize] = vins;
            window
        })
}

fn random_evidence() -> impl Strategy<Value = Evidence> {
    let channel = proptest::sample::select(ChannelKind::ALL.to_vec());
    let words = || proptest::sample::select(vec!["", "web", "app", "osago"]);
    (window_evidence(), window_evidence(), channel, words(), words(), 0.0..9.0f64).prop_map(
        |(day, hour, channel, product, tenant, premium)| Evidence {
            windows: vec![day, hour],
            channel,
            agent_id: "".into(),
            product: product.into(),
            tenant: tenant.into(),
            premium,
        },
    )
}

fn value(evidence: &Evidence, spec: &FeatureSpec, field: Option<Field>, window: usize) -> cel::Value {
    match spec.kind {
        Kind::Int => cel::Value::Int(evidence.number(spec.feature, field, window) as i64),
        Kind::Double => cel::Value::Float(evidence.number(spec.feature, field, window)),
        Kind::Bool => cel::Value::Bool(evidence.number(spec.feature, field, window) != 0.0),
        Kind::Text => cel::Value::String(Arc::new(evidence.text(spec.feature).to_string())),
    }
}

/// The interpreter's value; windows are their numbers there.
fn interpreted(when: &str, evidence: &Evidence) -> Result<bool, String> {
    let mut context = cel::Context::default();
    for (number, (name, _)) in (0i64..).zip(WINDOWS) {
        context.add_variable_from_value(name, number);
    }
    context.add_variable_from_value("n", 3i64);
    context.add_variable_from_value("x", 2.5f64);
    let list = |name: Arc<String>| -> cel::Value {
        let values = lists().get(name.as_str()).map_or(vec![], |list| list.values().to_vec());
        cel::Value::from(values.into_iter().map(|value| cel::Value::from(value.to_string())).collect::<Vec<_>>())
    };
    context.add_function("list", list).expect("not taken");
    let seconds = |text: Arc<String>| duration::parse(&text).map_or(f64::NAN, |micros| micros as f64 / 1e6);
    context.add_function("duration", seconds).expect("replaces the crate's");
    let matches = |cel::extractors::This(text): cel::extractors::This<Arc<String>>, pattern: Arc<String>| {
        regex::Regex::new(&pattern).is_ok_and(|pattern| pattern.is_match(&text))
    };
    context.add_function("matches", matches).expect("the crate is built without it");
    for spec in CATALOGUE {
        let evidence = evidence.clone();
        match spec.arguments {
            Arguments::None => {
                context.add_variable_from_value(spec.name, value(&evidence, spec, None, 0));
                Ok(())
            }
            Arguments::Window => {
                context.add_function(spec.name, move |window: i64| value(&evidence, spec, None, window as usize))
            }
            Arguments::FieldAndWindow => context.add_function(spec.name, move |field: Arc<String>, window: i64| {
                value(&evidence, spec, Field::parse(&field), window as usize)
            }),
        }
        .expect("feature names are not taken");
    }
    let program = cel::Program::compile(when).map_err(|error| error.to_string())?;
    match program.execute(&context) {
        Ok(cel::Value::Bool(value)) => Ok(value),
        Ok(other) => Err(format!("not a bool: {other:?}")),
        Err(error) => Err(error.to_string()),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, max_global_rejects: 100_000, ..ProptestConfig::default() })]

    #[test]
    fn agrees_with_the_interpreter(when in boolean(4), evidence in random_evidence()) {
        match compile(&when) {
            Ok(checked) => {
                let ours = checked.condition.eval(&evidence);
                let theirs = interpreted(&when, &evidence);
                prop_assert_eq!(ours.ok(), theirs.clone().ok(), "{} : {:?} against {:?}", when, ours, theirs);
            }
            // Constant conditions and constant faults are refused by design; nothing else of what is generated here may be.
            Err(problems) => {
                for problem in problems {
                    let by_design = ["always", "never", "overflows", "not a number", "more than 512"];
                    prop_assert!(by_design.iter().any(|text| problem.message.contains(text)), "{}: {:?}", when, problem);
                }
                prop_assume!(false);
            }
        }
    }
}

#[test]
fn generated_conditions_reach_every_feature() {
    let named: Vec<String> = [Kind::Int, Kind::Double, Kind::Bool, Kind::Text].into_iter().flat_map(features).collect();
    for spec in CATALOGUE {
        assert!(named.iter().any(|text| text.starts_with(spec.name)), "{}", spec.name);
    }
    assert!(CATALOGUE.iter().any(|spec| spec.feature == Feature::Distinct && spec.arguments == Arguments::FieldAndWindow));
}
