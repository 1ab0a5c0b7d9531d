//! Parameter pickers: one person, one car, ever new versions of the facts.

use crate::episode::{DAY, Episode, HOUR, Label, MINUTE};
use crate::form::Form;
use crate::noise::Typist;
use crate::people::{Tie, phone};
use crate::rng::Rng;
use crate::source::Source;
use crate::tariff::premium;
use crate::truth::Kind;
use crate::tweak::Op;

/// Share of pickers who change device and address between attempts.
const ROTATES: f64 = 0.25;
/// Share of those who take a new phone number with the new device.
const ROTATES_PHONE: f64 = 0.3;
/// Suspicious attempts after which the incognito goes elsewhere: he has seen the referral by then.
const GOES_INCOGNITO: u32 = 4;
/// Share of pickers who take days instead of hours.
const PATIENT: f64 = 0.15;
/// Share of pickers who also change drivers or the deductible between attempts.
const SHOPS: f64 = 0.2;
/// Chance, before an attempt, of showing an earlier form once more.
const RETURNS: f64 = 0.08;
/// Chance that a second operation goes with an operation that would do alone.
const ACCOMPANIED: f64 = 0.25;

/// What the next version starts from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Strategy {
    /// The first form.
    Restart,
    /// The last version.
    Accumulate,
    /// The cheapest version so far.
    KeepBest,
}

/// A picker in the middle of his episode.
pub struct Picker {
    pub label: Label,
    pub form: Form,
    pub source: Source,
    first: Form,
    best: Form,
    strategy: Strategy,
    rotates: bool,
    rotates_phone: bool,
    incognito: bool,
    patient: bool,
    shops: bool,
    /// Suspicious attempts he will make.
    pub goal: u32,
}

impl Picker {
    pub fn new(ep: &mut Episode, kind: Kind) -> Picker {
        let label = ep.adversary(kind);
        let rng = &mut ep.rng;
        let real = motivated(rng, kind);
        let first = Typist::new(rng, real).shown;
        let strategy = match kind {
            Kind::PriceSeeker => Strategy::KeepBest,
            Kind::SlowDrip => Strategy::Accumulate,
            Kind::Combined => Strategy::Restart,
            _ => *rng.weighted(&[(Strategy::Restart, 50.0), (Strategy::Accumulate, 20.0), (Strategy::KeepBest, 30.0)]),
        };
        let goal = match kind {
            Kind::SlowDrip => rng.between(5, 8) as u32,
            Kind::Incognito => rng.between(6, 9) as u32,
            _ => *rng.weighted(&[(2, 4.0), (3, 14.0), (4, 20.0), (5, 20.0), (6, 16.0), (7, 14.0), (8, 12.0)]),
        };
        Picker {
            label,
            source: Source::private(rng),
            best: first.clone(),
            form: first.clone(),
            first,
            strategy,
            rotates: kind == Kind::DeviceRotation || (kind != Kind::Incognito && rng.chance(ROTATES)),
            rotates_phone: rng.chance(ROTATES_PHONE),
            incognito: kind == Kind::Incognito,
            patient: kind != Kind::CopyVictim && rng.chance(PATIENT),
            shops: rng.chance(SHOPS),
            goal,
        }
    }

    /// Mostly minutes, sometimes hours; the patient take days.
    pub fn pause(&self, ep: &mut Episode) {
        match ep.rng.below(100) {
            0..=39 if self.patient => ep.wait(10.0 * MINUTE, 6.0 * HOUR),
            _ if self.patient => ep.wait(6.0 * HOUR, 4.0 * DAY),
            0..=71 => ep.wait(15.0, 40.0 * MINUTE),
            72..=93 => ep.wait(40.0 * MINUTE, 5.0 * HOUR),
            _ => ep.wait(5.0 * HOUR, 1.5 * DAY),
        }
    }

    pub fn done(&self) -> bool {
        self.label.suspicious() >= self.goal
    }

