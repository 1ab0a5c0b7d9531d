//! The figures of a run: what `--json` writes, the page shows and the table sums up. The shape is described in docs/backtest.md.

use serde::Serialize;

use super::books::{Candidate, Step, shown};
use super::examples::{Example, Examples, Matrix, shown_time};
use super::labels::{Actor, Labels};
use super::tally::{Counts, DayCount, ELIGIBLE, Records, Tally};
use crate::contract::decision::ENGINE_VERSION;
use crate::engine::decision::RuleBookRef;
use crate::engine::time::{DAY, EventTime};

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figures {
    pub engine: &'static str,
    pub history: History,
    pub labels: Option<LabelFigures>,
    pub baseline: Book,
    pub candidates: Vec<Book>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct History {
    pub records: u64,
    pub decided: u64,
    pub duplicates: u64,
    pub rejected: u64,
    /// Under the baseline.
    pub amendments: u64,
    /// Event times, UTC.
    pub from: String,
    pub to: String,
    pub days: f64,
    pub live_attempts_max: usize,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LabelFigures {
    pub labels: usize,
    /// Labels whose quote was not in the history.
    pub unknown: usize,
    /// Decided quotes without a label.
    pub unlabelled: u64,
    /// Applicants with a quote in the history.
    pub tweakers: u64,
    /// Tweakers with at least three suspicious attempts.
    pub eligible: u64,
    pub honest: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Book {
    pub name: String,
    /// The last one in force, for the baseline.
    pub rule_book: Option<BookRef>,
    pub sweep: Option<SweepStep>,
    pub told: Verdicts,
    pub standing: Verdicts,
    pub amended_to_refer: u64,
    pub referrals_per_day: f64,
    pub applicants_referred: u64,
    pub premium_protected: f64,
    pub days: Vec<Day>,
    pub rules: Vec<RuleHits>,
    pub labelled: Option<Labelled>,
    /// Of a candidate.
    pub overlap: Option<Overlap>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct BookRef {
    pub version: u32,
    pub hash: String,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct SweepStep {
    pub param: String,
    pub value: String,
    pub default: String,
    #[serde(skip)]
    pub order: (f64, f64),
}

#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Verdicts {
    pub accept: u64,
    pub flag: u64,
    pub refer: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Day {
    pub day: String,
    pub referred: u64,
    pub premium_protected: f64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleHits {
    pub rule: String,
    pub decisions: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Labelled {
    pub quotes: Confusion,
    pub applicants: Confusion,
    /// Share of the eligible tweakers first referred at their 1st, by their 2nd ... 8th suspicious attempt, per cent.
    pub catch_by_pct: Vec<f64>,
    pub honest_referred: u64,
    pub honest_referred_pct: f64,
    /// 95 %, Wilson.
    pub honest_referred_interval_pct: [f64; 2],
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Confusion {
    pub manipulated_referred: u64,
    pub manipulated_passed: u64,
    pub honest_referred: u64,
    pub honest_passed: u64,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Overlap {
    pub both: u64,
    pub only_baseline: u64,
    pub only_candidate: u64,
    pub newly_referred: Vec<Shown>,
    pub no_longer_referred: Vec<Shown>,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Shown {
    pub quote_id: String,
    pub tenant: String,
    pub submitted_at: String,
    pub baseline: &'static str,
    pub candidate: &'static str,
    pub rules: Vec<String>,
    pub suspicious_attempts: u32,
    pub suspicion: f64,
    pub matrix: Matrix,
}

impl Figures {
    /// Personal data in the examples is masked unless `is_open`.
    pub fn new(tally: &Tally, baseline: (String, Option<RuleBookRef>), candidates: &[Candidate], is_open: bool) -> Figures {
        let days = history_days(&tally.records);
        let book = |number: usize, name: String| book(&tally.counts[number], number, name, days, tally.labels.as_ref());
        let tried = candidates.iter().zip(&tally.examples).enumerate().map(|(i, (candidate, examples))| Book {
            rule_book: Some(reference(&candidate.book.reference())),
            sweep: candidate.step.as_ref().map(sweep_step),
            overlap: Some(overlap(&tally.counts[i + 1], examples, is_open)),
            ..book(i + 1, candidate.name.clone())
        });
        let (name, in_force) = baseline;
        Figures {
            engine: ENGINE_VERSION,
            history: history(&tally.records, days),
            labels: tally.labels.as_ref().map(|labels| label_figures(labels, tally.records.unlabelled)),
            baseline: Book { rule_book: in_force.as_ref().map(reference), ..book(0, name) },
            candidates: tried.collect(),
        }
    }

    /// The baseline first.
    pub fn books(&self) -> impl Iterator<Item = &Book> {
        std::iter::once(&self.baseline).chain(&self.candidates)
    }
}

/// Between the first and the last event time, at least one.
fn history_days(records: &Records) -> f64 {
    let (first, last) = (records.first.unwrap_or_default().0, records.last.unwrap_or_default().0);
    ((last - first) as f64 / DAY as f64).max(1.0)
}

fn history(records: &Records, days: f64) -> History {
    History {
        records: records.records,
        decided: records.decided,
        duplicates: records.duplicates,
        rejected: records.rejected,
        amendments: records.amendments,
        from: records.first.map_or_else(String::new, shown_time),
        to: records.last.map_or_else(String::new, shown_time),
        days: round(days),
        live_attempts_max: records.live_attempts_max,
    }
}

fn label_figures(labels: &Labels, unlabelled: u64) -> LabelFigures {
    let seen = || labels.actors.iter().filter(|actor| actor.seen > 0);
    let count = |is: fn(&Actor) -> bool| seen().filter(|actor| is(actor)).count() as u64;
    LabelFigures {
        labels: labels.count(),
        unknown: labels.unknown(),
        unlabelled,
        tweakers: count(|actor| actor.manipulated),
        eligible: count(|actor| actor.manipulated && actor.suspicious >= ELIGIBLE),
        honest: count(|actor| !actor.manipulated),
    }
}

fn reference(book: &RuleBookRef) -> BookRef {
    BookRef { version: book.version, hash: format!("{:016x}", book.hash) }
}

fn sweep_step(step: &Step) -> SweepStep {
    SweepStep {
        param: step.param.clone(),
        value: shown(step.value),
        default: shown(step.default),
        order: (step.value.order(), step.default.order()),
    }
}

fn book(counts: &Counts, number: usize, name: String, days: f64, labels: Option<&Labels>) -> Book {
    let verdicts = |[accept, flag, refer]: [u64; 3]| Verdicts { accept, flag, refer };
    let day = |(day, count): (&i64, &DayCount)| Day {
        day: shown_time(EventTime(day * DAY)).get(..10).unwrap_or_default().to_owned(),
        referred: count.referred,
        premium_protected: round(count.protected),
    };
    Book {
        name,
        rule_book: None,
        sweep: None,
        told: verdicts(counts.told),
        standing: verdicts(counts.last),
        amended_to_refer: counts.amended_to_refer,
        referrals_per_day: round(counts.told[2] as f64 / days),
        applicants_referred: counts.applicants_referred,
        premium_protected: round(counts.days.values().map(|day| day.protected).sum()),
        days: counts.days.iter().map(day).collect(),
        rules: counts.rules.iter().map(|(rule, hits)| RuleHits { rule: rule.to_string(), decisions: *hits }).collect(),
        labelled: labels.map(|labels| labelled(counts, number, labels)),
        overlap: None,
    }
}

fn labelled(counts: &Counts, number: usize, labels: &Labels) -> Labelled {
    let [honest, manipulated] = counts.labelled;
    let mut applicants = Confusion::default();
    for actor in labels.actors.iter().filter(|actor| actor.seen > 0) {
        *match (actor.manipulated, actor.referred >> number & 1 != 0) {
            (true, true) => &mut applicants.manipulated_referred,
            (true, false) => &mut applicants.manipulated_passed,
            (false, true) => &mut applicants.honest_referred,
            (false, false) => &mut applicants.honest_passed,
        } += 1;
    }
    let eligible = label_figures(labels, 0).eligible;
    let mut caught = 0;
    let catch_by = counts.caught_at.iter().map(|at| {
        caught += at;
        percent(caught, eligible)
    });
    let catch_by_pct = catch_by.collect();
    let honest_actors = applicants.honest_referred + applicants.honest_passed;
    let (low, high) = wilson(applicants.honest_referred, honest_actors);
    Labelled {
        quotes: Confusion {
            manipulated_referred: manipulated[1],
            manipulated_passed: manipulated[0],
            honest_referred: honest[1],
            honest_passed: honest[0],
        },
        applicants,
        catch_by_pct,
        honest_referred: applicants.honest_referred,
        honest_referred_pct: percent(applicants.honest_referred, honest_actors),
        honest_referred_interval_pct: [round(low * 100.0), round(high * 100.0)],
    }
}

fn overlap(counts: &Counts, examples: &[Examples; 2], is_open: bool) -> Overlap {
    let [both, only_baseline, only_candidate] = counts.overlap;
    let list = |examples: &Examples| examples.shown().into_iter().map(|example| example_figures(example, is_open)).collect();
    let [new, gone] = examples;
    Overlap { both, only_baseline, only_candidate, newly_referred: list(new), no_longer_referred: list(gone) }
}

fn example_figures(example: &Example, is_open: bool) -> Shown {
    Shown {
        quote_id: example.quote_id.to_string(),
        tenant: example.tenant.to_string(),
        submitted_at: shown_time(example.event_time),
        baseline: example.baseline.name(),
        candidate: example.candidate.name(),
        rules: example.rules.iter().map(ToString::to_string).collect(),
        suspicious_attempts: example.suspicious_attempts,
        suspicion: example.suspicion,
        matrix: Matrix::new(example, is_open),
    }
}

fn percent(hits: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { round(hits as f64 * 100.0 / of as f64) }
}

/// Three decimals.
fn round(x: f64) -> f64 {
    (x * 1_000.0).round() / 1_000.0
}

/// The 95 % score interval of a share (Wilson 1927); (0, 1) for nothing seen.
fn wilson(hits: u64, of: u64) -> (f64, f64) {
    const Z: f64 = 1.959_964;
    if of == 0 {
        return (0.0, 1.0);
    }
    let (n, p) = (of as f64, hits as f64 / of as f64);
    let centre = p + Z * Z / (2.0 * n);
    let spread = Z * (p * (1.0 - p) / n + Z * Z / (4.0 * n * n)).sqrt();
    let scale = 1.0 + Z * Z / n;
    (((centre - spread) / scale).max(0.0), ((centre + spread) / scale).min(1.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_intervals() {
        for (hits, of, low, high) in
            [(0, 0, 0.0, 1.0), (0, 100, 0.0, 0.0370), (1, 10, 0.0179, 0.4042), (50, 100, 0.4038, 0.5962), (10, 10, 0.7225, 1.0)]
        {
            let (l, h) = wilson(hits, of);
            assert!((l - low).abs() < 5e-5 && (h - high).abs() < 5e-5, "{hits} of {of}: {l} {h}");
        }
    }
}
