use super::*;
use crate::engine::evidence::WindowEvidence;
use crate::engine::rules::source::Bands;
use crate::engine::rules::source::{ApplicantText, ParamSource, ParamValue};
use crate::engine::time::HOUR;

/// A live `refer` rule over 24 h.
fn rule(id: &str, when: &str) -> RuleSource {
    RuleSource {
        id: id.into(),
        version: 1,
        title: "a title".into(),
        owner: "an owner".into(),
        mode: Mode::Live,
        reason_code: "PARAMETER_PICKING".into(),
        params: Default::default(),
        when: when.into(),
        then: Verdict::Refer,
        priority: 0,
        products: vec![],
        tenants: vec![],
        applicant: None,
        underwriter: "{attempts} within {window}".into(),
        ..RuleSource::default()
    }
}

fn over(window: &str) -> String {
    format!("attempts(duration(\"{window}\")) >= 2")
}

/// The same count of attempts in every window.
fn evidence(book: &RuleBook, attempts: u32) -> Evidence {
    let window = WindowEvidence { attempts, ..Default::default() };
    Evidence { windows: vec![window; book.windows().len()], product: "osago".into(), tenant: "t1".into(), ..Default::default() }
}

fn ids<'a>(rules: impl Iterator<Item = &'a RuleSource>) -> Vec<&'a str> {
    rules.map(|rule| &*rule.id).collect()
}

fn told(ru: &str, en: &str) -> Option<ApplicantText> {
    Some(ApplicantText { ru: ru.into(), en: en.into() })
}

#[test]
fn windows_are_sorted_once_and_hold_the_day() {
    let off = RuleSource { mode: Mode::Off, ..rule("off", &over("90d")) };
    let shadow = RuleSource { mode: Mode::Shadow, ..rule("shadow", &over("30d")) };
    let book = RuleBook::build(1, vec![shadow, rule("a", &over("1h")), rule("b", &over("60m")), off]).expect("valid");
    assert_eq!(book.windows(), [HOUR, DAY, 30 * DAY]);
    assert_eq!((book.longest(), book.day()), (30 * DAY, 1));
    let empty = RuleBook::build(1, vec![]).expect("an empty book is a book");
    assert_eq!((empty.windows(), empty.longest()), ([DAY].as_slice(), DAY));
}

#[test]
fn rules_go_strictest_first_then_by_priority_then_by_id() {
    let flag = |id: &str, priority| RuleSource { then: Verdict::Flag, priority, ..rule(id, &over("24h")) };
    let refer = |id: &str, priority| RuleSource { priority, ..rule(id, &over("24h")) };
    let book = RuleBook::build(1, vec![flag("d", 9), flag("c", 9), refer("b", 0), refer("z", 1), flag("a", -1)]).expect("valid");
    assert_eq!(ids(book.rules()), ["z", "b", "c", "d", "a"]);
}

#[test]
fn live_rules_decide_and_shadow_rules_only_watch() {
    let shadow = RuleSource { mode: Mode::Shadow, ..rule("shadow", &over("24h")) };
    let flag = RuleSource { then: Verdict::Flag, ..rule("flag", &over("24h")) };
    let off = RuleSource { mode: Mode::Off, ..rule("off", &over("24h")) };
    let faulty = rule("faulty", "1 / oscillations(duration(\"24h\")) == 1");
    let book = RuleBook::build(1, vec![shadow, flag, off, faulty]).expect("valid");
    let matched = book.evaluate(&evidence(&book, 2));
    assert_eq!(matched.verdict, Verdict::Flag);
    assert_eq!(ids(matched.live.iter().map(|hit| book.live_rule(*hit))), ["flag"]);
    assert_eq!(ids(matched.shadow.iter().map(|hit| book.shadow_rule(*hit))), ["shadow"]);
    assert_eq!(ids(matched.faults.iter().map(|fault| book.faulty_rule(*fault))), ["faulty"]);
    assert_eq!(matched.faults[0].fault, Fault::DivisionByZero);
    let quiet = book.evaluate(&evidence(&book, 1));
    assert_eq!((quiet.verdict, quiet.live.capacity(), quiet.shadow.capacity()), (Verdict::Accept, 0, 0));
}

fn summed(flag: f64, refer: f64, rules: Vec<RuleSource>) -> BookSource {
    BookSource { rules, scoring: Scoring::Sum(Bands { flag, refer }), ..BookSource::default() }
}

fn scored(id: &str, score: f64) -> RuleSource {
    RuleSource { then: Verdict::Accept, score: Some(score), ..rule(id, &over("24h")) }
}

