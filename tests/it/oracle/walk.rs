//! The walk of facts and variants, from section 9 of the design and nothing else; only the tables of weights are the engine's.

use std::collections::{BTreeMap, BTreeSet};

use quoteguard::engine::evidence::WindowEvidence;
use quoteguard::engine::facts::{change_weight, favour, pace};
use quoteguard::engine::field::{Field, Level};
use quoteguard::engine::fingerprint::{DriverPrint, Fingerprint, Text};
use quoteguard::engine::normalise::hash64;

use super::levels::level;

pub type Step<'a> = (i64, &'a Fingerprint);

/// A version of the facts: who gave each, who opened it and who joined last.
struct Variant {
    facts: BTreeMap<Field, usize>,
    last: usize,
}

type Contradictions = BTreeMap<Field, Level>;

struct Opening {
    attempt: usize,
    nearest: usize,
    contradictions: Contradictions,
    suspicion: f64,
}

pub fn facts() -> impl Iterator<Item = Field> {
    Field::ALL.into_iter().filter(|field| field.is_fact())
}

/// Is there anything to compare?
pub fn gives(print: &Fingerprint, field: Field) -> bool {
    let any = |slots: &[Text]| slots.iter().any(|slot| !print.text(*slot).is_empty());
    match field {
        Field::LastName => any(&[Text::LastName]),
        Field::FirstName => any(&[Text::FirstName]),
        Field::MiddleName => any(&[Text::MiddleName]),
        Field::BirthDate => print.birth_date.is_given(),
        Field::IdDocument => any(&[Text::IdDocument]),
        Field::DriverLicence => any(&[Text::DriverLicence]),
        Field::Phone => any(&[Text::Phone]),
        Field::Email => any(&[Text::Email]),
        Field::Address => any(&[Text::City, Text::Street, Text::House, Text::Flat]),
        Field::Vin => any(&[Text::Vin]),
        Field::Plate => any(&[Text::Plate]),
        Field::MakeModel => any(&[Text::Model]),
        Field::Year => print.year > 0,
        Field::Power => print.power > 0.0,
        Field::DriverData => !print.drivers.is_empty(),
        _ => false,
    }
}

/// Does the first tell more of a fact that has parts?
fn fuller(field: Field, a: &Fingerprint, b: &Fingerprint) -> bool {
    let parts = |print: &Fingerprint| match field {
        Field::Address => {
            [Text::City, Text::Street, Text::House, Text::Flat].map(|slot| print.text(slot).len().min(1)).iter().sum()
        }
        Field::DriverData => {
            let given = |n: u32| usize::from(n != 0);
            let one = |d: &DriverPrint| 1 + given(d.name) + given(d.licence) + given(d.birth_date.0) + given(d.licensed_since.0);
            print.drivers.iter().map(one).sum()
        }
        _ => 0usize,
    };
    parts(a) > parts(b)
}

fn contradictions(steps: &[Step], i: usize, variant: &Variant) -> Contradictions {
    let mine = steps[i].1;
    let mut found = Contradictions::new();
    for (field, giver) in &variant.facts {
        let level = level(*field, mine, steps[*giver].1);
        let known_form = || steps[..i].iter().any(|(_, earlier)| earlier.raw[*field as usize] == mine.raw[*field as usize]);
        let counts = match level {
            Level::Near | Level::Different => true,
            Level::Disguised => !known_form(),
            Level::Missing | Level::Same => false,
        };
        if counts {
            found.insert(*field, level);
        }
    }
    found
}

