//! The keys of a rule file, and the way to and from the engine's [`RuleSource`].

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};
use serde_saphyr::{Location, Spanned};

use super::error::{RuleError, within_scalar};
use crate::contract::rule_test::RuleTest;
use crate::engine::decision::Verdict;
use crate::engine::rules::source::ApplicantText;
use crate::engine::rules::suggest::did_you_mean;
use crate::engine::rules::{Mode, ParamSource, ParamValue, Part, Problem, RuleSource, duration};

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RuleFile {
    id: Spanned<String>,
    version: Spanned<u32>,
    title: Spanned<String>,
    owner: Spanned<String>,
    mode: Spanned<String>,
    reason_code: Spanned<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    params: BTreeMap<String, Spanned<ParamFile>>,
    when: Spanned<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    then: Option<Spanned<String>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    score: Option<Spanned<f64>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    always: Option<Spanned<bool>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    critical: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expected: Option<Spanned<ExpectedFile>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    priority: Option<i32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    products: Option<Spanned<Vec<String>>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenants: Option<Spanned<Vec<String>>>,
    reason: ReasonFile,
    #[serde(default, skip_serializing)]
    pub(super) tests: Vec<RuleTest>,
}

/// What the author states about the rule's effect.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ExpectedFile {
    referred_pct_max: f64,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ReasonFile {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    applicant: Option<Spanned<ApplicantFile>>,
    underwriter: Spanned<String>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ApplicantFile {
    ru: String,
    en: String,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct ParamFile {
    r#type: String,
    default: Scalar,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    min: Option<Scalar>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max: Option<Scalar>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    sweep: Vec<Scalar>,
}

/// A plain value: a number, or a text such as `24h`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Scalar {
    Int(i64),
    Double(f64),
    Text(String),
}

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ScalarVisitor;

        impl Visitor<'_> for ScalarVisitor {
            type Value = Scalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number, or a duration such as 24h")
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<Scalar, E> {
                Ok(Scalar::Int(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<Scalar, E> {
                i64::try_from(value).map(Scalar::Int).map_err(|_| E::custom("the number is larger than a 64-bit int"))
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<Scalar, E> {
                Ok(Scalar::Double(value))
            }

            fn visit_str<E: Error>(self, value: &str) -> Result<Scalar, E> {
                Ok(Scalar::Text(value.into()))
            }
        }

        deserializer.deserialize_any(ScalarVisitor)
    }
}

/// Top-level keys that every rule has.
pub(super) const REQUIRED_KEYS: [&str; 8] = ["id", "version", "title", "owner", "mode", "reason_code", "when", "reason"];

const PARAM_TYPES: [&str; 3] = ["int", "double", "duration"];

impl RuleFile {
    /// The rule as plain data. What needs the whole rule is left to [`crate::engine::rules::RuleBook::build`].
    pub(super) fn to_source(&self) -> Result<RuleSource, Vec<Problem>> {
        let mut problems = Vec::new();
        let mode = one_of("mode", &self.mode.value, Mode::ALL.map(Mode::name), Mode::parse);
        let mode = mode.map_err(|problem| problems.push(problem));
        let then = self.leads_to().map_err(|problem| problems.push(problem));
        let mut params = BTreeMap::new();
        for (name, file) in &self.params {
            match file.value.to_source() {
                Ok(param) => drop(params.insert(name.as_str().into(), param)),
                Err(message) => problems.push(Problem::new(Part::Param(name.as_str().into()), message)),
            }
        }
        let (Ok(mode), Ok(then), true) = (mode, then, problems.is_empty()) else { return Err(problems) };
        let list = |names: &Option<Spanned<Vec<String>>>| {
            names.iter().flat_map(|names| &names.value).map(|name| name.as_str().into()).collect()
        };
        let applicant = self
            .reason
            .applicant
            .as_ref()
            .map(|text| ApplicantText { ru: text.value.ru.as_str().into(), en: text.value.en.as_str().into() });
        Ok(RuleSource {
            id: self.id.value.as_str().into(),
            version: self.version.value,
            title: self.title.value.as_str().into(),
            owner: self.owner.value.as_str().into(),
            mode,
            reason_code: self.reason_code.value.as_str().into(),
            params,
            when: self.when.value.as_str().into(),
            then,
            score: self.score.as_ref().map(|score| score.value),
            priority: self.priority.unwrap_or(0),
            products: list(&self.products),
            tenants: list(&self.tenants),
            applicant,
            underwriter: self.reason.underwriter.value.as_str().into(),
            always: self.always.as_ref().is_some_and(|always| always.value),
            critical: self.critical.unwrap_or(false),
            referred_pct_max: self.expected.as_ref().map(|expected| expected.value.referred_pct_max),
        })
    }

    /// The verdict of `then`, or none where there is a score instead.
    fn leads_to(&self) -> Result<Verdict, Problem> {
        match (&self.then, &self.score) {
            (Some(then), None) => one_of("then", &then.value, [Verdict::Flag.name(), Verdict::Refer.name()], Verdict::parse),
            (None, Some(_)) => Ok(Verdict::Accept),
            (Some(_), Some(_)) => Err(Problem::new(Part::Key("score"), "a rule has `then` or `score`, not both")),
            (None, None) => {
                let help = "write `then: refer`, `then: flag`, or `score` in a book that sums scores";
                Err(Problem::new(Part::Rule, "the key `then` is missing").help(Some(help.into())))
            }
        }
    }

    /// The way back, for a book's stored form; without places and tests.
    pub(super) fn from_source(source: &RuleSource) -> RuleFile {
        let list =
            |names: &[Box<str>]| (!names.is_empty()).then(|| unplaced(names.iter().map(|name| name.to_string()).collect()));
        RuleFile {
            id: unplaced(source.id.to_string()),
            version: unplaced(source.version),
            title: unplaced(source.title.to_string()),
            owner: unplaced(source.owner.to_string()),
            mode: unplaced(source.mode.name().into()),
            reason_code: unplaced(source.reason_code.to_string()),
            params: source
                .params
                .iter()
                .map(|(name, param)| (name.to_string(), unplaced(ParamFile::from_source(param))))
                .collect(),
            when: unplaced(source.when.to_string()),
            then: (source.then != Verdict::Accept).then(|| unplaced(source.then.name().into())),
            score: source.score.map(unplaced),
            always: source.always.then(|| unplaced(true)),
            critical: source.critical.then_some(true),
            expected: source.referred_pct_max.map(|referred_pct_max| unplaced(ExpectedFile { referred_pct_max })),
            priority: (source.priority != 0).then_some(source.priority),
            products: list(&source.products),
            tenants: list(&source.tenants),
            reason: ReasonFile {
                applicant: source
                    .applicant
                    .as_ref()
                    .map(|text| unplaced(ApplicantFile { ru: text.ru.to_string(), en: text.en.to_string() })),
                underwriter: unplaced(source.underwriter.to_string()),
            },
            tests: Vec::new(),
        }
    }

    /// Gives a problem its line and column.
    pub(super) fn locate(&self, file: &str, text: &str, problem: Problem) -> RuleError {
        let start = |place: Location| place.span().byte_offset().map_or(0, |offset| offset as usize);
        let (start, len) = match &problem.part {
            Part::When { start: offset, len } => {
                let scalar = start(self.when.referenced);
                (within_scalar(text, scalar, &self.when.value, *offset), *len)
            }
            Part::Underwriter { start: offset } => {
                let template = &self.reason.underwriter;
                (within_scalar(text, start(template.referenced), &template.value, *offset), 1)
            }
            Part::Param(name) => (self.params.get(&**name).map_or(0, |param| start(param.referenced)), 1),
            Part::Applicant => (self.reason.applicant.as_ref().map_or(0, |text| start(text.referenced)), 1),
            Part::Key(key) => (start(self.place_of(key)), 1),
            Part::Rule => (start(self.id.referenced), 1),
        };
        let error = RuleError::at(file, text, start, len, problem.message);
        match problem.help {
            Some(help) => error.help(help),
            None => error,
        }
    }

    fn place_of(&self, key: &str) -> Location {
        match key {
            "version" => self.version.referenced,
            "title" => self.title.referenced,
            "owner" => self.owner.referenced,
            "mode" => self.mode.referenced,
            "reason_code" => self.reason_code.referenced,
            "when" => self.when.referenced,
            "then" => self.then.as_ref().map_or(self.id.referenced, |then| then.referenced),
            "score" => self.score.as_ref().map_or(self.id.referenced, |score| score.referenced),
            "always" => self.always.as_ref().map_or(self.id.referenced, |always| always.referenced),
            "expected" => self.expected.as_ref().map_or(self.id.referenced, |expected| expected.referenced),
            "reason" => self.reason.underwriter.referenced,
            "products" => self.products.as_ref().map_or(self.id.referenced, |list| list.referenced),
            "tenants" => self.tenants.as_ref().map_or(self.id.referenced, |list| list.referenced),
            _ => self.id.referenced,
        }
    }
}

fn unplaced<T>(value: T) -> Spanned<T> {
    Spanned::new(value, Location::UNKNOWN, Location::UNKNOWN)
}

fn one_of<T, const N: usize>(
    key: &'static str,
    text: &str,
    names: [&'static str; N],
    parse: impl Fn(&str) -> Option<T>,
) -> Result<T, Problem> {
    match parse(text) {
        Some(value) if names.contains(&text) => Ok(value),
        _ => {
            let help = did_you_mean(text, names).unwrap_or_else(|| format!("write one of {}", names.join(", ")));
            Err(Problem::new(Part::Key(key), format!("`{text}` is not a {key}")).help(Some(help)))
        }
    }
}

impl ParamFile {
    fn to_source(&self) -> Result<ParamSource, String> {
        if !PARAM_TYPES.contains(&self.r#type.as_str()) {
            return Err(format!("`{}` is not a parameter's type: write {}", self.r#type, PARAM_TYPES.join(", ")));
        }
        let value = |scalar: &Scalar| match (self.r#type.as_str(), scalar) {
            ("int", Scalar::Int(value)) => Ok(ParamValue::Int(*value)),
            ("double", Scalar::Int(value)) => Ok(ParamValue::Double(*value as f64)),
            ("double", Scalar::Double(value)) => Ok(ParamValue::Double(*value)),
            ("duration", Scalar::Text(text)) => duration::parse(text).map(ParamValue::Duration),
            (expected, other) => Err(format!("{} is not of the parameter's type, {expected}", other.shown())),
        };
        Ok(ParamSource {
            value: value(&self.default)?,
            min: self.min.as_ref().map(value).transpose()?,
            max: self.max.as_ref().map(value).transpose()?,
            sweep: self.sweep.iter().map(value).collect::<Result<_, _>>()?,
        })
    }

    fn from_source(param: &ParamSource) -> ParamFile {
        let scalar = |value: &ParamValue| match value {
            ParamValue::Int(value) => Scalar::Int(*value),
            ParamValue::Double(value) => Scalar::Double(*value),
            ParamValue::Duration(micros) => Scalar::Text(duration::format(*micros)),
        };
        ParamFile {
            r#type: param.value.type_name().into(),
            default: scalar(&param.value),
            min: param.min.as_ref().map(scalar),
            max: param.max.as_ref().map(scalar),
            sweep: param.sweep.iter().map(scalar).collect(),
        }
    }
}

impl Scalar {
    fn shown(&self) -> String {
        match self {
            Scalar::Int(value) => value.to_string(),
            Scalar::Double(value) => value.to_string(),
            Scalar::Text(text) => format!("`{text}`"),
        }
    }
}