#[test]
fn scores_are_summed_and_bands_decide() {
    let shadow = RuleSource { mode: Mode::Shadow, ..scored("shadow", 100.0) };
    let off = RuleSource { mode: Mode::Off, ..scored("off", 100.0) };
    let other = RuleSource { products: vec!["kasko".into()], ..scored("other", 100.0) };
    let hard = RuleSource { then: Verdict::Flag, when: "premium > 0.0".into(), ..rule("hard", &over("24h")) };
    let faulty = RuleSource { when: "1 / oscillations(duration(\"24h\")) == 1".into(), ..scored("faulty", 100.0) };
    for (scores, premium, expected, sum) in [
        (vec![1.0, 0.75], 0.0, Verdict::Accept, 1.75),
        (vec![1.0, 1.0], 0.0, Verdict::Flag, 2.0),
        (vec![3.0, 2.0, -1.5], 0.0, Verdict::Flag, 3.5),
        (vec![3.0, 1.0], 0.0, Verdict::Refer, 4.0),
        (vec![1.0], 1.0, Verdict::Flag, 1.0),
        (vec![], 0.0, Verdict::Accept, 0.0),
    ] {
        let mut rules = [&shadow, &off, &other, &hard, &faulty].map(Clone::clone).to_vec();
        rules.extend(scores.iter().enumerate().map(|(i, score)| scored(&format!("s{i}"), *score)));
        let book = RuleBook::build(1, summed(2.0, 4.0, rules)).expect("valid");
        let matched = book.evaluate(&Evidence { premium, ..evidence(&book, 2) });
        assert_eq!((matched.verdict, matched.score), (expected, sum), "{scores:?}");
        assert_eq!(matched.live.len(), scores.len() + usize::from(premium > 0.0), "all that contribute give a reason");
        assert_eq!(ids(matched.shadow.iter().map(|hit| book.shadow_rule(*hit))), ["shadow"]);
    }
}

#[test]
fn the_sum_tells_the_applicant_the_text_of_its_first_rule() {
    let own = RuleSource { applicant: told("Позвоните.", "Call us."), ..scored("a", 5.0) };
    let hard = RuleSource { then: Verdict::Flag, ..rule("hard", &over("24h")) };
    let english = |rules: Vec<RuleSource>| {
        let book = RuleBook::build(1, summed(2.0, 4.0, rules)).expect("valid");
        let matched = book.evaluate(&evidence(&book, 2));
        book.applicant_text(matched.live[0], matched.verdict).map(|text| text.en.to_string())
    };
    assert_eq!(english(vec![own.clone()]).as_deref(), Some("Call us."));
    assert_eq!(english(vec![own, hard]), None, "the first rule flags, and the sum refers");
}

#[test]
fn a_match_reports_over_its_own_window() {
    let slow = RuleSource { then: Verdict::Flag, ..rule("slow", &over("30d")) };
    let fast = rule("fast", "attempts(duration(\"1h\")) >= 3 && attempts(duration(\"30d\")) >= 2");
    let timeless = RuleSource { then: Verdict::Flag, priority: -1, ..rule("timeless", "premium > 0.0") };
    let book = RuleBook::build(1, vec![slow, fast, timeless]).expect("valid");
    assert_eq!(book.windows(), [HOUR, DAY, 30 * DAY]);
    let windows = |evidence: &Evidence| {
        let matched = book.evaluate(evidence);
        let of_each: Vec<usize> = matched.live.iter().map(|hit| book.window(*hit)).collect();
        (book.reported_window(&matched), of_each)
    };
    let priced = Evidence { premium: 1.0, ..evidence(&book, 3) };
    assert_eq!(windows(&priced), (0, vec![0, 2, 1]));
    assert_eq!(windows(&evidence(&book, 2)), (2, vec![2]));
    assert_eq!(windows(&evidence(&book, 1)), (1, vec![]));
    let matched = book.evaluate(&priced);
    let reason = book.reason(matched.live[1], &priced);
    assert_eq!((&*reason.code, &*reason.rule, &*reason.text), ("PARAMETER_PICKING", "slow", "3 within 30d"));
}

#[test]
fn filters_name_products_and_tenants() {
    for (products, tenants, expected) in [
        (vec![], vec![], true),
        (vec!["kasko", "osago"], vec![], true),
        (vec!["kasko"], vec![], false),
        (vec![], vec!["t1"], true),
        (vec!["osago"], vec!["t2"], false),
    ] {
        let boxed = |names: &[&str]| names.iter().map(|name| Box::from(*name)).collect();
        let source = RuleSource { products: boxed(&products), tenants: boxed(&tenants), ..rule("a", &over("24h")) };
        let book = RuleBook::build(1, vec![source]).expect("valid");
        let matched = !book.evaluate(&evidence(&book, 2)).live.is_empty();
        assert_eq!(matched, expected, "{products:?} {tenants:?}");
    }
}

