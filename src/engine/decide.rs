//! `decide`: one record and the state in, a step out. Pure.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::beside::{Beside, Candidates, Redecided, Trial};
use super::blocking::{KEYS_MAX, Key, derive};
use super::decision::{Cause, Decision, Flag, Flags, ReferralId, RuleBookRef, Verdict};
use super::delta::{Amended, Delta};
use super::evaluate::{Evaluated, evaluate};
use super::fingerprint::Fingerprint;
use super::gather::{Extra, Gathered, Reach, View};
use super::later::Later;
use super::quote::{Position, Quote};
use super::rules::RuleBook;
use super::rules::source::ApplicantText;
use super::rulings::Ruling;
use super::state::{Attempt, Standing, State, id_hash};
use super::step::{ArrivalClock, Gauges, Input, LoggedQuote, Outcome, Step};
use super::time::{Arrivals, EventTime, SECOND};

/// A quote made ready without any state: safe to do in parallel.
#[derive(Clone, Debug, PartialEq)]
pub struct Prepared {
    pub print: Fingerprint,
    pub submitted_at: EventTime,
    pub body_hash: u128,
    /// Blocking keys of the print, not yet placed in a log.
    pub keys: Arc<[Key]>,
}

impl Prepared {
    pub fn new(quote: &Quote) -> Prepared {
        let print = Fingerprint::new(quote);
        let mut keys = Vec::with_capacity(KEYS_MAX);
        derive(&print, &mut keys);
        Prepared { print, submitted_at: quote.submitted_at, body_hash: quote.body_hash, keys: keys.into() }
    }
}

/// Compiled rule books by content hash: every book in force somewhere in the look-back of amendments.
#[derive(Clone)]
pub struct Books {
    by_hash: BTreeMap<u64, Arc<RuleBook>>,
    empty: RuleBook,
}

impl Default for Books {
    fn default() -> Books {
        Books { by_hash: BTreeMap::new(), empty: RuleBook::empty() }
    }
}

impl Books {
    pub fn add(&mut self, book: Arc<RuleBook>) {
        self.by_hash.insert(book.hash(), book);
    }

    pub fn get(&self, hash: u64) -> Option<&Arc<RuleBook>> {
        self.by_hash.get(&hash)
    }

    /// The book in force for the record at an offset; before any took effect, the empty one, which accepts everything.
    fn in_force(&self, state: &State, offset: u64) -> Result<&RuleBook, MissingBook> {
        let Some(reference) = state.rule_book_at(offset) else { return Ok(&self.empty) };
        self.by_hash.get(&reference.hash).map(|book| &**book).ok_or_else(|| MissingBook(reference.clone()))
    }

    /// What the applicant of a live quote is told beside its decision; `None` where the rule that led to it has no text of its own.
    pub fn applicant_text(&self, state: &State, tenant: &str, quote_id: &str) -> Option<&ApplicantText> {
        let slot = state.find(tenant, quote_id)?;
        let standing = state.standing(slot);
        let book = self.in_force(state, state.attempt(slot)?.offset).ok()?;
        book.applicant_text(standing.told?, standing.verdict.max(standing.answer))
    }
}

/// What may refuse a time of the `event` clock.
pub const TIME_JUMP_SETTINGS: [&str; 2] = ["the years 2000 to 2100", "time.max_jump_secs"];

/// The driver did not give the engine a rule book that the log put in force: it cannot decide as the log says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("rule book {} ({:016x}) is in force in the log and not loaded", .0.version, .0.hash)]
pub struct MissingBook(pub RuleBookRef);

/// The same state, input and books give the same step, whatever the machine, the clock or the batch.
///
/// # Errors
/// A book that the log put in force, for the quote or for a later one that it is evidence for, is not among `books`.
pub fn decide(state: &State, input: &Input, books: &Books) -> Result<Step, MissingBook> {
    decide_beside(state, input, books, &Candidates::default()).map(|(step, _)| step)
}

/// [`decide`], and what the candidates would have said: for each of them the verdicts of a whole replay under it alone. The step is
/// the same whatever the candidates are.
///
/// # Errors
/// Those of [`decide`].
pub fn decide_beside(
    state: &State,
    input: &Input,
    books: &Books,
    candidates: &Candidates,
) -> Result<(Step, Beside), MissingBook> {
    let step = match input {
        Input::Quote(logged) => return decide_quote(state, logged, books, candidates),
        Input::Control { position, book, rulings } => {
            let mut step = unchanged(state, position.offset, Outcome::Applied);
            step.delta.rule_book = book.clone();
            step.delta.rulings = new_rulings(state, rulings);
            step
        }
        Input::Skipped { position } => unchanged(state, position.offset, Outcome::Applied),
    };
    Ok((step, Beside::default()))
}

