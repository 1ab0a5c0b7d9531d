use super::*;
use crate::contract::quote::decode;
use crate::engine::decision::Verdict;
use crate::engine::matching::Matching;
use crate::engine::rules::Mode;

const GOOD: &str = r#"id: good
version: 3
title: A title
owner: fraud-analytics
mode: live
reason_code: PARAMETER_PICKING
params:
  n:      {type: int, default: 3, min: 2, max: 20, sweep: [2, 3]}
  window: {type: duration, default: 24h}
when: suspicious_attempts(window) >= n
then: refer
priority: 5
products: [osago]
reason:
  applicant: {ru: Позвоните., en: Call us.}
  underwriter: "{suspicious_attempts} within {window}"
tests:
  - name: t
    quotes: [{at: 0m}]
    expect: {decision: accept}
"#;

/// `GOOD` with one line changed, and what is found wrong in it.
fn errors(from: &str, to: &str) -> Vec<RuleError> {
    assert!(GOOD.contains(from), "{from}");
    compile(1, &[("a.yaml", &GOOD.replacen(from, to, 1))]).expect_err(to)
}

#[test]
fn a_file_becomes_a_rule() {
    let Loaded { book, rules: loaded, .. } = load(7, &[("good.yaml", GOOD)]).unwrap_or_else(|errors| panic!("{errors:?}"));
    let rule = book.rule("good").expect("there");
    assert_eq!((book.version(), rule.version, rule.priority, rule.mode, rule.then), (7, 3, 5, Mode::Live, Verdict::Refer));
    assert_eq!(
        (rule.applicant.as_ref().map(|text| &*text.en), &*rule.products[0], rule.params.len()),
        (Some("Call us."), "osago", 2)
    );
    assert_eq!((loaded[0].tests.len(), &*loaded[0].file), (1, "good.yaml"));
}

#[test]
fn an_error_reads_like_a_compilers() {
    let found = errors("suspicious_attempts(window) >= n", "suspicius_attempts(window) >= n");
    assert_eq!(found.len(), 1);
    assert_eq!(
        found[0].to_string(),
        "a.yaml:10:7: unknown feature `suspicius_attempts`\n\
         \x20  |\n\
         10 | when: suspicius_attempts(window) >= n\n\
         \x20  |       ^^^^^^^^^^^^^^^^^^ did you mean `suspicious_attempts`?"
    );
}

const SUM_HELP: &str = "say `scoring: sum` and its bands in book.yaml, or write `then`";
const THEN_HELP: &str = "write `then: refer`, `then: flag`, or `score` in a book that sums scores";

