//! Counts while the history passes. What is kept of a quote goes when its attempt expires; what stays are sums.
//!
//! Books are bits: the baseline is bit 0, candidate `i` is bit `i + 1`.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use super::examples::{Example, Examples};
use super::labels::{Labels, Met};
use crate::engine::beside::{Beside, Trial, linked};
use crate::engine::decision::{Decision, Verdict};
use crate::engine::rules::RuleBook;
use crate::engine::state::State;
use crate::engine::step::{Outcome, Step};
use crate::engine::time::{DAY, EventTime};

/// Suspicious attempts up to which a catch is told apart.
pub const NTH_MAX: usize = 8;
/// Suspicious attempts that make a labelled tweaker one that the rules should catch.
pub const ELIGIBLE: u16 = 3;

/// Bit per book.
pub type Bits = u128;

/// One verdict of each book.
#[derive(Clone, Copy, Default)]
struct Verdicts {
    flag: Bits,
    refer: Bits,
}

impl Verdicts {
    fn of(&self, book: usize) -> Verdict {
        match (self.refer >> book & 1, self.flag >> book & 1) {
            (1, _) => Verdict::Refer,
            (_, 1) => Verdict::Flag,
            _ => Verdict::Accept,
        }
    }

    fn set(&mut self, book: usize, verdict: Verdict) {
        let bit = 1 << book;
        self.flag = if verdict == Verdict::Flag { self.flag | bit } else { self.flag & !bit };
        self.refer = if verdict == Verdict::Refer { self.refer | bit } else { self.refer & !bit };
    }
}

/// What is kept of an attempt that may still be amended.
struct Held {
    offset: u64,
    event_time: EventTime,
    /// Told to contact the underwriter.
    told: Bits,
    last: Verdicts,
    /// Labelled as manipulated, or as honest.
    manipulated: Option<bool>,
}

/// Sums of one book.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Counts {
    /// Quotes by what the submitter was told, and by the decision that stands: accept, flag, refer.
    pub told: [u64; 3],
    pub last: [u64; 3],
    /// Told another answer, and referred by an amendment.
    pub amended_to_refer: u64,
    pub applicants_referred: u64,
    /// Labelled quotes by the decision that stands: manipulated or not, referred or not.
    pub labelled: [[u64; 2]; 2],
    /// Eligible tweakers by the suspicious attempt at which they were first referred, from 1; later ones are not counted.
    pub caught_at: [u64; NTH_MAX],
    /// Quotes told to contact the underwriter by both, by the baseline alone, by this book alone.
    pub overlap: [u64; 3],
    /// Decisions by the rules that gave a reason.
    pub rules: BTreeMap<Box<str>, u64>,
    /// By day since 1970: quotes referred, and how far the price had fallen.
    pub days: BTreeMap<i64, DayCount>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DayCount {
    pub referred: u64,
    pub protected: f64,
}

/// What became of the records, whatever the book.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Records {
    pub records: u64,
    pub decided: u64,
    pub duplicates: u64,
    pub rejected: u64,
    pub amendments: u64,
    pub unlabelled: u64,
    pub first: Option<EventTime>,
    pub last: Option<EventTime>,
    /// The most live attempts at a time.
    pub live_attempts_max: usize,
}

pub struct Tally {
    /// Of the candidates.
    books: Vec<Arc<RuleBook>>,
    pub labels: Option<Labels>,
    pub records: Records,
    /// The baseline first.
    pub counts: Vec<Counts>,
    /// Quotes that only the candidate refers, and that only the baseline refers, for each candidate.
    pub examples: Vec<[Examples; 2]>,
    /// In order of offset.
    held: VecDeque<Held>,
}

impl Tally {
    pub fn new(books: Vec<Arc<RuleBook>>, labels: Option<Labels>) -> Tally {
        Tally {
            counts: vec![Counts::default(); books.len() + 1],
            examples: books.iter().map(|_| Default::default()).collect(),
            labels,
            records: Records::default(),
            held: VecDeque::new(),
            books,
        }
    }

    /// Another log begins, whose offsets say nothing of those before.
    pub fn next_log(&mut self) {
        self.held.clear();
    }

