//! Honest people who look like pickers: shared cars, names, devices and numbers, and real changes in life.

use crate::calendar::TODAY;
use crate::episode::{DAY, Episode, HOUR, MINUTE};
use crate::form::Form;
use crate::honest::{Applicant, choose, pause};
use crate::noise::Typist;
use crate::people::{Person, Tie, email, feminine, phone, surname};
use crate::rng::Rng;
use crate::script::{SCHEMES, is_cyrillic, romanise};
use crate::source::Source;
use crate::truth::Class;
use crate::vehicle::{Car, PLATE_LETTERS, plate};

/// Several people in turn, each with an own label: every one submits once, some come back.
fn in_turn(ep: &mut Episode, people: &mut [Applicant], wait: (f64, f64), come_back: f64) {
    for applicant in people.iter_mut() {
        ep.wait(wait.0, wait.1);
        applicant.submit(ep);
    }
    for applicant in people.iter_mut() {
        if ep.rng.chance(come_back) {
            ep.wait(wait.0, wait.1);
            applicant.shop(ep);
        }
    }
}

/// One surname, one address, one car; each member asks as the policyholder.
pub fn family(ep: &mut Episode) {
    let first = Form::random(&mut ep.rng);
    let mut ties = vec![Tie::Spouse, Tie::Child, Tie::Parent];
    ep.rng.shuffle(&mut ties);
    ties.truncate(ep.rng.between(1, 3) as usize);
    let (device, one_phone) = (Source::private(&mut ep.rng), ep.rng.chance(0.3));
    let mut members = vec![first.clone()];
    for tie in ties {
        let mut holder = first.holder.relative(&mut ep.rng, tie);
        if one_phone {
            holder.phone.clone_from(&first.holder.phone);
        }
        members.push(Form { holder_drives: true, others: Vec::new(), ..Form::of(&mut ep.rng, holder, first.car.clone()) });
    }
    let mut people: Vec<Applicant> = members.into_iter().map(|form| Applicant::new(ep, Class::Family, form)).collect();
    for member in &mut people {
        if ep.rng.chance(0.6) {
            member.source = device.clone();
        }
    }
    in_turn(ep, &mut people, (MINUTE, 2.0 * DAY), 0.6);
}

/// Two people with a car each quote for both cars and put each other in as a driver.
pub fn couple(ep: &mut Episode) {
    let hers = Form::random(&mut ep.rng);
    let spouse = hers.holder.relative(&mut ep.rng, Tie::Spouse);
    let car = Car::random(&mut ep.rng, spouse.city());
    let his = Form { others: Vec::new(), holder_drives: true, ..Form::of(&mut ep.rng, spouse, car) };
    let hers = Form { others: Vec::new(), holder_drives: true, ..hers };
    let mut people = [Applicant::new(ep, Class::Couple, hers.clone()), Applicant::new(ep, Class::Couple, his.clone())];
    if ep.rng.chance(0.6) {
        people[1].source = people[0].source.clone();
    }
    for _ in 0..ep.rng.between(3, 7) {
        ep.wait(MINUTE, DAY);
        let who = ep.rng.below(2);
        let (car, other) = (if ep.rng.chance(0.5) { &hers.car } else { &his.car }, [&his.holder, &hers.holder][who]);
        let with_other = ep.rng.chance(0.5);
        people[who].typist.change(|form| {
            form.car = car.clone();
            form.others = if with_other { vec![other.clone()] } else { Vec::new() };
        });
        people[who].submit(ep);
    }
}

/// Same surname, patronymic, birth date and address; two people.
pub fn twins(ep: &mut Episode) {
    let one = Form::random(&mut ep.rng);
    let twin = one.holder.relative(&mut ep.rng, Tie::Twin);
    let car = if ep.rng.chance(0.5) { one.car.clone() } else { Car::random(&mut ep.rng, twin.city()) };
    let other = Form::of(&mut ep.rng, twin, car);
    let mut people = [Applicant::new(ep, Class::Twins, one), Applicant::new(ep, Class::Twins, other)];
    if ep.rng.chance(0.5) {
        people[1].source = people[0].source.clone();
    }
    in_turn(ep, &mut people, (2.0 * MINUTE, 4.0 * DAY), 0.7);
}