pub fn walk(steps: &[Step]) -> WindowEvidence {
    let mut variants: Vec<Variant> = Vec::new();
    let mut openings: Vec<Opening> = Vec::new();
    let mut joined: Vec<usize> = Vec::new();
    let mut oscillations = 0;
    for (i, (_, print)) in steps.iter().enumerate() {
        let against: Vec<Contradictions> = variants.iter().map(|variant| contradictions(steps, i, variant)).collect();
        let given = facts().filter(|field| gives(print, *field));
        if let Some(newest) = (0..variants.len()).rev().find(|n| against[*n].is_empty()) {
            for field in given {
                let giver = variants[newest].facts.entry(field).or_insert(i);
                if fuller(field, print, steps[*giver].1) {
                    *giver = i;
                }
            }
            variants[newest].last = i;
            let went_back = newest + 1 < variants.len() && joined[i - 1] != newest;
            oscillations += u32::from(went_back);
            joined.push(newest);
            continue;
        }
        // Of the nearest the newest.
        if let Some(nearest) = (0..variants.len()).rev().min_by_key(|n| against[*n].len()) {
            let contradictions = against[nearest].clone();
            let suspicion = suspicion(steps, i, steps[variants[nearest].last].1, &contradictions);
            openings.push(Opening { attempt: i, nearest, contradictions, suspicion });
        }
        joined.push(variants.len());
        variants.push(Variant { facts: given.map(|field| (field, i)).collect(), last: i });
    }
    let opened = openings.last().is_some_and(|opening| opening.attempt == steps.len() - 1);
    let changed =
        openings.iter().flat_map(|opening| opening.contradictions.keys()).fold(0, |bits, field| bits | 1 << *field as u32);
    let disguises = openings.iter().filter(|o| o.contradictions.values().all(|level| *level == Level::Disguised)).count();
    WindowEvidence {
        attempts: steps.len() as u32,
        suspicious_attempts: variants.len() as u32 - 1,
        suspicion: round(openings.iter().map(|opening| settled(steps, &joined, opening)).sum()),
        distinct: distinct(steps, &variants),
        changed,
        premium_drop_pct: round(premium_drop(steps)),
        oscillations,
        disguises: disguises as u32,
        seconds_since_first: ((steps[steps.len() - 1].0 - steps[0].0) / 1_000_000) as f64,
        known_form: steps.len() > 1 && !opened,
        ..WindowEvidence::default()
    }
}

fn round(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

/// The worst change whole, the others by about a third, then whose favour and how fast.
fn suspicion(steps: &[Step], i: usize, base: &Fingerprint, contradictions: &Contradictions) -> f64 {
    let print = steps[i].1;
    let weights = contradictions.iter().map(|(field, level)| change_weight(*field, *level, print, base));
    let (worst, sum) = weights.fold((0.0f64, 0.0), |(worst, sum), weight| (worst.max(weight), sum + weight));
    (worst + 0.35 * (sum - worst)).min(2.5) * favour(print, steps[i - 1].1) * pace(steps[i].0 - steps[i - 1].0)
}

/// A version left at once for the one before it that brought no better price was a slip of the pen.
fn settled(steps: &[Step], joined: &[usize], opening: &Opening) -> f64 {
    let i = opening.attempt;
    let left_at_once = joined.get(i + 1) == Some(&opening.nearest);
    let (mine, before) = (steps[i].1, steps[i - 1].1);
    let same_choices = (mine.term, mine.deductible, mine.extra) == (before.term, before.deductible, before.extra);
    let both_priced = mine.premium >= 0.0 && before.premium >= 0.0;
    let cheaper = same_choices && both_priced && mine.premium < before.premium * 0.995;
    if left_at_once && !cheaper { opening.suspicion * 0.4 } else { opening.suspicion }
}

fn premium_drop(steps: &[Step]) -> f64 {
    let priced: Vec<f64> = steps.iter().map(|(_, print)| print.premium).filter(|premium| *premium >= 0.0).collect();
    let mut most = 0.0f64;
    for (i, dear) in priced.iter().enumerate().filter(|(_, dear)| **dear > 0.0) {
        for cheap in &priced[i..] {
            most = most.max((dear - cheap) / dear * 100.0);
        }
    }
    most
}

fn distinct(steps: &[Step], variants: &[Variant]) -> [u16; Field::COUNT] {
    Field::ALL.map(|field| {
        let givers = variants.iter().filter_map(|variant| variant.facts.get(&field));
        givers.map(|giver| value(field, steps[*giver].1)).collect::<BTreeSet<u64>>().len() as u16
    })
}

/// A number that is equal for values written alike.
fn value(field: Field, print: &Fingerprint) -> u64 {
    match field {
        Field::MakeModel => hash64(print.text(Text::Model).as_bytes()),
        Field::Year => u64::from(print.year),
        Field::Power => u64::from(print.power.to_bits()),
        Field::DriverData => {
            let data = |d: &DriverPrint| [d.name, d.licence, d.birth_date.0, d.licensed_since.0];
            let mut drivers: Vec<[u32; 4]> = print.drivers.iter().map(data).collect();
            drivers.sort();
            hash64(format!("{drivers:?}").as_bytes())
        }
        field => u64::from(print.raw[field as usize]),
    }
}