    /// The next version: the operations on top of what the strategy keeps, until it is one that was not shown yet.
    pub fn vary(&mut self, rng: &mut Rng, ops: &[Op]) {
        let from = match self.strategy {
            Strategy::Restart => &self.first,
            Strategy::Accumulate => &self.form,
            Strategy::KeepBest => &self.best,
        };
        let mut next = from.clone();
        for round in 0..12 {
            next = from.clone();
            ops.iter().for_each(|op| op.apply(&mut next, rng));
            if round > 3 {
                rng.pick(Op::SECOND).apply(&mut next, rng);
            }
            if !self.label.has_shown(&next) {
                break;
            }
        }
        if self.rotates && self.rotates_phone && !next.holder.phone.is_empty() {
            next.holder.phone = phone(rng);
        }
        if self.shops && rng.chance(0.4) {
            choose_otherwise(&mut next, rng);
        }
        self.form = next;
    }

    fn is_elsewhere(&self) -> bool {
        self.incognito && self.label.suspicious() >= GOES_INCOGNITO
    }

    /// The cheapest version with some of its changes taken back: nothing in it is new, and he hopes to pass for the owner.
    fn recombine(&mut self, rng: &mut Rng) {
        for _ in 0..12 {
            let (mut next, first) = (self.best.clone(), &self.first);
            let mut back = |field: fn(&mut Form, &Form)| {
                if rng.chance(0.5) {
                    field(&mut next, first)
                }
            };
            back(|form, first| form.holder.last.clone_from(&first.holder.last));
            back(|form, first| form.holder.birth = first.holder.birth);
            back(|form, first| form.holder.licence.clone_from(&first.holder.licence));
            back(|form, first| form.holder.address.clone_from(&first.holder.address));
            back(|form, first| form.car.vin.clone_from(&first.car.vin));
            back(|form, first| form.car.plate.clone_from(&first.car.plate));
            back(|form, first| (form.car.year, form.car.power) = (first.car.year, first.car.power));
            self.form = next;
            if !self.label.has_shown(&self.form) {
                return;
            }
        }
    }

    pub fn submit(&mut self, ep: &mut Episode) {
        if self.is_elsewhere() || (self.rotates && self.label.suspicious() > 0 && ep.rng.chance(0.7)) {
            self.source = Source::private(&mut ep.rng);
        }
        if premium(&self.form) < premium(&self.best) {
            self.best = self.form.clone();
        }
        ep.submit(&mut self.label, &self.form, &mut self.source);
    }

    /// Sometimes shows an earlier form once more before going on.
    pub fn maybe_return(&mut self, ep: &mut Episode) {
        if self.label.suspicious() > 0 && ep.rng.chance(RETURNS) {
            let earlier = if ep.rng.chance(0.5) { self.first.clone() } else { self.best.clone() };
            let kept = std::mem::replace(&mut self.form, earlier);
            self.submit(ep);
            self.form = kept;
            self.pause(ep);
        }
    }
}

/// Of three people the one with the most to gain, and with whatever his kind of picking needs.
fn motivated(rng: &mut Rng, kind: Kind) -> Form {
    let mut form = (0..3).map(|_| Form::random(rng)).max_by_key(premium).unwrap_or_else(|| Form::random(rng));
    while form.car.plate.is_empty() && matches!(kind, Kind::PlateAltered | Kind::HomoglyphPlate) {
        form.car = crate::vehicle::Car::random(rng, form.holder.city());
    }
    if kind == Kind::YoungDriverDropped {
        let mut young = form.holder.relative(rng, Tie::Child);
        young.birth = young.birth.max(crate::calendar::TODAY.plus_years(-23));
        young.licensed_since =
            young.birth.plus_years(18).plus_days(rng.between(1, 300)).min(crate::calendar::TODAY.plus_days(-5));
        form.holder_drives = true;
        form.others = vec![young];
    }
    form
}

/// A choice that anybody may make.
fn choose_otherwise(form: &mut Form, rng: &mut Rng) {
    form.deductible = *rng.pick(&[0, 10_000, 15_000, 30_000]);
    form.term_months = *rng.weighted(&[(12, 70.0), (6, 20.0), (3, 10.0)]);
}

