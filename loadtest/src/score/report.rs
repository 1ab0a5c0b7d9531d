//! The tally as a table, as JSON, and held against the targets.

use std::fmt::{self, Write};

use serde_json::{Value, json};

use super::tally::{Caught, Honest, Tally};
use crate::truth::{Class, Kind};

/// A promised figure and what was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    pub name: String,
    /// Per cent, or points for a difference.
    pub measured: f64,
    pub bound: f64,
    /// The measured figure must be at least the bound; else at most.
    pub at_least: bool,
    /// There was something to measure.
    pub known: bool,
}

impl Target {
    pub fn met(&self) -> bool {
        self.known && if self.at_least { self.measured >= self.bound } else { self.measured <= self.bound }
    }
}

/// A tally ready to be shown.
pub struct Report {
    tally: Tally,
}

impl Report {
    pub fn new(tally: Tally) -> Report {
        Report { tally }
    }

    pub fn all_met(&self) -> bool {
        self.tally.missing == 0 && self.targets().iter().all(Target::met)
    }

    /// The targets of catch and of honest people referred.
    pub fn targets(&self) -> Vec<Target> {
        let overall = self.tally.overall();
        let honest = self.tally.honest();
        let (worst_kind, worst_catch) = self.worst_kind();
        let (worst_class, worst_referred) = self.worst_class();
        let victims = self.tally.classes.get(&Class::Victim).copied().unwrap_or_default();
        let (calm, flooded) = (self.kind(Kind::Unflooded), self.kind(Kind::Flooding));
        let drop = percent(calm.by_fourth, calm.eligible) - percent(flooded.by_fourth, flooded.eligible);
        let least = |name: &str, hits, of, bound| Target {
            name: name.to_string(),
            measured: percent(hits, of),
            bound,
            at_least: true,
            known: of > 0,
        };
        let most = |name: &str, hits, of, bound| Target { at_least: false, ..least(name, hits, of, bound) };
        vec![
            least("catch by the 4th, overall", overall.by_fourth, overall.eligible, 95.0),
            Target {
                measured: worst_catch,
                ..least(&format!("catch by the 4th, worst kind ({worst_kind})"), 0, overall.eligible, 80.0)
            },
            most("honest actors referred, all classes", honest.referred, honest.actors, 0.1),
            Target {
                measured: worst_referred,
                ..most(&format!("honest referred, worst class ({worst_class})"), 0, honest.actors, 1.0)
            },
            most("victims of a poisoner referred", victims.referred, victims.actors, 1.0),
            least("ghost broker flagged by the 10th applicant", self.tally.brokers.1, self.tally.brokers.0, 80.0),
            least("poisoner referred by the 4th variant", self.tally.poisoners.1, self.tally.poisoners.0, 80.0),
            Target { measured: drop, ..most("catch lost while flooded, points", 0, calm.eligible.min(flooded.eligible), 2.0) },
        ]
    }

    fn kind(&self, kind: Kind) -> Caught {
        self.tally.kinds.get(&kind).copied().unwrap_or_default()
    }

