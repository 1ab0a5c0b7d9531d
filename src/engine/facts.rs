//! Facts and variants: how many contradicting versions of the truth one applicant gave, and how deliberate that looks.

use super::compare::{VinChange, level, vin_change};
use super::evidence::WindowEvidence;
use super::field::{Field, Level};
use super::fingerprint::{DriverPrint, Fingerprint, POLICYHOLDER, RAWS, Text};
use super::limits::VARIANTS_COMPARED_MAX;
use super::normalise::vehicle::well_formed;
use super::time::{DAY, EventTime};

/// Fields that are facts: the first of [`Field`].
pub(super) const FACTS: usize = Field::DriverData as usize + 1;
const UNKNOWN: u16 = u16::MAX;

/// One attempt of the walk.
#[derive(Clone, Copy)]
pub struct Step<'a> {
    pub at: EventTime,
    pub print: &'a Fingerprint,
    /// Bit for each clearing that names the attempt: the versions it opens or joins are one with those of the others named.
    pub cleared: u32,
}

/// A version of the facts: for each fact, the attempt that gave it.
struct Variant {
    givers: [u16; FACTS],
    /// Attempt that opened it, and the last one that joined it.
    opened: u16,
    last: u16,
}

/// What one attempt contradicts in one variant.
#[derive(Clone, Copy, Default)]
struct Contradictions {
    levels: [Level; FACTS],
    count: u8,
}

/// A new variant, as seen from the nearest earlier one.
struct Opening {
    attempt: usize,
    /// Against the nearest variant.
    against: Contradictions,
    nearest: usize,
    suspicion: f64,
}

/// Walks the attempts, which are in (event time, id) order with the quote last, and counts what they say.
pub fn walk(steps: &[Step]) -> WindowEvidence {
    let mut walk = Walk {
        steps,
        variants: Vec::with_capacity(4),
        openings: Vec::new(),
        joined: Vec::with_capacity(steps.len()),
        first_of: Vec::new(),
    };
    (0..steps.len()).for_each(|i| walk.take(i));
    walk.merge();
    walk.evidence()
}

struct Walk<'a> {
    steps: &'a [Step<'a>],
    variants: Vec<Variant>,
    openings: Vec<Opening>,
    /// The variant of each attempt so far.
    joined: Vec<usize>,
    /// The first variant of each one's group, which together count as that one; empty while each is a group of its own.
    first_of: Vec<usize>,
}

