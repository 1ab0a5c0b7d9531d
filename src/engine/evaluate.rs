//! From linked attempts to numbers, and from numbers through the rule book to a verdict.

use super::blocking::Family;
use super::decision::{Change, Flag, Flags, Linked, Reason, Verdict};
use super::evidence::{Evidence, WindowEvidence};
use super::facts::{Step, walk};
use super::field::{Field, Level};
use super::fingerprint::{Fingerprint, Text};
use super::gather::{Gathered, Link, has_source, number_sources, same_source, surnames};
use super::limits::{LINKED_SHOWN_MAX, LINKED_WALK_MAX, VARIANTS_COMPARED_MAX};
use super::normalise::hash64;
use super::owner::rightful;
use super::rules::book::LiveHit;
use super::rules::{Evaluation, Fault, RuleBook, Scoring};
use super::rulings::Confirmed;
use super::state::Attempt;
use super::time::EventTime;

/// A decision's content: all that an amendment would change.
pub(super) struct Evaluated {
    pub verdict: Verdict,
    pub reasons: Vec<Reason>,
    pub attempts: u32,
    pub suspicious_attempts: u32,
    pub suspicion: f64,
    pub features: Vec<(String, f64)>,
    pub linked: Vec<Linked>,
    pub linked_total: u32,
    pub flags: Flags,
    /// The first of the live rules that matched.
    pub told: Option<LiveHit>,
    /// Ids of the shadow rules that matched.
    pub shadow: Vec<Box<str>>,
    /// Rules that had no value.
    pub faults: Vec<(Box<str>, Fault)>,
    /// Hash of everything above but the faults, the rule that is told, and the flags, of which only saturation enters.
    pub content: u64,
}

/// Judges `attempt` at the time `now` (its own event time, or that of the newest attempt that arrived before it). `further` is what was
/// gathered for rules in shadow that look back further than the live ones.
pub(super) fn evaluate(
    attempt: &Attempt,
    now: EventTime,
    gathered: &Gathered,
    further: Option<&Gathered>,
    book: &RuleBook,
) -> Evaluated {
    let in_shadow = further.map(|further| {
        let evidence = evidence(attempt, now, further, book.windows());
        book.evaluate_without(&further.ruled.snoozed, &evidence).shadow
    });
    let evidence = evidence(attempt, now, gathered, book.windows());
    let evaluation = book.evaluate_without(&gathered.ruled.snoozed, &evidence);
    let confirmed = confirmed(gathered, &evidence);
    let in_shadow = in_shadow.as_ref().unwrap_or(&evaluation.shadow);
    let reported = &evidence.windows[book.reported_window(&evaluation)];
    let mut evaluated = Evaluated {
        verdict: confirmed.map_or(evaluation.verdict, |confirmed| confirmed.verdict().max(evaluation.verdict)),
        reasons: reasons(book, &evaluation, &evidence, confirmed),
        attempts: reported.attempts,
        suspicious_attempts: reported.suspicious_attempts,
        suspicion: reported.suspicion,
        features: features(reported, (book.scoring() != Scoring::FirstMatch).then_some(evaluation.score)),
        linked: gathered.links.iter().rev().take(LINKED_SHOWN_MAX).map(linked).collect(),
        linked_total: gathered.links.len() as u32,
        flags: flags(attempt, gathered, &evidence),
        told: evaluation.live.first().copied().filter(|_| confirmed.is_none_or(|c| c.verdict() <= evaluation.verdict)),
        shadow: in_shadow.iter().map(|hit| book.shadow_rule(*hit).id.clone()).collect(),
        faults: evaluation.faults.iter().map(|fault| (book.faulty_rule(*fault).id.clone(), fault.fault)).collect(),
        content: 0,
    };
    evaluated.content = content(&evaluated, gathered);
    evaluated
}

/// What a confirmed case among the links says of the quote: its form is looked for over the longest window.
pub(super) fn confirmed(gathered: &Gathered, evidence: &Evidence) -> Option<Confirmed> {
    gathered.ruled.confirmed(evidence.windows.last().is_some_and(|longest| longest.known_form))
}