    fn worst_kind(&self) -> (&'static str, f64) {
        let shares = self.tally.kinds.iter().filter(|(kind, caught)| kind.requotes_himself() && caught.eligible > 0);
        let shares = shares.map(|(kind, caught)| (kind.name(), percent(caught.by_fourth, caught.eligible)));
        shares.min_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("none", 0.0))
    }

    fn worst_class(&self) -> (&'static str, f64) {
        let shares = self.tally.classes.iter().filter(|(class, _)| **class != Class::Victim);
        let shares = shares.map(|(class, honest)| (class.name(), percent(honest.referred, honest.actors)));
        shares.max_by(|a, b| a.1.total_cmp(&b.1)).unwrap_or(("none", 0.0))
    }

    pub fn json(&self) -> Value {
        let kinds = self.tally.kinds.iter().map(|(kind, caught)| (kind.name().to_string(), caught_json(caught)));
        let classes = self.tally.classes.iter().map(|(class, honest)| (class.name().to_string(), honest_json(honest)));
        let targets = self.targets().into_iter().map(|t| {
            json!({"name": t.name, "measured": t.measured, "bound": t.bound, "at_least": t.at_least, "known": t.known, "met": t.met()})
        });
        json!({
            "quotes": self.tally.quotes, "missing": self.tally.missing,
            "kinds": kinds.collect::<serde_json::Map<_, _>>(), "overall": caught_json(&self.tally.overall()),
            "classes": classes.collect::<serde_json::Map<_, _>>(), "honest": honest_json(&self.tally.honest()),
            "ghost_brokers": {"eligible": self.tally.brokers.0, "flagged_by_10th": self.tally.brokers.1},
            "poisoners": {"eligible": self.tally.poisoners.0, "referred_by_4th_variant": self.tally.poisoners.1},
            "flood": {"quotes": self.tally.flood.0, "referred": self.tally.flood.1},
            "targets": targets.collect::<Vec<_>>(), "all_met": self.all_met(),
        })
    }

    fn write_kinds(&self, out: &mut String) -> fmt::Result {
        writeln!(
            out,
            "{:<26}{:>9}{:>10}{:>8}{:>8}{:>8}{:>8}{:>8}{:>15}",
            "manipulated", "episodes", "eligible", "in 24 h", "by 3rd", "by 4th", "by 5th", "ever", "priced after"
        )?;
        let mut row = |name: &str, c: &Caught| {
            write!(out, "{name:<26}{:>9}{:>10}{:>8}", c.episodes, c.eligible, c.eligible_day)?;
            for hits in [c.by_third, c.by_fourth, c.by_fifth, c.ever] {
                write!(out, "{:>7.1}%", percent(hits, c.eligible))?;
            }
            writeln!(out, "{:>14.1}%", percent(c.later_priced, c.later))
        };
        for (kind, caught) in self.tally.kinds.iter().filter(|(kind, _)| kind.requotes_himself()) {
            row(kind.name(), caught)?;
        }
        row("overall", &self.tally.overall())?;
        row("apart: copy_victim", &self.kind(Kind::CopyVictim))?;
        writeln!(out, "eligible: 3 new versions within 30 days, by episode; a backtest counts applicants, however far apart")
    }

    fn write_classes(&self, out: &mut String) -> fmt::Result {
        writeln!(
            out,
            "\n{:<26}{:>9}{:>10}{:>10}{:>22}{:>10}{:>10}",
            "honest", "actors", "referred", "share", "95 % interval", "flagged", "amended"
        )?;
        let mut row = |name: &str, h: &Honest| {
            let (low, high) = wilson(h.referred, h.actors);
            let interval = format!("{:.3}-{:.3} %", low * 100.0, high * 100.0);
            let (share, flagged) = (percent(h.referred, h.actors), percent(h.flagged, h.actors));
            writeln!(
                out,
                "{name:<26}{:>9}{:>10}{share:>9.3}%{interval:>22}{flagged:>9.3}%{:>10}",
                h.actors, h.referred, h.amended
            )
        };
        for (class, honest) in self.tally.classes.iter().filter(|(class, _)| **class != Class::Victim) {
            row(class.name(), honest)?;
        }
        row("total", &self.tally.honest())?;
        row("apart: victim", &self.tally.classes.get(&Class::Victim).copied().unwrap_or_default())
    }

    fn write_targets(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "\n{:<58}{:>10}{:>10}", "target", "measured", "bound")?;
        for target in self.targets() {
            let sign = if target.at_least { ">=" } else { "<=" };
            let verdict = match (target.known, target.met()) {
                (false, _) => "nothing to measure",
                (true, true) => "met",
                (true, false) => "MISSED",
            };
            writeln!(out, "{:<58}{:>9.3} {sign:>4}{:>6} {verdict}", target.name, target.measured, target.bound)?;
        }
        let (quotes, referred) = self.tally.flood;
        writeln!(out, "flood: {quotes} quotes, {:.1} % of them referred", percent(referred, quotes))?;
        writeln!(out, "{} labels, {} without a decision", self.tally.quotes, self.tally.missing)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = String::new();
        self.write_kinds(&mut out)?;
        self.write_classes(&mut out)?;
        self.write_targets(&mut out)?;
        f.write_str(&out)
    }
}

fn caught_json(c: &Caught) -> Value {
    json!({
        "episodes": c.episodes, "eligible": c.eligible, "eligible_in_24h": c.eligible_day, "by_3rd": c.by_third, "by_4th": c.by_fourth,
        "by_5th": c.by_fifth, "ever": c.ever, "later": c.later, "later_priced": c.later_priced, "catch_pct": percent(c.by_fourth, c.eligible),
    })
}

fn honest_json(h: &Honest) -> Value {
    let (low, high) = wilson(h.referred, h.actors);
    json!({
        "actors": h.actors, "referred": h.referred, "referred_pct": percent(h.referred, h.actors),
        "interval_pct": [low * 100.0, high * 100.0], "flagged": h.flagged, "amended": h.amended,
    })
}

fn percent(hits: u64, of: u64) -> f64 {
    if of == 0 { 0.0 } else { hits as f64 * 100.0 / of as f64 }
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
            [(0, 100, 0.0, 0.0370), (1, 10, 0.0179, 0.4042), (50, 100, 0.4038, 0.5962), (10, 10, 0.7225, 1.0)]
        {
            let (l, h) = wilson(hits, of);
            assert!((l - low).abs() < 5e-5 && (h - high).abs() < 5e-5, "{hits} of {of}: {l} {h}");
        }
    }
}