/// Father and son of one full name at one address, often with one car.
pub fn father_son(ep: &mut Episode) {
    let mut father = Form::random(&mut ep.rng);
    let age = father.holder.birth.years_until(TODAY);
    if age < 42 {
        father.holder.birth = father.holder.birth.plus_years(age - 55);
    }
    let mut son = father.holder.relative(&mut ep.rng, Tie::Child);
    son.female = father.holder.female;
    son.last.clone_from(&father.holder.last);
    son.first.clone_from(&father.holder.first);
    if ep.rng.chance(0.6) {
        son.middle.clone_from(&father.holder.middle);
    }
    let car = if ep.rng.chance(0.5) { father.car.clone() } else { Car::random(&mut ep.rng, son.city()) };
    let son = Form::of(&mut ep.rng, son, car);
    let mut people = [Applicant::new(ep, Class::FatherSon, father), Applicant::new(ep, Class::FatherSon, son)];
    if ep.rng.chance(0.5) {
        people[1].source = people[0].source.clone();
    }
    in_turn(ep, &mut people, (2.0 * MINUTE, 5.0 * DAY), 0.7);
}

/// Strangers of one full name; some share the birth date too.
pub fn namesakes(ep: &mut Episode) {
    let model = Person::random(&mut ep.rng);
    let same_birth = ep.rng.chance(0.4);
    let mut people = Vec::new();
    for _ in 0..ep.rng.between(2, 4) {
        let other = Person::random(&mut ep.rng);
        let birth = if same_birth { model.birth } else { other.birth };
        let named = Person {
            last: model.last.clone(),
            first: model.first.clone(),
            middle: model.middle.clone(),
            family: model.family.clone(),
            female: model.female,
            birth,
            licensed_since: other.licensed_since.max(birth.plus_years(18)).min(TODAY.plus_days(-1)),
            email: email(&mut ep.rng, &model.first, &model.last, birth),
            ..other
        };
        let car = Car::random(&mut ep.rng, named.city());
        let form = Form::of(&mut ep.rng, named, car);
        people.push(Applicant::new(ep, Class::Namesakes, form));
    }
    in_turn(ep, &mut people, (MINUTE, 6.0 * DAY), 0.4);
}

/// Clients of one broker: one device, one address, often the broker's own phone.
pub fn broker(ep: &mut Episode) {
    let kind = *ep.rng.weighted(&[("agent", 65.0), ("web", 35.0)]);
    let (desk, own_phone) = (Source::fixed(&mut ep.rng, kind), phone(&mut ep.rng));
    let city = Person::random(&mut ep.rng).city();
    let uses_own_phone = ep.rng.chance(0.6);
    let mut people = Vec::new();
    for _ in 0..ep.rng.log_uniform(12.0, 100.0) as usize {
        let mut client = if ep.rng.chance(0.8) { Person::in_city(&mut ep.rng, city) } else { Person::random(&mut ep.rng) };
        if uses_own_phone && ep.rng.chance(0.8) {
            client.phone.clone_from(&own_phone);
        }
        let car = Car::random(&mut ep.rng, client.city());
        let form = Form::of(&mut ep.rng, client, car);
        people.push(Applicant { source: desk.clone(), ..Applicant::new(ep, Class::Broker, form) });
    }
    in_turn(ep, &mut people, (2.0 * MINUTE, 6.0 * HOUR), 0.3);
}

/// New cars from one delivery, VINs in a row, each with its buyer.
pub fn dealer(ep: &mut Episode) {
    let desk = Source::fixed(&mut ep.rng, "agent");
    let city = Person::random(&mut ep.rng).city();
    let mut car = Car { plate: String::new(), ..Car::random(&mut ep.rng, city) };
    let mut people = Vec::new();
    for _ in 0..ep.rng.between(4, 12) {
        let buyer = Person::in_city(&mut ep.rng, city);
        let form = Form::of(&mut ep.rng, buyer, car.clone());
        people.push(Applicant { source: desk.clone(), ..Applicant::new(ep, Class::Dealer, form) });
        car = car.next_on_the_line(ep.rng.between(1, 3) as u32);
    }
    in_turn(ep, &mut people, (5.0 * MINUTE, 10.0 * HOUR), 0.3);
}

