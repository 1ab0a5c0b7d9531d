//! The final decision on every quote of a set, the slow way: every pair, no index, no order of arrival, no amendments.

use std::collections::{BTreeMap, BTreeSet};

use quoteguard::engine::blocking::{Family, keys, seed};
use quoteguard::engine::decision::{Change, Linked, Reason, Verdict};
use quoteguard::engine::evidence::{Evidence, WindowEvidence};
use quoteguard::engine::field::{Field, Level};
use quoteguard::engine::fingerprint::{Fingerprint, Text};
use quoteguard::engine::limits::LINKED_WALK_MAX;
use quoteguard::engine::link::{Hubs, Pair, judge, weigh};
use quoteguard::engine::matching::Matching;
use quoteguard::engine::quote::Quote;
use quoteguard::engine::rules::RuleBook;
use quoteguard::engine::time::EventTime;

use super::levels::level;
use super::owner::rightful;
use super::rulings::{Ruled, add_reason, cleared, confirmed, is_erased, met, snoozed};
use super::run::Id;
use super::walk::{Step, gives, walk};

/// Newest attempts of a shared thing that are asked for their surnames.
const HUB_NEWEST: usize = 64;

/// A quote as logged, with its keys.
pub struct Logged {
    pub print: Fingerprint,
    pub time: i64,
    /// In the log; of no meaning where nobody rules.
    pub offset: u64,
    keys: BTreeSet<(u64, Family)>,
}

/// What order neutrality promises of a decision.
#[derive(Debug, PartialEq)]
pub struct Final {
    pub verdict: Verdict,
    pub reasons: Vec<Reason>,
    pub attempts: u32,
    pub suspicious_attempts: u32,
    pub suspicion: f64,
    pub features: Vec<(String, f64)>,
    pub linked: Vec<Linked>,
}

impl Logged {
    pub fn new(quote: &Quote) -> Logged {
        let print = Fingerprint::new(quote);
        let mut found = Vec::new();
        keys(&print, seed("file"), &mut found);
        Logged { time: quote.submitted_at.0, offset: 0, keys: found.iter().map(|key| (key.hash, key.family)).collect(), print }
    }

    pub fn id(&self) -> Id {
        (self.print.tenant().into(), self.print.quote_id().into())
    }

    fn order(&self) -> (i64, &str) {
        (self.time, self.print.quote_id())
    }

    /// Worth comparing: hits in two key families, or three hits.
    fn meets(&self, other: &Logged) -> bool {
        let hits: Vec<&(u64, Family)> = self.keys.intersection(&other.keys).collect();
        let families: BTreeSet<Family> = hits.iter().map(|(_, family)| *family).collect();
        families.len() >= 2 || hits.len() >= 3
    }
}

/// Final decisions of a set of quotes, each against all that are earlier by (event time, quote id).
pub fn judge_all(quotes: &[Logged], book: &RuleBook) -> BTreeMap<Id, Final> {
    quotes.iter().map(|subject| (subject.id(), judge_earlier(subject, quotes, book))).collect()
}

pub fn judge_earlier(subject: &Logged, quotes: &[Logged], book: &RuleBook) -> Final {
    judge_under(subject, quotes, book, &[])
}

/// As [`judge_earlier`], under what people ruled.
pub fn judge_under(subject: &Logged, quotes: &[Logged], book: &RuleBook, rulings: &[Ruled]) -> Final {
    let earlier = quotes.iter().filter(|other| other.order() < subject.order() && !is_erased(other, subject, rulings)).collect();
    judge_one(subject, subject.time, earlier, book, rulings)
}

/// What the quote would get as the newest of all these.
pub fn judge_newest(subject: &Logged, quotes: &[Logged], book: &RuleBook) -> Final {
    let others: Vec<&Logged> = quotes.iter().filter(|other| other.id() != subject.id()).collect();
    let same_tenant = others.iter().filter(|other| other.print.tenant() == subject.print.tenant());
    let now = same_tenant.map(|other| other.time).max().unwrap_or(subject.time).max(subject.time);
    judge_one(subject, now, others, book, &[])
}

