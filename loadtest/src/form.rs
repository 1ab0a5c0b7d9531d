//! The form as one applicant holds it; the wire quote is rendered from it.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::calendar::{Date, rfc3339};
use crate::people::Person;
use crate::rng::Rng;
use crate::source::Source;
use crate::tariff;
use crate::vehicle::Car;
use crate::wire::{Address, Coverage, Driver, Policyholder, Quote, Vehicle};

#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    pub product: &'static str,
    pub holder: Person,
    /// The policyholder is the first driver.
    pub holder_drives: bool,
    pub others: Vec<Person>,
    pub car: Car,
    pub term_months: u32,
    /// Roubles.
    pub deductible: u32,
    pub extra: BTreeMap<String, Value>,
    /// The site takes the address as one line.
    pub one_line_address: bool,
}

/// The kind of text a field holds; typing errors differ by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    Name,
    Word,
    Digits,
    Phone,
    Email,
    Vin,
    Plate,
}

impl Form {
    /// An ordinary first form: the applicant, his car, sometimes a second driver.
    pub fn random(rng: &mut Rng) -> Form {
        let holder = Person::random(rng);
        let car = Car::random(rng, holder.city());
        Form::of(rng, holder, car)
    }

    pub fn of(rng: &mut Rng, holder: Person, car: Car) -> Form {
        let kasko = rng.chance(0.25);
        let mut form = Form {
            product: if kasko { "kasko" } else { "osago" },
            holder_drives: rng.chance(0.88),
            others: Vec::new(),
            car,
            term_months: *rng.weighted(&[(12, 85.0), (6, 10.0), (3, 5.0)]),
            deductible: if kasko { *rng.weighted(&[(0, 40.0), (10_000, 20.0), (15_000, 20.0), (30_000, 20.0)]) } else { 0 },
            extra: BTreeMap::new(),
            one_line_address: rng.chance(0.06),
            holder,
        };
        if rng.chance(0.3) {
            form.extra.insert("roadside".into(), Value::Bool(rng.chance(0.5)));
        }
        if !form.holder_drives || rng.chance(0.18) {
            let tie = *rng.weighted(&[
                (crate::people::Tie::Spouse, 60.0),
                (crate::people::Tie::Child, 20.0),
                (crate::people::Tie::Parent, 10.0),
                (crate::people::Tie::Sibling, 10.0),
            ]);
            form.others.push(form.holder.relative(rng, tie));
        }
        form
    }

    /// Those who drive, the policyholder first when he does.
    pub fn driving(&self) -> impl Iterator<Item = &Person> {
        self.holder_drives.then_some(&self.holder).into_iter().chain(&self.others)
    }

    fn people(&mut self) -> impl Iterator<Item = &mut Person> {
        std::iter::once(&mut self.holder).chain(&mut self.others)
    }

    /// Every text a person types, in a fixed order; the same for two forms with equally many drivers.
    pub fn texts(&mut self) -> Vec<(Shape, &mut String)> {
        let car = [(Shape::Vin, &mut self.car.vin), (Shape::Plate, &mut self.car.plate)];
        let mut out: Vec<(Shape, &mut String)> = car.into_iter().collect();
        for (i, person) in std::iter::once(&mut self.holder).chain(&mut self.others).enumerate() {
            out.push((Shape::Name, &mut person.last));
            out.push((Shape::Name, &mut person.first));
            out.push((Shape::Name, &mut person.middle));
            out.push((Shape::Digits, &mut person.licence));
            if i == 0 {
                out.push((Shape::Digits, &mut person.passport));
                out.push((Shape::Phone, &mut person.phone));
                out.push((Shape::Email, &mut person.email));
                out.push((Shape::Word, &mut person.address.street));
                out.push((Shape::Digits, &mut person.address.house));
                out.push((Shape::Digits, &mut person.address.flat));
            }
        }
        out
    }

    /// Birth dates and licence dates, in the order of [`Form::texts`].
    pub fn dates(&mut self) -> Vec<&mut Date> {
        self.people().flat_map(|person| [&mut person.birth, &mut person.licensed_since]).collect()
    }

    /// The wire form, with the premium of the tariff.
    pub fn render(&self, quote_id: String, submitted_ms: i64, source: &Source) -> Quote {
        Quote {
            tenant: String::new(),
            quote_id,
            submitted_at: rfc3339(submitted_ms),
            product: self.product.to_string(),
            channel: source.channel(),
            policyholder: self.policyholder(),
            drivers: self.driving().map(driver).collect(),
            vehicle: Vehicle {
                vin: self.car.vin.clone(),
                plate: self.car.plate.clone(),
                make: self.car.make.clone(),
                model: self.car.model.clone(),
                year: self.car.year,
                power_hp: self.car.power,
            },
            coverage: Coverage { term_months: self.term_months, deductible: self.deductible, extra: self.extra.clone() },
            premium: tariff::premium(self),
        }
    }

    fn policyholder(&self) -> Policyholder {
        let person = &self.holder;
        Policyholder {
            last_name: person.last.clone(),
            first_name: person.first.clone(),
            middle_name: person.middle.clone(),
            birth_date: person.birth.to_string(),
            id_document: person.passport.clone(),
            driver_licence: person.licence.clone(),
            phone: person.phone.clone(),
            email: person.email.clone(),
            address: if self.one_line_address { one_line(&person.address) } else { person.address.clone() },
        }
    }
}

fn driver(person: &Person) -> Driver {
    Driver {
        last_name: person.last.clone(),
        first_name: person.first.clone(),
        middle_name: person.middle.clone(),
        birth_date: person.birth.to_string(),
        driver_licence: person.licence.clone(),
        licensed_since: person.licensed_since.to_string(),
    }
}

fn one_line(address: &Address) -> Address {
    let mut line = format!("{}, г {}, {}, д {}", address.postal_code, address.city, address.street, address.house);
    if !address.flat.is_empty() {
        line.push_str(", кв ");
        line.push_str(&address.flat);
    }
    Address { line, ..Address::default() }
}