    /// A record that was no quote.
    pub fn skip(&mut self) {
        self.records.rejected += 1;
    }

    /// Counts one record, after it was applied to the state.
    pub fn take(&mut self, step: &Step, beside: &Beside, state: &State) {
        self.records.records += 1;
        match step.outcome {
            Outcome::Duplicate(_) => self.records.duplicates += 1,
            Outcome::IdReused(_) | Outcome::TooOld { .. } | Outcome::TimeJump { .. } => self.records.rejected += 1,
            Outcome::Decided | Outcome::Applied => {}
        }
        let Some((own, amendments)) = step.decisions.split_first() else { return };
        self.forget(state.held_from());
        self.records.live_attempts_max = self.records.live_attempts_max.max(state.live_attempts());
        self.decided(own, beside, state);
        self.records.amendments += amendments.len() as u64;
        for amendment in amendments {
            self.amend(amendment.position.offset, 0, amendment.verdict);
        }
        for again in &beside.redecided {
            self.amend(again.offset, again.candidate + 1, again.trial.verdict);
        }
    }

    fn forget(&mut self, horizon: EventTime) {
        while self.held.front().is_some_and(|first| first.event_time < horizon) {
            self.held.pop_front();
        }
    }

    fn decided(&mut self, own: &Decision, beside: &Beside, state: &State) {
        let (mut told, mut last) = (Verdicts::default(), Verdicts::default());
        told.set(0, own.answer);
        last.set(0, own.verdict);
        for (candidate, trial) in beside.own.iter().enumerate() {
            told.set(candidate + 1, beside.answer(candidate));
            last.set(candidate + 1, trial.verdict);
        }
        let case = own.referral_id.map(|case| case.to_string());
        let met = self.labels.as_mut().and_then(|labels| labels.meet(&own.quote_id, case.as_deref()));
        let records = &mut self.records;
        records.decided += 1;
        records.unlabelled += u64::from(met.is_none());
        records.first = Some(records.first.map_or(own.event_time, |first| first.min(own.event_time)));
        records.last = records.last.max(Some(own.event_time));
        let manipulated = met.map(|met| met.manipulated);
        for (book, counts) in self.counts.iter_mut().enumerate() {
            counts.told[told.of(book) as usize] += 1;
            counts.stand(last.of(book), manipulated, 1);
        }
        self.count_rules(own, beside);
        if told.refer != 0 {
            self.referred(own, told.refer, met, state);
            self.exemplify(own, beside, told.refer, state);
        }
        let held = Held { offset: own.position.offset, event_time: own.event_time, told: told.refer, last, manipulated };
        self.held.push_back(held);
    }

    fn count_rules(&mut self, own: &Decision, beside: &Beside) {
        for reason in &own.reasons {
            count(&mut self.counts[0].rules, &reason.rule);
        }
        for (number, trial) in beside.own.iter().enumerate() {
            for hit in &trial.live {
                count(&mut self.counts[number + 1].rules, &self.books[number].live_rule(*hit).id);
            }
        }
    }

    /// Some books tell the submitter to contact the underwriter.
    fn referred(&mut self, own: &Decision, refer: Bits, met: Option<Met>, state: &State) {
        let earlier = own.linked.iter().filter_map(|other| state.live(&own.tenant, &other.quote_id));
        let (mut known, mut dearest): (Bits, f64) = (0, 0.0);
        for attempt in earlier {
            dearest = dearest.max(attempt.print.premium);
            if met.is_none() {
                known |= self.held_at(attempt.offset).map_or(0, |held| held.told);
            }
        }
        let labelled = self.labels.as_mut().zip(met).map(|(labels, met)| (&mut labels.actors[met.actor as usize], met.nth));
        let mut caught_at = None;
        if let Some((actor, nth)) = labelled {
            known = actor.referred;
            actor.referred |= refer;
            let is_eligible = actor.manipulated && actor.suspicious >= ELIGIBLE && usize::from(nth) <= NTH_MAX;
            caught_at = is_eligible.then(|| usize::from(nth) - 1);
        }
        let premium = state.live(&own.tenant, &own.quote_id).map_or(-1.0, |attempt| attempt.print.premium);
        let fall = if premium < 0.0 { 0.0 } else { (dearest - premium).max(0.0) };
        let baseline = refer & 1 != 0;
        for (book, counts) in self.counts.iter_mut().enumerate() {
            let is_referred = refer >> book & 1 != 0;
            match (baseline, is_referred) {
                (true, true) => counts.overlap[0] += 1,
                (true, false) => counts.overlap[1] += 1,
                (false, true) => counts.overlap[2] += 1,
                (false, false) => {}
            }
            if !is_referred {
                continue;
            }
            let day = counts.days.entry(own.event_time.0.div_euclid(DAY)).or_default();
            day.referred += 1;
            if known >> book & 1 == 0 {
                counts.applicants_referred += 1;
                day.protected += fall;
                if let Some(nth) = caught_at {
                    counts.caught_at[nth] += 1;
                }
            }
        }
    }

