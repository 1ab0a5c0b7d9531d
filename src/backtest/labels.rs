//! What is known of recorded quotes: who was a tweaker, who was honest. Held whole in memory, about 16 bytes a label.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::adapters::file;
use crate::contract::ruling::{RulingKindV1, RulingV1};
use crate::engine::normalise::hash64;

/// One line: the truth of a generated workload, or `honest`, or an underwriter's disposition of a quote or a case; other keys are not
/// read.
#[derive(Deserialize)]
struct Line {
    quote_id: Option<String>,
    /// All of one case.
    #[serde(default)]
    quote_ids: Vec<String>,
    /// With no quote beside it: every quote that the baseline puts into it.
    #[serde(alias = "referral_id")]
    case: Option<String>,
    /// The person who submits; the case, else the quote alone where it is not given.
    actor: Option<String>,
    /// Tweaked versions of the facts so far, this one included and the first form not.
    suspicious: Option<u32>,
    manipulated: Option<bool>,
    honest: Option<bool>,
    #[serde(alias = "disposition")]
    label: Option<Disposition>,
}

/// What an underwriter found.
#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Disposition {
    Confirmed,
    Cleared,
    /// Nothing yet.
    ProofRequested,
    Open,
}

impl Line {
    /// `None` where an underwriter has not decided yet.
    fn is_manipulated(&self) -> Result<Option<bool>> {
        if matches!(self.label, Some(Disposition::ProofRequested | Disposition::Open)) {
            return Ok(None);
        }
        let label = self.label.map(|label| label == Disposition::Confirmed);
        let mut given = [self.manipulated, self.honest.map(|honest| !honest), label].into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(manipulated), None) => Ok(Some(manipulated)),
            (None, _) => bail!("it says neither \"manipulated\" nor \"honest\" nor \"disposition\""),
            (Some(_), Some(_)) => bail!("it gives two of \"manipulated\", \"honest\" and \"disposition\""),
        }
    }

    /// What it is about, and who.
    fn subjects(&self) -> Result<(Vec<u64>, u64)> {
        let named = self.quote_id.iter().chain(&self.quote_ids);
        let mut ids: Vec<u64> = named.map(|id| hash64(id.as_bytes())).collect();
        let case = self.case.as_deref().map(of_case);
        if ids.is_empty() {
            ids.extend(case);
        }
        let Some(first) = ids.first() else { bail!("it names no quote: give \"quote_id\", \"quote_ids\" or \"case\"") };
        let actor = self.actor.as_ref().map(|actor| hash64(actor.as_bytes()));
        Ok((ids.clone(), actor.or(case).unwrap_or(!first)))
    }
}

/// A case among the ids of quotes.
fn of_case(case: &str) -> u64 {
    hash64(format!("case\0{case}").as_bytes())
}

/// The label of one quote id, or of a case.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Label {
    id: u64,
    actor: u32,
    suspicious: u16,
    manipulated: bool,
    seen: bool,
}

/// A labelled applicant.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Actor {
    /// One of his labels says so.
    pub manipulated: bool,
    /// The most that his labels tell; where they do not, his quotes less one.
    pub suspicious: u16,
    quotes: u16,
    /// Of his quotes in the history.
    pub seen: u16,
    /// Bit per book: he was told to contact the underwriter.
    pub referred: u128,
}

#[derive(Debug, Default)]
pub struct Labels {
    /// By id.
    labels: Vec<Label>,
    pub actors: Vec<Actor>,
    counts_itself: bool,
}

/// A labelled quote that was met.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Met {
    pub actor: u32,
    pub manipulated: bool,
    /// Which suspicious attempt of his this is, at the least 1.
    pub nth: u16,
}

impl Labels {
    /// # Errors
    /// A file that cannot be read, and a line that is no label, with its number.
    pub fn read(path: &Path) -> Result<Labels> {
        let input = file::open(path, |_| {}).with_context(|| format!("--labels {}", path.display()))?;
        Labels::parse(BufReader::new(input)).with_context(|| format!("--labels {}", path.display()))
    }

    fn parse(input: impl BufRead) -> Result<Labels> {
        let mut labels = Labels { counts_itself: true, ..Labels::default() };
        let mut by_actor: HashMap<u64, u32> = HashMap::new();
        for (number, line) in (1..).zip(input.lines()) {
            let line = line?;
            if line.trim().is_empty() {
                continue;
            }
            let line: Line = serde_json::from_str(&line).map_err(|error| anyhow!("line {number}: {error}"))?;
            let at = || format!("line {number}");
            let (ids, actor) = line.subjects().with_context(at)?;
            let Some(manipulated) = line.is_manipulated().with_context(at)? else { continue };
            labels.counts_itself &= line.suspicious.is_none();
            let next = labels.actors.len() as u32;
            let actor = *by_actor.entry(actor).or_insert(next);
            if actor == next {
                labels.actors.push(Actor::default());
            }
            let suspicious = line.suspicious.unwrap_or(0).min(u32::from(u16::MAX)) as u16;
            labels.labels.extend(ids.into_iter().map(|id| Label { id, actor, suspicious, manipulated, seen: false }));
        }
        labels.settle()
    }

