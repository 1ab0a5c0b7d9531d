//! The walk of facts and variants, from section 9 of the design and the words of the engine; only the weights are the engine's own.

use std::collections::{BTreeMap, BTreeSet};

use quoteguard::engine::evidence::WindowEvidence;
use quoteguard::engine::facts::{
    ANOTHER_PERSON, CORRECTION, DISGUISE, INSTEAD, LEFT_AGAIN, MOST, OTHERS, PUT_FORWARD, PUT_FORWARD_AGAIN, RETURN, again,
    change_weight, favour, pace,
};
use quoteguard::engine::field::{Field, Level};
use quoteguard::engine::fingerprint::{DriverPrint, Fingerprint, POLICYHOLDER, Text};
use quoteguard::engine::limits::VARIANTS_COMPARED_MAX;
use quoteguard::engine::normalise::hash64;
use quoteguard::engine::normalise::vehicle::well_formed;

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
        Field::MakeModel => print.text(Text::Model).split_whitespace().count(),
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

/// The number that each variant counts as: the lowest of those it was cleared with, directly or through others.
fn numbers(variants: usize, joined: &[usize], as_one: &[BTreeSet<usize>]) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..variants).collect();
    loop {
        let before = numbers.clone();
        for set in as_one {
            let lowest = set.iter().map(|i| numbers[joined[*i]]).min();
            set.iter().for_each(|i| numbers[joined[*i]] = lowest.unwrap_or(numbers[joined[*i]]));
        }
        if numbers == before {
            return numbers;
        }
    }
}

/// What the attempts say. Each set of `as_one` was cleared.
pub fn walk(steps: &[Step], as_one: &[BTreeSet<usize>]) -> WindowEvidence {
    let mut variants: Vec<Variant> = Vec::new();
    let mut openings: Vec<Opening> = Vec::new();
    let mut joined: Vec<usize> = Vec::new();
    let mut returns: Vec<usize> = Vec::new();
    for (i, (_, print)) in steps.iter().enumerate() {
        let against: Vec<Contradictions> = variants.iter().map(|variant| contradictions(steps, i, variant)).collect();
        let given = facts().filter(|field| gives(print, *field));
        if let Some(newest) = newest_first(variants.len()).find(|n| against[*n].is_empty()) {
            for field in given {
                let giver = variants[newest].facts.entry(field).or_insert(i);
                if fuller(field, print, steps[*giver].1) {
                    *giver = i;
                }
            }
            variants[newest].last = i;
            joined.push(newest);
            returns.push(i);
            continue;
        }
        // Of the nearest the newest.
        if let Some(nearest) = newest_first(variants.len()).min_by_key(|n| against[*n].len()) {
            let contradictions = against[nearest].clone();
            let suspicion = suspicion(steps, i, &variants[nearest], &contradictions);
            openings.push(Opening { attempt: i, nearest, contradictions, suspicion });
        }
        joined.push(variants.len());
        variants.push(Variant { facts: given.map(|field| (field, i)).collect(), last: i });
    }
    let numbers = numbers(variants.len(), &joined, as_one);
    let oscillations = returns.iter().filter(|i| numbers[joined[**i]] != numbers[joined[**i - 1]]).count() as u32;
    let counts = |variant: usize| numbers[variant] == variant;
    let counted: Vec<&Variant> = (0..variants.len()).filter(|v| counts(*v)).map(|v| &variants[v]).collect();
    let own = openings.last().filter(|opening| opening.attempt == steps.len() - 1);
    let is_new_form = own.is_some();
    openings.retain(|opening| counts(joined[opening.attempt]));
    let changed =
        openings.iter().flat_map(|opening| opening.contradictions.keys()).fold(0, |bits, field| bits | 1 << *field as u32);
    let disguises = openings.iter().filter(|o| o.contradictions.values().all(|level| *level == Level::Disguised)).count();
    WindowEvidence {
        attempts: steps.len() as u32,
        suspicious_attempts: counted.len() as u32 - 1,
        suspicion: round(openings.iter().map(|opening| settled(&joined, opening)).sum()),
        distinct: distinct(steps, &counted),
        changed,
        premium_drop_pct: round(premium_drop(steps)),
        oscillations,
        disguises: disguises as u32,
        seconds_since_first: ((steps[steps.len() - 1].0 - steps[0].0) / 1_000_000) as f64,
        known_form: steps.len() > 1 && !is_new_form,
        ..WindowEvidence::default()
    }
}

/// Numbers of the variants that an attempt is compared with.
fn newest_first(variants: usize) -> impl Iterator<Item = usize> {
    (0..variants).rev().take(VARIANTS_COMPARED_MAX)
}