#[test]
fn errors_are_placed_and_helped() {
    for (from, to, line, column, message, help) in [
        ("owner:", "ovner:", 4, 1, "unknown key `ovner`", "did you mean `owner`?"),
        ("applicant:", "aplicant:", 15, 3, "unknown key `aplicant`", "did you mean `applicant`?"),
        ("min: 2", "mn: 2", 8, 35, "unknown key `mn`", "did you mean `min`?"),
        ("mode: live", "mode: lvie", 5, 7, "`lvie` is not a mode", "did you mean `live`?"),
        ("then: refer", "score: 1.5", 11, 8, "this book does not sum scores", SUM_HELP),
        ("then: refer", "then: refer\nscore: 1.5", 12, 8, "a rule has `then` or `score`, not both", ""),
        ("then: refer", "", 1, 5, "the key `then` is missing", THEN_HELP),
        ("priority: 5", "always: true", 12, 9, "the condition is not always true", "remove `always`"),
        ("priority: 5", "expected: {referred_pct_max: 101}", 12, 11, "a share is above 0 and at most 100 per cent", ""),
        ("then: refer", "then: accept", 11, 7, "`accept` is not a then", "write one of flag, refer"),
        ("id: good", "id: Good", 1, 5, "an id has 1 to 64 of a-z, 0-9 and -", ""),
        ("default: 3", "default: 24h", 8, 11, "`24h` is not of the parameter's type, int", ""),
        (
            "default: 24h",
            "default: 1w",
            9,
            11,
            "`1w` is not a duration: write a whole number and s, m, h or d, as in 24h or 7d",
            "",
        ),
        ("type: int", "type: integer", 8, 11, "`integer` is not a parameter's type: write int, double, duration", ""),
        ("{suspicious_attempts}", "Ж {atempts}", 16, 19, "unknown placeholder `{atempts}`", "did you mean `attempts`?"),
        (
            "en: Call us.",
            "en: \"{n} times\"",
            15,
            14,
            "what the applicant is told may hold no placeholder",
            "numbers belong into the underwriter's text",
        ),
    ] {
        let found = errors(from, to);
        let error = &found[0];
        let seen = (error.line, error.column, error.message.as_str(), error.help.as_deref().unwrap_or_default());
        assert_eq!(seen, (line, column, message, help), "{to}");
    }
    for (from, to, line) in [
        ("version: 3", "version: three", 2),
        ("owner: fraud-analytics", "id: twice", 4),
        ("then: refer\n", "", 1),
        ("products: [osago]", "products: [osago", 14),
        ("title: A title", "title: *unknown", 3),
    ] {
        assert_eq!(errors(from, to)[0].line, line, "{to}: {}", errors(from, to)[0]);
    }
}

#[test]
fn conditions_are_placed_in_every_yaml_style() {
    let bad = "atempts(window) > n";
    for (written, line, column) in [
        (format!("when: {bad}"), 10, 7),
        (format!("when: \"{bad}\""), 10, 8),
        (format!("when: '{bad}'"), 10, 8),
        (format!("when: \"channel == \\\"web\\\" && {bad}\""), 10, 30),
        (format!("when: >-\n  suspicion(window) > 1.0\n  && {bad}"), 12, 6),
        (format!("when: |\n    suspicion(window) > 1.0 &&\n    {bad}"), 12, 5),
        (format!("when: tenant == \"Ж\" &&\n  {bad}"), 11, 3),
    ] {
        let found = errors("when: suspicious_attempts(window) >= n", &written);
        assert_eq!((found[0].line, found[0].column), (line, column), "{written}: {}", found[0]);
    }
    let found = errors("suspicious_attempts(window) >= n", "suspicious_attempts(window) >=");
    assert_eq!((found[0].line, found[0].column, &*found[0].message), (10, 37, "the condition ends too early"));
}

/// The reader would take `! a && b` for `a && b`, and `!a && b` for `b`.
#[test]
fn a_tag_is_refused_wherever_it_stands() {
    let condition = "when: suspicious_attempts(window) >= n";
    for (from, to, line, column) in [
        (condition, "when: ! known_form(window) && suspicious_attempts(window) >= n", 10, 7),
        (condition, "when: !known_form(window) && suspicious_attempts(window) >= n", 10, 7),
        (condition, "when:   !known_form(window)", 10, 9),
        (condition, "when: !(known_form(window)) || suspicious_attempts(window) >= n", 10, 7),
        (condition, "when: !!str suspicious_attempts(window) >= n", 10, 7),
        (condition, "when: !x suspicious_attempts(window) != n", 10, 7),
        ("version: 3", "version: !x 3", 2, 10),
        ("products: [osago]", "products: !x [osago]", 14, 11),
        ("products: [osago]", "products: [osago, !x kasko]", 14, 19),
    ] {
        let error = &errors(from, to)[0];
        assert_eq!((error.line, error.column, &*error.message), (line, column, tags_message()), "{to}: {error}");
        assert!(error.help.as_deref().is_some_and(|help| help.contains("in quotes")), "{error}");
    }
    for written in [
        "when: \"!known_form(window) && suspicious_attempts(window) >= n\"",
        "when: >-\n  !known_form(window)\n  && suspicious_attempts(window) >= n",
    ] {
        assert!(compile(1, &[("good.yaml", &GOOD.replace(condition, written))]).is_ok(), "{written}");
    }
    let matching = "threshold: !x 18\n";
    assert_eq!(compile(1, &[("matching.yaml", matching)]).expect_err("a tag")[0].message, tags_message());
}