/// The decision that stands for a live quote, byte for byte as it was last emitted. Where some of its evidence has expired since, what is
/// left of it is listed and the flag `truncated` is set; the verdict and the answer stand.
///
/// # Errors
/// The book that was in force for it is not among `books`.
pub fn restate(state: &State, books: &Books, tenant: &str, quote_id: &str) -> Result<Option<Decision>, MissingBook> {
    let Some((slot, attempt)) = state.find(tenant, quote_id).and_then(|slot| Some((slot, state.attempt(slot)?))) else {
        return Ok(None);
    };
    let (mut standing, book) = (state.standing(slot), books.in_force(state, attempt.offset)?);
    let keys = state.keys_of(&attempt.print);
    let judged = Subject { state, extra: None, attempt, keys: &keys, reach: Reach::Earlier }.judge(book);
    if judged.evaluated.content != standing.content {
        standing.flags.set(Flag::Truncated);
    }
    let decision = judged.decision(state, attempt, standing, book, state.cause(slot).cloned());
    Ok(Some(Decision { verdict: standing.verdict, ..decision }))
}

/// Each id once, and not again while it is held.
fn new_rulings(state: &State, rulings: &[Arc<Ruling>]) -> Vec<Arc<Ruling>> {
    let mut new: Vec<Arc<Ruling>> = Vec::new();
    for ruling in rulings {
        let same = |other: &Arc<Ruling>| other.id == ruling.id && other.tenant == ruling.tenant;
        if state.rulings().find(&ruling.tenant, &ruling.id).is_none() && !new.iter().any(same) {
            new.push(ruling.clone());
        }
    }
    new
}

/// A step that only moves the position.
fn unchanged(state: &State, offset: u64, outcome: Outcome) -> Step {
    let delta = Delta { from: offset, to: offset + 1, arrivals: state.arrivals(), ..Delta::default() };
    Step { outcome, decisions: Vec::new(), delta, gauges: Gauges::default(), faults: Vec::new() }
}

fn decide_quote(
    state: &State,
    logged: &LoggedQuote,
    books: &Books,
    candidates: &Candidates,
) -> Result<(Step, Beside), MissingBook> {
    let prepared = &logged.prepared;
    let offset = logged.position.offset;
    let (tenant, quote_id) = (prepared.print.tenant(), prepared.print.quote_id());
    if let Some(slot) = state.find(tenant, quote_id) {
        let current = state.current_of(slot);
        let same_body = state.attempt(slot).is_some_and(|a| a.body_hash == prepared.body_hash);
        let outcome = if same_body { Outcome::Duplicate(current) } else { Outcome::IdReused(current) };
        return Ok((moved(state, logged, offset, outcome), Beside::default()));
    }
    match judge_time(state, logged) {
        Ok(timed) => decide_new(state, logged, timed, books, candidates),
        Err(outcome) => Ok((moved(state, logged, offset, outcome), Beside::default())),
    }
}

/// A step that decides nothing; on append-time clocks the arrival still passes.
fn moved(state: &State, logged: &LoggedQuote, offset: u64, outcome: Outcome) -> Step {
    let mut step = unchanged(state, offset, outcome);
    if logged.clock != ArrivalClock::Event {
        step.delta.arrivals.log = Some(running(state.arrivals().log, logged.arrival.0));
    }
    step
}

fn running(before: Option<i64>, arrival: i64) -> i64 {
    before.map_or(arrival, |before| before.max(arrival))
}

/// When a quote happened, as far as we believe it.
struct Timed {
    event_time: EventTime,
    arrival: i64,
    suspect: bool,
}

/// 2000-01-01 and 2101-01-01, microseconds.
const YEARS: std::ops::Range<i64> = 946_684_800 * SECOND..4_133_980_800 * SECOND;