fn judge_one(subject: &Logged, now: i64, mut others: Vec<&Logged>, book: &RuleBook, rulings: &[Ruled]) -> Final {
    others.retain(|other| other.print.tenant() == subject.print.tenant() && other.time > now - book.longest_live());
    others.sort_by_key(|other| other.order());
    let hubs = hubs(subject, &others, book.matching());
    let mut links: Vec<(&Logged, Pair)> = Vec::new();
    for other in others.iter().filter(|other| subject.meets(other)) {
        let levels = Field::ALL.map(|field| level(field, &subject.print, &other.print));
        let pair = weigh(&subject.print, &other.print, levels, &hubs, book.matching());
        // The engine asks fewer fields of a stranger.
        assert_eq!(judge(&subject.print, &other.print, &hubs, book.matching()), pair, "{:?}", (subject.id(), other.id()));
        links.extend(pair.map(|pair| (*other, pair)));
    }
    let linked_to: Vec<&Logged> = links.iter().map(|(other, _)| *other).collect();
    let met = met(subject, now, &linked_to, rulings);
    let as_one = cleared(&met);
    let walked = |length: &i64| window(subject, now, now - length, (&links, &as_one), &others);
    let windows = book.windows().iter().map(walked).collect();
    let evidence = Evidence {
        windows,
        channel: subject.print.channel,
        agent_id: subject.print.text(Text::Agent).into(),
        product: subject.print.text(Text::Product).into(),
        tenant: subject.print.tenant().into(),
        premium: subject.print.premium.max(0.0),
    };
    let evaluation = book.evaluate_without(&snoozed(&met), &evidence);
    let is_new_form = evidence.windows.last().is_some_and(|longest| !longest.known_form);
    let confirmed = confirmed(subject, &met).filter(|_| is_new_form);
    let mut reasons = evaluation.live.iter().map(|hit| book.reason(*hit, &evidence)).collect();
    if let Some(confirmed) = confirmed {
        let verdicts: Vec<Verdict> = evaluation.live.iter().map(|hit| book.live_rule(*hit).then).collect();
        add_reason(&mut reasons, &verdicts, confirmed);
    }
    let reported = &evidence.windows[book.reported_window(&evaluation)];
    Final {
        verdict: evaluation.verdict.max(confirmed.unwrap_or_default()),
        reasons,
        attempts: reported.attempts,
        suspicious_attempts: reported.suspicious_attempts,
        suspicion: reported.suspicion,
        features: features(reported),
        linked: links.iter().rev().map(|(other, pair)| linked(other, pair)).collect(),
    }
}

/// The same device, phone and so on: given on both sides and equal.
fn shares(family: Family, a: &Fingerprint, b: &Fingerprint) -> bool {
    let equal = |slots: &[Text]| slots.iter().all(|slot| a.text(*slot) == b.text(*slot));
    let given = |slots: &[Text]| slots.iter().any(|slot| !a.text(*slot).is_empty());
    match family {
        Family::Phone => given(&[Text::Phone]) && equal(&[Text::Phone]),
        Family::Email => given(&[Text::Email]) && equal(&[Text::Email]),
        Family::Address => given(&[Text::Street, Text::House]) && equal(&[Text::City, Text::Street, Text::House, Text::Flat]),
        Family::Device => a.device != 0 && a.device == b.device,
        Family::Session => a.session != 0 && a.session == b.session,
        _ => false,
    }
}

/// Distinct surnames with whom the thing was seen, the subject's own among them; who gives none is nobody, and the subject somebody.
fn surnames<'a>(family: Family, subject: &Logged, others: impl Iterator<Item = &'a &'a Logged>) -> usize {
    let with = others.filter(|other| shares(family, &subject.print, &other.print)).map(|other| other.print.surname_code);
    with.chain([subject.print.surname_code]).filter(|code| *code != 0).collect::<BTreeSet<u32>>().len().max(1)
}

fn hubs(subject: &Logged, others: &[&Logged], matching: &Matching) -> Hubs {
    let share = |family| {
        let shared: Vec<&Logged> =
            others.iter().rev().filter(|o| shares(family, &subject.print, &o.print)).take(HUB_NEWEST).copied().collect();
        matching.hub_share(surnames(family, subject, shared.iter()))
    };
    Hubs {
        phone: share(Family::Phone),
        email: share(Family::Email),
        address: share(Family::Address),
        device: share(Family::Device),
        session: share(Family::Session),
    }
}