fn tags_message() -> &'static str {
    "YAML reads a leading `!` as a tag, and rule files have none"
}

#[test]
fn errors_of_all_files_come_in_order() {
    let broken = GOOD.replace("live", "lvie");
    let unknown = GOOD.replace("id: good", "id: other").replace("attempts(window) >= n", "atempts(windo) >= n");
    let found = compile(1, &[("z.yaml", &broken), ("b.yaml", GOOD), ("a.yaml", &unknown)]).expect_err("two are broken");
    let places: Vec<(&str, usize)> = found.iter().map(|error| (error.file.as_str(), error.line)).collect();
    assert_eq!(places, [("z.yaml", 5), ("a.yaml", 10)]);
    let twins = compile(1, &[("a.yaml", GOOD), ("b.yaml", GOOD)]).expect_err("one name, two rules");
    assert_eq!((&*twins[0].file, &*twins[0].message), ("b.yaml", "another rule is called `good` as well"));
}

#[test]
fn bombs_are_refused() {
    let mut laughs = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..30 {
        let before = format!("*a{}", level - 1);
        laughs += &format!("a{level}: &a{level} [{}]\n", vec![before; 10].join(", "));
    }
    let title = format!("title: {}", "x".repeat(300_000));
    let deep = format!("title: {}1{}", "[".repeat(5000), "]".repeat(5000));
    for (what, text) in [
        ("aliases", format!("{laughs}{GOOD}")),
        ("aliases in a value that is read", GOOD.replace("sweep: [2, 3]", "sweep: &s [*s, *s]")),
        ("length", GOOD.replace("title: A title", &title)),
        ("depth", GOOD.replace("title: A title", &deep)),
        ("documents", format!("{GOOD}---\n{GOOD}")),
        ("nothing", String::new()),
        ("a list", "- 1".into()),
    ] {
        assert!(compile(1, &[("bomb.yaml", &text)]).is_err(), "{what}");
    }
    let nested = laughs + &GOOD.replace("priority: 5", "priority: 5\nx: *a29");
    let errors = compile(1, &[("bomb.yaml", &nested)]).expect_err("a billion laughs");
    assert!(errors[0].line < 31, "refused while it is read: {}", errors[0]);
}

#[test]
fn a_stored_book_is_the_same_book() {
    let odd = GOOD
        .replace("id: good", "id: odd")
        .replace("A title", "\"\\u2028 Ж \\\\ \\\" : # {x\"")
        .replace("mode: live", "mode: off")
        .replace(
            "{type: int, default: 3, min: 2, max: 20, sweep: [2, 3]}",
            "{type: double, default: 0.30000000000000004, max: 1}",
        );
    let book = compile(9, &[("a", GOOD), ("b", &odd)]).unwrap_or_else(|errors| panic!("{}", errors[0]));
    let full = "threshold: 20\nsource: {ip: 1.25}\nfrequent_surnames: [Щербаков, Smith, Ли]";
    let scored = GOOD
        .replace("then: refer", "score: 0.1\ncritical: true\nexpected: {referred_pct_max: 0.5}")
        .replace("id: good", "id: scored");
    let always =
        GOOD.replace("attempts(window) >= n", "attempts(window) >= n - 3").replace("id: good", "id: always") + "always: true\n";
    let sum = "scoring: sum\nbands: {flag: 0.1, refer: 4}";
    let full = [
        ("a", GOOD),
        ("b", &scored),
        ("c", &always),
        ("book.yaml", sum),
        ("lists/brokers.csv", "B-7\n\"Ж, x\"\n"),
        ("lists/none.csv", ""),
        ("matching.yaml", full),
    ];
    let full = compile(3, &full).unwrap_or_else(|errors| panic!("{}", errors[0]));
    assert_eq!((full.lists().len(), full.matching().threshold, full.matching().frequent_surnames.len()), (2, 20.0, 3));
    for book in [book, shipped(), full] {
        assert_eq!(book.renumbered(8).renumbered(book.version()), book);
        assert_eq!(RuleBook::build(book.version(), book.source()).as_ref(), Ok(&book));
        let text = canonical_source(&book);
        let read = from_canonical(&text).unwrap_or_else(|errors| panic!("{}", errors[0]));
        assert_eq!(read, book);
        assert_eq!(canonical_source(&read), text);
    }
    for (text, expected) in [
        ("", "stored rule book"),
        ("{\"version\": 1, \"rules\": [{}]}", "is missing"),
        (&canonical_source(&shipped()).replace("\"live\"", "\"lvie\""), "`lvie` is not a mode"),
        (&canonical_source(&shipped()).replace("suspicion(", "suspicoin("), "unknown feature `suspicoin`"),
    ] {
        let found = from_canonical(text).expect_err(expected);
        assert!(found[0].to_string().contains(expected), "{}", found[0]);
    }
}