fn judge_time(state: &State, logged: &LoggedQuote) -> Result<Timed, Outcome> {
    let settings = state.settings();
    let submitted = logged.prepared.submitted_at.0;
    let (arrival, lateness) = match logged.clock {
        ArrivalClock::Log => (running(state.arrivals().log, logged.arrival.0), settings.lateness_http_secs),
        ArrivalClock::Stream => (running(state.arrivals().log, logged.arrival.0), settings.lateness_stream_secs),
        ArrivalClock::Event => {
            if !YEARS.contains(&submitted) {
                return Err(Outcome::TimeJump { setting: TIME_JUMP_SETTINGS[0] });
            }
            let before = state.arrivals().event.or(settings.event_start.map(|start| start.0));
            if before.is_some_and(|before| submitted - before > settings.max_jump_secs * SECOND) {
                return Err(Outcome::TimeJump { setting: TIME_JUMP_SETTINGS[1] });
            }
            (running(before, submitted), settings.lateness_stream_secs)
        }
    };
    let behind = arrival.saturating_sub(submitted);
    if behind > settings.max_age_secs * SECOND {
        return Err(Outcome::TooOld { behind_secs: behind / SECOND });
    }
    let believed = submitted.clamp(arrival - lateness * SECOND, arrival + settings.max_skew_secs * SECOND);
    Ok(Timed { event_time: EventTime(believed), arrival, suspect: believed != submitted })
}

fn decide_new(
    state: &State,
    logged: &LoggedQuote,
    timed: Timed,
    books: &Books,
    candidates: &Candidates,
) -> Result<(Step, Beside), MissingBook> {
    let prepared = &logged.prepared;
    let offset = logged.position.offset;
    let attempt = Arc::new(Attempt {
        print: prepared.print.clone(),
        event_time: timed.event_time,
        offset,
        body_hash: prepared.body_hash,
        id_hash: id_hash(prepared.print.tenant(), prepared.print.quote_id()),
    });
    let keys = state.placed(&prepared.keys);
    let book = books.in_force(state, offset)?;
    let earlier = Subject { state, extra: None, attempt: &attempt, keys: &keys, reach: Reach::Earlier };
    let (mut own, own_trials) = earlier.judge_beside(book, candidates);
    let newest = state.newest_of(attempt.print.tenant()).map_or(i64::MIN, |newest| newest.0);
    let book_of = |other: &Attempt| books.in_force(state, other.offset);
    let in_time = newest < attempt.event_time.0;
    let later = if in_time { Later::default() } else { view(state, None).later(&attempt, &keys, book_of)? };
    let late = newest > attempt.event_time.0 || later.any;
    let as_newest = later.any.then(|| Subject { reach: Reach::All, ..earlier }.judge_beside(book, candidates));
    let (as_newest, newest_trials) = as_newest.unzip();
    let answer = as_newest.as_ref().map_or(Verdict::Accept, |judged| judged.evaluated.verdict).max(own.evaluated.verdict);
    let arrived = Flags(u8::from(late) << Flag::Late as u8 | u8::from(timed.suspect) << Flag::TimeSuspect as u8);
    let flags = Flags(own.flags.0 | arrived.0 | u8::from(later.cut) << Flag::Truncated as u8);

    let mut amendments =
        Amendments { state, books, extra: Extra::new(&attempt, &keys), decisions: Vec::new(), amended: Vec::new() };
    for slot in &later.redecided {
        if let Some(other) = state.attempt(*slot) {
            amendments.redecide(other, state.standing(*slot))?;
        }
    }
    let redecided = if later.any { amendments.redecide_beside(&keys, candidates)? } else { Vec::new() };
    let told = match &as_newest {
        Some(judged) if judged.evaluated.verdict > own.evaluated.verdict => judged.evaluated.told,
        _ => own.evaluated.told,
    };
    // Whoever is told to contact the underwriter finds a case there, even when only the answer is a referral.
    let referral = own.referral(state, offset).or_else(|| as_newest.and_then(|judged| judged.referral(state, offset)));
    let standing =
        Standing { content: own.evaluated.content, referral, revision: 1, verdict: own.evaluated.verdict, answer, flags, told };
    let gauges = Gauges {
        candidates: own.candidates,
        comparisons: own.comparisons,
        saturated_blocks: own.saturated,
        redecided: later.redecided.len() as u32,
    };
    let faults = std::mem::take(&mut own.evaluated.faults);
    let decision = own.decision(state, &attempt, standing, book, None);
    let mut decisions = vec![decision];
    decisions.append(&mut amendments.decisions);
    let delta = Delta {
        insert: Some((attempt, standing)),
        keys: prepared.keys.clone(),
        amended: amendments.amended,
        ..arrived_at(state, logged, timed.arrival)
    };
    let beside = Beside { own: own_trials, as_newest: newest_trials.unwrap_or_default(), redecided };
    Ok((Step { outcome: Outcome::Decided, decisions, delta, gauges, faults }, beside))
}

