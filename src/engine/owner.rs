//! Whose form is it? Tells the rightful owner of copied data, who comes once from a source of his own, from whoever plays with that
//! data and changes his source. Both look alike for one quote; what the owner does not do is go on from where the other stopped.
//!
//! The bounds are fitted on the labelled workload and rounded.

use super::compare::level;
use super::evidence::WindowEvidence;
use super::facts::{FACTS, Step, gives};
use super::field::{Field, Level};
use super::time::{HOUR, MINUTE};

/// Changed versions from which on somebody may be playing.
const PLAYED: u32 = 2;
/// Two people who know nothing of each other seldom come within minutes, in microseconds.
const COINCIDENCE: i64 = 5 * MINUTE;
/// A silence after which somebody else is likely: so long, in microseconds, and so many times the usual pause.
const SILENCE: i64 = 6 * HOUR;
const SILENCE_PAUSES: i64 = 4;
/// New values that slips of the pen explain: soon after the last attempt, and after a long silence.
const SLIPS: usize = 1;
const SLIPS_AFTER_SILENCE: usize = 2;

/// Does the last step look like the rightful owner's own form? Either it agrees with a version seen before and its source
/// changed nothing, or it comes from a fresh source and owes nothing to the attempts before it. `sources[i]` numbers the source of
/// step i.
pub(super) fn rightful(steps: &[Step], sources: &[usize], window: &WindowEvidence) -> bool {
    window.suspicious_attempts >= PLAYED
        && !borrows(steps, sources)
        && ((window.known_form && window.same_source_suspicious == 0) || (window.fresh_source && stranger(steps, window.sources)))
}

/// Is there a changed value in it that another source brought up, and that most attempts do not give? Then it is not the owner's,
/// whatever else is taken back. (What most give may be true, though the first attempt was a tweak already.)
fn borrows(steps: &[Step], sources: &[usize]) -> bool {
    let [earlier @ .., last] = steps else { return false };
    let Some(first) = earlier.first() else { return false };
    Field::ALL[..FACTS].iter().filter(|field| level(**field, last.print, first.print).is_changed()).any(|field| {
        let gave = |step: &Step| gives(step.print, *field) && level(*field, last.print, step.print) == Level::Same;
        let mut givers = earlier.iter().zip(sources).filter(|(step, _)| gave(step)).map(|(_, source)| source);
        let Some(brought_by) = givers.next() else { return false };
        Some(brought_by) != sources.last() && 2 * (1 + givers.count()) <= earlier.len()
    })
}

/// Somebody who was not here before: `sources` are those of the earlier attempts.
fn stranger(steps: &[Step], sources: u32) -> bool {
    let [earlier @ .., last] = steps else { return false };
    let [first, .., before] = earlier else { return false };
    let pause = last.at.0 - before.at.0;
    if pause < COINCIDENCE {
        return false;
    }
    let silence = pause >= SILENCE && pause >= SILENCE_PAUSES * usual_pause(earlier);
    match new_facts(last, earlier) {
        0 => true,
        // He tells a fact as the first did and the last did not: who plays on seldom does, and not with a slip at most.
        new if takes_back(first, before, last) && (sources == 1 || new <= SLIPS) => true,
        new => silence && new <= SLIPS_AFTER_SILENCE,
    }
}

/// Facts with a value that no earlier attempt gave, though one gave the fact.
fn new_facts(last: &Step, earlier: &[Step]) -> usize {
    let new = |field: &Field| {
        let mut given = earlier.iter().filter(|step| gives(step.print, *field)).peekable();
        given.peek().is_some() && !given.any(|step| level(*field, last.print, step.print) == Level::Same)
    };
    Field::ALL[..FACTS].iter().filter(|field| gives(last.print, **field) && new(field)).count()
}

/// Does a fact that the attempt before had changed stand again as in the first?
fn takes_back(first: &Step, before: &Step, last: &Step) -> bool {
    Field::ALL[..FACTS].iter().any(|field| {
        gives(last.print, *field)
            && level(*field, last.print, first.print) == Level::Same
            && level(*field, last.print, before.print).is_changed()
    })
}

/// The median pause between the attempts, microseconds; the longer of two in the middle.
fn usual_pause(earlier: &[Step]) -> i64 {
    let mut pauses: Vec<i64> = earlier.windows(2).map(|pair| pair[1].at.0 - pair[0].at.0).collect();
    pauses.sort_unstable();
    pauses.get(pauses.len() / 2).copied().unwrap_or(0)
}
