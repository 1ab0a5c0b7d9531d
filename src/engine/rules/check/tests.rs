mod oracle;

use super::*;
use crate::engine::evidence::{Evidence, Feature, WindowEvidence};
use crate::engine::field::Field;
use crate::engine::quote::ChannelKind;
use crate::engine::rules::ParamSource;
use crate::engine::rules::condition::{Comparison, Fault, Read};
use crate::engine::time::{DAY, HOUR};

fn params() -> BTreeMap<Box<str>, ParamSource> {
    let param = |value| ParamSource { value, min: None, max: None, sweep: vec![] };
    BTreeMap::from([
        ("n".into(), param(ParamValue::Int(3))),
        ("x".into(), param(ParamValue::Double(2.5))),
        ("window".into(), param(ParamValue::Duration(DAY))),
        ("hour".into(), param(ParamValue::Duration(HOUR))),
    ])
}

fn lists() -> BTreeMap<Box<str>, List> {
    let list = |values: &[&str]| List::new(values.iter().map(|value| Box::from(*value)).collect());
    BTreeMap::from([("brokers".into(), list(&["osago", "B-7", "B-1"])), ("none".into(), list(&[]))])
}

fn context<'a>(source: &'a RuleSource, lists: &'a BTreeMap<Box<str>, List>) -> Context<'a> {
    Context::of_rule(source, lists, Some(limits::WINDOW_SECS_MAX))
}

/// Window 0 is 24 h, window 1 anything else. Parameters that the text does not use are left out.
fn compile(when: &str) -> Result<Checked, Vec<Problem>> {
    let parsed = parse(when)?;
    let mut source = RuleSource { params: params(), ..RuleSource::default() };
    loop {
        let found = check(&parsed, &context(&source, &lists()), &mut |micros| u16::from(micros != DAY));
        match found.as_ref().map_err(|problems| &problems[0].part) {
            Err(Part::Param(unused)) => source.params.remove(unused),
            _ => return found,
        };
    }
}

fn evidence() -> Evidence {
    let mut day = WindowEvidence {
        attempts: 5,
        suspicious_attempts: 3,
        suspicion: 3.5,
        changed: 1 << Field::Vin as u8,
        premium_drop_pct: 12.5,
        known_form: true,
        sources: 2,
        ..Default::default()
    };
    day.distinct[Field::Vin as usize] = 4;
    let hour = WindowEvidence { attempts: 1, ..Default::default() };
    Evidence {
        windows: vec![day, hour],
        channel: ChannelKind::App,
        product: "osago".into(),
        premium: 5000.0,
        ..Default::default()
    }
}

#[test]
fn conditions_have_the_value_cel_gives_them() {
    for (when, expected) in [
        ("suspicious_attempts(window) >= n && suspicion(window) >= x", Ok(true)),
        ("attempts(hour) == 1 && attempts(window) == 5", Ok(true)),
        ("attempts(duration(\"24h\")) == attempts(window)", Ok(true)),
        ("distinct(\"vehicle.vin\", window) > n", Ok(true)),
        ("changed(\"vehicle.vin\", window) && !changed(\"vehicle.plate\", window)", Ok(true)),
        ("changed_facts(window) == 1", Ok(true)),
        ("channel in [\"web\", \"app\"]", Ok(true)),
        ("!(channel in [\"web\", \"app\"])", Ok(false)),
        ("attempts(window) in [1, n, 5]", Ok(true)),
        ("suspicion(window) in [3, 3.5]", Ok(true)),
        ("product == \"osago\" && tenant != \"osago\"", Ok(true)),
        ("agent_id == \"\"", Ok(true)),
        ("product.startsWith(\"os\") && product.endsWith(\"go\") && product.contains(\"sag\")", Ok(true)),
        ("product.startsWith(\"go\") || product.endsWith(\"os\") || product.contains(\"gas\")", Ok(false)),
        ("product.matches(\"^os.{3}$\") && !product.matches(\"^.{3}$\")", Ok(true)),
        ("size(product) == 5 && agent_id.size() == 0", Ok(true)),
        ("(known_form(window) ? product : tenant).matches(\"(?i)OSAGO\")", Ok(true)),
        ("seconds_since_first(window) < duration(\"2h\") && duration(\"1s\") > seconds_since_first(hour)", Ok(true)),
        ("seconds_since_first(window) >= hour", Ok(false)),
        ("product in list(\"brokers\")", Ok(true)),
        ("agent_id in list(\"brokers\") || tenant in list(\"none\")", Ok(false)),
        ("premium / 2.0 > 2499.9", Ok(true)),
        ("attempts(window) / 2 == 2 && attempts(window) % 2 == 1", Ok(true)),
        ("-attempts(window) / 2 == -2 && -attempts(window) % 2 == -1", Ok(true)),
        ("double(suspicious_attempts(window)) / double(attempts(window)) >= 0.6", Ok(true)),
        ("int(suspicion(window)) == 3 && int(-suspicion(window)) == -3", Ok(true)),
        ("(known_form(window) ? attempts(window) : sources(window)) == 5", Ok(true)),
        ("(channel == \"app\" ? product : tenant) == \"osago\"", Ok(true)),
        ("known_form(window) == fresh_source(window)", Ok(false)),
        ("suspicion(window) > 3", Ok(true)),
        ("attempts(window) - 2 * n + 1 == 0", Ok(true)),
        ("1 / (attempts(hour) - 1) == 1", Err(())),
        ("attempts(window) * 9223372036854775807 > 1", Err(())),
        // A fault is absorbed where the other side decides, on either side.
        ("1 / oscillations(window) == 1 && attempts(window) == 1", Ok(false)),
        ("attempts(window) == 5 || 1 / oscillations(window) == 1", Ok(true)),
        ("1 / oscillations(window) == 1 || attempts(window) == 5", Ok(true)),
        ("1 / oscillations(window) == 1 || attempts(window) == 4", Err(())),
        ("premium_drop_pct(window) / suspicion(hour) > 1000.0", Ok(true)),
        ("suspicion(hour) / suspicion(hour) > 1.0", Err(())),
        ("suspicion(hour) / suspicion(hour) == 1.0", Ok(false)),
    ] {
        let checked = compile(when).expect(when);
        assert_eq!(checked.condition.eval(&evidence()).map_err(|_| ()), expected, "{when}");
    }
}

