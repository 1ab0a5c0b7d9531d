//! One episode: connected submissions with their labels, timed from the episode's start.

use std::collections::BTreeSet;

use crate::form::Form;
use crate::rng::{Rng, hash_text};
use crate::source::Source;
use crate::truth::{Class, Kind, Truth};
use crate::wire::Quote;

pub const SECOND: f64 = 1.0;
pub const MINUTE: f64 = 60.0;
pub const HOUR: f64 = 3_600.0;
pub const DAY: f64 = 86_400.0;

/// No episode lasts longer, so that it fits a month.
pub const SPAN_MAX_MS: i64 = 27 * 86_400_000;
/// Share of quotes whose event time lags behind their arrival, and by how much at most.
const LATE: f64 = 0.01;
const LATE_MS: i64 = 20_000;

/// A submission; times count from the episode's start. The label's `at_ms` and the quote's `submitted_at` are set on release.
#[derive(Clone, Debug)]
pub struct Item {
    pub arrival_ms: i64,
    pub event_ms: i64,
    pub form: Form,
    pub source: Source,
    /// Empty but for what must not meet the rest.
    pub tenant: &'static str,
    pub truth: Truth,
}

impl Item {
    /// The wire quote of an episode that starts at `start_ms`.
    pub fn quote(&self, start_ms: i64) -> Quote {
        let quote = self.form.render(self.truth.quote_id.clone(), start_ms + self.event_ms, &self.source);
        Quote { tenant: self.tenant.into(), ..quote }
    }
}

/// One actor's running label within an episode.
#[derive(Clone, Debug)]
pub struct Label {
    actor: String,
    episode: String,
    class: Class,
    kind: &'static str,
    victim_of: Option<String>,
    attempt: u32,
    /// Hashes of the versions submitted so far; only adversaries who re-quote themselves keep them.
    versions: Option<BTreeSet<u64>>,
}

impl Label {
    pub fn suspicious(&self) -> u32 {
        self.versions.as_ref().map_or(0, |versions| versions.len().saturating_sub(1) as u32)
    }

    pub fn has_shown(&self, form: &Form) -> bool {
        self.versions.as_ref().is_some_and(|versions| versions.contains(&version(form)))
    }

    pub fn actor(&self) -> &str {
        &self.actor
    }
}

/// Builds the submissions of one episode.
pub struct Episode {
    pub rng: Rng,
    pub items: Vec<Item>,
    index: u64,
    actors: u32,
    now_ms: i64,
}

impl Episode {
    pub fn new(seed: u64, index: u64) -> Episode {
        Episode { rng: Rng::stream(seed, index), items: Vec::new(), index, actors: 0, now_ms: 0 }
    }

    fn label(&mut self, class: Class, kind: &'static str) -> Label {
        self.actors += 1;
        let actor = format!("a{}-{}", self.index, self.actors);
        let episode = format!("e{}-{}", self.index, self.actors);
        Label { actor, episode, class, kind, victim_of: None, attempt: 0, versions: None }
    }

    /// A new honest actor.
    pub fn honest(&mut self, class: Class) -> Label {
        self.label(class, class.name())
    }

    pub fn victim(&mut self, poisoner: &Label) -> Label {
        Label { victim_of: Some(poisoner.actor.clone()), ..self.honest(Class::Victim) }
    }

    /// A new adversary whose versions of himself are counted.
    pub fn adversary(&mut self, kind: Kind) -> Label {
        let versions = kind.requotes_himself() || kind == Kind::CopyVictim;
        Label { versions: versions.then(BTreeSet::new), ..self.label(Class::Manipulated, kind.name()) }
    }

    /// Lets time pass, log-uniformly between two durations in seconds.
    pub fn wait(&mut self, low_secs: f64, high_secs: f64) {
        self.now_ms += (self.rng.log_uniform(low_secs, high_secs) * 1_000.0) as i64 + self.rng.between(0, 999);
        self.now_ms = self.now_ms.min(SPAN_MAX_MS);
    }

    pub fn now_ms(&self) -> i64 {
        self.now_ms
    }

    pub fn submit(&mut self, label: &mut Label, form: &Form, source: &mut Source) {
        let late = if self.rng.chance(LATE) { self.rng.between(0, LATE_MS) } else { 0 };
        self.submit_stamped(label, form, source, self.now_ms - late);
    }

    /// Submits now with a given event time, milliseconds from the episode's start.
    pub fn submit_stamped(&mut self, label: &mut Label, form: &Form, source: &mut Source, event_ms: i64) {
        let quote_id = self.rng.uuid();
        self.submit_as(label, form, source, event_ms, quote_id);
    }

    /// Sends the last submission once more, byte for byte: a retry of the network, not another attempt.
    pub fn resend(&mut self) {
        if let Some(last) = self.items.last() {
            let again = Item { arrival_ms: self.now_ms, ..last.clone() };
            self.items.push(again);
        }
    }

    /// All that an actor has submitted once more, under another label and in a tenant where nobody else is: what happens to him
    /// without the others.
    pub fn submit_apart(&mut self, actor: &str, kind: Kind, tenant: &'static str) {
        let twin = self.adversary(kind);
        let own = self.items.iter().filter(|item| item.truth.actor == actor).cloned().collect::<Vec<_>>();
        for item in own {
            let (actor, episode, kind) = (twin.actor.clone(), twin.episode.clone(), twin.kind.to_string());
            let truth = Truth { quote_id: self.rng.uuid(), actor, episode, kind, ..item.truth };
            self.items.push(Item { tenant, truth, ..item });
        }
        self.items.sort_by_key(|item| item.arrival_ms);
    }

    fn submit_as(&mut self, label: &mut Label, form: &Form, source: &mut Source, event_ms: i64, quote_id: String) {
        source.visit(&mut self.rng, self.now_ms);
        if let Some(versions) = &mut label.versions {
            versions.insert(version(form));
        }
        let truth = Truth {
            quote_id,
            actor: label.actor.clone(),
            episode: label.episode.clone(),
            class: label.class,
            kind: label.kind.to_string(),
            attempt: label.attempt,
            suspicious: label.suspicious(),
            manipulated: label.class == Class::Manipulated,
            victim_of: label.victim_of.clone(),
            at_ms: 0,
        };
        label.attempt += 1;
        let (form, source) = (form.clone(), source.clone());
        self.items.push(Item { arrival_ms: self.now_ms, event_ms, form, source, tenant: "", truth });
    }
}

/// What makes a version: every fact of the policyholder, the drivers and the vehicle as written; no choices.
fn version(form: &Form) -> u64 {
    let quote = form.render(String::new(), 0, &Source::nowhere());
    hash_text(&format!("{:?}|{:?}|{:?}", quote.policyholder, quote.drivers, quote.vehicle))
}