    /// Keeps quotes that a candidate and the baseline refer differently, if they belong to the few that are shown.
    fn exemplify(&mut self, own: &Decision, beside: &Beside, refer: Bits, state: &State) {
        let baseline = refer & 1;
        for (candidate, examples) in self.examples.iter_mut().enumerate() {
            let tried = refer >> (candidate + 1) & 1;
            if tried == baseline {
                continue;
            }
            let Some(place) = examples[usize::from(tried == 0)].place(own) else { continue };
            let strictest = strictest(beside, candidate);
            let (book, as_newest) = (&self.books[candidate], tried == 1 && strictest.1);
            let rules = if tried == 1 {
                strictest.0.live.iter().map(|hit| self.books[candidate].live_rule(*hit).id.clone()).collect()
            } else {
                own.reasons.iter().map(|reason| reason.rule.clone()).collect()
            };
            place.put(Example {
                quote_id: own.quote_id.clone(),
                tenant: own.tenant.clone(),
                event_time: own.event_time,
                baseline: own.answer,
                candidate: beside.answer(candidate),
                rules,
                suspicious_attempts: if tried == 1 { strictest.0.suspicious_attempts } else { own.suspicious_attempts },
                suspicion: if tried == 1 { strictest.0.suspicion } else { own.suspicion },
                attempts: linked(state, &own.tenant, &own.quote_id, book, as_newest),
            });
        }
    }

    fn held_at(&self, offset: u64) -> Option<&Held> {
        self.held.get(self.held.binary_search_by_key(&offset, |held| held.offset).ok()?)
    }

    fn amend(&mut self, offset: u64, book: usize, verdict: Verdict) {
        let Ok(at) = self.held.binary_search_by_key(&offset, |held| held.offset) else { return };
        let held = &mut self.held[at];
        let before = held.last.of(book);
        if before == verdict {
            return;
        }
        held.last.set(book, verdict);
        let counts = &mut self.counts[book];
        counts.stand(before, held.manipulated, -1);
        counts.stand(verdict, held.manipulated, 1);
        if held.told >> book & 1 == 0 {
            let change = i64::from(verdict == Verdict::Refer) - i64::from(before == Verdict::Refer);
            counts.amended_to_refer = counts.amended_to_refer.saturating_add_signed(change);
        }
    }
}

/// What led to a candidate's answer, and whether that is what the quote would get as the newest.
fn strictest(beside: &Beside, candidate: usize) -> (&Trial, bool) {
    let own = &beside.own[candidate];
    match beside.as_newest.get(candidate) {
        Some(newest) if newest.verdict > own.verdict => (newest, true),
        _ => (own, false),
    }
}

fn count(rules: &mut BTreeMap<Box<str>, u64>, id: &str) {
    match rules.get_mut(id) {
        Some(hits) => *hits += 1,
        None => drop(rules.insert(id.into(), 1)),
    }
}

impl Counts {
    /// A decision begins to stand, or no longer does.
    fn stand(&mut self, verdict: Verdict, manipulated: Option<bool>, change: i64) {
        let add = |count: &mut u64| *count = count.saturating_add_signed(change);
        add(&mut self.last[verdict as usize]);
        if let Some(manipulated) = manipulated {
            add(&mut self.labelled[usize::from(manipulated)][usize::from(verdict == Verdict::Refer)]);
        }
    }
}