#[test]
fn faults_are_told_apart() {
    for (when, expected) in [
        ("1 / oscillations(window) == 1", Fault::DivisionByZero),
        ("1 % oscillations(window) == 1", Fault::DivisionByZero),
        ("attempts(window) * 9223372036854775807 > 1", Fault::Overflow),
        ("int(premium * 1e300) > 1", Fault::Overflow),
        ("suspicion(hour) / suspicion(hour) > 1.0", Fault::NotANumber),
    ] {
        let checked = compile(when).expect(when);
        assert_eq!(checked.condition.eval(&evidence()), Err(expected), "{when}");
    }
}

#[test]
fn the_first_window_in_the_text_is_the_rules() {
    for (when, expected) in [
        ("attempts(hour) > 1 && attempts(window) > 1", Some(HOUR)),
        ("attempts(window) > 1 || attempts(hour) > 1", Some(DAY)),
        ("attempts(duration(\"7d\")) in [1, 2]", Some(7 * DAY)),
        ("premium > 1.0", None),
    ] {
        assert_eq!(compile(when).expect(when).first_window, expected, "{when}");
    }
}

/// The text an error points at, the message and the help.
fn refusal(when: &str) -> (String, String, String) {
    let problem = compile(when).expect_err(when).swap_remove(0);
    let pointed = match problem.part {
        Part::When { start, len } => when[start..start + len].to_string(),
        part => format!("{part:?}"),
    };
    (pointed, problem.message, problem.help.unwrap_or_default())
}

/// A condition, what the error points at, the message, the help.
const ALWAYS: &str = "it must depend on a feature; if every quote is meant, add `always: true`";
const NEVER: &str = "it must be possible for some quote; to silence a rule, set `mode: off`";
const PATTERN: &str = "name the letters that are meant, `[A-Z0-9]`, and repeat them less often";