fn round(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

/// What the step to a new variant weighs: what changed, whose favour, how fast.
fn suspicion(steps: &[Step], i: usize, nearest: &Variant, contradictions: &Contradictions) -> f64 {
    let (print, before) = (steps[i].1, steps[i - 1].1);
    let level = |field: Field| contradictions.get(&field).copied();
    let different = |field: Field| level(field) == Some(Level::Different);
    let person = [Field::FirstName, Field::BirthDate, Field::IdDocument, Field::DriverLicence];
    let others: Vec<Field> = person.into_iter().filter(|field| different(*field)).collect();
    let weight = if others.len() > 2 || (others.len() == 2 && others[0] == Field::FirstName) {
        // Somebody else entirely. Who brings contacts of his own, or drives alone, is a relative who wants the same car insured.
        let alone = print.drivers.len() == 1 && print.drivers[0].name == POLICYHOLDER;
        let names = given_before(steps, i, Field::FirstName);
        let known = names.contains(&value(Field::FirstName, print));
        match level(Field::Phone).or(level(Field::Email)) {
            Some(_) => ANOTHER_PERSON,
            None if alone => ANOTHER_PERSON,
            None if names.len() >= 2 && !known => PUT_FORWARD_AGAIN + favour(print, before),
            None => PUT_FORWARD + favour(print, before),
        }
    } else {
        // A form is compared with the last one of the same person.
        let own = if namesake(print, before) { before } else { steps[nearest.last].1 };
        let instead = contradictions.keys().any(|field| !said_before(steps, i, *field))
            && facts().any(|field| differs(super::levels::level(field, print, own)) && said_before(steps, i, field));
        changes(steps, i, nearest, contradictions) + if instead { INSTEAD } else { 0.0 } + favour(print, own)
    };
    weight.clamp(0.0, MOST) * pace(steps[i].0 - steps[i - 1].0)
}

fn differs(level: Level) -> bool {
    matches!(level, Level::Near | Level::Different | Level::Disguised)
}

/// Did an earlier attempt give this very value of the fact?
fn said_before(steps: &[Step], i: usize, field: Field) -> bool {
    given_before(steps, i, field).contains(&value(field, steps[i].1))
}

/// The heaviest change whole, the others in part.
fn changes(steps: &[Step], i: usize, nearest: &Variant, contradictions: &Contradictions) -> f64 {
    let print = steps[i].1;
    let weigh = |(field, level): (&Field, &Level)| {
        let (values, before) = (given_before(steps, i, *field), steps[nearest.facts[field]].1);
        match level {
            _ if values.contains(&value(*field, print)) => RETURN,
            Level::Disguised => DISGUISE,
            _ if possible(*field, print) == Some(true) && possible(*field, before) == Some(false) => CORRECTION,
            level => change_weight(*field, *level, print, before) + again(values.len()),
        }
    };
    let weights: Vec<f64> = contradictions.iter().map(weigh).collect();
    let worst = weights.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    worst + OTHERS * (weights.iter().sum::<f64>() - worst)
}

/// Distinct values of a fact in the attempts before; of what belongs to a person, in those that may name the same one.
fn given_before(steps: &[Step], i: usize, field: Field) -> BTreeSet<u64> {
    use Field::*;
    let of_anybody = matches!(field, FirstName | Address | Vin | Plate | MakeModel | Year | Power);
    let counts = |print: &Fingerprint| gives(print, field) && (of_anybody || namesake(steps[i].1, print));
    steps[..i].iter().filter(|(_, print)| counts(print)).map(|(_, print)| value(field, print)).collect()
}

fn namesake(a: &Fingerprint, b: &Fingerprint) -> bool {
    level(Field::FirstName, a, b) != Level::Different
}

/// Can the value be true? `None` for facts of which nobody can tell.
fn possible(field: Field, print: &Fingerprint) -> Option<bool> {
    let ten_long = |slot: Text| Some(print.text(slot).len() == 10);
    match field {
        Field::Vin => Some(well_formed(print.text(Text::Vin))),
        // Main part and region.
        Field::Plate => Some(print.text(Text::Plate).contains(' ')),
        Field::Phone => ten_long(Text::Phone),
        Field::IdDocument => ten_long(Text::IdDocument),
        Field::DriverLicence => ten_long(Text::DriverLicence),
        _ => None,
    }
}

/// A version left at once for the one before it was a slip of the pen.
fn settled(joined: &[usize], opening: &Opening) -> f64 {
    let left_at_once = joined.get(opening.attempt + 1) == Some(&opening.nearest);
    if left_at_once { (opening.suspicion - LEFT_AGAIN).max(0.0) } else { opening.suspicion }
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

fn distinct(steps: &[Step], variants: &[&Variant]) -> [u16; Field::COUNT] {
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
