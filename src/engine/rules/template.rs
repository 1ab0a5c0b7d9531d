//! The underwriter's sentence: text with `{placeholders}` for numbers of the evidence.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::duration;
use super::source::{ParamSource, ParamValue, Part, Problem};
use super::suggest::did_you_mean;
use crate::engine::evidence::{Arguments, CATALOGUE, Evidence, Feature, FeatureSpec, Kind};

#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Segment>);

#[derive(Clone, Debug, PartialEq)]
enum Segment {
    Text(String),
    Number(Feature, Kind),
    Word(Feature),
    /// The names of the fact fields that changed.
    ChangedFacts,
    Window,
}

impl Template {
    /// `{{` and `}}` stand for braces. Every unknown placeholder is a problem; parameters are written in by value.
    pub fn parse(text: &str, params: &BTreeMap<Box<str>, ParamSource>) -> Result<Template, Vec<Problem>> {
        let mut segments = Vec::new();
        let mut plain = String::new();
        let mut problems = Vec::new();
        let mut rest = text;
        while let Some(brace) = rest.find(['{', '}']) {
            let start = text.len() - rest.len() + brace;
            plain.push_str(&rest[..brace]);
            let after = &rest[brace + 1..];
            let symbol = &rest[brace..=brace];
            if let Some(beyond) = after.strip_prefix(symbol) {
                plain.push_str(symbol);
                rest = beyond;
                continue;
            }
            let Some(end) = after.find('}').filter(|_| symbol == "{") else {
                let problem = Problem::new(Part::Underwriter { start }, format!("a lone `{symbol}`"));
                problems.push(problem.help(Some("write `{{` or `}}` for a brace".into())));
                rest = after;
                continue;
            };
            match placeholder(&after[..end], params) {
                Ok(Placeholder::Literal(value)) => plain.push_str(&value),
                Ok(Placeholder::Segment(segment)) => {
                    if !plain.is_empty() {
                        segments.push(Segment::Text(std::mem::take(&mut plain)));
                    }
                    segments.push(segment);
                }
                Err(help) => {
                    let message = format!("unknown placeholder `{{{}}}`", &after[..end]);
                    problems.push(Problem::new(Part::Underwriter { start }, message).help(Some(help)));
                }
            }
            rest = &after[end + 1..];
        }
        plain.push_str(rest);
        if !plain.is_empty() {
            segments.push(Segment::Text(plain));
        }
        if problems.is_empty() { Ok(Template(segments)) } else { Err(problems) }
    }

    /// The sentence over window number `window`, which is `micros` long.
    pub fn render(&self, evidence: &Evidence, window: usize, micros: i64) -> String {
        let mut out = String::new();
        for segment in &self.0 {
            match segment {
                Segment::Text(text) => out.push_str(text),
                Segment::Number(feature, kind) => number(&mut out, *kind, evidence.number(*feature, None, window)),
                Segment::Word(feature) => out.push_str(evidence.text(*feature)),
                Segment::ChangedFacts => changed_facts(&mut out, evidence, window),
                Segment::Window => out.push_str(&duration::format(micros)),
            }
        }
        out
    }
}

enum Placeholder {
    /// Known when the rule is loaded.
    Literal(String),
    Segment(Segment),
}

fn placeholder(name: &str, params: &BTreeMap<Box<str>, ParamSource>) -> Result<Placeholder, String> {
    // The rule's own `window` parameter, when it has one, is the window the numbers are over.
    if name == "window" {
        return Ok(Placeholder::Segment(Segment::Window));
    }
    if let Some(param) = params.get(name) {
        return Ok(Placeholder::Literal(match param.value {
            ParamValue::Int(value) => value.to_string(),
            ParamValue::Double(value) => value.to_string(),
            ParamValue::Duration(micros) => duration::format(micros),
        }));
    }
    match CATALOGUE.iter().find(|spec| spec.name == name && may_be_shown(spec)) {
        Some(spec) if spec.feature == Feature::ChangedFacts => Ok(Placeholder::Segment(Segment::ChangedFacts)),
        Some(spec) if spec.kind == Kind::Text => Ok(Placeholder::Segment(Segment::Word(spec.feature))),
        Some(spec) => Ok(Placeholder::Segment(Segment::Number(spec.feature, spec.kind))),
        None => {
            let shown = CATALOGUE.iter().filter(|spec| may_be_shown(spec)).map(|spec| spec.name);
            let known = shown.chain(["window"]).chain(params.keys().map(|name| &**name));
            Err(did_you_mean(name, known)
                .unwrap_or_else(|| "use the name of a numeric feature, of a parameter, or `window`".into()))
        }
    }
}