const REFUSALS: &[(&str, &str, &str, &str)] = &[
    (
        "suspicius_attempts(window) >= n",
        "suspicius_attempts",
        "unknown feature `suspicius_attempts`",
        "did you mean `suspicious_attempts`?",
    ),
    ("attempts(windw) >= n", "windw", "unknown name `windw`", "did you mean `window`?"),
    ("tenant == \"Ж\" && atempts (window) > 1", "atempts", "unknown feature `atempts`", "did you mean `attempts`?"),
    ("attempts >= n", "attempts", "`attempts` needs arguments", "write `attempts(window)`"),
    ("attempts() >= n", "attempts", "`attempts` does not take 0 arguments", "write `attempts(window)`"),
    ("attempts(window, window) >= n", "attempts", "`attempts` does not take 2 arguments", "write `attempts(window)`"),
    ("channel() == \"web\"", "channel", "`channel` is a plain string and takes no arguments", "write `channel`"),
    ("distinct(\"vehicle.vim\", window) > 1", "\"vehicle.vim\"", "unknown field `vehicle.vim`", "did you mean `vehicle.vin`?"),
    (
        "attempts(n) > 1",
        "n",
        "the window must be a duration, and this is an int",
        "use a parameter of type duration, or `duration(\"24h\")`",
    ),
    (
        "attempts(24h) > 1",
        "h",
        "a duration cannot be written bare",
        "write `duration(\"24h\")`, or declare a parameter of type duration",
    ),
    (
        "attempts(\"24h\") > 1",
        "\"24h\"",
        "the window must be a duration, and this is a string",
        "use a parameter of type duration, or `duration(\"24h\")`",
    ),
    (
        "attempts(duration(\"1w\")) > 1",
        "\"1w\"",
        "`1w` is not a duration: write a whole number and s, m, h or d, as in 24h or 7d",
        "",
    ),
    ("attempts(duration(\"91d\")) > 1", "duration", "a window lasts from 1 s to 90 days", ""),
    ("channel == \"wep\"", "==", "there is no channel `wep`", "did you mean `web`?"),
    ("channel in [\"web\", \"agnet\"]", "\"agnet\"", "there is no channel `agnet`", "did you mean `agent`?"),
    ("channel == 1", "==", "`==` cannot compare string with int", ""),
    ("channel < \"web\"", "<", "`<` cannot compare string with string", ""),
    (
        "window > hour",
        ">",
        "`>` cannot compare duration with duration",
        "a duration is a feature's window, or compared with one in seconds: `seconds_since_first(window)`",
    ),
    ("premium + n > 1.0", "+", "`+` cannot join double and int", "make both doubles: write `2.0`, or `double(attempts(window))`"),
    (
        "attempts(window) && known_form(window)",
        "attempts",
        "`&&` takes bools, and this is an int",
        "compare it with something first",
    ),
    (
        "attempts(window) + 1",
        "+",
        "the condition is an int, not a bool",
        "compare it with something, as in `attempts(window) >= 3`",
    ),
    ("attempts(window) / 0 > 1", "/", "this always divides by zero", ""),
    ("attempts(window) > 9223372036854775807 + 1", "+", "this overflows a 64-bit int", ""),
    ("attempts(window) > 1 || true", "||", "the condition is always true", ALWAYS),
    ("attempts(window) >= 0", ">=", "the condition is always true", ALWAYS),
    ("attempts(window) < 0", "<", "the condition is never true", NEVER),
    (
        "vehicle.vin == \"x\"",
        ".",
        "the fields of a quote are not read directly",
        "name the field in a feature: `distinct(\"vehicle.vin\", window)`",
    ),
    ("product.sise() > 1", "sise", "`.sise()` cannot be called on a value", "did you mean `size`?"),
    (
        "window.attempts() > 1",
        "attempts",
        "`.attempts()` cannot be called on a value",
        "texts have `.startsWith()`, `.endsWith()`, `.contains()`, `.matches()`, `.size()`; features are plain functions: `attempts(window)`",
    ),
    (
        "agent_id.contains(\"a",
        "\"",
        "the text that begins here does not end",
        "YAML ends a condition at ` #`: put the whole condition in quotes, or on a line of its own below `when: >-`",
    ),
    (
        "9223372036854775808 > attempts(window)",
        "9",
        "`9223372036854775808` is larger than the largest int, 9223372036854775807",
        "",
    ),
    ("has(agent_id)", "a", "unexpected `agent_id)`", "features are never absent: compare a text with `\"\"`"),
    ("attempts(window).size() > 1", "attempts", "`size` asks a string, and this is an int", ""),
    ("\"a\".startsWith(\"a\")", "\"a\"", "`startsWith` asks a feature, and this is a constant", "write `agent_id`"),
    ("product.contains(agent_id)", "agent_id", "`contains` takes a string constant", "write it in quotes"),
    ("product.contains(\"\")", "\"\"", "an empty text is in every text", ""),
    ("product.contains()", "contains", "`.contains()` takes one string", ""),
    ("product.matches(\"(\")", "\"(\"", "not a pattern: unclosed group", PATTERN),
    ("product.matches(\"(a{9}){9}{99}\")", "\"(a{9}){9}{99}\"", "the pattern is too big once compiled", PATTERN),
    ("size(product) + 1", "+", "the condition is an int, not a bool", "compare it with something, as in `attempts(window) >= 3`"),
    (
        "suspicion(window) < duration(\"2h\")",
        "<",
        "`<` cannot compare double with duration",
        "a duration is a feature's window, or compared with one in seconds: `seconds_since_first(window)`",
    ),
    ("[1, 2].exists(x, x > 1)", "(", "maps, messages and loops are not part of the rule language", ""),
    ("agent_id in list(\"borkers\")", "\"borkers\"", "the book has no list `borkers`", "did you mean `brokers`?"),
    (
        "agent_id in list(\"friends\")",
        "\"friends\"",
        "the book has no list `friends`",
        "add `lists/friends.csv` to the book, one value a line",
    ),
    ("attempts(window) in list(\"brokers\")", "attempts", "a list holds strings, and this is an int", ""),
    ("agent_id in list(product)", "list", "`list` takes the name of a list", "write `list(\"brokers\")`"),
    ("agent_id == list(\"brokers\")", "list", "a list may only stand to the right of `in`", ""),
    ("n in [attempts(window)]", "attempts", "a list may hold only constants and number parameters", ""),
    ("attempts(window) in []", "[", "nothing is in an empty list", ""),
    ("attempts(window) > 1u", "1u", "unsigned numbers are not used here", "leave out the `u`"),
    ("attempts(window) = 1", "=", "unexpected `=`", "equality is `==`"),
    ("attempts(window) > 1 and known_form(window)", "a", "unexpected `and`", "write `&&`"),
    ("attempts(window) >", "", "the condition ends too early", ""),
    ("", "Key(\"when\")", "the condition is empty", ""),
    ("attempts(window)[0] > 1", "[", "indexing is not part of the rule language", ""),
    ("known_form(window) ? 1 : 2.0", "?", "both sides of `:` must have one type, not int and double", ""),
];

