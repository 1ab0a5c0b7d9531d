//! `quoteguard rules explain DIR [ID]`: what each rule does, in words.

use std::fmt::Write;

use crate::contract::rule_diff::{dial, sentence};
use crate::engine::decision::Verdict;
use crate::engine::evidence::FeatureSpec;
use crate::engine::rules::suggest::did_you_mean;
use crate::engine::rules::{BookSource, Mode, RuleBook, RuleSource, Scoring};

/// All rules of a book in the order of evaluation, or the one called `id`; the error names the rule that is not there.
pub fn explain(book: &RuleBook, id: Option<&str>) -> Result<String, String> {
    if let Some(unknown) = id.filter(|id| book.rule(id).is_none()) {
        let help = did_you_mean(unknown, book.rules().map(|rule| &*rule.id)).unwrap_or_default();
        return Err(format!("the book has no rule `{unknown}` {help}").trim_end().to_owned() + "\n");
    }
    let chosen = book.rules().filter(|rule| id.is_none_or(|id| *rule.id == *id));
    let rules: Result<Vec<String>, String> = chosen.map(|rule| explain_rule(book, rule)).collect();
    Ok(rules?.join("\n"))
}

fn explain_rule(book: &RuleBook, rule: &RuleSource) -> Result<String, String> {
    // A rule that is off has no windows in its book.
    let alone = BookSource { rules: vec![RuleSource { mode: Mode::Live, ..rule.clone() }], ..book.source() };
    let words = RuleBook::recorded(1, alone).ok().and_then(|alone| alone.words(&rule.id));
    let words = words.ok_or_else(|| format!("`{}` does not compile alone\n", rule.id))?;
    let RuleSource { id, version, mode, title, owner, reason_code, .. } = rule;
    let mut out = format!("{id}, version {version}, {}\n  {title}\n", mode.name());
    // Writing to a String cannot fail.
    let _ = writeln!(out, "  Owner {owner}, reason code {reason_code}{}.", if rule.critical { ", critical" } else { "" });
    let when = match (words.parts.len(), words.any) {
        (1, _) => "when",
        (_, true) => "when one of these holds",
        (_, false) => "when all of these hold",
    };
    let _ = writeln!(out, "  {} {when}:", effect(rule));
    for part in &words.parts {
        let _ = writeln!(out, "    {part}");
    }
    for (names, what) in [(&rule.products, "products"), (&rule.tenants, "tenants")] {
        if !names.is_empty() {
            let _ = writeln!(out, "  Only for the {what} {}.", names.join(", "));
        }
    }
    if let Scoring::Sum(bands) = book.scoring() {
        let _ = writeln!(out, "  The book flags from a sum of {} on and refers from {}.", bands.flag, bands.refer);
    }
    if let Some(share) = rule.referred_pct_max {
        let _ = writeln!(out, "  Expected to refer at most {share} % of the applicants.");
    }
    section(&mut out, "Reads", words.reads.iter().map(|(feature, read)| format!("{read}: {}", FeatureSpec::of(*feature).doc)));
    section(&mut out, "Parameters", rule.params.iter().map(|(name, param)| format!("{name} = {}", dial(param))));
    let applicant = rule.applicant.iter().flat_map(|text| [("applicant, ru", &text.ru), ("applicant, en", &text.en)]);
    let reasons = [("underwriter", &rule.underwriter)].into_iter().chain(applicant);
    section(&mut out, "Reasons", reasons.map(|(who, text)| format!("{who}: {}", sentence(text))));
    Ok(out)
}

fn section(out: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    for (number, line) in lines.enumerate() {
        if number == 0 {
            let _ = writeln!(out, "  {title}:");
        }
        let _ = writeln!(out, "    {line}");
    }
}

/// What a match does, as the beginning of a sentence.
fn effect(rule: &RuleSource) -> String {
    let act = match (rule.score, rule.then) {
        (Some(score), _) => format!("add {score} to the sum"),
        (None, Verdict::Refer) => "refer the quote".into(),
        (None, _) => "flag the quote".into(),
    };
    match rule.mode {
        Mode::Live => format!("Live: it will {act}"),
        Mode::Shadow => format!("In shadow: it is counted, and would {act}"),
        Mode::Off => format!("Off: it does nothing, and would {act}"),
    }
}