impl Walk<'_> {
    fn take(&mut self, i: usize) {
        let mut nearest: Option<(usize, Contradictions)> = None;
        for number in (0..self.variants.len()).rev().take(VARIANTS_COMPARED_MAX) {
            let found = self.contradictions(i, number);
            if found.count == 0 {
                self.join(i, number);
                return;
            }
            if nearest.is_none_or(|(_, best)| found.count < best.count) {
                nearest = Some((number, found));
            }
        }
        if let Some((nearest, against)) = nearest {
            let suspicion = self.suspicion(i, nearest, &against);
            self.openings.push(Opening { attempt: i, against, nearest, suspicion });
        }
        let print = self.steps[i].print;
        let givers = std::array::from_fn(|fact| if gives(print, Field::ALL[fact]) { i as u16 } else { UNKNOWN });
        self.variants.push(Variant { givers, opened: i as u16, last: i as u16 });
        self.joined.push(self.variants.len() - 1);
    }

    fn join(&mut self, i: usize, number: usize) {
        let print = self.steps[i].print;
        let variant = &mut self.variants[number];
        for fact in 0..FACTS {
            let giver = variant.givers[fact];
            let before = if giver == UNKNOWN { 0 } else { pieces(self.steps[usize::from(giver)].print, Field::ALL[fact]) };
            if pieces(print, Field::ALL[fact]) > before {
                variant.givers[fact] = i as u16;
            }
        }
        variant.last = i as u16;
        self.joined.push(number);
    }

    fn contradictions(&self, i: usize, variant: usize) -> Contradictions {
        let mut found = Contradictions::default();
        for fact in 0..FACTS {
            let giver = self.variants[variant].givers[fact];
            if giver == UNKNOWN {
                continue;
            }
            let level = self.fact_level(Field::ALL[fact], i, usize::from(giver));
            if level.is_changed() {
                found.levels[fact] = level;
                found.count += 1;
            }
        }
        found
    }

    /// The level; a disguise counts only with a raw form that no earlier attempt of the walk had.
    fn fact_level(&self, field: Field, i: usize, giver: usize) -> Level {
        let (a, b) = (self.steps[i].print, self.steps[giver].print);
        let number = field as usize;
        if number < RAWS && a.raw[number] == b.raw[number] && a.raw[number] != 0 {
            return Level::Same;
        }
        match level(field, a, b) {
            Level::Disguised if self.steps[..i].iter().any(|s| s.print.raw[number] == a.raw[number]) => Level::Same,
            level => level,
        }
    }

    /// How deliberate the step to a new variant looks; 1 is about one plain tweak of a fact that the price hangs on.
    fn suspicion(&self, i: usize, nearest: usize, against: &Contradictions) -> f64 {
        let (print, base) = (self.steps[i].print, self.steps[usize::from(self.variants[nearest].last)].print);
        let before = self.steps[i - 1].print;
        let weight = if !another_person(against) {
            // Somebody else's form is no measure of this one.
            let before = if other_given_name(print, before) { base } else { before };
            let instead = if self.tries_instead(i, before, against) { INSTEAD } else { 0.0 };
            self.changes_weight(i, &self.variants[nearest], against) + instead + favour(print, before)
        } else if own_contacts(against) || drives_alone(print) {
            ANOTHER_PERSON
        } else {
            self.person_weight(i) + favour(print, before)
        };
        weight.clamp(0.0, MOST) * pace(self.steps[i].at.0 - self.steps[i - 1].at.0)
    }

    /// An owner put forward for the price keeps the contacts of who puts him forward and lets him drive; a third one is a search.
    fn person_weight(&self, i: usize) -> f64 {
        let again = self.values_before(i, Field::FirstName).is_some_and(|names| names >= 2);
        if again { PUT_FORWARD_AGAIN } else { PUT_FORWARD }
    }

    /// The worst change whole, the others in part. Each is measured by the form that gave the fact: a form in between that left
    /// it out says nothing of it.
    fn changes_weight(&self, i: usize, variant: &Variant, against: &Contradictions) -> f64 {
        let print = self.steps[i].print;
        let (mut worst, mut sum) = (f64::MIN, 0.0);
        for (fact, level) in against.levels.iter().enumerate().filter(|(_, level)| **level != Level::Missing) {
            let field = Field::ALL[fact];
            let base = self.steps[usize::from(variant.givers[fact])].print;
            let weight = match self.values_before(i, field) {
                None => RETURN,
                Some(_) if *level == Level::Disguised => DISGUISE,
                Some(_) if corrects(field, print, base) => CORRECTION,
                Some(values) => change_weight(field, *level, print, base) + again(values),
            };
            worst = worst.max(weight);
            sum += weight;
        }
        worst + OTHERS * (sum - worst)
    }

    /// Takes the last change back and makes another one in its place: who mends a slip makes no new one with it.
    fn tries_instead(&self, i: usize, before: &Fingerprint, against: &Contradictions) -> bool {
        let print = self.steps[i].print;
        let new = |fact: usize| against.levels[fact] != Level::Missing && self.values_before(i, Field::ALL[fact]).is_some();
        let taken_back = |fact: usize| {
            let field = Field::ALL[fact];
            // Most facts are written as before: that is told without a comparison.
            identity(field, print) != identity(field, before)
                && level(field, print, before).is_changed()
                && self.values_before(i, field).is_none()
        };
        (0..FACTS).any(new) && (0..FACTS).any(taken_back)
    }

    /// How many values of the fact earlier attempts gave, [`VALUES_TOLD`] at most; `None` when this one is among them. What
    /// belongs to a person is counted over the attempts that name that person.
    fn values_before(&self, i: usize, field: Field) -> Option<usize> {
        let value = identity(field, self.steps[i].print);
        let mut seen: Vec<u64> = Vec::with_capacity(VALUES_TOLD);
        let print = self.steps[i].print;
        let personal = !matches!(
            field,
            Field::FirstName | Field::Address | Field::Vin | Field::Plate | Field::MakeModel | Field::Year | Field::Power
        );
        for step in self.steps[..i].iter().filter(|step| gives(step.print, field)) {
            let other = identity(field, step.print);
            let counted = other != value && (seen.len() == VALUES_TOLD || seen.contains(&other));
            if counted || (personal && other_given_name(print, step.print)) {
                continue;
            }
            if other == value {
                return None;
            }
            seen.push(other);
        }
        Some(seen.len())
    }

    /// Groups the variants of attempts that a clearing names.
    fn merge(&mut self) {
        let clearings = self.steps.iter().fold(0, |bits, step| bits | step.cleared);
        if clearings == 0 {
            return;
        }
        self.first_of = (0..self.variants.len()).collect();
        for bit in (0..u32::BITS).filter(|bit| clearings >> bit & 1 == 1) {
            let named = self.steps.iter().zip(&self.joined).filter(|(step, _)| step.cleared >> bit & 1 == 1);
            let groups: Vec<usize> = named.map(|(_, variant)| self.first_of[*variant]).collect();
            let first = groups.iter().copied().min().unwrap_or(0);
            self.first_of.iter_mut().filter(|group| groups.contains(group)).for_each(|group| *group = first);
        }
    }

    fn group(&self, variant: usize) -> usize {
        self.first_of.get(variant).copied().unwrap_or(variant)
    }

    /// Whether the variant counts: it is the first of its group.
    fn counts(&self, variant: usize) -> bool {
        self.group(variant) == variant
    }

    fn oscillations(&self) -> u32 {
        let returned = |i: &usize| {
            let (variant, before) = (self.joined[*i], self.joined[*i - 1]);
            usize::from(self.variants[variant].opened) != *i && self.group(variant) != self.group(before)
        };
        (1..self.steps.len()).filter(returned).count() as u32
    }

    fn evidence(&self) -> WindowEvidence {
        let steps = self.steps;
        let last = steps.len() - 1;
        let openings = || self.openings.iter().filter(|opening| self.counts(self.joined[opening.attempt]));
        let changed = openings().fold(0u32, |bits, opening| {
            bits | (0..FACTS).filter(|f| opening.against.levels[*f] != Level::Missing).fold(0, |b, f| b | 1 << f)
        });
        let disguises = openings().filter(|opening| only_disguised(&opening.against)).count() as u32;
        WindowEvidence {
            attempts: steps.len() as u32,
            variants: self.variants.len() as u32,
            suspicious_attempts: (0..self.variants.len()).filter(|variant| self.counts(*variant)).count() as u32 - 1,
            suspicion: round(openings().map(|opening| self.settled(opening)).sum()),
            distinct: std::array::from_fn(|fact| self.distinct(fact)),
            changed,
            premium_drop_pct: round(premium_drop(steps)),
            oscillations: self.oscillations(),
            disguises,
            seconds_since_first: ((steps[last].at.0 - steps[0].at.0) / 1_000_000) as f64,
            known_form: last > 0 && usize::from(self.variants[self.joined[last]].opened) != last,
            ..WindowEvidence::default()
        }
    }

    /// A version that was left again at once for the one before it was a slip of the pen.
    fn settled(&self, opening: &Opening) -> f64 {
        let returned = self.joined.get(opening.attempt + 1) == Some(&opening.nearest);
        if returned { (opening.suspicion - LEFT_AGAIN).max(0.0) } else { opening.suspicion }
    }

    fn distinct(&self, fact: usize) -> u16 {
        if fact >= FACTS {
            return 0;
        }
        let mut seen: Vec<u64> = Vec::with_capacity(self.variants.len());
        for (_, variant) in self.variants.iter().enumerate().filter(|(number, _)| self.counts(*number)) {
            let giver = variant.givers[fact];
            if giver != UNKNOWN {
                let value = identity(Field::ALL[fact], self.steps[usize::from(giver)].print);
                if !seen.contains(&value) {
                    seen.push(value);
                }
            }
        }
        seen.len() as u16
    }
}