/// One owner insures a row of like cars, each with its driver and plate.
pub fn fleet(ep: &mut Episode) {
    let mut owner = Applicant::random(ep, Class::Fleet);
    let city = owner.typist.real.holder.city();
    let mut car = Car::random(&mut ep.rng, city);
    for _ in 0..ep.rng.between(4, 12) {
        car = Car { plate: plate(&mut ep.rng, city), ..car.next_on_the_line(ep.rng.between(1, 4) as u32) };
        let driver = Person::in_city(&mut ep.rng, city);
        owner.typist.change(|form| {
            form.car = car.clone();
            form.holder_drives = false;
            form.others = vec![driver.clone()];
        });
        owner.submit(ep);
        ep.wait(MINUTE, 20.0 * MINUTE);
    }
}

/// An applicant shops, something in his life changes, he shops again.
fn life_change(ep: &mut Episode, class: Class, gap: (f64, f64), change: impl Fn(&mut Rng, &mut Typist)) {
    let mut applicant = Applicant::random(ep, class);
    applicant.submit(ep);
    let times = ep.rng.between(0, 2);
    applicant.shop_on(ep, times);
    ep.wait(gap.0, gap.1);
    change(&mut ep.rng, &mut applicant.typist);
    applicant.submit(ep);
    let times = ep.rng.between(0, 2);
    applicant.shop_on(ep, times);
}

pub fn moved(ep: &mut Episode) {
    life_change(ep, Class::Moved, (2.0 * DAY, 20.0 * DAY), |rng, typist| {
        let other = Person::random(rng);
        let near = rng.chance(0.6);
        let mut moving = typist.real.holder.clone();
        moving.move_to(rng, if near { moving.city() } else { other.city() });
        typist.change(|form| form.holder.address = moving.address.clone());
    });
}

pub fn new_phone(ep: &mut Episode) {
    life_change(ep, Class::NewPhone, (6.0 * HOUR, 20.0 * DAY), |rng, typist| {
        let number = phone(rng);
        typist.change(|form| form.holder.phone.clone_from(&number));
    });
}

/// A new surname comes with a new passport; the licence may follow.
pub fn married_name(ep: &mut Episode) {
    life_change(ep, Class::MarriedName, (3.0 * DAY, 20.0 * DAY), |rng, typist| {
        let name = surname(rng);
        let last = if typist.real.holder.female { feminine(&name) } else { name };
        let series = typist.real.holder.passport.split(' ').next().unwrap_or_default().to_string();
        let passport = format!("{}26 {}", series.get(..2).unwrap_or("45"), rng.digits(6));
        typist.change(|form| {
            form.holder.last.clone_from(&last);
            if !form.holder.passport.is_empty() {
                form.holder.passport.clone_from(&passport);
            }
        });
    });
}

/// Sold the car and bought the same model again.
pub fn same_model_again(ep: &mut Episode) {
    life_change(ep, Class::SameModelAgain, (2.0 * DAY, 22.0 * DAY), |rng, typist| {
        let city = typist.real.holder.city();
        let car = typist.real.car.same_model(rng, city);
        typist.change(|form| form.car = car.clone());
    });
}

pub fn plate_reregistered(ep: &mut Episode) {
    life_change(ep, Class::PlateReregistered, (DAY, 20.0 * DAY), |rng, typist| {
        let city = typist.real.holder.city();
        let old = typist.real.car.plate.clone();
        // Re-registered: the number stays and the region changes, or all of it does.
        let fresh = plate(rng, city);
        let keep: String = old.chars().take(6).collect();
        let kept = rng.chance(0.4) && keep.chars().next().is_some_and(|c| PLATE_LETTERS.contains(&c));
        let plate = if kept { format!("{keep}{}", rng.pick(city.plates)) } else { fresh };
        typist.change(|form| form.car.plate.clone_from(&plate));
    });
}

/// Strangers at one device: a library, a friend's phone.
pub fn shared_device(ep: &mut Episode) {
    let mut device = Source::fixed(&mut ep.rng, "web");
    device.device = Source::fixed(&mut ep.rng, "web").device;
    let count = ep.rng.between(2, 6);
    let mut people: Vec<Applicant> =
        (0..count).map(|_| Applicant { source: device.clone(), ..Applicant::random(ep, Class::SharedDevice) }).collect();
    in_turn(ep, &mut people, (2.0 * MINUTE, 12.0 * HOUR), 0.3);
}

/// Strangers behind one carrier address.
pub fn mobile_ip(ep: &mut Episode) {
    let pool = ep.rng.next_u64();
    let count = ep.rng.between(4, 9);
    let mut people: Vec<Applicant> = (0..count)
        .map(|_| Applicant { source: Source::carrier(&mut ep.rng, pool), ..Applicant::random(ep, Class::MobileIp) })
        .collect();
    in_turn(ep, &mut people, (10.0, 40.0 * MINUTE), 0.3);
}