#[test]
fn refusals_point_and_help() {
    for (when, pointed, message, help) in REFUSALS {
        let expected = ((*pointed).to_owned(), (*message).to_owned(), (*help).to_owned());
        assert_eq!(refusal(when), expected, "{when}");
    }
}

#[test]
fn every_problem_of_a_condition_is_reported() {
    let problems = compile("atempts(window) > 1 && chanel == \"web\"").expect_err("two names are wrong");
    let messages: Vec<&str> = problems.iter().map(|problem| &*problem.message).collect();
    assert_eq!(messages, ["unknown feature `atempts`", "unknown name `chanel`"]);
    let mut params = params();
    params.retain(|name, _| &**name != "x");
    let source = RuleSource { params, ..RuleSource::default() };
    let parsed = parse("attempts(window) > n").expect("syntax");
    let problems = check(&parsed, &context(&source, &lists()), &mut |_| 0).expect_err("hour is idle");
    assert_eq!(problems[0].message, "the parameter `hour` is not used in the condition");
}

#[test]
fn size_and_depth_are_bounded() {
    let terms = |count: usize| vec!["attempts(window) > 1"; count].join(" && ");
    assert!(compile(&terms(100)).is_ok());
    for (when, expected) in [
        (terms(130), "the condition has more than 512 parts"),
        (terms(400), "the condition is longer than 4096 bytes"),
        (format!("{}attempts(window) > 1{}", "(".repeat(60), ")".repeat(60)), "nested deeper than 48"),
        (format!("{}1 > attempts(window)", "1 + ".repeat(60)), "nested deeper than 48"),
        (format!("attempts(window) {}1 > 1", "+1".repeat(2000)), "nested deeper than 48"),
        (format!("attempts(window) in [{}1]", "1, ".repeat(300)), "the condition has more than 512 parts"),
    ] {
        let problems = compile(&when).expect_err("must be refused");
        assert_eq!(problems[0].message, expected, "{} bytes", when.len());
    }
}

#[test]
fn constants_are_folded_away() {
    let Checked { condition, .. } = compile("attempts(window) > 1 + 2 && (1 < 2 || known_form(window))").expect("valid");
    let read = |feature| Read { feature, field: None, window: 0 };
    assert_eq!(condition, Bool::Bound(Comparison::Greater, read(Feature::Attempts), 3.0));
    let Checked { condition, .. } = compile("n <= suspicious_attempts(window)").expect("valid");
    assert_eq!(condition, Bool::Bound(Comparison::GreaterOrEqual, read(Feature::SuspiciousAttempts), 3.0));
}

