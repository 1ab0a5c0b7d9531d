//! The single operations of parameter picking, each on one form.

use crate::calendar::{Date, TODAY};
use crate::data::names::VARIANTS;
use crate::data::places::CITIES;
use crate::form::{Form, Shape};
use crate::noise::{slip, vin_look_alike};
use crate::people::{Person, Tie, email, feminine, phone, surname};
use crate::rng::Rng;
use crate::script::{SCHEMES, disguise, hide_in, is_cyrillic, romanise};
use crate::vehicle::{PLATE_LETTERS, VIN_LETTERS, repair};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    VinOneChar,
    VinSerialStep,
    VinLookalike,
    VinMulti,
    VinSwap,
    VinCheckDigitRepaired,
    HomoglyphName,
    HomoglyphVin,
    HomoglyphPlate,
    ZeroWidth,
    NameEdit,
    Romanised,
    NamePartsSwapped,
    PatronymicDropped,
    GivenVariant,
    DoubleSurname,
    BirthSwap,
    BirthDigit,
    BirthYear,
    LicenceDigit,
    LicenceSince,
    PhoneEmail,
    FlatHouse,
    CheapRegion,
    YoungDriverDropped,
    MainDriverSwapped,
    OwnerRelative,
    PlateAltered,
    PowerUnderstated,
    YearUnderstated,
}

impl Op {
    /// Operations that always find another value: they accompany those that can be done once only.
    pub const SECOND: &[Op] = &[
        Op::VinOneChar,
        Op::VinSerialStep,
        Op::VinMulti,
        Op::HomoglyphName,
        Op::NameEdit,
        Op::BirthDigit,
        Op::BirthYear,
        Op::LicenceDigit,
        Op::LicenceSince,
        Op::FlatHouse,
        Op::CheapRegion,
        Op::PlateAltered,
        Op::PowerUnderstated,
        Op::YearUnderstated,
    ];

    /// Whether the operation alone gives one or two versions only, or none that a sensible reader would tell apart.
    pub fn needs_second(self) -> bool {
        matches!(
            self,
            Op::Romanised
                | Op::NamePartsSwapped
                | Op::PatronymicDropped
                | Op::GivenVariant
                | Op::BirthSwap
                | Op::YoungDriverDropped
                | Op::MainDriverSwapped
                | Op::OwnerRelative
                | Op::VinCheckDigitRepaired
                | Op::HomoglyphPlate
                | Op::PowerUnderstated
                | Op::YearUnderstated
        )
    }

    /// Changes the form; fields that are not given stay so, and the form may then be unchanged.
    pub fn apply(self, form: &mut Form, rng: &mut Rng) {
        match self {
            Op::VinOneChar
            | Op::VinSerialStep
            | Op::VinLookalike
            | Op::VinMulti
            | Op::VinSwap
            | Op::VinCheckDigitRepaired
            | Op::HomoglyphVin => form.car.vin = self.vin(&form.car.vin, rng),
            Op::HomoglyphPlate => form.car.plate = disguise(&form.car.plate, rng).unwrap_or_default(),
            Op::PlateAltered => form.car.plate = altered_plate(&form.car.plate, rng),
            Op::PowerUnderstated => form.car.power = understated_power(form.car.power, rng),
            Op::YearUnderstated => form.car.year -= rng.between(1, 5) as i32,
            Op::ZeroWidth => hide_somewhere(form, rng),
            Op::HomoglyphName
            | Op::NameEdit
            | Op::Romanised
            | Op::NamePartsSwapped
            | Op::PatronymicDropped
            | Op::GivenVariant
            | Op::DoubleSurname => self.name(&mut form.holder, rng),
            Op::BirthSwap | Op::BirthDigit | Op::BirthYear | Op::LicenceSince => self.date(&mut form.holder, rng),
            Op::LicenceDigit => form.holder.licence = other_digit(&form.holder.licence, rng),
            Op::PhoneEmail => contact(&mut form.holder, rng),
            Op::FlatHouse => flat_or_house(form, rng),
            Op::CheapRegion => cheap_region(&mut form.holder, rng),
            Op::YoungDriverDropped => drop_youngest(form),
            Op::MainDriverSwapped => swap_main_driver(form, rng),
            Op::OwnerRelative => replace_owner(form, rng),
        }
    }