/// Colleagues in one office: one address, one mail domain, own devices.
pub fn office(ep: &mut Episode) {
    let desk = Source::fixed(&mut ep.rng, "web");
    let domain = format!("{}.ru", romanise(&surname(&mut ep.rng), 1).to_lowercase());
    let mut people = Vec::new();
    let city = Person::random(&mut ep.rng).city();
    for _ in 0..ep.rng.between(3, 9) {
        let mut holder = Person::in_city(&mut ep.rng, city);
        if let Some((local, _)) = holder.email.split_once('@') {
            holder.email = format!("{local}@{domain}");
        }
        let car = Car::random(&mut ep.rng, city);
        let form = Form::of(&mut ep.rng, holder, car);
        let mut colleague = Applicant::new(ep, Class::Office, form);
        colleague.source = Source::fixed(&mut ep.rng, "web");
        colleague.source.ip.clone_from(&desk.ip);
        people.push(colleague);
    }
    in_turn(ep, &mut people, (MINUTE, 6.0 * HOUR), 0.4);
}

/// Writes his name now in Cyrillic, now in Latin, as his documents do.
pub fn romanised_honest(ep: &mut Episode) {
    let mut applicant = Applicant::random(ep, Class::RomanisedHonest);
    let scheme = ep.rng.below(SCHEMES);
    applicant.submit(ep);
    for _ in 0..ep.rng.between(1, 3) {
        pause(ep);
        let mut latin = applicant.typist.shown.clone();
        if is_cyrillic(&latin.holder.last) {
            for part in [&mut latin.holder.last, &mut latin.holder.first, &mut latin.holder.middle] {
                *part = romanise(part, scheme);
            }
        }
        ep.submit(&mut applicant.label, &latin, &mut applicant.source);
        if ep.rng.chance(0.6) {
            pause(ep);
            applicant.shop(ep);
        }
    }
}

/// A name with ё, written now with ё and now with е.
pub fn yo_ye(ep: &mut Episode) {
    let mut real = Form::random(&mut ep.rng);
    let name = *ep.rng.pick(&[
        "Фёдоров",
        "Семёнов",
        "Воробьёв",
        "Королёв",
        "Киселёв",
        "Ковалёв",
        "Соловьёв",
        "Журавлёв",
        "Чернышёв",
        "Грачёв",
    ]);
    real.holder.last = if real.holder.female { feminine(name) } else { name.to_string() };
    let mut applicant = Applicant::new(ep, Class::YoYe, real);
    applicant.submit(ep);
    for _ in 0..ep.rng.between(2, 5) {
        pause(ep);
        choose(&mut applicant.typist, &mut ep.rng);
        let mut form = applicant.typist.shown.clone();
        if ep.rng.chance(0.5) {
            form.holder.last = form.holder.last.replace('ё', "е");
            form.holder.first = form.holder.first.replace('ё', "е");
        }
        ep.submit(&mut applicant.label, &form, &mut applicant.source);
    }
}

/// An aggregator asks for the same form several times within seconds, once for each of its tariffs.
pub fn aggregator_fanout(ep: &mut Episode) {
    let mut applicant = Applicant::random(ep, Class::AggregatorFanout);
    applicant.source = Source::fixed(&mut ep.rng, "api");
    applicant.source.device.clear();
    let terms = [12, 6, 3];
    for round in 0..ep.rng.between(1, 2) {
        if round > 0 {
            pause(ep);
            applicant.typist.come_back(&mut ep.rng);
        }
        for i in 0..ep.rng.between(3, 7) as usize {
            if ep.rng.chance(0.3) {
                applicant.typist.change(|form| form.term_months = terms[i % terms.len()]);
            }
            applicant.submit(ep);
            ep.wait(0.2, 3.0);
        }
    }
}

/// Retries with the same id and body, the back button with a new id and equal content.
pub fn retries(ep: &mut Episode) {
    let mut applicant = Applicant::random(ep, Class::Retries);
    applicant.submit(ep);
    for _ in 0..ep.rng.between(1, 5) {
        ep.wait(0.5, 40.0);
        if ep.rng.chance(0.5) {
            ep.resend();
        } else {
            applicant.submit(ep);
        }
    }
}