/// Conditions that have one value whatever the quote, and neighbours that have both.
#[test]
fn what_is_always_or_never_true_is_found() {
    for (when, expected) in [
        ("attempts(window) >= 1", "always"),
        ("attempts(window) >= 2", ""),
        ("attempts(window) < 1", "never"),
        ("suspicion(window) >= 0", "always"),
        ("suspicion(window) > 0.0", ""),
        ("premium >= 0.0 || channel == \"web\"", "always"),
        ("premium < 0.0 && channel == \"web\"", "never"),
        ("premium_drop_pct(window) > 100.0", "never"),
        ("changed_facts(window) > 15", "never"),
        ("suspicious_attempts(window) > 5 && suspicious_attempts(window) < 6", "never"),
        ("suspicious_attempts(window) > 5 && suspicious_attempts(window) < 7", ""),
        ("suspicious_attempts(window) > 5 && suspicious_attempts(hour) < 6", ""),
        ("suspicious_attempts(window) >= n || suspicious_attempts(window) < n", "always"),
        ("!(suspicious_attempts(window) < n) && suspicious_attempts(window) == 2", "never"),
        ("suspicion(window) > x && suspicion(window) <= x", "never"),
        ("suspicion(window) >= x && suspicion(window) <= x", ""),
        ("attempts(window) + suspicious_attempts(window) >= 1", "always"),
        ("attempts(window) - suspicious_attempts(window) >= 1", ""),
        ("double(attempts(window)) * -1.0 > 0.0", "never"),
        ("double(attempts(window)) / double(attempts(hour)) > 0.0", "always"),
        // It may divide by zero, which is no match.
        ("1 / oscillations(window) >= 0 - 1", ""),
        ("size(product) >= 0", "always"),
        ("agent_id in list(\"none\")", "never"),
        ("channel == \"web\" || channel != \"web\"", "always"),
        ("channel == \"web\" || channel == \"app\"", ""),
        ("channel in [\"web\", \"app\", \"agent\", \"phone\", \"api\"]", "always"),
        ("channel == \"web\" && channel == \"app\"", "never"),
        ("channel == \"web\" && !(channel in [\"agent\", \"web\"])", "never"),
        ("channel in [\"web\", \"app\"] && channel in [\"app\", \"api\"]", ""),
        ("channel in [\"web\", \"app\"] && channel in [\"phone\", \"api\"]", "never"),
        ("agent_id != \"x\" || agent_id != \"y\"", "always"),
        ("agent_id != \"x\" && agent_id != \"y\"", ""),
        ("agent_id == \"x\" && product == \"y\"", ""),
        ("(known_form(window) ? 1 : 2) > 0", "always"),
        ("seconds_since_first(window) > duration(\"91d\")", "never"),
        ("true", "always"),
        ("1 > 2", "never"),
    ] {
        let found = compile(when).err().map_or(String::new(), |problems| problems[0].message.clone());
        assert_eq!(found.trim_start_matches("the condition is ").trim_end_matches(" true"), expected, "{when}");
    }
}

#[test]
fn a_rule_may_say_that_it_is_always_true() {
    let always = RuleSource { always: true, ..RuleSource::default() };
    let compile = |when| check(&parse(when).expect("syntax"), &context(&always, &lists()), &mut |_| 0);
    assert!(compile("premium >= 0.0").is_ok() && compile("true").is_ok());
    for (when, expected) in
        [("premium > 0.0", "the condition is not always true"), ("premium < 0.0", "the condition is never true")]
    {
        assert_eq!(compile(when).expect_err(when)[0].message, expected);
    }
}

#[test]
fn a_window_is_not_longer_than_quotes_are_kept() {
    let (source, lists) = (RuleSource::default(), lists());
    let kept = Context { window_secs_max: Some(86_400), ..context(&source, &lists) };
    let compile = |when| check(&parse(when).expect("syntax"), &kept, &mut |_| 0);
    assert!(compile("attempts(duration(\"24h\")) > 1").is_ok());
    let problems = compile("attempts(duration(\"30d\")) > 1").expect_err("too long");
    assert_eq!(problems[0].message, "the window is 30d, and quotes are kept for 24h");
}

#[test]
fn what_a_log_holds_is_compiled_as_it_is() {
    let (source, lists) = (RuleSource::default(), lists());
    let recorded = Context { window_secs_max: None, ..context(&source, &lists) };
    for when in ["attempts(duration(\"90d\")) >= 1", "premium < 0.0"] {
        assert!(check(&parse(when).expect("syntax"), &recorded, &mut |_| 0).is_ok(), "{when}");
    }
}