#[test]
fn the_shipped_book_is_the_folder() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("rules");
    let mut files: Vec<(String, String)> = std::fs::read_dir(&folder)
        .expect("rules/")
        .map(|entry| entry.expect("readable").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .map(|path| {
            let name = path.file_name().and_then(|name| name.to_str()).expect("UTF-8").to_string();
            (name, std::fs::read_to_string(&path).expect("readable"))
        })
        .collect();
    files.sort();
    let shipped_files: Vec<(String, String)> = SHIPPED.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect();
    assert_eq!(shipped_files, files);
    let book = shipped();
    assert_eq!(book.rules().len(), SHIPPED.len() - 1, "one file is the matching");
    for (name, text) in SHIPPED.iter().filter(|(name, _)| *name != "matching.yaml") {
        let Loaded { rules: loaded, .. } = load(1, &[(name, text)]).unwrap_or_else(|errors| panic!("{}", errors[0]));
        assert_eq!(format!("{}.yaml", loaded[0].source.id), *name, "a file is called as its rule");
        assert!(!loaded[0].tests.is_empty(), "{name} has tests");
        for test in &loaded[0].tests {
            let quotes = test.quotes().unwrap_or_else(|message| panic!("{name}: {}: {message}", test.name));
            for body in quotes {
                let decoded = decode(&body, None).unwrap_or_else(|error| panic!("{name}: {}: {error:?}", test.name));
                assert_eq!(decoded.unknown_fields, 0, "{name}: {}", test.name);
            }
        }
    }
}

/// A log holds books of before there were lists and a matching: their texts are read, and their hashes are as recorded.
#[test]
fn books_of_old_logs_keep_their_hash() {
    let text = r#"{"version":2,"rules":[{"id":"old","version":1,"title":"t","owner":"o","mode":"live","reason_code":"OLD","when":"attempts(duration(\"24h\")) >= 3","then":"flag","reason":{"underwriter":"{attempts}"}}]}"#;
    let book = from_canonical(text).unwrap_or_else(|errors| panic!("{}", errors[0]));
    assert_eq!((book.hash(), &*canonical_source(&book)), (0x2535_2ddf_39c6_10cb, text));
    assert_eq!((book.lists().len(), book.matching()), (0, &Matching::default()));
}

#[test]
fn the_shipped_matching_writes_the_defaults_out() {
    let text = include_str!("../../../rules/matching.yaml");
    let loaded = load(1, &[("matching.yaml", text)]).unwrap_or_else(|errors| panic!("{}", errors[0]));
    assert_eq!(loaded.book.matching(), &Matching::default());
    for (key, _) in Matching::default().numbers() {
        let (section, last) = (key.split('.').next().unwrap_or_default(), key.rsplit('.').next().unwrap_or_default());
        assert!(text.contains(&format!("{section}:")) && text.contains(&format!("{last}:")), "{key}");
    }
    let linked = loaded.pairs.iter().filter(|pair| pair.linked).count();
    assert!(linked >= 4 && loaded.pairs.len() - linked >= 4, "examples both ways");
}