#[test]
fn the_hash_follows_the_content_alone() {
    let hash = |rules: Vec<RuleSource>| RuleBook::build(1, rules).expect("valid").hash();
    let (a, b) = (|| rule("a", &over("24h")), || rule("b", &over("1h")));
    let base = hash(vec![a(), b()]);
    assert_eq!(hash(vec![b(), a()]), base, "the order of files is no content");
    assert_eq!(RuleBook::build(7, vec![a(), b()]).expect("valid").hash(), base, "nor is the number of the book");
    let with = |n: i64| {
        let n = ParamSource { value: ParamValue::Int(n), min: None, max: None, sweep: vec![] };
        RuleSource { params: [("n".into(), n)].into(), ..rule("a", "attempts(duration(\"24h\")) >= n") }
    };
    let mut seen = vec![base, hash(vec![]), hash(vec![a()]), hash(vec![with(2)]), hash(vec![with(3)])];
    let swept = |mut source: RuleSource| {
        source.params.values_mut().for_each(|param| param.sweep.push(ParamValue::Int(4)));
        source
    };
    for changed in [
        RuleSource { version: 2, ..a() },
        RuleSource { title: "another".into(), ..a() },
        RuleSource { owner: "another".into(), ..a() },
        RuleSource { mode: Mode::Shadow, ..a() },
        RuleSource { reason_code: "OTHER".into(), ..a() },
        RuleSource { when: "attempts(duration(\"24h\")) >= 3".into(), ..a() },
        RuleSource { then: Verdict::Flag, ..a() },
        RuleSource { priority: 1, ..a() },
        RuleSource { products: vec!["osago".into()], ..a() },
        RuleSource { tenants: vec!["osago".into()], ..a() },
        RuleSource { applicant: told("x", "y"), ..a() },
        RuleSource { applicant: told("y", "x"), ..a() },
        RuleSource { underwriter: "x".into(), ..a() },
        RuleSource { critical: true, ..a() },
        RuleSource { referred_pct_max: Some(0.5), ..a() },
        RuleSource { referred_pct_max: Some(1.5), ..a() },
        swept(with(2)),
    ] {
        seen.push(hash(vec![changed]));
    }
    let list = |name: &str, values: &[&str]| {
        let list = List::new(values.iter().map(|value| Box::from(*value)).collect());
        BookSource { rules: vec![a()], lists: [(name.into(), list)].into(), ..BookSource::default() }
    };
    let heavier = Matching { same_ip: 2.0, ..Matching::default() };
    let rarer = Matching { frequent_surnames: Box::default(), ..Matching::default() };
    let compared = |matching| BookSource { rules: vec![a()], matching, ..BookSource::default() };
    for source in [
        list("x", &[]),
        list("y", &[]),
        list("x", &["ab"]),
        list("x", &["a", "b"]),
        BookSource { rules: vec![], ..list("x", &["ab"]) },
        summed(2.0, 4.0, vec![a()]),
        summed(2.0, 5.0, vec![a()]),
        summed(2.0, 5.0, vec![scored("a", 1.5)]),
        summed(2.0, 5.0, vec![scored("a", 0.5)]),
        compared(heavier),
        compared(rarer),
    ] {
        seen.push(RuleBook::build(1, source).expect("valid").hash());
    }
    let count = seen.len();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), count, "every change of content shows");
}

#[test]
fn what_a_rule_says_changes_with_all_but_its_mode() {
    let content = |rule: RuleSource| RuleBook::build(1, vec![rule]).expect("valid").contents().next().expect("a rule").1;
    let before = content(rule("a", &over("24h")));
    for mode in Mode::ALL {
        assert_eq!(content(RuleSource { mode, ..rule("a", &over("24h")) }), before, "{mode:?}");
    }
    for changed in [rule("a", &over("1h")), RuleSource { priority: 9, ..rule("a", &over("24h")) }] {
        assert_ne!(content(changed.clone()), before, "{changed:?}");
    }
}

#[test]
fn all_problems_of_all_rules_are_reported() {
    let twin = rule("twin", &over("24h"));
    let broken = RuleSource { version: 0, underwriter: "{atempts}".into(), ..rule("B", "atempts(x) > 1") };
    let found = RuleBook::build(1, vec![twin.clone(), broken, twin]).expect_err("broken");
    let places: Vec<(usize, &Part)> = found.iter().map(|error| (error.rule, &error.problem.part)).collect();
    assert_eq!(
        places,
        [
            (1, &Part::Key("id")),
            (1, &Part::Key("version")),
            (1, &Part::Underwriter { start: 0 }),
            (1, &Part::When { start: 0, len: 7 }),
            (2, &Part::Key("id")),
        ]
    );
}

