//! What is known of recorded quotes: who was a tweaker, who was honest. Held whole in memory, about 16 bytes a label.

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};
use serde::Deserialize;

use crate::adapters::file;
use crate::engine::normalise::hash64;

/// One line: the truth of a generated workload, or `honest`, or an underwriter's `label`; other keys are not read.
#[derive(Deserialize)]
struct Line {
    quote_id: String,
    /// The person who submits; the quote alone where it is not given.
    actor: Option<String>,
    /// Tweaked versions of the facts so far, this one included and the first form not.
    suspicious: Option<u32>,
    manipulated: Option<bool>,
    honest: Option<bool>,
    label: Option<Disposition>,
}

/// What an underwriter found.
#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Disposition {
    Confirmed,
    Cleared,
}

impl Line {
    fn is_manipulated(&self) -> Result<bool> {
        let found =
            [self.manipulated, self.honest.map(|honest| !honest), self.label.map(|d| matches!(d, Disposition::Confirmed))];
        let mut given = found.into_iter().flatten();
        match (given.next(), given.next()) {
            (Some(manipulated), None) => Ok(manipulated),
            (None, _) => bail!("it says neither \"manipulated\" nor \"honest\" nor \"label\""),
            (Some(_), Some(_)) => bail!("it gives two of \"manipulated\", \"honest\" and \"label\""),
        }
    }
}

/// The label of one quote id.
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
            let manipulated = line.is_manipulated().with_context(|| format!("line {number}"))?;
            labels.counts_itself &= line.suspicious.is_none();
            let actor = match &line.actor {
                Some(actor) => hash64(actor.as_bytes()),
                None => !hash64(line.quote_id.as_bytes()),
            };
            let next = labels.actors.len() as u32;
            let actor = *by_actor.entry(actor).or_insert(next);
            if actor == next {
                labels.actors.push(Actor::default());
            }
            let suspicious = line.suspicious.unwrap_or(0).min(u32::from(u16::MAX)) as u16;
            let label = Label { id: hash64(line.quote_id.as_bytes()), actor, suspicious, manipulated, seen: false };
            labels.labels.push(label);
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

    /// The label of a quote that has just been decided.
    pub fn meet(&mut self, quote_id: &str) -> Option<Met> {
        let at = self.labels.binary_search_by_key(&hash64(quote_id.as_bytes()), |label| label.id).ok()?;
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
        let told = ["a", "b", "c", "d", "e", "f"].map(|id| labels.meet(id).map(|met| (met.manipulated, met.nth)));
        assert_eq!(told, [Some((true, 2)), Some((true, 5)), Some((false, 1)), Some((true, 1)), Some((false, 1)), None]);
        assert_eq!((labels.actors[0].suspicious, labels.actors[0].seen), (5, 2));
        assert_eq!((labels.count(), labels.unknown()), (5, 0));
    }

    #[test]
    fn plain_labels_count_the_quotes_of_an_applicant() {
        let text = (0..4).map(|i| format!("{{\"quote_id\":\"q{i}\",\"actor\":\"x\",\"honest\":false}}\n")).collect::<String>();
        let mut labels = Labels::parse(text.as_bytes()).expect("sound labels");
        assert_eq!([0, 1, 2, 3].map(|i| labels.meet(&format!("q{i}")).map(|met| met.nth)), [Some(1), Some(1), Some(2), Some(3)]);
        assert_eq!(labels.actors[0].suspicious, 3);
    }

    #[test]
    fn bad_labels_name_their_line() {
        for (text, said) in [
            ("{\"quote_id\":\"a\"}", "line 1: it says neither"),
            ("\n{\"quote_id\":\"a\",\"honest\":true,\"label\":\"cleared\"}", "line 2: it gives two"),
            ("{\"quote_id\":\"a\",\"label\":\"perhaps\"}", "line 1: unknown variant `perhaps`"),
            ("{\"honest\":true}", "line 1: missing field `quote_id`"),
            ("", "it holds no label"),
        ] {
            let error = format!("{:#}", Labels::parse(text.as_bytes()).expect_err(text));
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}