// The weights below are log-odds of manipulation, fitted on the labelled workload and rounded. They add up.

/// Weight of a form that names somebody else entirely, who asks for himself; of an owner put forward by who goes on driving or with
/// the contacts of the first; and of the third such owner.
pub const ANOTHER_PERSON: f64 = 0.1;
pub const PUT_FORWARD: f64 = 0.5;
pub const PUT_FORWARD_AGAIN: f64 = 1.5;
/// Weight of going back to a value given before: who mends a slip does.
pub const RETURN: f64 = -0.4;
/// Weight of a change from an impossible value to a possible one.
pub const CORRECTION: f64 = 0.1;
/// Weight of look-alike or invisible characters.
pub const DISGUISE: f64 = 1.6;
/// Share of their weight that all changes but the worst of one step keep.
pub const OTHERS: f64 = 0.35;
/// Weight taken off a version that was left again at once.
pub const LEFT_AGAIN: f64 = 0.5;
/// Weight of a change made in place of the last one.
pub const INSTEAD: f64 = 0.8;
/// Most that one step weighs, so that two never are enough.
pub const MOST: f64 = 4.0;

/// Earlier values of one fact that are told apart: more weigh no more.
const VALUES_TOLD: usize = 3;

/// What it adds that this many other values of one fact were given before: a slip is mended once, a search goes on.
pub fn again(values: usize) -> f64 {
    match values {
        0..=1 => 0.0,
        2 => 0.5,
        _ => 2.2,
    }
}