/// An episode of the kinds that are told by their leading operation.
pub fn single(ep: &mut Episode, kind: Kind, lead: Op) {
    let mut picker = Picker::new(ep, kind);
    picker.submit(ep);
    if ep.rng.chance(0.25) {
        // Shops honestly first.
        picker.pause(ep);
        choose_otherwise(&mut picker.form, &mut ep.rng);
        picker.submit(ep);
    }
    while !picker.done() {
        picker.pause(ep);
        picker.maybe_return(ep);
        let mut ops = vec![lead];
        let alone = match lead {
            // Invisible characters, a new phone: worth little without another change, but often tried alone.
            Op::ZeroWidth => 0.45,
            Op::PhoneEmail => 0.4,
            _ if lead.needs_second() => 0.12,
            _ => 1.0 - ACCOMPANIED,
        };
        if !ep.rng.chance(alone) {
            ops.push(*ep.rng.pick(Op::SECOND));
        }
        picker.vary(&mut ep.rng, &ops);
        picker.submit(ep);
    }
}

/// Any operation at all, on whatever the strategy keeps: the price-seeker, the device rotator, the flooder's own attempts.
pub fn varied(ep: &mut Episode, kind: Kind) {
    let mut picker = Picker::new(ep, kind);
    picker.submit(ep);
    while !picker.done() {
        picker.pause(ep);
        picker.maybe_return(ep);
        if picker.is_elsewhere() && ep.rng.chance(0.5) {
            picker.recombine(&mut ep.rng);
        } else {
            vary_freely(&mut picker, ep);
        }
        picker.submit(ep);
    }
}

pub fn vary_freely(picker: &mut Picker, ep: &mut Episode) {
    let mut ops = vec![*ep.rng.pick(Op::SECOND)];
    if ep.rng.chance(ACCOMPANIED) {
        ops.push(*ep.rng.pick(Op::SECOND));
    }
    picker.vary(&mut ep.rng, &ops);
}

/// Several fields at once, more with each attempt.
pub fn combined(ep: &mut Episode) {
    let mut picker = Picker::new(ep, Kind::Combined);
    picker.submit(ep);
    while !picker.done() {
        picker.pause(ep);
        let count = (2 + picker.label.suspicious() as usize).min(6);
        let mut ops = Op::SECOND.to_vec();
        ep.rng.shuffle(&mut ops);
        ops.truncate(count);
        picker.vary(&mut ep.rng, &ops);
        picker.submit(ep);
    }
}

/// One field an attempt over days; the first form and the last share almost nothing.
pub fn slow_drip(ep: &mut Episode) {
    const FIELDS: &[Op] = &[
        Op::PhoneEmail,
        Op::CheapRegion,
        Op::LicenceDigit,
        Op::NameEdit,
        Op::BirthYear,
        Op::VinMulti,
        Op::PlateAltered,
        Op::DoubleSurname,
        Op::LicenceSince,
    ];
    let mut picker = Picker::new(ep, Kind::SlowDrip);
    let mut ops = FIELDS.to_vec();
    ep.rng.shuffle(&mut ops);
    picker.submit(ep);
    for op in ops {
        if picker.done() {
            break;
        }
        ep.wait(3.0 * HOUR, 3.0 * DAY);
        picker.vary(&mut ep.rng, &[op]);
        picker.submit(ep);
    }
}

/// Each attempt is stamped before the last, at most ten minutes behind its arrival.
pub fn back_dater(ep: &mut Episode) {
    let mut picker = Picker::new(ep, Kind::BackDater);
    let mut stamp = 0;
    picker.submit(ep);
    while !picker.done() {
        // At most 8 * (45 + 25) s, within the ten minutes.
        ep.wait(12.0, 44.0);
        stamp -= ep.rng.between(1_000, 25_000);
        vary_freely(&mut picker, ep);
        ep.submit_stamped(&mut picker.label, &picker.form, &mut picker.source, stamp);
    }
}