/// Reasons travel without access control, so who the agent is stays out of them.
fn may_be_shown(spec: &FeatureSpec) -> bool {
    let plain = matches!(spec.kind, Kind::Int | Kind::Double) || matches!(spec.feature, Feature::Channel | Feature::Product);
    plain && spec.arguments != Arguments::FieldAndWindow
}

fn number(out: &mut String, kind: Kind, value: f64) {
    // Writing to a String cannot fail.
    let _ = match kind {
        Kind::Double if value.fract() != 0.0 => write!(out, "{value:.1}"),
        _ => write!(out, "{value:.0}"),
    };
}

fn changed_facts(out: &mut String, evidence: &Evidence, window: usize) {
    let before = out.len();
    for field in evidence.windows.get(window).into_iter().flat_map(|w| w.changed_facts()) {
        if out.len() > before {
            out.push_str(", ");
        }
        out.push_str(field.name());
    }
    if out.len() == before {
        out.push_str("no fact");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::evidence::WindowEvidence;
    use crate::engine::field::Field;
    use crate::engine::time::DAY;

    fn params() -> BTreeMap<Box<str>, ParamSource> {
        let n = ParamSource { value: ParamValue::Int(3), min: None, max: None, sweep: vec![] };
        BTreeMap::from([("n".into(), n)])
    }

    #[test]
    fn renders_numbers_names_and_braces() {
        let window = WindowEvidence {
            suspicious_attempts: 4,
            suspicion: 3.25,
            premium_drop_pct: 12.0,
            changed: 1 << Field::Vin as u8 | 1 << Field::LastName as u8 | 1 << Field::Deductible as u8,
            ..Default::default()
        };
        let evidence = Evidence { windows: vec![WindowEvidence::default(), window], ..Default::default() };
        for (text, expected) in [
            ("{suspicious_attempts} versions, {suspicion}", "4 versions, 3.2"),
            ("{changed_facts} within {window}", "policyholder.last_name, vehicle.vin within 30d"),
            ("fell by {premium_drop_pct} %, limit {n}", "fell by 12 %, limit 3"),
            ("{{{channel}}}", "{web}"),
            ("Ж", "Ж"),
            ("", ""),
        ] {
            let template = Template::parse(text, &params()).expect(text);
            assert_eq!(template.render(&evidence, 1, 30 * DAY), expected, "{text}");
        }
        let template = Template::parse("{changed_facts}", &params()).expect("known");
        assert_eq!(template.render(&evidence, 0, DAY), "no fact");
    }

    #[test]
    fn refuses_what_it_cannot_fill() {
        for (text, at, help) in [
            ("Ж {suspicius_attempts}", 3, "did you mean `suspicious_attempts`?"),
            ("{agent_id}", 0, "use the name of a numeric feature, of a parameter, or `window`"),
            ("{known_form}", 0, "use the name of a numeric feature, of a parameter, or `window`"),
            ("{}", 0, "use the name of a numeric feature, of a parameter, or `window`"),
            ("a } b", 2, "write `{{` or `}}` for a brace"),
            ("a {n", 2, "write `{{` or `}}` for a brace"),
        ] {
            let problems = Template::parse(text, &params()).expect_err(text);
            assert_eq!(problems[0].part, Part::Underwriter { start: at }, "{text}");
            assert_eq!(problems[0].help.as_deref(), Some(help), "{text}");
            assert_eq!(problems.len(), 1, "{text}");
        }
    }
}