    fn vin(self, vin: &str, rng: &mut Rng) -> String {
        let mut chars: Vec<char> = vin.chars().collect();
        if chars.len() < 12 {
            return vin.to_string();
        }
        match self {
            Op::VinOneChar => replace_char(&mut chars, rng),
            Op::VinMulti => (0..rng.between(2, 3)).for_each(|_| replace_char(&mut chars, rng)),
            Op::VinSerialStep => return stepped_serial(vin, rng),
            Op::VinLookalike => return vin_look_alike(vin, rng),
            Op::HomoglyphVin => return disguise(vin, rng).unwrap_or_else(|| vin.to_string()),
            Op::VinSwap => {
                let pairs: Vec<usize> = (0..chars.len() - 1).filter(|&i| chars[i] != chars[i + 1]).collect();
                if !pairs.is_empty() {
                    let at = *rng.pick(&pairs);
                    chars.swap(at, at + 1);
                }
            }
            _ => {
                replace_char(&mut chars, rng);
                return repair(&chars.into_iter().collect::<String>());
            }
        }
        chars.into_iter().collect()
    }

    fn name(self, person: &mut Person, rng: &mut Rng) {
        match self {
            Op::HomoglyphName => {
                let part = if rng.chance(0.65) { &mut person.last } else { &mut person.first };
                if let Some(disguised) = disguise(part, rng) {
                    *part = disguised;
                }
            }
            Op::NameEdit => {
                let part = match rng.below(4) {
                    0 => &mut person.first,
                    1 if !person.middle.is_empty() => &mut person.middle,
                    _ => &mut person.last,
                };
                *part = slip(part, Shape::Name, rng);
            }
            Op::Romanised if is_cyrillic(&person.last) => {
                let scheme = rng.below(SCHEMES);
                for part in [&mut person.last, &mut person.first, &mut person.middle] {
                    *part = romanise(part, scheme);
                }
            }
            Op::NamePartsSwapped => match rng.below(3) {
                0 if !person.middle.is_empty() => std::mem::swap(&mut person.first, &mut person.middle),
                _ => std::mem::swap(&mut person.last, &mut person.first),
            },
            Op::PatronymicDropped => person.middle.clear(),
            Op::GivenVariant => {
                let known = VARIANTS.iter().find(|forms| forms.contains(&person.first.as_str()));
                match known {
                    Some(forms) => person.first = (*rng.pick(forms)).to_string(),
                    None => person.first = slip(&person.first, Shape::Name, rng),
                }
            }
            Op::DoubleSurname => {
                let other = surname(rng);
                let other = if person.female { feminine(&other) } else { other };
                let own = person.last.split('-').next().unwrap_or_default().to_string();
                person.last = if rng.chance(0.7) { format!("{own}-{other}") } else { format!("{other}-{own}") };
            }
            _ => {}
        }
    }

    fn date(self, person: &mut Person, rng: &mut Rng) {
        let birth = person.birth;
        let changed = match self {
            Op::BirthSwap => Date::new(birth.year, birth.day, birth.month),
            Op::BirthDigit => other_date_digit(birth, rng),
            // Older drivers pay less.
            Op::BirthYear => Some(birth.plus_years(-rng.between(1, 12) as i32)),
            _ => {
                let earliest = birth.plus_years(18).min(person.licensed_since);
                let since = person.licensed_since.plus_years(-rng.between(1, 9) as i32);
                person.licensed_since = since.max(earliest.plus_days(rng.between(0, 200))).min(TODAY.plus_days(-1));
                None
            }
        };
        if let Some(changed) = changed.filter(|date| (1925..=2008).contains(&date.year)) {
            person.birth = changed;
        }
    }
}

fn replace_char(chars: &mut [char], rng: &mut Rng) {
    // The serial number is what people know to be individual; other positions are tried as well.
    let at = if rng.chance(0.6) { 11 + rng.below(chars.len() - 11) } else { rng.below(chars.len()) };
    let old = chars[at];
    while chars[at] == old {
        chars[at] = if old.is_ascii_digit() && rng.chance(0.8) {
            char::from(b'0' + rng.below(10) as u8)
        } else {
            char::from(*rng.pick(VIN_LETTERS))
        };
    }
}

fn stepped_serial(vin: &str, rng: &mut Rng) -> String {
    let Some((head, tail)) = vin.split_at_checked(11) else { return vin.to_string() };
    let Ok(serial) = tail.parse::<i64>() else { return vin.to_string() };
    let step = rng.between(1, 4) * if rng.chance(0.5) { 1 } else { -1 };
    format!("{head}{:0width$}", (serial + step).rem_euclid(1_000_000), width = tail.len())
}

fn altered_plate(plate: &str, rng: &mut Rng) -> String {
    let mut chars: Vec<char> = plate.chars().collect();
    if chars.len() < 8 {
        return plate.to_string();
    }
    let at = rng.below(chars.len());
    let old = chars[at];
    while chars[at] == old {
        chars[at] = if old.is_ascii_digit() { char::from(b'0' + rng.below(10) as u8) } else { *rng.pick(&PLATE_LETTERS) };
    }
    chars.into_iter().collect()
}

