//! Adversaries who work with other people's data: the poisoner, the ghost broker, the flooder.

use crate::adversary::{Picker, vary_freely};
use crate::calendar::Date;
use crate::data::places::{CITIES, City};
use crate::episode::{DAY, Episode, HOUR, MINUTE};
use crate::form::Form;
use crate::honest::pause as honest_pause;
use crate::noise::Typist;
use crate::people::{Person, address, phone};
use crate::rng::Rng;
use crate::source::Source;
use crate::truth::Kind;
use crate::vehicle::{Car, plate};

/// Submits versions of a victim's data from his own device, so that the victim be referred; then the victim comes.
pub fn poisoner(ep: &mut Episode) {
    let mut picker = Picker::new(ep, Kind::CopyVictim);
    picker.goal = picker.goal.max(3);
    let mut victim = ep.victim(&picker.label);
    let mut typist = Typist::new(&mut ep.rng, picker.form.clone());
    let mut own = Source::private(&mut ep.rng);
    if ep.rng.chance(0.3) {
        ep.submit(&mut victim, &typist.shown, &mut own);
        ep.wait(HOUR, 5.0 * DAY);
    }
    picker.submit(ep);
    while !picker.done() {
        picker.pause(ep);
        vary_freely(&mut picker, ep);
        picker.submit(ep);
    }
    ep.wait(10.0 * MINUTE, 2.0 * DAY);
    ep.submit(&mut victim, &typist.shown, &mut own);
    for _ in 0..ep.rng.between(0, 2) {
        honest_pause(ep);
        crate::honest::choose(&mut typist, &mut ep.rng);
        ep.submit(&mut victim, &typist.shown, &mut own);
    }
}

/// One phone or device behind many real people and cars, all of them living where it is cheap.
pub fn ghost_broker(ep: &mut Episode) {
    let mut label = ep.adversary(Kind::GhostBroker);
    let mut source = Source::private(&mut ep.rng);
    let number = phone(&mut ep.rng);
    // A phone behind changing devices, a device behind changing phones, or both fixed.
    let (fixed_phone, fixed_device) = *ep.rng.pick(&[(true, true), (true, false), (false, true)]);
    let city = cheap_city(&mut ep.rng);
    let rooms: Vec<_> = (0..ep.rng.between(1, 3)).map(|_| address(&mut ep.rng, city)).collect();
    let own_streets = ep.rng.chance(0.3);
    for _ in 0..ep.rng.between(11, 18) {
        let client = Person::random(&mut ep.rng);
        let car = Car::random(&mut ep.rng, client.city());
        let mut form = Form::of(&mut ep.rng, client, car);
        form.holder.address = if own_streets { address(&mut ep.rng, city) } else { ep.rng.pick(&rooms).clone() };
        if fixed_phone {
            form.holder.phone.clone_from(&number);
        }
        if !fixed_device && ep.rng.chance(0.7) {
            source = Source::private(&mut ep.rng);
        }
        let shown = Typist::new(&mut ep.rng, form).shown;
        ep.submit(&mut label, &shown, &mut source);
        ep.wait(2.0 * MINUTE, 14.0 * HOUR);
    }
}

fn cheap_city(rng: &mut Rng) -> &'static City {
    let cheap: Vec<&City> = CITIES.iter().map(|(city, _)| city).filter(|city| city.factor < 0.9).collect();
    rng.pick::<&City>(&cheap)
}

/// What a flood and the picker in it have in common: values that many may share.
struct Generic {
    last: String,
    birth: Date,
    phone: String,
    home: crate::wire::Address,
    car: Car,
    device: Source,
}

/// Strangers right after the first form, and over the rest of the episode. About three quarters of them share any one value,
/// so the first wave alone fills a block that keeps its newest hundred or so.
const FIRST_WAVE: u32 = 190;
const LATER_WAVES: u32 = 80;

/// Where the flooded picker does the same without the flood: the control of the comparison.
const DRY: &str = "dry";

/// A picker whose attempts lie in a flood of strangers made of his generic values, so that the blocks holding him overflow; and the
/// same picker in a tenant without the flood.
pub fn flooding(ep: &mut Episode) {
    let mut picker = Picker::new(ep, Kind::Flooding);
    let mut junk = ep.adversary(Kind::FloodJunk);
    let generic = Generic {
        last: picker.form.holder.last.clone(),
        birth: picker.form.holder.birth,
        phone: picker.form.holder.phone.clone(),
        home: picker.form.holder.address.clone(),
        car: picker.form.car.clone(),
        device: picker.source.clone(),
    };
    let mut wave = FIRST_WAVE;
    picker.submit(ep);
    loop {
        for _ in 0..wave {
            ep.wait(1.0, 30.0);
            let (form, mut source) = junk_form(&mut ep.rng, &generic);
            ep.submit(&mut junk, &form, &mut source);
        }
        if picker.done() {
            break;
        }
        wave = LATER_WAVES / picker.goal;
        picker.pause(ep);
        vary_freely(&mut picker, ep);
        picker.submit(ep);
    }
    ep.submit_apart(picker.label.actor(), Kind::Unflooded, DRY);
}

fn junk_form(rng: &mut Rng, generic: &Generic) -> (Form, Source) {
    let mut person = Person::random(rng);
    if rng.chance(0.7) {
        person.last.clone_from(&generic.last);
        person.birth = generic.birth;
        person.licensed_since = generic.birth.plus_years(18).plus_days(rng.between(0, 3_000));
    }
    if rng.chance(0.7) {
        person.phone.clone_from(&generic.phone);
    }
    if rng.chance(0.7) {
        person.address.clone_from(&generic.home);
    }
    let mut car = Car::random(rng, person.city());
    if rng.chance(0.8) && generic.car.vin.is_ascii() && generic.car.vin.len() == 17 {
        car = Car { plate: plate(rng, person.city()), ..generic.car.next_on_the_line(rng.between(1, 99) as u32) };
    }
    let source = if rng.chance(0.8) { generic.device.clone() } else { Source::private(rng) };
    (Form::of(rng, person, car), source)
}
