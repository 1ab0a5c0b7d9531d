//! Candidate books beside the book in force: what each of them would have said about the same attempts.
//!
//! Evidence follows from the attempts alone, never from what a book decided, so candidates that look back equally far are judged on
//! links that are gathered once. A candidate has no cases, and nothing it says enters the state.

use std::sync::Arc;

use super::decide::Subject;
use super::decision::Verdict;
use super::evaluate::{confirmed, evidence};
use super::gather::{Gathered, Reach};
use super::rules::{LiveHit, RuleBook};
use super::state::{Attempt, State};

/// Books to be tried. Without any, deciding costs what it costs without this.
#[derive(Clone, Debug, Default)]
pub struct Candidates {
    groups: Vec<Group>,
    count: usize,
}

/// Candidates with the same longest window and matching: for them the links, and what hubs and saturated blocks do to them, are the
/// same.
#[derive(Clone, Debug)]
pub(super) struct Group {
    /// One of them.
    pub like: Arc<RuleBook>,
    /// Of all its books, ascending.
    windows: Vec<i64>,
    tried: Vec<Tried>,
}

#[derive(Clone, Debug)]
struct Tried {
    /// Of the candidate.
    number: usize,
    book: Arc<RuleBook>,
    /// The place of each of the book's windows among the group's.
    windows: Vec<usize>,
}

/// What one candidate says about one attempt.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trial {
    pub verdict: Verdict,
    /// The live rules that matched, strictest first: numbers in the candidate's book.
    pub live: Vec<LiveHit>,
    /// Over the window that a decision would report.
    pub attempts: u32,
    pub suspicious_attempts: u32,
    pub suspicion: f64,
}

/// What the candidates say about one record, parallel to the candidates; empty for records that nobody decides on.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Beside {
    pub own: Vec<Trial>,
    /// Of a late quote: what it would get as the newest of its tenant. The answer is the stricter of the two.
    pub as_newest: Vec<Trial>,
    /// Earlier decisions that the late quote brings anew.
    pub redecided: Vec<Redecided>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Redecided {
    /// Of the attempt.
    pub offset: u64,
    pub candidate: usize,
    pub trial: Trial,
}

impl Beside {
    /// What the submitter would have been told under a candidate.
    pub fn answer(&self, candidate: usize) -> Verdict {
        let of = |trials: &[Trial]| trials.get(candidate).map_or(Verdict::Accept, |trial| trial.verdict);
        of(&self.own).max(of(&self.as_newest))
    }
}

impl Candidates {
    /// Numbered in the order given.
    pub fn new(books: &[Arc<RuleBook>]) -> Candidates {
        let mut groups: Vec<Group> = Vec::new();
        for (number, book) in books.iter().enumerate() {
            let tried = Tried { number, book: book.clone(), windows: Vec::new() };
            match groups.iter_mut().find(|group| group.links_like(book)) {
                Some(group) => group.tried.push(tried),
                None => groups.push(Group { like: book.clone(), windows: Vec::new(), tried: vec![tried] }),
            }
        }
        groups.iter_mut().for_each(Group::number_windows);
        Candidates { groups, count: books.len() }
    }

    pub(super) fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// Judges the subject under every candidate. `gathered` is what was gathered for the book in force.
    pub(super) fn judge(&self, subject: &Subject, in_force: &RuleBook, gathered: &Gathered) -> Vec<Trial> {
        let mut trials = vec![Trial::default(); self.count];
        for group in &self.groups {
            let tell = |number: usize, trial: Trial| trials[number] = trial;
            if group.links_like(in_force) {
                group.judge(subject, gathered, tell);
            } else {
                group.judge(subject, &subject.gather(&group.like), tell);
            }
        }
        trials
    }
}

impl Group {
    fn links_like(&self, book: &RuleBook) -> bool {
        self.like.longest_live() == book.longest_live() && self.like.matching() == book.matching()
    }

    fn number_windows(&mut self) {
        self.windows = self.tried.iter().flat_map(|tried| tried.book.windows().iter().copied()).collect();
        self.windows.sort_unstable();
        self.windows.dedup();
        for tried in &mut self.tried {
            let place = |window: &i64| self.windows.binary_search(window).unwrap_or(0);
            tried.windows = tried.book.windows().iter().map(place).collect();
        }
    }

    pub(super) fn judge(&self, subject: &Subject, gathered: &Gathered, mut tell: impl FnMut(usize, Trial)) {
        let mut evidence = evidence(subject.attempt, subject.now(), gathered, &self.windows);
        let confirmed = confirmed(gathered, &evidence);
        let all = std::mem::take(&mut evidence.windows);
        for Tried { number, book, windows } in &self.tried {
            evidence.windows.clear();
            evidence.windows.extend(windows.iter().map(|at| all[*at].clone()));
            let evaluation = book.evaluate_without(&gathered.ruled.snoozed, &evidence);
            let reported = &evidence.windows[book.reported_window(&evaluation)];
            let trial = Trial {
                verdict: confirmed.map_or(evaluation.verdict, |confirmed| confirmed.verdict().max(evaluation.verdict)),
                attempts: reported.attempts,
                suspicious_attempts: reported.suspicious_attempts,
                suspicion: reported.suspicion,
                live: evaluation.live,
            };
            tell(*number, trial);
        }
    }
}

/// A live quote and the attempts that a book links to it, oldest first: those before it, or, `as_newest`, all that arrived. Empty when
/// the quote is not live.
pub fn linked(state: &State, tenant: &str, quote_id: &str, book: &RuleBook, as_newest: bool) -> Vec<Arc<Attempt>> {
    let Some(own) = state.live(tenant, quote_id) else { return Vec::new() };
    let keys = state.keys_of(&own.print);
    let reach = if as_newest { Reach::All } else { Reach::Earlier };
    let gathered = Subject { state, extra: None, attempt: own, keys: &keys, reach }.gather(book);
    let others = gathered.links.iter().map(|link| link.attempt).filter(|other| other.offset != own.offset);
    let mut linked: Vec<Arc<Attempt>> = others.chain([own]).cloned().collect();
    linked.sort_by(|a, b| a.order().cmp(&b.order()));
    linked
}