#[test]
fn a_list_is_one_value_a_line() {
    let text = "\u{feff}value,note\n# our partners\nB-7 , since 2024\n\n\"B, 1\"\r\n";
    let book = compile(1, &[("some/where/lists/brokers.csv", text)]).unwrap_or_else(|errors| panic!("{}", errors[0]));
    let values: Vec<&str> = book.lists()["brokers"].values().iter().map(|value| &**value).collect();
    assert_eq!(values, ["B, 1", "B-7"]);
    let many = (0..=limits::LIST_VALUES_MAX).map(|i| format!("B-{i}\n")).collect::<String>();
    let long = format!("B-1\n{}\n", "x".repeat(257));
    let heavy = (0..45_000).map(|i| format!("a-broker-of-a-long-name-{i}\n")).collect::<String>();
    for (file, text, line, expected) in [
        ("brokers.csv", "B-1\nB-2\nB-1,again\n", 3, "`B-1` stands on line 1 already"),
        ("brokers.csv", "B-1\nB-2;note\n", 2, "a comma, not `;`, separates the value from its note"),
        ("brokers.csv", "B-1,a,b\n", 1, "a line holds a value and, after a comma, a note: write texts with commas in quotes"),
        ("brokers.csv", ",note\n", 1, "a value has 1 to 256 characters"),
        ("brokers.csv", &long, 2, "a value has 1 to 256 characters"),
        ("brokers.csv", &many, 50_001, "a list holds at most 50000 values"),
        ("brokers.csv", &heavy, 1, "the file is longer than 921600 bytes"),
        ("My list.csv", "B-1\n", 1, "the name of a list has 1 to 64 of a-z, 0-9, - and _"),
    ] {
        let found = compile(1, &[(file, text)]).expect_err(expected);
        assert_eq!((&*found[0].file, found[0].line, &*found[0].message), (file, line, expected));
    }
    let halves = [&heavy[..600_000], &heavy[600_000..]];
    let found = compile(1, &[("a.csv", halves[0]), ("b.csv", halves[1])]).expect_err("too many bytes together");
    assert!(found[0].message.starts_with("the book takes 1"), "{}", found[0]);
}

#[test]
fn a_matching_is_checked_by_position() {
    for (text, line, column, message, help) in [
        ("treshold: 18", 1, 1, "unknown key `treshold`", "did you mean `threshold`?"),
        (
            "weights:\n  vehicle.vim: {same: 1}",
            2,
            23,
            "unknown key `weights.vehicle.vim.same`",
            "did you mean `weights.vehicle.vin.same`?",
        ),
        ("threshold: 4", 1, 12, "threshold: 4 is not a multiple of 0.125 from 8 to 64", ""),
        ("threshold: .nan", 1, 12, "threshold: NaN is not a multiple of 0.125 from 8 to 64", ""),
        ("source: {ip: 1.3}", 1, 14, "source.ip: 1.3 is not a multiple of 0.125 from 0 to 64", ""),
        ("source: {device: -1}", 1, 18, "source.device: -1 is not a multiple of 0.125 from 0 to 64", ""),
        ("hubs: {few: 2.5}", 1, 13, "hubs.few: 2.5 is not a multiple of 1 from 1 to 64", ""),
        ("hubs: {few: 7}", 1, 13, "hubs.some: `some` must not be less than `few`", ""),
        ("most: {source: 18}", 1, 16, "most.source: a shared device alone would link: keep it below the threshold", ""),
        (
            "weights:\n  vehicle.vin: {different: 10}",
            2,
            28,
            "weights.vehicle.vin: agreement must not weigh less than disagreement",
            "",
        ),
        ("frequent_surnames: [Иванов, '-']", 1, 29, "`-` is not a surname", ""),
    ] {
        let found = compile(1, &[("matching.yaml", text)]).expect_err(message);
        let error = &found[0];
        let seen = (error.line, error.column, error.message.as_str(), error.help.as_deref().unwrap_or_default());
        assert_eq!(seen, (line, column, message, help), "{text}");
    }
}