/// Strictest first.
fn reasons(book: &RuleBook, evaluation: &Evaluation, evidence: &Evidence, confirmed: Option<Confirmed>) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = evaluation.live.iter().map(|hit| book.reason(*hit, evidence)).collect();
    if let Some(confirmed) = confirmed {
        let at = evaluation.live.partition_point(|hit| book.live_rule(*hit).then >= confirmed.verdict());
        reasons.insert(at, confirmed.reason());
    }
    reasons
}

fn flags(attempt: &Attempt, gathered: &Gathered, evidence: &Evidence) -> Flags {
    let mut flags = Flags::default();
    if attempt.print.mixed_script {
        flags.set(Flag::MixedScript);
    }
    if gathered.links.iter().any(|link| link.pair.levels.contains(&Level::Disguised)) {
        flags.set(Flag::Disguised);
    }
    let uncompared = evidence.windows.iter().any(|window| window.variants as usize > VARIANTS_COMPARED_MAX);
    if gathered.links.len() > LINKED_WALK_MAX || uncompared {
        flags.set(Flag::Truncated);
    }
    flags
}

/// One for each window, which are ascending.
pub(super) fn evidence(attempt: &Attempt, now: EventTime, gathered: &Gathered, windows: &[i64]) -> Evidence {
    let print = &attempt.print;
    let mut found: Vec<WindowEvidence> = Vec::with_capacity(windows.len());
    let mut walked = usize::MAX;
    for window in windows {
        let since = EventTime(now.0 - window);
        let from = gathered.links.partition_point(|link| link.attempt.event_time <= since);
        let from = from.max(gathered.links.len().saturating_sub(LINKED_WALK_MAX));
        let links = &gathered.links[from..];
        // Most quotes have the same linked attempts in every window: walk them once.
        let mut window = match found.last() {
            Some(shorter) if links.len() == walked => shorter.clone(),
            _ => linked_evidence(attempt, now, links, gathered.ruled.cleared.get(from..).unwrap_or_default()),
        };
        walked = links.len();
        count_applicants(&mut window, attempt, gathered, since);
        found.push(window);
    }
    Evidence {
        windows: found,
        channel: print.channel,
        agent_id: print.text(Text::Agent).into(),
        product: print.text(Text::Product).into(),
        tenant: print.tenant().into(),
        premium: print.premium.max(0.0),
    }
}

/// What the linked attempts of one window say. A late quote seen as the newest stands at the end of the walk,
/// at the time of the newest.
/// `cleared` is parallel to the links, or empty.
fn linked_evidence<'a>(attempt: &'a Attempt, now: EventTime, links: &[Link<'a>], cleared: &[u32]) -> WindowEvidence {
    let print = &attempt.print;
    if links.is_empty() {
        return WindowEvidence { attempts: 1, variants: 1, distinct: super::facts::given(print), ..WindowEvidence::default() };
    }
    let own = Step { at: now, print, cleared: 0 };
    let step_of = |(i, link): (usize, &Link<'a>)| Step {
        at: link.attempt.event_time,
        print: &link.attempt.print,
        cleared: cleared.get(i).copied().unwrap_or(0),
    };
    let steps: Vec<Step> = links.iter().enumerate().map(step_of).chain([own]).collect();
    let prints: Vec<&Fingerprint> = steps.iter().map(|step| step.print).collect();
    let sources = number_sources(&prints);
    let mut window = walk(&steps);
    let same: Vec<Step> =
        steps.iter().filter(|step| std::ptr::eq(step.print, print) || same_source(print, step.print)).copied().collect();
    window.same_source_attempts = same.len() as u32 - 1;
    window.same_source_suspicious = match same.len() {
        1 => 0,
        all if all == steps.len() => window.suspicious_attempts,
        _ => {
            let same = walk(&same);
            window.variants = window.variants.max(same.variants);
            same.suspicious_attempts
        }
    };
    window.fresh_source = same.len() == 1 && has_source(print);
    let mut given: Vec<usize> = (0..links.len()).filter(|i| has_source(prints[*i])).map(|i| sources[i]).collect();
    given.sort_unstable();
    given.dedup();
    window.sources = given.len() as u32;
    window.rightful_owner = rightful(&steps, &sources, &window);
    window
}

