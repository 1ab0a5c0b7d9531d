//! `matching.yaml`: weights, caps and threshold, each as shipped when left out, and pairs that prove them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_saphyr::{Location, Spanned};

use super::error::RuleError;
use crate::contract::rule_test::PairTest;
use crate::engine::limits;
use crate::engine::matching::Matching;
use crate::engine::normalise::name::name;
use crate::engine::rules::suggest::did_you_mean;

type Numbers = BTreeMap<String, Spanned<f64>>;

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct MatchingFile {
    threshold: Option<Spanned<f64>>,
    weights: BTreeMap<String, Numbers>,
    source: Numbers,
    most: Numbers,
    hubs: Numbers,
    frequent_surnames: Option<Vec<Spanned<String>>>,
    pub(super) pairs: Vec<PairTest>,
}

impl MatchingFile {
    /// The shipped matching with this file's numbers in it.
    pub(super) fn to_matching(&self, file: &str, text: &str) -> Result<Matching, Vec<RuleError>> {
        let mut errors = Vec::new();
        let error = |place: Location, message: String| RuleError::at(file, text, start(place), 1, message);
        let mut matching = Matching::default();
        let mut places: BTreeMap<String, Location> = BTreeMap::new();
        let mut numbers: BTreeMap<String, &mut f64> = matching.numbers_mut().into_iter().collect();
        for (key, number) in self.numbers() {
            places.insert(key.clone(), number.referenced);
            if let Some(slot) = numbers.get_mut(&key) {
                **slot = number.value;
                continue;
            }
            let help = did_you_mean(&key, numbers.keys().map(String::as_str));
            let help = help.unwrap_or_else(|| "the keys are those of the shipped rules/matching.yaml".into());
            errors.push(error(number.referenced, format!("unknown key `{key}`")).help(help));
        }
        if let Some(surnames) = &self.frequent_surnames {
            match folded(surnames) {
                Ok(folded) => matching.frequent_surnames = folded,
                Err((place, message)) => errors.push(error(place, message)),
            }
        }
        for (key, message) in matching.problems() {
            // A contradiction may be named by a section, or by a number that was left out.
            let section = key.rsplit_once('.').map_or(&*key, |(section, _)| section);
            let within = |section: &str| places.iter().find(|(place, _)| place.starts_with(section)).map(|(_, place)| *place);
            let place = within(&key).or_else(|| within(section));
            errors.push(error(place.unwrap_or(Location::UNKNOWN), format!("{key}: {message}")));
        }
        if errors.is_empty() { Ok(matching) } else { Err(errors) }
    }

    /// By the dotted key.
    fn numbers(&self) -> impl Iterator<Item = (String, &Spanned<f64>)> {
        let weights = self
            .weights
            .iter()
            .flat_map(|(field, levels)| levels.iter().map(move |(level, number)| (format!("weights.{field}.{level}"), number)));
        let sections = [("source", &self.source), ("most", &self.most), ("hubs", &self.hubs)];
        let sections = sections
            .into_iter()
            .flat_map(|(section, numbers)| numbers.iter().map(move |(name, number)| (format!("{section}.{name}"), number)));
        self.threshold.iter().map(|number| ("threshold".to_owned(), number)).chain(weights).chain(sections)
    }
}

fn start(place: Location) -> usize {
    place.span().byte_offset().map_or(0, |offset| offset as usize)
}

/// As attempts are compared: folded, sorted, each once.
fn folded(surnames: &[Spanned<String>]) -> Result<Box<[Box<str>]>, (Location, String)> {
    if surnames.len() > limits::FREQUENT_SURNAMES_MAX {
        let message = format!("at most {} frequent surnames", limits::FREQUENT_SURNAMES_MAX);
        return Err((surnames[0].referenced, message));
    }
    let mut all = Vec::with_capacity(surnames.len());
    for surname in surnames {
        let folded = name(&surname.value).value.canonical;
        if folded.is_empty() {
            return Err((surname.referenced, format!("`{}` is not a surname", surname.value)));
        }
        all.push(folded.into_boxed_str());
    }
    all.sort_unstable();
    all.dedup();
    Ok(all.into())
}

/// A matching in a book's stored form: all of it, so that it means the same whatever is shipped later.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct StoredMatching {
    numbers: BTreeMap<String, f64>,
    /// Folded.
    frequent_surnames: Vec<String>,
}

impl StoredMatching {
    /// `None` for the matching that a stored book without one means.
    pub(super) fn of(matching: &Matching) -> Option<StoredMatching> {
        let stored = || StoredMatching {
            numbers: matching.numbers().into_iter().collect(),
            frequent_surnames: matching.frequent_surnames.iter().map(|surname| surname.to_string()).collect(),
        };
        (*matching != Matching::default()).then(stored)
    }

    pub(super) fn to_matching(&self) -> Result<Matching, String> {
        let frequent_surnames = self.frequent_surnames.iter().map(|surname| surname.as_str().into()).collect();
        let mut matching = Matching { frequent_surnames, ..Matching::default() };
        for (key, slot) in matching.numbers_mut() {
            *slot = *self.numbers.get(&key).ok_or_else(|| format!("the matching has no `{key}`"))?;
        }
        match matching.problems().into_iter().next() {
            Some((key, message)) => Err(format!("{key}: {message}")),
            None => Ok(matching),
        }
    }
}
