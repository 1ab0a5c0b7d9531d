//! A quote made comparable: normalised text in one allocation, everything else as numbers and hashes.
//!
//! About 450 bytes a quote. No raw personal value is kept; what must be told apart by its raw form is a hash.

use super::field::Field;
use super::normalise::address::address;
use super::normalise::identifier::{document, email, phone};
use super::normalise::name::{self, Name, name};
use super::normalise::vehicle::{plate, vin};
use super::normalise::{Value, clean, hash32, hash64};
use super::quote::{ChannelKind, Driver, Quote, Text as Given};
use super::time::Date;

/// Normalised texts, in the order they lie in the arena.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Text {
    QuoteId = 0,
    Tenant = 1,
    LastName = 2,
    FirstName = 3,
    MiddleName = 4,
    IdDocument = 5,
    DriverLicence = 6,
    Phone = 7,
    Email = 8,
    City = 9,
    Street = 10,
    House = 11,
    Flat = 12,
    Vin = 13,
    Plate = 14,
    Model = 15,
    Product = 16,
    Agent = 17,
}

pub const TEXTS: usize = 18;
/// Fields whose raw form is told apart: the first eleven of [`Field`].
pub const RAWS: usize = Field::Plate as usize + 1;

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Fingerprint {
    pub(super) arena: Box<str>,
    pub(super) ends: [u16; TEXTS],
    /// By [`Field`], up to the plate: hash of the form as written, 0 when not given.
    pub raw: [u32; RAWS],
    /// Last, first and middle name as the eye sees them.
    pub visual: [u32; 3],
    /// Bit per [`Field`]: reached through a look-alike fold or by dropping invisible characters.
    pub disguised: u32,
    /// Bit per name [`Field`]: written in Cyrillic.
    pub cyrillic: u8,
    /// Two scripts meet in one word somewhere.
    pub mixed_script: bool,
    pub channel: ChannelKind,
    pub birth_date: Date,
    pub year: u16,
    /// Phonetic code of the surname, for hubs and blocks.
    pub surname_code: u32,
    /// Metric horsepower, 0 when not given. Term in months, deductible and premium are negative when not given.
    pub power: f32,
    pub term: f32,
    pub deductible: f32,
    pub premium: f64,
    pub extra: u64,
    /// Hashes of the technical source; 0 when not given.
    pub device: u64,
    pub session: u64,
    pub ip: u64,
    pub drivers: Box<[DriverPrint]>,
}

/// A driver as far as he is compared: who he is, and each of his data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DriverPrint {
    /// Hash of the folded full name.
    pub name: u32,
    /// Hash of the folded given name.
    pub given: u32,
    pub licence: u32,
    pub birth_date: Date,
    pub licensed_since: Date,
}

struct Builder {
    arena: String,
    print: Fingerprint,
    next: usize,
}

impl Builder {
    fn push(&mut self, slot: Text, text: &str) {
        debug_assert_eq!(self.next, slot as usize, "texts are written in order");
        self.arena.push_str(text);
        self.print.ends[self.next] = self.arena.len() as u16;
        self.next += 1;
    }

    fn value(&mut self, slot: Text, field: Field, value: &Value) {
        self.push(slot, &value.canonical);
        // A dash typed into a field leaves nothing to compare: it is not given, or it would stand for the fact in every variant.
        self.print.raw[field as usize] = if value.canonical.is_empty() { 0 } else { value.raw };
        self.mark(field, value.disguised, value.mixed_script);
    }

    fn mark(&mut self, field: Field, disguised: bool, mixed_script: bool) {
        self.print.disguised |= u32::from(disguised) << field as u8;
        self.print.mixed_script |= mixed_script;
    }

    fn name(&mut self, slot: Text, field: Field, part: &Name) {
        self.value(slot, field, &part.value);
        self.print.visual[field as usize] = part.visual;
        self.print.cyrillic |= u8::from(part.cyrillic) << field as u8;
    }
}

fn given<T: Default>(text: &Given, normalise: impl Fn(&str) -> T) -> T {
    text.as_deref().map(normalise).unwrap_or_default()
}

impl Fingerprint {
    /// Normalises one quote. Pure and free of state: quotes may be prepared in parallel.
    pub fn new(quote: &Quote) -> Fingerprint {
        let mut b = Builder { arena: String::with_capacity(288), print: Fingerprint::default(), next: 0 };
        let who = &quote.policyholder;
        b.push(Text::QuoteId, &quote.quote_id);
        b.push(Text::Tenant, &quote.tenant);
        let last = given(&who.last_name, name);
        b.name(Text::LastName, Field::LastName, &last);
        b.name(Text::FirstName, Field::FirstName, &given(&who.first_name, name));
        b.name(Text::MiddleName, Field::MiddleName, &given(&who.middle_name, name));
        b.value(Text::IdDocument, Field::IdDocument, &given(&who.id_document, document));
        b.value(Text::DriverLicence, Field::DriverLicence, &given(&who.driver_licence, document));
        b.value(Text::Phone, Field::Phone, &given(&who.phone, phone));
        b.value(Text::Email, Field::Email, &given(&who.email, email));
        push_address(&mut b, quote);
        b.value(Text::Vin, Field::Vin, &given(&quote.vehicle.vin, vin));
        b.value(Text::Plate, Field::Plate, &given(&quote.vehicle.plate, plate));
        b.push(Text::Model, &model(quote));
        b.push(Text::Product, &quote.product);
        b.push(Text::Agent, quote.channel.agent_id.as_deref().unwrap_or(""));
        push_numbers(&mut b.print, quote);
        b.print.raw[Field::BirthDate as usize] = who.birth_date.0;
        b.print.surname_code = surname_code(&last.value.canonical);
        b.print.arena = b.arena.into_boxed_str();
        let print = &mut b.print;
        let [last, first, middle, licence] =
            [Text::LastName, Text::FirstName, Text::MiddleName, Text::DriverLicence].map(|slot| print.text(slot));
        let own = person(last, first, middle, licence, who.birth_date);
        print.drivers = drivers(quote, &own);
        b.print
    }

