use super::*;

const RULE: &str = r#"id: many
version: 1
title: A title
owner: an owner
mode: shadow
reason_code: MANY
when: attempts(duration("24h")) >= 3
then: flag
reason: {underwriter: "{attempts}"}
tests:
  - {name: three, quotes: [{at: -2m}, {at: -1m}, {at: 0m}], expect: {decision: flag, rules: [many]}}
  - {name: two, quotes: [{at: -1m}, {at: 0m}], expect: {decision: accept, rules_not: [many]}}
"#;

/// Counts quotes instead of linking them.
fn counting(book: &RuleBook, quotes: &[Vec<u8>]) -> Result<Vec<Decided>, String> {
    use crate::engine::evidence::{Evidence, WindowEvidence};
    let decided = (1..).zip(quotes).map(|(attempts, _)| {
        let window = WindowEvidence { attempts, ..Default::default() };
        let evaluation = book.evaluate(&Evidence { windows: vec![window; book.windows().len()], ..Default::default() });
        let rules = evaluation.live.iter().map(|hit| book.live_rule(*hit).id.to_string()).collect();
        Decided { decision: evaluation.verdict, rules }
    });
    Ok(decided.collect())
}

fn rules(text: &str) -> Loaded {
    rule_file::load(1, &[("many.yaml", text)]).unwrap_or_else(|errors| panic!("{}", errors[0]))
}

#[test]
fn a_shadow_rule_is_live_in_its_own_tests() {
    let report = run_tests(&rules(RULE), counting);
    assert_eq!(report, TestReport { passed: 2, ..Default::default() });
    assert_eq!(report.report(), Report { text: "2 passed, 0 failed\n".into(), ok: true });
}

#[test]
fn failures_say_what_was_expected_and_got() {
    for (from, to, expected) in [
        (">= 3", ">= 4", "FAILED many: three: expected flag by many, got accept by no rule\n"),
        (">= 3", ">= 2", "FAILED many: two: expected accept without many, got flag by many\n"),
        ("rules: [many]", "rules: [mnay]", "FAILED many: three: the book has no rule `mnay` did you mean `many`?\n"),
        ("decision: flag", "decision: flg", "FAILED many: three: `flg` is not accept, flag or refer\n"),
        (
            "{at: -2m}",
            "{at: -2m, set: {vehicle.vim: x}}",
            "FAILED many: three: quote 1: a quote has no `vehicle.vim` did you mean `vin`?\n",
        ),
    ] {
        let report = run_tests(&rules(&RULE.replacen(from, to, 1)), counting).report();
        assert!(!report.ok && report.text.starts_with(expected), "{to}: {}", report.text);
    }
    let report = run_tests(&rules(RULE), |_: &RuleBook, _: &[Vec<u8>]| Ok(vec![]));
    assert_eq!(report.failures[0].message, "3 quotes got 0 decisions");
    let report = run_tests(&rules(RULE), |_: &RuleBook, _: &[Vec<u8>]| Err("no engine".into()));
    assert_eq!(report.failures[1].message, "no engine");
    let untested = run_tests(&rules(RULE.split("tests:").next().unwrap_or_default()), counting).report();
    assert_eq!(untested, Report { text: "many has no tests\n0 passed, 0 failed\n".into(), ok: true });
}

#[test]
fn folders_are_checked_and_tested() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path();
    assert_eq!(check(path, None).text, format!("{} holds no .yaml file\n", path.display()));
    std::fs::write(path.join("many.yaml"), RULE).expect("written");
    std::fs::write(path.join("notes.txt"), "not a rule").expect("written");
    let good = check(path, None);
    assert!(good.ok && good.text.starts_with("shadow flag  many v1: A title\n1 rules, windows 24h, hash "), "{}", good.text);
    assert_eq!(test(path, counting), Report { text: "2 passed, 0 failed\n".into(), ok: true });
    std::fs::create_dir(path.join("lists")).expect("created");
    std::fs::write(path.join("lists/brokers.csv"), "B-7\n").expect("written");
    let pairs =
        "pairs:\n- {name: twins, quotes: [{}, {person: 5}], linked: true}\n- {name: one, quotes: [{}, {}], linked: false}\n";
    std::fs::write(
        path.join("matching.yaml"),
        format!("{pairs}- {{name: odd, quotes: [{{}}, {{set: {{vin: x}}}}], linked: true}}\n"),
    )
    .expect("written");
    let with_list = RULE.replace(">= 3", ">= 3 && !(agent_id in list(\"brokers\"))");
    std::fs::write(path.join("many.yaml"), with_list).expect("written");
    let failed = "FAILED matching: twins: not linked, with -40 bits of the 18 that a link needs\n\
                  FAILED matching: one: linked, with 112 bits of the 18 that a link needs\n\
                  FAILED matching: odd: quote 2: a quote has no `vin`\n2 passed, 3 failed\n";
    assert_eq!(test(path, counting), Report { text: failed.into(), ok: false });
    std::fs::write(path.join("broken.yaml"), RULE.replace("attempts(", "atempts(")).expect("written");
    let bad = check(path, None);
    assert!(!bad.ok && bad.text.contains("broken.yaml:7:7: unknown feature `atempts`"), "{}", bad.text);
    assert!(bad.text.ends_with("\n2 errors\n"), "{}", bad.text);
    assert_eq!(test(path, counting), bad);
    assert!(!check(&path.join("nowhere"), None).ok);
}

#[test]
fn a_second_book_is_tested_as_if_it_stood_alone() {
    let live = RULE.replace("id: many", "id: any").replace("mode: shadow", "mode: live").replace(">= 3", ">= 1");
    let live = live.replace("tests:", "always: true\ntests:").split("tests:").next().expect("a rule").to_owned();
    let wrong = RULE.replace(">= 3", ">= 2");
    for (second, failures) in [(RULE, &[][..]), (&*wrong, &["shadow/many"])] {
        let loaded = rule_file::load(1, &[("any.yaml", &*live), ("shadow/many.yaml", second)]);
        let report = run_tests(&loaded.unwrap_or_else(|errors| panic!("{}", errors[0])), counting);
        let failed: Vec<&str> = report.failures.iter().map(|failure| &*failure.rule).collect();
        // The live rule flags every quote, and `two` expects none to be flagged.
        assert_eq!((failed, report.untested), (failures.to_vec(), vec!["any".to_owned()]));
    }
}