/// Somebody else asks: most of given name, birth date and papers are another's. Relatives have names alike, or the same one.
fn another_person(against: &Contradictions) -> bool {
    let different = |field: Field| against.levels[field as usize] == Level::Different;
    let person = [Field::FirstName, Field::BirthDate, Field::IdDocument, Field::DriverLicence];
    let others = person.into_iter().filter(|field| different(*field)).count();
    others >= 3 || (others == 2 && different(Field::FirstName))
}

/// Relatives who quote one car come with contacts of their own.
fn own_contacts(against: &Contradictions) -> bool {
    [Field::Phone, Field::Email].into_iter().any(|field| against.levels[field as usize] != Level::Missing)
}

/// Who asks for himself drives himself; who was put forward leaves the wheel to another.
fn drives_alone(print: &Fingerprint) -> bool {
    matches!(&print.drivers[..], [driver] if driver.name == POLICYHOLDER)
}

fn other_given_name(a: &Fingerprint, b: &Fingerprint) -> bool {
    level(Field::FirstName, a, b) == Level::Different
}

/// The value before could not be true and this one can.
fn corrects(field: Field, print: &Fingerprint, base: &Fingerprint) -> bool {
    let possible: fn(&str) -> bool = match field {
        Field::Vin => well_formed,
        Field::Plate => |plate| plate.contains(' '),
        Field::Phone | Field::IdDocument | Field::DriverLicence => |number| number.len() == 10,
        _ => return false,
    };
    let slot = match field {
        Field::Vin => Text::Vin,
        Field::Plate => Text::Plate,
        Field::Phone => Text::Phone,
        Field::IdDocument => Text::IdDocument,
        _ => Text::DriverLicence,
    };
    possible(print.text(slot)) && !possible(base.text(slot))
}

fn only_disguised(against: &Contradictions) -> bool {
    against.levels.iter().all(|level| matches!(level, Level::Missing | Level::Disguised))
}

/// Two decimals: what is shown is what rules compare.
fn round(x: f64) -> f64 {
    (x * 100.0).round() / 100.0
}

/// Is there anything to compare?
pub(super) fn gives(print: &Fingerprint, field: Field) -> bool {
    match field {
        Field::MakeModel => !print.text(Text::Model).is_empty(),
        Field::Year => print.year != 0,
        Field::Power => print.power > 0.0,
        Field::DriverData => !print.drivers.is_empty(),
        field => print.raw.get(field as usize).is_some_and(|raw| *raw != 0),
    }
}

