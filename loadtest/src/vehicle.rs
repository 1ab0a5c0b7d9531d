//! Cars: VINs that begin like their model's, plates, and what the model allows for year and power.

use crate::data::cars::{MODELS, Model};
use crate::data::places::City;
use crate::rng::Rng;

#[derive(Clone, Debug, PartialEq)]
pub struct Car {
    pub vin: String,
    pub plate: String,
    pub make: String,
    pub model: String,
    pub year: i32,
    /// Metric horsepower.
    pub power: u32,
}

/// Letters that a VIN may hold: no I, O, Q.
pub const VIN_LETTERS: &[u8] = b"0123456789ABCDEFGHJKLMNPRSTUVWXYZ";
/// Letters of a Russian plate.
pub const PLATE_LETTERS: [char; 12] = ['А', 'В', 'Е', 'К', 'М', 'Н', 'О', 'Р', 'С', 'Т', 'У', 'Х'];
const NO_PLATE: f64 = 0.05;

impl Car {
    pub fn random(rng: &mut Rng, city: &City) -> Car {
        let model = rng.weighted(MODELS);
        Car::of(rng, model, city)
    }

    pub fn of(rng: &mut Rng, model: &Model, city: &City) -> Car {
        let (first, last) = model.years;
        let year = last - ((rng.unit() * rng.unit().max(0.3)) * f64::from(last - first + 1)) as i32;
        let vds = *rng.pick(model.vds);
        let plant = *rng.pick(model.plants.as_bytes());
        let serial = u32::from(year as u16 % 10) * 100_000 % 800_000 + rng.below(180_000) as u32;
        Car {
            vin: vin(model.wmi, vds, year.clamp(first, last), plant, serial),
            plate: if rng.chance(NO_PLATE) { String::new() } else { plate(rng, city) },
            make: model.make.to_string(),
            model: model.name.to_string(),
            year: year.clamp(first, last),
            power: *rng.pick(model.powers),
        }
    }

    pub fn model(&self) -> &'static Model {
        MODELS.iter().find(|(m, _)| m.make == self.make && m.name == self.model).map_or(&MODELS[0].0, |(m, _)| m)
    }

    /// The same car `steps` further down the assembly line.
    pub fn next_on_the_line(&self, steps: u32) -> Car {
        let serial = self.vin[11..].parse::<u32>().unwrap_or(0).wrapping_add(steps) % 1_000_000;
        let vin = format!("{}{serial:06}", &self.vin[..11]);
        Car { vin: if has_check_digit(&vin) { repair(&vin) } else { vin }, ..self.clone() }
    }

    /// Another car of the same model, year and engine.
    pub fn same_model(&self, rng: &mut Rng, city: &City) -> Car {
        Car { plate: plate(rng, city), ..self.next_on_the_line(1_000 + rng.below(150_000) as u32) }
    }
}

fn vin(wmi: &str, vds: &str, year: i32, plant: u8, serial: u32) -> String {
    let vin = format!("{wmi}{vds}{}{}{serial:06}", year_code(year), char::from(plant));
    if has_check_digit(&vin) { repair(&vin) } else { vin }
}

/// Position 10: 2001-2009 are digits, 2010-2026 letters without I, O, Q, U, Z.
pub fn year_code(year: i32) -> char {
    const CODES: &[u8] = b"123456789ABCDEFGHJKLMNPRSTVWXY";
    char::from(CODES[(year - 2001).rem_euclid(30) as usize])
}

/// North America and China use position 9 as a check digit.
pub fn has_check_digit(vin: &str) -> bool {
    matches!(vin.as_bytes().first(), Some(b'1'..=b'5' | b'L'))
}

/// The check digit of ISO 3779 / FMVSS 115; `None` for a VIN that is not 17 letters of the VIN alphabet.
pub fn check_digit(vin: &str) -> Option<char> {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let bytes = vin.as_bytes();
    if bytes.len() != 17 {
        return None;
    }
    let mut sum = 0;
    for (byte, weight) in bytes.iter().zip(WEIGHTS) {
        let value = match byte {
            b'0'..=b'9' => u32::from(byte - b'0'),
            b'A'..=b'H' => u32::from(byte - b'A') + 1,
            b'J'..=b'N' | b'P' | b'R' => u32::from(byte - b'J') + 1,
            b'S'..=b'Z' => u32::from(byte - b'S') + 2,
            _ => return None,
        };
        sum += value * weight;
    }
    Some(if sum % 11 == 10 { 'X' } else { char::from(b'0' + (sum % 11) as u8) })
}

/// The VIN with the check digit that its other characters ask for; unchanged when it has none.
pub fn repair(vin: &str) -> String {
    match check_digit(vin) {
        Some(digit) => format!("{}{digit}{}", &vin[..8], &vin[9..]),
        None => vin.to_string(),
    }
}

pub fn plate(rng: &mut Rng, city: &City) -> String {
    let [a, b, c] = [(); 3].map(|()| *rng.pick(&PLATE_LETTERS));
    format!("{a}{:03}{b}{c}{}", 1 + rng.below(999), rng.pick(city.plates))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::places::CITIES;

    #[test]
    fn check_digits() {
        for (vin, expected) in [
            ("1M8GDM9AXKP042788", Some('X')),
            ("11111111111111111", Some('1')),
            ("XTA219010K012345", None),
            ("ХTA219010K0123456", None),
            ("1M8GDM9AXKPO42788", None),
        ] {
            assert_eq!(check_digit(vin), expected, "{vin}");
        }
    }

    #[test]
    fn vins_are_well_formed_and_carry_their_year() {
        let mut rng = Rng::new(3);
        for _ in 0..20_000 {
            let car = Car::random(&mut rng, &CITIES[0].0);
            for vin in [&car.vin, &car.next_on_the_line(1).vin, &car.same_model(&mut rng, &CITIES[1].0).vin] {
                assert!(vin.len() == 17 && vin.bytes().all(|b| VIN_LETTERS.contains(&b)), "{vin}");
                assert_eq!(vin.chars().nth(9), Some(year_code(car.year)), "{vin} of {}", car.year);
                assert!(!has_check_digit(vin) || check_digit(vin) == vin.chars().nth(8), "{vin}");
            }
        }
    }
}