    /// The normalised text, empty when not given.
    pub fn text(&self, slot: Text) -> &str {
        let i = slot as usize;
        let start = if i == 0 { 0 } else { self.ends[i - 1] };
        self.arena.get(usize::from(start)..usize::from(self.ends[i])).unwrap_or("")
    }

    pub fn quote_id(&self) -> &str {
        self.text(Text::QuoteId)
    }

    pub fn tenant(&self) -> &str {
        self.text(Text::Tenant)
    }
}

fn push_address(b: &mut Builder, quote: &Quote) {
    let place = address(&quote.policyholder.address);
    b.push(Text::City, &place.city);
    b.push(Text::Street, &place.street);
    b.push(Text::House, &place.house);
    b.push(Text::Flat, &place.flat);
    let empty = [&place.city, &place.street, &place.house, &place.flat].into_iter().all(|part| part.is_empty());
    b.print.raw[Field::Address as usize] = if empty { 0 } else { place.raw };
    b.mark(Field::Address, place.disguised, place.mixed_script);
}

fn push_numbers(print: &mut Fingerprint, quote: &Quote) {
    print.channel = quote.channel.kind;
    print.birth_date = quote.policyholder.birth_date;
    print.year = quote.vehicle.year;
    print.power = quote.vehicle.power_hp.unwrap_or(0.0) as f32;
    print.term = quote.coverage.term_months.unwrap_or(-1.0) as f32;
    print.deductible = quote.coverage.deductible.unwrap_or(-1.0) as f32;
    print.premium = quote.premium.unwrap_or(-1.0);
    print.extra = quote.coverage.extra_hash;
    let source = |text: &Given| text.as_deref().map_or(0, |text| hash64(text.trim().as_bytes()).max(1));
    print.device = source(&quote.channel.device_id);
    print.session = source(&quote.channel.session_id);
    print.ip = source(&quote.channel.ip);
}

fn model(quote: &Quote) -> String {
    let part = |text: &Given| given(text, |text| clean::clean(text).text);
    let (make, model) = (part(&quote.vehicle.make), part(&quote.vehicle.model));
    let mut folded = String::with_capacity(make.len() + model.len() + 1);
    for token in make.split(' ').chain(model.split(' ')).filter(|token| !token.is_empty()) {
        if !folded.is_empty() {
            folded.push(' ');
        }
        name::fold(token, &mut folded);
    }
    folded
}

fn surname_code(folded: &str) -> u32 {
    if folded.is_empty() { 0 } else { hash32(&name::code(folded.split(' ').next().unwrap_or(folded))) }
}

/// The policyholder among the drivers is compared as himself already: here only the year of his licence is left of him.
fn drivers(quote: &Quote, own: &DriverPrint) -> Box<[DriverPrint]> {
    let who = &quote.policyholder;
    let mut own_seen = false;
    let print = |d: &Driver| {
        // Most forms repeat the policyholder letter for letter: nothing to normalise then.
        let repeated = d.last_name == who.last_name && d.first_name == who.first_name && d.birth_date == who.birth_date;
        let print = if repeated && d.first_name.is_some() { *own } else { driver(d) };
        let same = |a: u32, b: u32| a != 0 && a == b;
        let himself = same(print.licence, own.licence)
            || same(print.name, own.name)
            || (same(print.given, own.given) && same(print.birth_date.0, own.birth_date.0));
        if himself && !std::mem::replace(&mut own_seen, true) {
            return DriverPrint { name: POLICYHOLDER, licensed_since: d.licensed_since, ..DriverPrint::default() };
        }
        print
    };
    quote.drivers.iter().map(print).collect()
}

/// Stands for the policyholder's name among the drivers.
pub const POLICYHOLDER: u32 = 1;

fn driver(driver: &Driver) -> DriverPrint {
    let part = |text: &Given| given(text, name).value.canonical;
    let names = [part(&driver.last_name), part(&driver.first_name), part(&driver.middle_name)];
    let licence = given(&driver.driver_licence, document).canonical;
    let [last, first, middle] = names.each_ref().map(String::as_str);
    DriverPrint { licensed_since: driver.licensed_since, ..person(last, first, middle, &licence, driver.birth_date) }
}

/// A person by his canonical names and licence.
fn person(last: &str, first: &str, middle: &str, licence: &str, birth_date: Date) -> DriverPrint {
    let hash = |text: &str| if text.is_empty() { 0 } else { hash32(text.as_bytes()) };
    let full = [last, first, middle].join("|");
    DriverPrint {
        name: if last.is_empty() && first.is_empty() { 0 } else { hash(&full) },
        given: hash(first),
        licence: hash(licence),
        birth_date,
        licensed_since: Date::NONE,
    }
}