/// How much of a fact a form gives. A joining form that gives more of an address, the drivers or the model fills them in: a town
/// alone, a list without the second driver or a make alone would agree with every later tweak of the rest.
fn pieces(print: &Fingerprint, field: Field) -> usize {
    match field {
        Field::Address => {
            [Text::City, Text::Street, Text::House, Text::Flat].iter().filter(|s| !print.text(**s).is_empty()).count()
        }
        Field::DriverData => {
            let data = |d: &DriverPrint| [d.name, d.licence, d.birth_date.0, d.licensed_since.0];
            print.drivers.iter().map(|d| 1 + data(d).iter().filter(|n| **n != 0).count()).sum()
        }
        Field::MakeModel => print.text(Text::Model).split(' ').filter(|word| !word.is_empty()).count(),
        field => usize::from(gives(print, field)),
    }
}

/// A number that is equal for equal values of one fact.
fn identity(field: Field, print: &Fingerprint) -> u64 {
    match field {
        Field::MakeModel => super::normalise::hash64(print.text(Text::Model).as_bytes()),
        Field::Year => u64::from(print.year),
        Field::Power => u64::from(print.power.to_bits()),
        // A sum, for the order does not matter, and the same driver given twice would cancel out of an exclusive or.
        Field::DriverData => print.drivers.iter().fold(0u64, |sum, d| {
            let data = [d.name, d.licence, d.birth_date.0, d.licensed_since.0].map(u32::to_le_bytes).concat();
            sum.wrapping_add(super::normalise::hash64(&data))
        }),
        field => u64::from(print.raw[field as usize]),
    }
}

/// One value for each fact the form gives.
pub fn given(print: &Fingerprint) -> [u16; Field::COUNT] {
    Field::ALL.map(|field| u16::from(field.is_fact() && gives(print, field)))
}

/// How much one changed fact says, before favour and pace. What typists get wrong as often as pickers change it weighs little: there
/// only the price and the repetition tell them apart.
pub fn change_weight(field: Field, level: Level, print: &Fingerprint, base: &Fingerprint) -> f64 {
    let near = level == Level::Near;
    match field {
        Field::Vin if vin_change(print.text(Text::Vin), base.text(Text::Vin)) == VinChange::Serial => 1.1,
        Field::Vin if near => 0.3,
        Field::Vin => 2.4,
        Field::Year if near => 0.1,
        Field::Year => 2.7,
        Field::Power if near => 0.5,
        Field::Power => 2.4,
        Field::Address if near => 0.5,
        Field::Address => 1.3,
        Field::BirthDate if near => 0.7,
        Field::BirthDate => 0.9,
        Field::Plate if near => 0.9,
        Field::LastName | Field::FirstName | Field::MiddleName if near => 0.4,
        Field::LastName | Field::FirstName | Field::MiddleName => 0.8,
        Field::Phone | Field::Email if !near => 0.7,
        _ => 0.1,
    }
}

/// Whether the form became cheaper; `None` when a price is missing or the applicant chose other terms.
fn cheaper(print: &Fingerprint, before: &Fingerprint) -> Option<bool> {
    let same_choices = print.term == before.term
        && print.deductible == before.deductible
        && print.drivers.len() == before.drivers.len()
        && print.text(Text::Product) == before.text(Text::Product);
    if print.premium < 0.0 || before.premium < 0.0 || !same_choices {
        return None;
    }
    Some(print.premium < before.premium * 0.995)
}

/// What the price adds: honest slips mostly leave it as it was, and a picker's misses raise it.
pub fn favour(print: &Fingerprint, before: &Fingerprint) -> f64 {
    match cheaper(print, before) {
        Some(true) => 1.0,
        Some(false) if print.premium > before.premium * 1.005 => 0.6,
        _ => 0.0,
    }
}

pub fn pace(gap: i64) -> f64 {
    match gap {
        gap if gap <= 3 * DAY => 1.0,
        gap if gap <= 10 * DAY => 0.7,
        _ => 0.5,
    }
}

/// Per cent from the dearest price to the cheapest after it.
fn premium_drop(steps: &[Step]) -> f64 {
    let mut dearest = 0.0f64;
    let mut drop = 0.0f64;
    for premium in steps.iter().map(|step| step.print.premium).filter(|premium| *premium >= 0.0) {
        dearest = dearest.max(premium);
        if dearest > 0.0 {
            drop = drop.max((dearest - premium) / dearest * 100.0);
        }
    }
    drop
}