/// `links`: the attempts linked to it, and which of them were cleared as one, by offset.
fn window(
    subject: &Logged,
    now: i64,
    since: i64,
    (links, as_one): (&[(&Logged, Pair)], &[BTreeSet<u64>]),
    others: &[&Logged],
) -> WindowEvidence {
    let print = &subject.print;
    let links: Vec<&Logged> = links.iter().map(|(other, _)| *other).filter(|other| other.time > since).collect();
    let links = links[links.len().saturating_sub(LINKED_WALK_MAX)..].to_vec();
    let own: Step = (now, print);
    let same_source: Vec<&Logged> = links.iter().copied().filter(|other| from_one_source(print, &other.print)).collect();
    let mut window = walk(&steps(&links, own), &places(&links, as_one));
    let sources = sources(&links.iter().map(|other| &other.print).chain([print]).collect::<Vec<_>>());
    if links.is_empty() {
        window.distinct = Field::ALL.map(|field| u16::from(gives(print, field)));
    }
    window.same_source_attempts = same_source.len() as u32;
    window.same_source_suspicious = walk(&steps(&same_source, own), &places(&same_source, as_one)).suspicious_attempts;
    window.fresh_source = !links.is_empty() && same_source.is_empty() && has_source(print);
    let told = links.iter().zip(&sources).filter(|(other, _)| has_source(&other.print));
    window.sources = told.map(|(_, source)| source).collect::<BTreeSet<_>>().len() as u32;
    window.rightful_owner = rightful(&steps(&links, own), &sources, &window);
    let in_window: Vec<&Logged> = others.iter().copied().filter(|other| other.time > since).collect();
    let applicants = |family| surnames(family, subject, in_window.iter()) as u32;
    let things = [Family::Phone, Family::Email, Family::Device, Family::Session];
    window.source_applicants = things.into_iter().map(applicants).max().unwrap_or(1);
    window.address_applicants = applicants(Family::Address);
    window
}

fn steps<'a>(links: &[&'a Logged], own: Step<'a>) -> Vec<Step<'a>> {
    links.iter().map(|other| (other.time, &other.print)).chain([own]).collect()
}

/// Where in the walk the attempts of each set are.
fn places(links: &[&Logged], as_one: &[BTreeSet<u64>]) -> Vec<BTreeSet<usize>> {
    as_one.iter().map(|set| (0..links.len()).filter(|i| set.contains(&links[*i].offset)).collect()).collect()
}

pub fn from_one_source(a: &Fingerprint, b: &Fingerprint) -> bool {
    let agent = !a.text(Text::Agent).is_empty() && a.text(Text::Agent) == b.text(Text::Agent);
    let ip = a.ip != 0 && a.ip == b.ip;
    agent || ip || shares(Family::Device, a, b) || shares(Family::Session, a, b)
}

fn has_source(print: &Fingerprint) -> bool {
    print.device != 0 || print.session != 0 || print.ip != 0 || !print.text(Text::Agent).is_empty()
}

/// One number for all attempts of one source, however long the chain from one to another: the place of its first.
fn sources(prints: &[&Fingerprint]) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..prints.len()).collect();
    loop {
        let before = numbers.clone();
        for (i, print) in prints.iter().enumerate() {
            let meets = (0..prints.len()).filter(|j| from_one_source(print, prints[*j]));
            numbers[i] = meets.map(|j| before[j]).fold(before[i], usize::min);
        }
        if numbers == before {
            return numbers;
        }
    }
}

fn features(window: &WindowEvidence) -> Vec<(String, f64)> {
    let over = |least: u32, value: u32| if value > least { f64::from(value) } else { 0.0 };
    let flag = |on: bool| f64::from(u8::from(on));
    let mut features = vec![
        ("address_applicants".to_owned(), over(1, window.address_applicants)),
        ("disguises".to_owned(), over(0, window.disguises)),
        ("fresh_source".to_owned(), flag(window.fresh_source)),
        ("known_form".to_owned(), flag(window.known_form)),
        ("oscillations".to_owned(), over(0, window.oscillations)),
        ("premium_drop_pct".to_owned(), window.premium_drop_pct),
        ("rightful_owner".to_owned(), flag(window.rightful_owner)),
        ("same_source_suspicious".to_owned(), over(0, window.same_source_suspicious)),
        ("seconds_since_first".to_owned(), window.seconds_since_first),
        ("source_applicants".to_owned(), over(1, window.source_applicants)),
        ("sources".to_owned(), over(1, window.sources)),
    ];
    for field in Field::ALL {
        let name = field.name().split('.').next_back().unwrap_or_default();
        features.push((format!("variants.{name}"), over(1, u32::from(window.distinct[field as usize]))));
    }
    features.retain(|(_, value)| *value > 0.0);
    features.sort_by(|a, b| a.0.cmp(&b.0));
    features
}

fn linked(other: &Logged, pair: &Pair) -> Linked {
    let changed = |field: &Field| matches!(pair.levels[*field as usize], Level::Disguised | Level::Near | Level::Different);
    Linked {
        quote_id: other.print.quote_id().into(),
        submitted_at: EventTime(other.time),
        weight: pair.weight,
        changes: Field::ALL
            .into_iter()
            .filter(changed)
            .map(|field| Change { field, level: pair.levels[field as usize] })
            .collect(),
    }
}
