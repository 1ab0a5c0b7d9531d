//! What people ruled, from the words of the engine's `rulings`: every ruling is asked about every quote.

use std::collections::BTreeSet;

use quoteguard::engine::decision::{Reason, Verdict};
use quoteguard::engine::rulings::{Ruling, RulingKind};
use quoteguard::engine::state::id_hash;

use super::judge::{Logged, from_one_source};

/// A ruling and the offset of its record.
pub type Ruled = (u64, Ruling);

/// A ruling that a quote meets, and who of the attempts linked to it is named.
pub struct Met<'a> {
    pub kind: &'a RulingKind,
    pub named: Vec<&'a Logged>,
}

fn names(ruling: &Ruling, at: u64, quote: &Logged) -> bool {
    let id = id_hash(quote.print.tenant(), quote.print.quote_id());
    quote.offset < at && quote.print.tenant() == &*ruling.tenant && ruling.attempts.contains(&id)
}

fn disposes(ruling: &Ruling) -> bool {
    [RulingKind::Cleared, RulingKind::Confirmed, RulingKind::Reopened].contains(&ruling.kind)
}

/// Those in force for a quote that is linked to these.
pub fn met<'a>(subject: &Logged, now: i64, links: &[&'a Logged], rulings: &'a [Ruled]) -> Vec<Met<'a>> {
    let before: Vec<&Ruled> = rulings.iter().filter(|(at, _)| *at < subject.offset).collect();
    let overruled = |at: u64, ruling: &Ruling| {
        let same_case = |other: &Ruling| other.case == ruling.case && other.tenant == ruling.tenant;
        disposes(ruling) && before.iter().any(|(later, other)| *later > at && disposes(other) && same_case(other))
    };
    let in_force = before.iter().filter(|(at, ruling)| now < ruling.until.0 && !overruled(*at, ruling));
    in_force
        .map(|(at, ruling)| Met {
            kind: &ruling.kind,
            named: links.iter().copied().filter(|link| names(ruling, *at, link)).collect(),
        })
        .filter(|met| !met.named.is_empty())
        .collect()
}

/// Was the quote gone when the other one came?
pub fn is_erased(quote: &Logged, for_whom: &Logged, rulings: &[Ruled]) -> bool {
    rulings.iter().any(|(at, ruling)| *at < for_whom.offset && ruling.kind == RulingKind::Erased && names(ruling, *at, quote))
}

/// The attempts that each clearing makes one of.
pub fn cleared(met: &[Met]) -> Vec<BTreeSet<u64>> {
    let clearings = met.iter().filter(|met| *met.kind == RulingKind::Cleared);
    clearings.map(|met| met.named.iter().map(|quote| quote.offset).collect()).collect()
}

/// The rules that are silent.
pub fn snoozed<'a>(met: &[Met<'a>]) -> Vec<&'a str> {
    let rule = |met: &Met<'a>| match met.kind {
        RulingKind::Snooze { rule } => Some(&**rule),
        _ => None,
    };
    met.iter().filter_map(rule).collect()
}

/// What confirmed cases say of a quote with a form that nobody linked gave before.
pub fn confirmed(subject: &Logged, met: &[Met]) -> Option<Verdict> {
    let cases = met.iter().filter(|met| *met.kind == RulingKind::Confirmed);
    let shares = |met: &Met| met.named.iter().any(|quote| from_one_source(&subject.print, &quote.print));
    cases.map(|met| if shares(met) { Verdict::Refer } else { Verdict::Flag }).max()
}

/// Where among the reasons, whose rules say this, that of a confirmed case stands.
pub fn add_reason(reasons: &mut Vec<Reason>, verdicts: &[Verdict], confirmed: Verdict) {
    let text = match confirmed {
        Verdict::Refer => {
            "A linked case was confirmed, and a new version of the facts comes from a device, session, agent or address of it."
        }
        _ => "A linked case was confirmed; a new version of the facts comes from another source.",
    };
    let at = verdicts.iter().filter(|verdict| **verdict >= confirmed).count();
    reasons.insert(at, Reason { code: "CONFIRMED_CASE".into(), rule: "confirmed-case".into(), text: text.into() });
}