/// The delta of a decided quote without what it brings.
fn arrived_at(state: &State, logged: &LoggedQuote, arrival: i64) -> Delta {
    let arrivals = match logged.clock {
        ArrivalClock::Event => Arrivals { event: Some(arrival), ..state.arrivals() },
        ArrivalClock::Log | ArrivalClock::Stream => Arrivals { log: Some(arrival), ..state.arrivals() },
    };
    Delta { from: logged.position.offset, to: logged.position.offset + 1, arrivals, ..Delta::default() }
}

fn view<'a>(state: &'a State, extra: Option<&'a Extra>) -> View<'a> {
    View { state, extra }
}

/// Evidence on one attempt and what the book makes of it.
struct Judged {
    evaluated: Evaluated,
    flags: Flags,
    /// Of the open cases of linked referred attempts, that of the oldest attempt.
    case: Option<ReferralId>,
    candidates: u32,
    comparisons: u32,
    saturated: u32,
}

/// An attempt to be judged, and what counts as evidence for it.
#[derive(Clone, Copy)]
pub(super) struct Subject<'a> {
    pub state: &'a State,
    pub extra: Option<&'a Extra>,
    pub attempt: &'a Attempt,
    pub keys: &'a [Key],
    pub reach: Reach,
}

impl<'a> Subject<'a> {
    /// Its own event time, or that of the newest attempt that arrived before it.
    pub(super) fn now(&self) -> EventTime {
        match self.reach {
            Reach::Earlier => self.attempt.event_time,
            Reach::All => {
                let newest = self.state.newest_of(self.attempt.print.tenant());
                newest.unwrap_or(self.attempt.event_time).max(self.attempt.event_time)
            }
        }
    }

    /// Where a look-back of so many microseconds begins.
    fn since(&self, longest: i64) -> EventTime {
        EventTime(self.now().0 - longest)
    }

    /// What the live rules look back on. Shared things weigh less the more people are seen with them, so that a longer look-back for a
    /// rule in shadow would change answers.
    pub(super) fn gather(&self, book: &RuleBook) -> Gathered<'a> {
        self.gather_since(self.since(book.longest_live()), book)
    }

    fn gather_since(&self, since: EventTime, book: &RuleBook) -> Gathered<'a> {
        let mut gathered = view(self.state, self.extra).gather(self.attempt, self.keys, self.reach, since, book.matching());
        gathered.ruled = self.state.rulings().of(self.attempt, self.now(), &gathered.links);
        gathered
    }

    fn judge(&self, book: &RuleBook) -> Judged {
        self.judge_on(&self.gather(book), book)
    }

    /// Under the book in force and under the candidates.
    fn judge_beside(&self, book: &RuleBook, candidates: &Candidates) -> (Judged, Vec<Trial>) {
        let gathered = self.gather(book);
        (self.judge_on(&gathered, book), candidates.judge(self, book, &gathered))
    }

    fn judge_on(&self, gathered: &Gathered, book: &RuleBook) -> Judged {
        let (state, since) = (self.state, self.since(book.longest_live()));
        let case = oldest_open_case(state, self.attempt, gathered);
        let further = (book.longest() > book.longest_live()).then(|| self.gather_since(self.since(book.longest()), book));
        let evaluated = evaluate(self.attempt, self.now(), gathered, further.as_ref(), book);
        let mut flags = evaluated.flags;
        flags.0 |= u8::from(gathered.saturated > 0) << Flag::Saturated as u8;
        let past_eviction = state.evicted().is_some_and(|evicted| since < evicted);
        // A file that is far behind the live quotes looks back on what has expired by their clock.
        let past_expiry = since < state.expiry_horizon();
        flags.0 |= u8::from(gathered.truncated || past_eviction || past_expiry) << Flag::Truncated as u8;
        Judged {
            evaluated,
            flags,
            case,
            candidates: gathered.candidates,
            comparisons: gathered.comparisons,
            saturated: gathered.saturated,
        }
    }
}