fn count_applicants(window: &mut WindowEvidence, attempt: &Attempt, gathered: &Gathered, since: EventTime) {
    let own = attempt.print.surname_code;
    window.source_applicants = 1;
    window.address_applicants = 1;
    for shared in gathered.shared.iter().filter(|shared| !shared.seen.is_empty()) {
        let seen = shared.seen.iter().take_while(|(time, _)| *time > since).map(|(_, surname)| *surname);
        let applicants = surnames(seen, own) as u32;
        match shared.family {
            Family::Address => window.address_applicants = window.address_applicants.max(applicants),
            _ => window.source_applicants = window.source_applicants.max(applicants),
        }
    }
}

/// `score` is the sum of a book that sums scores.
fn features(window: &WindowEvidence, score: Option<f64>) -> Vec<(String, f64)> {
    let mut features: Vec<(String, f64)> = Vec::new();
    let mut add = |name: &str, value: f64, shown: bool| {
        if shown {
            features.push((name.to_owned(), value));
        }
    };
    add("address_applicants", f64::from(window.address_applicants), window.address_applicants > 1);
    add("disguises", f64::from(window.disguises), window.disguises > 0);
    add("fresh_source", 1.0, window.fresh_source);
    add("known_form", 1.0, window.known_form);
    add("oscillations", f64::from(window.oscillations), window.oscillations > 0);
    add("premium_drop_pct", window.premium_drop_pct, window.premium_drop_pct > 0.0);
    add("rightful_owner", 1.0, window.rightful_owner);
    add("same_source_suspicious", f64::from(window.same_source_suspicious), window.same_source_suspicious > 0);
    add("score", score.unwrap_or(0.0), score.is_some_and(|score| score != 0.0));
    add("seconds_since_first", window.seconds_since_first, window.seconds_since_first > 0.0);
    add("source_applicants", f64::from(window.source_applicants), window.source_applicants > 1);
    add("sources", f64::from(window.sources), window.sources > 1);
    for field in Field::ALL {
        let distinct = window.distinct[field as usize];
        if distinct > 1 {
            let name = field.name().rsplit('.').next().unwrap_or(field.name());
            add(&format!("variants.{name}"), f64::from(distinct), true);
        }
    }
    features.sort_by(|a, b| a.0.cmp(&b.0));
    features
}

fn linked(link: &Link) -> Linked {
    Linked {
        quote_id: link.attempt.print.quote_id().into(),
        submitted_at: link.attempt.event_time,
        weight: link.pair.weight,
        changes: changes(link),
    }
}

fn changes(link: &Link) -> Vec<Change> {
    let levels = Field::ALL.into_iter().map(|field| Change { field, level: link.pair.levels[field as usize] });
    levels.filter(|change| change.level.is_changed()).collect()
}

fn content(evaluated: &Evaluated, gathered: &Gathered) -> u64 {
    let mut bytes = Vec::with_capacity(256);
    // Once a decision says that it is saturated, late quotes leave it alone: it must say so.
    bytes.extend_from_slice(&[evaluated.verdict as u8, u8::from(gathered.saturated > 0)]);
    for reason in &evaluated.reasons {
        bytes.extend_from_slice(reason.rule.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(reason.text.as_bytes());
        bytes.push(0);
    }
    for rule in &evaluated.shadow {
        bytes.extend_from_slice(rule.as_bytes());
        bytes.push(1);
    }
    for number in [evaluated.attempts, evaluated.suspicious_attempts, evaluated.linked_total] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    bytes.extend_from_slice(&evaluated.suspicion.to_bits().to_le_bytes());
    for (name, value) in &evaluated.features {
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(&value.to_bits().to_le_bytes());
    }
    // What a decision does not show does not amend it.
    for link in gathered.links.iter().rev().take(LINKED_SHOWN_MAX) {
        bytes.extend_from_slice(&link.attempt.id_hash.to_le_bytes());
        bytes.extend_from_slice(&link.pair.weight.to_bits().to_le_bytes());
        bytes.extend(link.pair.levels.iter().map(|level| *level as u8));
    }
    hash64(&bytes)
}