    /// The last word on each case; one that was reopened, or of which nothing was found yet, says nothing.
    ///
    /// # Errors
    /// No case was cleared or confirmed.
    pub fn ruled(rulings: impl IntoIterator<Item = RulingV1>) -> Result<Labels> {
        let mut cases: BTreeMap<String, (bool, Vec<String>)> = BTreeMap::new();
        for ruling in rulings {
            let Some(case) = ruling.case else { continue };
            match ruling.kind {
                RulingKindV1::Cleared => drop(cases.insert(case, (false, ruling.quote_ids))),
                RulingKindV1::Confirmed => drop(cases.insert(case, (true, ruling.quote_ids))),
                RulingKindV1::Reopened => drop(cases.remove(&case)),
                RulingKindV1::ProofRequested | RulingKindV1::Snooze | RulingKindV1::Erased => {}
            }
        }
        let mut labels = Labels { counts_itself: true, ..Labels::default() };
        for (manipulated, ids) in cases.into_values() {
            let actor = labels.actors.len() as u32;
            labels.actors.push(Actor::default());
            let ids = ids.iter().map(|id| hash64(id.as_bytes()));
            labels.labels.extend(ids.map(|id| Label { id, actor, suspicious: 0, manipulated, seen: false }));
        }
        labels.settle()
    }

    /// Sorts them, and sums up what is known of each actor.
    fn settle(mut self) -> Result<Labels> {
        if self.labels.is_empty() {
            bail!("it holds no label");
        }
        // Of two labels for one quote the later line counts.
        self.labels.reverse();
        self.labels.sort_by_key(|label| label.id);
        self.labels.dedup_by_key(|label| label.id);
        for label in &self.labels {
            let actor = &mut self.actors[label.actor as usize];
            actor.manipulated |= label.manipulated;
            actor.quotes = actor.quotes.saturating_add(1);
            let so_far = if self.counts_itself { actor.quotes - 1 } else { label.suspicious };
            actor.suspicious = actor.suspicious.max(so_far);
        }
        Ok(self)
    }

    pub fn count(&self) -> usize {
        self.labels.len()
    }

    /// Labels whose quotes were not in the history.
    pub fn unknown(&self) -> usize {
        self.labels.iter().filter(|label| !label.seen).count()
    }

    /// The label of a quote that has just been decided, or of the case it is in.
    pub fn meet(&mut self, quote_id: &str, case: Option<&str>) -> Option<Met> {
        let find = |id: u64| self.labels.binary_search_by_key(&id, |label| label.id).ok();
        let at = find(hash64(quote_id.as_bytes())).or_else(|| find(of_case(case?)))?;
        let label = &mut self.labels[at];
        let actor = &mut self.actors[label.actor as usize];
        if !std::mem::replace(&mut label.seen, true) {
            actor.seen = actor.seen.saturating_add(1);
        }
        let nth = if self.counts_itself { actor.seen.saturating_sub(1) } else { label.suspicious };
        Some(Met { actor: label.actor, manipulated: label.manipulated, nth: nth.max(1) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_ways_to_label_a_quote() {
        let text = r#"{"quote_id":"a","actor":"x","manipulated":true,"suspicious":2,"class":"manipulated"}
{"quote_id":"b","actor":"x","manipulated":true,"suspicious":5}

{"quote_id":"c","honest":true}
{"quote_id":"d","label":"confirmed"}
{"quote_id":"e","label":"confirmed"}
{"quote_id":"e","label":"cleared"}
"#;
        let mut labels = Labels::parse(text.as_bytes()).expect("sound labels");
        let told = ["a", "b", "c", "d", "e", "f"].map(|id| labels.meet(id, None).map(|met| (met.manipulated, met.nth)));
        assert_eq!(told, [Some((true, 2)), Some((true, 5)), Some((false, 1)), Some((true, 1)), Some((false, 1)), None]);
        assert_eq!((labels.actors[0].suspicious, labels.actors[0].seen), (5, 2));
        assert_eq!((labels.count(), labels.unknown()), (5, 0));
    }

    #[test]
    fn dispositions_label_quotes_and_cases() {
        let text = r#"{"quote_id":"a","disposition":"confirmed"}
{"referral_id":"R-1","status":"closed","quote_ids":["b","c"],"disposition":"cleared"}
{"case":"R-2","disposition":"confirmed"}
{"case":"R-3","quote_ids":["d"],"disposition":"proof_requested"}
{"case":"R-4","disposition":"open"}
"#;
        let mut labels = Labels::parse(text.as_bytes()).expect("sound labels");
        let told =
            [("a", None), ("b", Some("R-1")), ("c", Some("R-2")), ("e", Some("R-2")), ("f", Some("R-2")), ("d", Some("R-3"))]
                .map(|(id, case)| labels.meet(id, case).map(|met| (met.manipulated, met.actor)));
        assert_eq!(told, [Some((true, 0)), Some((false, 1)), Some((false, 1)), Some((true, 2)), Some((true, 2)), None]);
        assert_eq!((labels.count(), labels.unknown(), labels.actors.len()), (4, 0, 3));
    }

    #[test]
    fn plain_labels_count_the_quotes_of_an_applicant() {
        let text = (0..4).map(|i| format!("{{\"quote_id\":\"q{i}\",\"actor\":\"x\",\"honest\":false}}\n")).collect::<String>();
        let mut labels = Labels::parse(text.as_bytes()).expect("sound labels");
        assert_eq!(
            [0, 1, 2, 3].map(|i| labels.meet(&format!("q{i}"), None).map(|met| met.nth)),
            [Some(1), Some(1), Some(2), Some(3)]
        );
        assert_eq!(labels.actors[0].suspicious, 3);
    }

    #[test]
    fn bad_labels_name_their_line() {
        for (text, said) in [
            ("{\"quote_id\":\"a\"}", "line 1: it says neither"),
            ("\n{\"quote_id\":\"a\",\"honest\":true,\"label\":\"cleared\"}", "line 2: it gives two"),
            ("{\"quote_id\":\"a\",\"label\":\"perhaps\"}", "line 1: unknown variant `perhaps`"),
            ("{\"honest\":true}", "line 1: it names no quote"),
            ("", "it holds no label"),
        ] {
            let error = format!("{:#}", Labels::parse(text.as_bytes()).expect_err(text));
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