fn oldest_open_case(state: &State, attempt: &Attempt, gathered: &Gathered) -> Option<ReferralId> {
    gathered.links.iter().find_map(|link| {
        let standing = state.standing(link.slot?);
        let case = standing.referral.filter(|_| standing.verdict.max(standing.answer) == Verdict::Refer);
        case.filter(|case| state.rulings().is_open(attempt.print.tenant(), *case, attempt.offset))
    })
}

impl Judged {
    /// A referral joins an open case, the oldest of several, or opens one.
    fn referral(&self, state: &State, offset: u64) -> Option<ReferralId> {
        let opened = || state.decision_id(offset).referral();
        (self.evaluated.verdict == Verdict::Refer).then(|| self.case.unwrap_or_else(opened))
    }

    fn decision(self, state: &State, attempt: &Attempt, standing: Standing, book: &RuleBook, cause: Option<Cause>) -> Decision {
        let e = self.evaluated;
        Decision {
            decision_id: state.decision_id(attempt.offset),
            quote_id: attempt.print.quote_id().into(),
            tenant: attempt.print.tenant().into(),
            revision: standing.revision,
            verdict: e.verdict,
            answer: standing.answer,
            referral_id: standing.referral,
            reasons: e.reasons,
            attempts: e.attempts,
            suspicious_attempts: e.suspicious_attempts,
            suspicion: e.suspicion,
            features: e.features,
            linked: e.linked,
            linked_total: e.linked_total,
            rule_book: state.rule_book_at(attempt.offset).cloned().unwrap_or_else(|| book.reference()),
            event_time: attempt.event_time,
            position: Position { partition: state.settings().partition, offset: attempt.offset },
            cause,
            flags: standing.flags,
            shadow: e.shadow,
        }
    }
}

impl Extra {
    fn new(attempt: &Arc<Attempt>, keys: &[Key]) -> Extra {
        let mut keys = keys.to_vec();
        keys.sort();
        Extra { attempt: attempt.clone(), keys }
    }
}

/// Decisions on later attempts that a late quote changes.
struct Amendments<'a> {
    state: &'a State,
    books: &'a Books,
    extra: Extra,
    decisions: Vec<Decision>,
    amended: Vec<Amended>,
}

impl Amendments<'_> {
    /// A later attempt, seen with the late quote.
    fn subject<'a>(&'a self, attempt: &'a Attempt, keys: &'a [Key]) -> Subject<'a> {
        Subject { state: self.state, extra: Some(&self.extra), attempt, keys, reach: Reach::Earlier }
    }

    /// What each candidate says now about the attempts whose evidence the late quote enters under it.
    fn redecide_beside(&self, keys: &[Key], candidates: &Candidates) -> Result<Vec<Redecided>, MissingBook> {
        let mut redecided = Vec::new();
        for group in candidates.groups() {
            let later = view(self.state, None).later(&self.extra.attempt, keys, |_| Ok(&*group.like))?;
            for attempt in later.redecided.iter().filter_map(|slot| self.state.attempt(*slot)) {
                let keys = self.state.keys_of(&attempt.print);
                let subject = self.subject(attempt, &keys);
                let tell = |candidate, trial| redecided.push(Redecided { offset: attempt.offset, candidate, trial });
                group.judge(&subject, &subject.gather(&group.like), tell);
            }
        }
        Ok(redecided)
    }

    /// Decides again, under the book of the attempt's own position; a changed decision is an amendment.
    fn redecide(&mut self, attempt: &Arc<Attempt>, before: Standing) -> Result<(), MissingBook> {
        let state = self.state;
        let book = self.books.in_force(state, attempt.offset)?;
        let keys = state.keys_of(&attempt.print);
        let judged = self.subject(attempt, &keys).judge(book);
        if judged.evaluated.content == before.content {
            return Ok(());
        }
        let referral = before.referral.or_else(|| judged.referral(state, attempt.offset));
        let standing = Standing {
            content: judged.evaluated.content,
            referral,
            revision: before.revision + 1,
            verdict: judged.evaluated.verdict,
            answer: before.answer,
            flags: Flags(judged.flags.0 | before.flags.of_arrival().0),
            told: if judged.evaluated.verdict < before.answer { before.told } else { judged.evaluated.told },
        };
        self.amended.push(Amended { offset: attempt.offset, id_hash: attempt.id_hash, standing });
        let cause = state.cause_of(&self.extra.attempt);
        self.decisions.push(judged.decision(state, attempt, standing, book, Some(cause)));
        Ok(())
    }
}
