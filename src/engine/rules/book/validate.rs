//! What must hold for a rule's plain keys, and between rules.

use std::collections::BTreeMap;

use crate::engine::decision::Verdict;
use crate::engine::evidence::CATALOGUE;
use crate::engine::limits;
use crate::engine::rules::source::ParamValue;
use crate::engine::rules::source::{BookSource, Mode, ParamSource, Part, Problem, RuleSource, SHADOW_BOOK, Scoring, SourceError};

/// Words of the language that a parameter may not take.
const RESERVED: [&str; 9] = ["duration", "double", "int", "list", "size", "in", "true", "false", "null"];

/// Problems between rules.
pub fn book(source: &BookSource) -> Vec<SourceError> {
    let mut problems = Vec::new();
    let BookSource { rules: sources, scoring, .. } = source;
    if *scoring == Scoring::FirstMatch {
        for (rule, _) in sources.iter().enumerate().filter(|(_, source)| source.score.is_some()) {
            let help = Some("say `scoring: sum` and its bands in book.yaml, or write `then`".into());
            let problem = Problem::new(Part::Key("score"), "this book does not sum scores").help(help);
            problems.push(SourceError { rule, problem });
        }
    }
    if sources.len() > limits::RULES_MAX {
        let message = format!("a book holds at most {} rules", limits::RULES_MAX);
        problems.push(SourceError { rule: limits::RULES_MAX, problem: Problem::new(Part::Rule, message) });
    }
    let mut seen: BTreeMap<&str, usize> = BTreeMap::new();
    for (rule, source) in sources.iter().enumerate() {
        if seen.insert(&source.id, rule).is_some() {
            let problem = Problem::new(Part::Key("id"), format!("another rule is called `{}` as well", source.id));
            problems.push(SourceError { rule, problem });
        }
    }
    problems
}

/// Problems of one rule outside its condition and template.
pub fn rule(source: &RuleSource) -> Vec<Problem> {
    let mut problems = Vec::new();
    let mut require = |holds: bool, key: &'static str, message: &str| {
        if !holds {
            problems.push(Problem::new(Part::Key(key), message));
        }
    };
    let made_of = |text: &str, also: &dyn Fn(u8) -> bool| {
        (1..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit() || also(byte))
    };
    // A rule of the second book is none that decides.
    let own = source.id.strip_prefix(SHADOW_BOOK).filter(|_| source.mode != Mode::Live);
    let id = made_of(own.unwrap_or(&source.id), &|byte| byte.is_ascii_lowercase() || byte == b'-');
    require(id, "id", "an id has 1 to 64 of a-z, 0-9 and -");
    require(source.version >= 1, "version", "versions count from 1");
    require(text_fits(&source.title), "title", "a title has 1 to 1024 bytes");
    require(text_fits(&source.owner), "owner", "the owner has 1 to 1024 bytes: who answers for this rule?");
    let code = made_of(&source.reason_code, &|byte| byte.is_ascii_uppercase() || byte == b'_');
    require(code, "reason_code", "a reason code has 1 to 64 of A-Z, 0-9 and _");
    let leads = (source.then != Verdict::Accept) != source.score.is_some();
    require(leads, "then", "a rule leads to `flag` or `refer`, or adds a score");
    let scores = source.score.is_none_or(|score| score != 0.0 && score.abs() <= limits::SCORE_MAX);
    require(scores, "score", "a score is a number from -1000 to 1000, and not 0");
    let share = source.referred_pct_max.is_none_or(|share| share > 0.0 && share <= 100.0);
    require(share, "expected", "a share is above 0 and at most 100 per cent");
    require(text_fits(&source.underwriter), "reason", "the underwriter's text has 1 to 1024 bytes");
    let names_fit = |names: &[Box<str>]| names.len() <= 64 && names.iter().all(|name| (1..=64).contains(&name.len()));
    require(names_fit(&source.products), "products", "at most 64 products of 1 to 64 bytes each");
    require(names_fit(&source.tenants), "tenants", "at most 64 tenants of 1 to 64 bytes each");
    require(source.params.len() <= 32, "params", "a rule has at most 32 parameters");
    if source.referred_pct_max.is_some() && !source.may_refer() {
        let help = Some("leave it out; `then: refer`, or a `score` above 0, is what can refer".into());
        problems.push(Problem::new(Part::Key("expected"), "this rule refers nobody, so there is no share to watch").help(help));
    }
    for text in source.applicant.iter().flat_map(|applicant| [&applicant.ru, &applicant.en]) {
        if !text_fits(text) {
            problems.push(Problem::new(Part::Applicant, "the applicant's text has 1 to 1024 bytes"));
        } else if text.contains(['{', '}']) {
            let help = Some("numbers belong into the underwriter's text".into());
            problems.push(Problem::new(Part::Applicant, "what the applicant is told may hold no placeholder").help(help));
        }
    }
    for (name, param) in &source.params {
        if let Err((message, help)) = check_param(name, param) {
            problems.push(Problem::new(Part::Param(name.clone()), message).help(help));
        }
    }
    problems
}

fn text_fits(text: &str) -> bool {
    !text.trim().is_empty() && text.len() <= limits::RULE_TEXT_BYTES_MAX
}

fn check_param(name: &str, param: &ParamSource) -> Result<(), (String, Option<String>)> {
    let word = name.bytes().enumerate().all(|(i, b)| b.is_ascii_lowercase() || b == b'_' || (i > 0 && b.is_ascii_digit()));
    if !word || !(1..=64).contains(&name.len()) {
        return Err((format!("`{name}` is not a parameter's name"), Some("use a-z, 0-9 and _, a letter first".into())));
    }
    if RESERVED.contains(&name) || CATALOGUE.iter().any(|spec| spec.name == name) {
        return Err((format!("`{name}` already means something in conditions"), Some("choose another name".into())));
    }
    let value = param.value;
    let bounds = [("min", param.min), ("max", param.max)];
    let others = bounds.iter().filter_map(|(_, bound)| *bound).chain(param.sweep.iter().copied());
    for other in others.chain([value]) {
        if other.type_name() != value.type_name() {
            return Err((format!("`{name}` is {}, and one of its values is {}", value.type_name(), other.type_name()), None));
        }
        if matches!(other, ParamValue::Double(number) if !number.is_finite()) {
            return Err((format!("a value of `{name}` is not a finite number"), None));
        }
    }
    for tried in param.sweep.iter().copied().chain([value]) {
        let low = param.min.is_some_and(|min| tried.order() < min.order());
        let high = param.max.is_some_and(|max| tried.order() > max.order());
        if low || high {
            let bound = if low { "min" } else { "max" };
            return Err((format!("a value of `{name}` lies beyond its `{bound}`"), None));
        }
    }
    Ok(())
}