#[test]
fn keys_are_validated() {
    let param = |value, max| ParamSource { value, min: None, max, sweep: vec![] };
    let with =
        |name: &str, value, max| RuleSource { params: [(name.into(), param(value, max))].into(), ..rule("a", &over("24h")) };
    let int = ParamValue::Int;
    for (source, expected) in [
        (RuleSource { title: " ".into(), ..rule("a", &over("24h")) }, "a title has 1 to 1024 bytes"),
        (RuleSource { reason_code: "picking".into(), ..rule("a", &over("24h")) }, "a reason code has 1 to 64 of A-Z, 0-9 and _"),
        (RuleSource { then: Verdict::Accept, ..rule("a", &over("24h")) }, "a rule leads to `flag` or `refer`, or adds a score"),
        (
            RuleSource { applicant: told("x", "{attempts}"), ..rule("a", &over("24h")) },
            "what the applicant is told may hold no placeholder",
        ),
        (scored("a", 1.5), "this book does not sum scores"),
        (RuleSource { score: Some(0.0), ..rule("a", &over("24h")) }, "this book does not sum scores"),
        (
            RuleSource { referred_pct_max: Some(f64::NAN), ..rule("a", &over("24h")) },
            "a share is above 0 and at most 100 per cent",
        ),
        (
            RuleSource { referred_pct_max: Some(0.5), then: Verdict::Flag, ..rule("a", &over("24h")) },
            "this rule refers nobody, so there is no share to watch",
        ),
        (with("attempts", int(1), None), "`attempts` already means something in conditions"),
        (with("9n", int(1), None), "`9n` is not a parameter's name"),
        (with("n", int(9), Some(int(8))), "a value of `n` lies beyond its `max`"),
        (with("n", int(9), Some(ParamValue::Double(10.0))), "`n` is int, and one of its values is double"),
        (with("n", ParamValue::Double(f64::NAN), None), "a value of `n` is not a finite number"),
    ] {
        let found = RuleBook::build(1, vec![source]).expect_err(expected);
        assert_eq!(found[0].problem.message, expected);
    }
}

#[test]
fn a_score_is_a_number() {
    for score in [0.0, f64::NAN, f64::INFINITY, 1000.5] {
        let found = RuleBook::build(1, summed(2.0, 4.0, vec![scored("a", score)])).expect_err("no score");
        assert_eq!(found[0].problem.message, "a score is a number from -1000 to 1000, and not 0", "{score}");
    }
    let watched = |score| RuleSource { referred_pct_max: Some(0.5), ..scored("a", score) };
    let takes_away = RuleBook::build(1, summed(2.0, 4.0, vec![watched(-5.0)])).expect_err("it cannot refer");
    assert_eq!(takes_away[0].problem.part, Part::Key("expected"));
    RuleBook::build(1, summed(2.0, 4.0, vec![watched(5.0)])).expect("it can refer");
    let both = RuleSource { then: Verdict::Flag, ..scored("a", 1.0) };
    let found = RuleBook::build(1, summed(2.0, 4.0, vec![both])).expect_err("both");
    assert_eq!(found[0].problem.part, Part::Key("then"));
}

#[test]
fn a_book_is_bounded() {
    let windows = |count: usize| (1..=count).map(|i| rule(&format!("r{i}"), &over(&format!("{i}m")))).collect::<Vec<_>>();
    assert!(RuleBook::build(1, windows(limits::WINDOWS_MAX - 1)).is_ok());
    let found = RuleBook::build(1, windows(limits::WINDOWS_MAX + 3)).expect_err("too many windows");
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].rule, &*found[0].problem.message), (15, "the book uses more than 16 different windows"));
    let many: Vec<_> = (0..=limits::RULES_MAX).map(|i| rule(&format!("r{i}"), &over("24h"))).collect();
    let found = RuleBook::build(1, many).expect_err("too many rules");
    assert_eq!(found[0].problem.message, "a book holds at most 1000 rules");
}

#[test]
fn two_windows_of_one_feature_are_two_numbers() {
    let book = |mode, when: &str| RuleBook::build(1, vec![RuleSource { mode, ..rule("two", when) }]);
    for mode in [Mode::Live, Mode::Off] {
        for when in [
            "attempts(duration(\"7d\")) >= 5 && attempts(duration(\"24h\")) < 3",
            "attempts(duration(\"24h\")) < 3 || attempts(duration(\"7d\")) >= 3",
        ] {
            assert!(book(mode, when).is_ok(), "{mode:?} {when}");
        }
        assert!(book(mode, "attempts(duration(\"7d\")) >= 5 && attempts(duration(\"7d\")) < 3").is_err());
    }
}
