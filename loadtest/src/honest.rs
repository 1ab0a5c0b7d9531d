//! Honest applicants by themselves: one quote, shopping, corrections.

use serde_json::Value;

use crate::episode::{DAY, Episode, HOUR, Label, MINUTE};
use crate::form::{Form, Shape};
use crate::noise::{Typist, restyle, slip, slipped_date};
use crate::people::Tie;
use crate::rng::Rng;
use crate::source::Source;
use crate::truth::Class;
use crate::vehicle::Car;

/// An honest applicant at his own device.
pub struct Applicant {
    pub label: Label,
    pub typist: Typist,
    pub source: Source,
}

impl Applicant {
    pub fn new(ep: &mut Episode, class: Class, real: Form) -> Applicant {
        let label = ep.honest(class);
        Applicant { label, typist: Typist::new(&mut ep.rng, real), source: Source::private(&mut ep.rng) }
    }

    pub fn random(ep: &mut Episode, class: Class) -> Applicant {
        let real = Form::random(&mut ep.rng);
        Applicant::new(ep, class, real)
    }

    pub fn submit(&mut self, ep: &mut Episode) {
        ep.submit(&mut self.label, &self.typist.shown, &mut self.source);
    }

    /// Comes back with other choices: the form mostly as it was left, now and then on another device.
    pub fn shop(&mut self, ep: &mut Episode) {
        self.typist.come_back(&mut ep.rng);
        choose(&mut self.typist, &mut ep.rng);
        if ep.rng.chance(0.08) {
            self.source = Source::private(&mut ep.rng);
        }
        if ep.rng.chance(0.05) {
            restyle(&mut self.typist.shown, &mut ep.rng);
        }
        self.submit(ep);
    }

    /// Comes back `times` times, with honest pauses.
    pub fn shop_on(&mut self, ep: &mut Episode, times: i64) {
        for _ in 0..times {
            pause(ep);
            self.shop(ep);
        }
    }
}

/// From seconds to weeks.
pub fn pause(ep: &mut Episode) {
    match ep.rng.below(100) {
        0..=54 => ep.wait(12.0, 30.0 * MINUTE),
        55..=79 => ep.wait(30.0 * MINUTE, 10.0 * HOUR),
        _ => ep.wait(10.0 * HOUR, 9.0 * DAY),
    }
}

/// Other choices: deductible, term, extras, who else drives.
pub fn choose(typist: &mut Typist, rng: &mut Rng) {
    match rng.below(10) {
        0..=3 => {
            let deductible = *rng.pick(&[0, 5_000, 10_000, 15_000, 20_000, 30_000, 50_000]);
            typist.change(|form| form.deductible = deductible);
        }
        4..=5 => {
            let term = *rng.pick(&[3, 6, 9, 12]);
            typist.change(|form| form.term_months = term);
        }
        6..=7 => {
            let (roadside, payments) = (rng.chance(0.5), rng.between(1, 4));
            typist.change(|form| {
                form.extra.insert("roadside".into(), Value::Bool(roadside));
                form.extra.insert("payments".into(), Value::from(payments));
            });
        }
        8 => add_or_remove_driver(typist, rng),
        _ => {
            let product = if typist.real.product == "osago" { "kasko" } else { "osago" };
            typist.change(|form| form.product = product);
        }
    }
}

pub fn add_or_remove_driver(typist: &mut Typist, rng: &mut Rng) {
    if typist.real.others.is_empty() || (typist.real.others.len() == 1 && !typist.real.holder_drives) {
        let tie = *rng.weighted(&[(Tie::Spouse, 60.0), (Tie::Child, 25.0), (Tie::Parent, 15.0)]);
        let other = typist.real.holder.relative(rng, tie);
        typist.change(|form| form.others.push(other.clone()));
    } else {
        typist.change(|form| drop(form.others.pop()));
    }
}

pub fn single(ep: &mut Episode) {
    Applicant::random(ep, Class::Single).submit(ep);
}

pub fn requote(ep: &mut Episode) {
    let mut applicant = Applicant::random(ep, Class::Requote);
    applicant.submit(ep);
    let times = ep.rng.between(1, 7);
    applicant.shop_on(ep, times);
}

/// Many quotes in which only choices differ.
pub fn comparison_shopper(ep: &mut Episode) {
    let mut applicant = Applicant::random(ep, Class::ComparisonShopper);
    applicant.submit(ep);
    for _ in 0..ep.rng.between(6, 16) {
        ep.wait(8.0, 20.0 * MINUTE);
        choose(&mut applicant.typist, &mut ep.rng);
        applicant.submit(ep);
    }
}

/// One wrong value corrected, then stable.
pub fn correction(ep: &mut Episode) {
    let mut applicant = Applicant::random(ep, Class::HonestCorrection);
    err(&mut applicant.typist, &mut ep.rng);
    applicant.submit(ep);
    ep.wait(20.0, 3.0 * HOUR);
    applicant.typist.notice(&mut ep.rng, 1.0);
    applicant.submit(ep);
    let times = ep.rng.between(0, 3);
    applicant.shop_on(ep, times);
}

/// Two wrong values corrected one after the other, or one corrected wrongly first.
pub fn correction_twice(ep: &mut Episode) {
    let mut applicant = Applicant::random(ep, Class::HonestCorrectionTwice);
    err(&mut applicant.typist, &mut ep.rng);
    let first = applicant.typist.shown.clone();
    err(&mut applicant.typist, &mut ep.rng);
    applicant.submit(ep);
    ep.wait(20.0, 3.0 * HOUR);
    if ep.rng.chance(0.6) {
        applicant.typist.shown = first;
    } else {
        // Corrected wrongly: another slip in place of the old ones.
        applicant.typist.notice(&mut ep.rng, 1.0);
        err(&mut applicant.typist, &mut ep.rng);
    }
    applicant.submit(ep);
    ep.wait(20.0, 8.0 * HOUR);
    applicant.typist.notice(&mut ep.rng, 1.0);
    applicant.submit(ep);
    let times = ep.rng.between(0, 2);
    applicant.shop_on(ep, times);
}

/// One more wrong value in what the form shows.
fn err(typist: &mut Typist, rng: &mut Rng) {
    let shown = &mut typist.shown;
    match rng.below(10) {
        0..=2 => shown.car.vin = slip(&shown.car.vin, Shape::Vin, rng),
        3 if !shown.car.plate.is_empty() => shown.car.plate = slip(&shown.car.plate, Shape::Plate, rng),
        4 => shown.holder.birth = slipped_date(shown.holder.birth, rng),
        5 => shown.holder.licence = slip(&shown.holder.licence, Shape::Digits, rng),
        6 => shown.holder.phone = slip(&shown.holder.phone, Shape::Phone, rng),
        7 => shown.holder.licensed_since = slipped_date(shown.holder.licensed_since, rng),
        8 => shown.car = Car { year: shown.car.year - 1, ..shown.car.clone() },
        _ => shown.holder.last = slip(&shown.holder.last, Shape::Name, rng),
    }
}