fn understated_power(power: u32, rng: &mut Rng) -> u32 {
    // The steps of the tariff are what the picker aims at.
    let steps: Vec<u32> = [50, 70, 100, 120, 150].into_iter().filter(|step| *step < power).collect();
    let ceiling = if steps.is_empty() { power } else { *rng.pick(&steps) };
    ceiling.saturating_sub(rng.below(9) as u32).max(40)
}

fn hide_somewhere(form: &mut Form, rng: &mut Rng) {
    let mut fields =
        [&mut form.holder.last, &mut form.holder.first, &mut form.car.vin, &mut form.holder.licence, &mut form.holder.passport];
    let given: Vec<usize> = (0..fields.len()).filter(|&i| !fields[i].is_empty()).collect();
    let field = &mut fields[*rng.pick(&given)];
    **field = hide_in(field, rng);
}

fn other_digit(text: &str, rng: &mut Rng) -> String {
    let mut chars: Vec<char> = text.chars().collect();
    let digits: Vec<usize> = (0..chars.len()).filter(|&i| chars[i].is_ascii_digit()).collect();
    if !digits.is_empty() {
        let at = *rng.pick(&digits);
        let old = chars[at];
        while chars[at] == old {
            chars[at] = char::from(b'0' + rng.below(10) as u8);
        }
    }
    chars.into_iter().collect()
}

fn other_date_digit(date: Date, rng: &mut Rng) -> Option<Date> {
    (0..32).find_map(|_| Date::parse(&other_digit(&date.to_string(), rng)).filter(|other| (1930..=2007).contains(&other.year)))
}

fn contact(person: &mut Person, rng: &mut Rng) {
    if rng.chance(0.6) {
        person.phone = phone(rng);
    } else {
        let (head, tail) = person.phone.split_at(person.phone.len().min(4));
        person.phone = format!("{head}{}", other_digit(tail, rng));
    }
    if rng.chance(0.5) {
        person.email = email(rng, &person.first, &person.last, person.birth);
    }
}

fn flat_or_house(form: &mut Form, rng: &mut Rng) {
    let address = &mut form.holder.address;
    if rng.chance(0.5) && !address.flat.is_empty() {
        address.flat = rng.between(1, 300).to_string();
    } else {
        address.house = rng.between(1, 120).to_string();
    }
}

fn cheap_region(person: &mut Person, rng: &mut Rng) {
    let own = person.city().factor;
    let cheaper: Vec<usize> = (0..CITIES.len()).filter(|&i| CITIES[i].0.factor < own.min(1.3)).collect();
    if cheaper.is_empty() {
        let city = person.city();
        person.move_to(rng, city);
    } else {
        let city = &CITIES[*rng.pick(&cheaper)].0;
        person.move_to(rng, city);
    }
}

fn drop_youngest(form: &mut Form) {
    let youngest = (0..form.others.len()).max_by_key(|&i| form.others[i].birth);
    if let Some(i) = youngest.filter(|_| form.holder_drives || form.others.len() > 1) {
        form.others.remove(i);
    }
}

/// An experienced relative is named instead of the policyholder.
fn swap_main_driver(form: &mut Form, rng: &mut Rng) {
    let tie = *rng.pick(&[Tie::Parent, Tie::Spouse]);
    let mut elder = form.holder.relative(rng, tie);
    elder.birth = elder.birth.min(TODAY.plus_years(-40));
    elder.licensed_since = elder.birth.plus_years(20).plus_days(rng.between(0, 700));
    form.holder_drives = false;
    form.others.clear();
    form.others.push(elder);
}

/// A relative takes the policy; the applicant stays as a driver. Contacts stay his own.
fn replace_owner(form: &mut Form, rng: &mut Rng) {
    let tie = *rng.pick(&[Tie::Parent, Tie::Spouse, Tie::Sibling]);
    let owner = form.holder.relative(rng, tie);
    let contacts = (form.holder.phone.clone(), form.holder.email.clone());
    let former = std::mem::replace(&mut form.holder, owner);
    (form.holder.phone, form.holder.email) = contacts;
    if form.holder_drives {
        form.others.insert(0, former);
        form.others.truncate(4);
        form.holder_drives = rng.chance(0.4);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn second_operations_change_any_form() {
        let mut rng = Rng::new(21);
        for op in Op::SECOND {
            let changed = (0..500).filter(|_| {
                let before = Form::random(&mut rng);
                let mut after = before.clone();
                op.apply(&mut after, &mut rng);
                after != before
            });
            assert!(changed.count() > 430, "{op:?} seldom changes anything");
        }
    }

    #[test]
    fn a_repaired_vin_passes_its_check() {
        let mut rng = Rng::new(22);
        for _ in 0..500 {
            let mut form = Form::random(&mut rng);
            Op::VinCheckDigitRepaired.apply(&mut form, &mut rng);
            assert_eq!(crate::vehicle::check_digit(&form.car.vin), form.car.vin.chars().nth(8));
        }
    }
}