#[test]
fn a_scoring_is_checked_by_position() {
    for (text, line, column, message, help) in [
        ("scoring: summ", 1, 10, "`summ` is not a scoring", "did you mean `sum`?"),
        ("scoring: sum", 1, 10, "a book that sums scores has bands", "write `bands: {flag: 2.0, refer: 4.0}`"),
        ("scoring: first-match\nbands: {flag: 1, refer: 2}", 2, 8, "bands need `scoring: sum`", ""),
        ("scoring: sum\nbands: {flag: 3, refer: 2}", 2, 8, BANDS, ""),
        ("scoring: sum\nbands: {flag: .nan, refer: 2}", 2, 8, BANDS, ""),
        ("scoring: sum\nbands: {flag: 1, refer: .inf}", 2, 8, BANDS, ""),
        ("scoring: sum\nbands: {flag: 1, refr: 2}", 2, 18, "unknown key `refr`", "did you mean `refer`?"),
    ] {
        let found = compile(1, &[("book.yaml", text)]).expect_err(message);
        let error = &found[0];
        let seen = (error.line, error.column, error.message.as_str(), error.help.as_deref().unwrap_or_default());
        assert_eq!(seen, (line, column, message, help), "{text}");
    }
}

const BANDS: &str = "bands are numbers above 0 and at most 1000, and `refer` is not below `flag`";

/// One row for each kind of bad input: refused, with the place and what to do.
#[test]
fn bad_input_is_refused_with_its_place() {
    let when = "when: suspicious_attempts(window) >= n";
    let deep = format!("when: {}suspicious_attempts(window) >= n{}", "(".repeat(60), ")".repeat(60));
    let huge = format!("when: suspicious_attempts(window) >= n && attempts(window) in [{}1]", "1, ".repeat(300));
    let long = format!("when: agent_id.matches('{}') && suspicious_attempts(window) >= n", "x".repeat(300));
    for (what, changed, message) in [
        ("an unknown feature", "when: suspicius_attempts(window) >= n", "unknown feature `suspicius_attempts`"),
        ("a type error", "when: suspicious_attempts(window) >= channel && n > 1", "`>=` cannot compare int with string"),
        ("division by zero", "when: suspicious_attempts(window) / 0 >= n", "this always divides by zero"),
        ("overflow", "when: suspicious_attempts(window) >= n + 9223372036854775807", "this overflows a 64-bit int"),
        (
            "a pattern that grows",
            "when: agent_id.matches('((a{9}){9}){99}') && suspicious_attempts(window) >= n",
            "the pattern is too big once compiled",
        ),
        ("a long pattern", &long, "the pattern is longer than 256 bytes"),
        ("deep nesting", &deep, "nested deeper than 48"),
        ("a huge list", &huge, "the condition has more than 512 parts"),
        ("always true", "when: suspicious_attempts(window) >= n - 3", "the condition is always true"),
        ("never true", "when: suspicious_attempts(window) < n - 3", "the condition is never true"),
        ("a long window", "when: suspicious_attempts(window) >= n && known_form(duration('60d'))", TOO_LONG),
    ] {
        let text = GOOD.replace(when, changed);
        let found = load_within(1, &[("a.yaml", &text)], 30 * 86_400).expect_err(what);
        assert_eq!((found[0].line, &*found[0].message), (10, message), "{what}");
        assert!(found[0].to_string().contains("10 | when: "), "{what}: {}", found[0]);
    }
    assert!(load_within(1, &[("a.yaml", GOOD)], 86_400).is_ok());
    let text = GOOD.replace("default: 24h", "default: 25h");
    assert_eq!(load_within(1, &[("a.yaml", &text)], 86_400).map(drop).expect_err("a day is kept")[0].line, 10);
}

