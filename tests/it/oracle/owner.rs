//! Whose form is it? Written from the words of the engine's `owner`.

use quoteguard::engine::evidence::WindowEvidence;
use quoteguard::engine::field::{Field, Level};

use super::levels::level;
use super::walk::{Step, facts, gives};

const MINUTE: i64 = 60_000_000;
const HOUR: i64 = 60 * MINUTE;

/// `sources` has the source of each attempt; the quote is the last step.
pub fn rightful(steps: &[Step], sources: &[usize], window: &WindowEvidence) -> bool {
    if window.suspicious_attempts < 2 || borrows(steps, sources) {
        return false;
    }
    (window.known_form && window.same_source_suspicious == 0) || (window.fresh_source && stranger(steps, window.sources))
}

/// Somebody else was the first to say something in it that the first form does not say, nor more than half of all.
fn borrows(steps: &[Step], sources: &[usize]) -> bool {
    let last = steps.len() - 1;
    let agree = |i: usize, field: Field| level(field, steps[last].1, steps[i].1);
    facts().filter(|field| !matches!(agree(0, *field), Level::Same | Level::Missing)).any(|field| {
        let sayers: Vec<usize> = (0..last).filter(|i| agree(*i, field) == Level::Same).collect();
        sayers.first().is_some_and(|sayer| sources[*sayer] != sources[last]) && sayers.len() * 2 <= last
    })
}

fn stranger(steps: &[Step], sources: u32) -> bool {
    let last = steps.len() - 1;
    if last < 2 {
        return false;
    }
    let told = |i: usize, field: Field| gives(steps[i].1, field);
    let agree = |i: usize, field: Field| level(field, steps[last].1, steps[i].1);
    let new = facts()
        .filter(|field| told(last, *field))
        .filter(|field| {
            let tellers: Vec<usize> = (0..last).filter(|i| told(*i, *field)).collect();
            !tellers.is_empty() && tellers.iter().all(|i| agree(*i, *field) != Level::Same)
        })
        .count();
    let restored = facts().any(|field| {
        told(last, field)
            && agree(0, field) == Level::Same
            && matches!(agree(last - 1, field), Level::Near | Level::Different | Level::Disguised)
    });
    let pauses: Vec<i64> = (1..=last).map(|i| steps[i].0 - steps[i - 1].0).collect();
    let (pause, mut usual) = (pauses[last - 1], pauses[..last - 1].to_vec());
    usual.sort();
    let silence = pause >= 6 * HOUR && pause >= 4 * usual[usual.len() / 2];
    pause >= 5 * MINUTE && (new == 0 || (restored && (sources == 1 || new == 1)) || (silence && new <= 2))
}