const TOO_LONG: &str = "the window is 60d, and quotes are kept for 30d";

#[test]
fn two_files_of_one_name_are_an_error_that_names_both() {
    let matching = "threshold: 10\n";
    for (first, second, text) in
        [("a.yaml", "a.yml", GOOD), ("matching.yml", "matching.yaml", matching), ("shadow/a.yaml", "shadow/a.yml", GOOD)]
    {
        let found = compile(1, &[(first, text), (second, text)]).expect_err("two of one name");
        let expected = format!("`{first}` and `{second}` are two files of one name");
        assert!(found.iter().any(|error| error.message.starts_with(&expected)), "{found:?}");
    }
    assert!(compile(1, &[("a.yaml", GOOD), ("shadow/a.yaml", GOOD)]).is_ok(), "two books may have one each");
}

#[test]
fn a_second_book_runs_in_shadow_under_names_and_with_lists_of_its_own() {
    let listed = GOOD.replace("when: ", "when: agent_id in list(\"brokers\") && ");
    let off = GOOD.replacen("mode: live", "mode: off", 1).replacen("id: ", "id: off-", 1);
    assert_ne!((&*listed, &*off), (GOOD, GOOD));
    let files = [
        ("a.yaml", GOOD),
        ("lists/brokers.csv", "live\n"),
        ("shadow/a.yaml", &*listed),
        ("shadow/off.yaml", &*off),
        ("shadow/lists/brokers.csv", "shadow\n"),
    ];
    let loaded = load(1, &files).unwrap_or_else(|errors| panic!("{}", errors[0]));
    let modes: Vec<_> = loaded.book.rules().map(|rule| (&*rule.id, rule.mode)).collect();
    let id = |rule: &LoadedRule| rule.source.id.to_string();
    let live = id(&loaded.rules[0]);
    let second = format!("shadow/{live}");
    assert_eq!(modes, [(&*live, Mode::Live), (&*second, Mode::Shadow), (&*format!("shadow/off-{live}"), Mode::Off)]);
    let alone = loaded.shadow.as_deref().expect("a second book");
    assert_eq!(
        alone.rules.iter().map(|rule| (id(rule), rule.source.mode)).collect::<Vec<_>>(),
        [(live.clone(), Mode::Live), (format!("off-{live}"), Mode::Off)]
    );
    let again = from_canonical(&canonical_source(&loaded.book)).expect("reads back");
    assert_eq!((again.hash(), again == loaded.book), (loaded.book.hash(), true));
    // What it says is part of the content, its list too; what is live is not.
    let other = load(1, &[&files[..4], &[("shadow/lists/brokers.csv", "others\n")]].concat()).expect("compiles").book;
    assert_ne!(other.hash(), loaded.book.hash());
    // Without a list of its own it reads the other's.
    assert!(load(1, &files[..4]).is_ok());
    for (name, text, message) in [
        ("shadow/matching.yaml", "threshold: 10\n", "a book in shadow has no matching.yaml of its own"),
        ("shadow/book.yml", "scoring: first-match\n", "a book in shadow has no book.yml of its own"),
        ("shadow/b.yaml", GOOD, "another rule is called"),
        ("b.yaml", &*GOOD.replacen("id: ", "id: shadow/", 1).replacen("mode: live", "mode: shadow", 1), "an id has 1 to 64"),
    ] {
        let found = load(1, &[&files[..], &[(name, text)]].concat()).map(drop).expect_err(message);
        assert!(found.len() == 1 && found[0].file == name && found[0].message.starts_with(message), "{name}: {found:?}");
    }
}
