//! The values of a form by field, as they were written, and masked where they are personal data.

use super::show::visible;
use crate::engine::field::Field;
use crate::engine::quote::{Address, Driver, Quote, Text};
use crate::engine::time::Date;

/// Whether it tells who somebody is.
pub fn is_personal(field: Field) -> bool {
    match field {
        Field::LastName
        | Field::FirstName
        | Field::MiddleName
        | Field::BirthDate
        | Field::IdDocument
        | Field::DriverLicence
        | Field::Phone
        | Field::Email
        | Field::Address
        | Field::Vin
        | Field::Plate
        | Field::DriverData
        | Field::DriverList => true,
        Field::MakeModel | Field::Year | Field::Power | Field::Term | Field::Deductible | Field::Extra => false,
    }
}

/// Empty where the form does not give it.
pub fn value(field: Field, quote: &Quote, is_open: bool) -> String {
    let holder = &quote.policyholder;
    let named = |text: &Text| text_of(text, is_open, mask_name);
    let coded = |text: &Text| text_of(text, is_open, |text| mask_but_last(text, 2));
    match field {
        Field::LastName => named(&holder.last_name),
        Field::FirstName => named(&holder.first_name),
        Field::MiddleName => named(&holder.middle_name),
        Field::BirthDate => date(holder.birth_date, is_open),
        Field::IdDocument => coded(&holder.id_document),
        Field::DriverLicence => coded(&holder.driver_licence),
        Field::Phone => coded(&holder.phone),
        Field::Email => text_of(&holder.email, is_open, mask_email),
        Field::Address => address(&holder.address, is_open),
        Field::Vin => text_of(&quote.vehicle.vin, is_open, |vin| mask_but_last(vin, 4)),
        Field::Plate => text_of(&quote.vehicle.plate, is_open, mask_name),
        Field::MakeModel => joined([&quote.vehicle.make, &quote.vehicle.model], " ", visible),
        Field::Year if quote.vehicle.year == 0 => String::new(),
        Field::Year => quote.vehicle.year.to_string(),
        Field::Power => number(quote.vehicle.power_hp),
        Field::DriverData | Field::DriverList => drivers(&quote.drivers, is_open),
        Field::Term => number(quote.coverage.term_months),
        Field::Deductible => number(quote.coverage.deductible),
        Field::Extra if quote.coverage.extra_hash == 0 => String::new(),
        Field::Extra => format!("#{:04x}", quote.coverage.extra_hash >> 48),
    }
}

/// `И••• П•••`: who the quote is about, for lists.
pub fn masked_name(quote: &Quote) -> String {
    let holder = &quote.policyholder;
    joined([&holder.first_name, &holder.last_name], " ", mask_name)
}

fn text_of(text: &Text, is_open: bool, mask: impl Fn(&str) -> String) -> String {
    let Some(text) = text else { return String::new() };
    if is_open { visible(text) } else { mask(text) }
}

fn joined<const N: usize>(parts: [&Text; N], between: &str, show: impl Fn(&str) -> String) -> String {
    parts.into_iter().flatten().map(|part| show(part)).collect::<Vec<_>>().join(between)
}

/// The first letter, then dots: as many for every name.
fn mask_name(text: &str) -> String {
    let first = text.chars().find(|c| c.is_alphanumeric()).map(String::from);
    format!("{}•••", first.unwrap_or_default())
}

/// Dots, then the last characters; of a short text fewer, or it would be shown whole.
fn mask_but_last(text: &str, shown: usize) -> String {
    let letters: Vec<char> = text.chars().filter(|c| c.is_alphanumeric()).collect();
    let shown = shown.min(letters.len() / 3);
    format!("•••{}", letters[letters.len() - shown..].iter().collect::<String>())
}

fn mask_email(text: &str) -> String {
    mask_name(text.split('@').next().unwrap_or_default()) + "@•••"
}

fn date(date: Date, is_open: bool) -> String {
    match (date.is_given(), is_open) {
        (false, _) => String::new(),
        (true, true) => date.to_string(),
        (true, false) => format!("{}-••-••", date.year()),
    }
}

fn address(address: &Address, is_open: bool) -> String {
    let Address { postal_code, region, city, street, house, flat, line } = address;
    let parts = [postal_code, region, city, street, house, flat, line];
    if is_open { joined(parts, ", ", visible) } else { joined([city, street, house, flat, line], ", ", mask_name) }
}

fn drivers(drivers: &[Driver], is_open: bool) -> String {
    let shown = |driver: &Driver| {
        let name = [&driver.last_name, &driver.first_name, &driver.middle_name];
        if !is_open {
            return joined([name[1], name[0]], " ", mask_name);
        }
        let facts = [
            self::date(driver.birth_date, true),
            text_of(&driver.driver_licence, true, visible),
            self::date(driver.licensed_since, true),
        ];
        let facts = facts.into_iter().filter(|fact| !fact.is_empty()).collect::<Vec<_>>().join(", ");
        let name = joined(name, " ", visible);
        if facts.is_empty() { name } else { format!("{name} ({facts})") }
    };
    drivers.iter().map(shown).collect::<Vec<_>>().join("; ")
}

fn number(number: Option<f64>) -> String {
    number.map_or_else(String::new, |number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::quote::decode;

    fn quote() -> Quote {
        let body = r#"{"quote_id":"q","submitted_at":"2026-03-02T12:00:00Z","product":"osago","channel":{"kind":"web","ip":"192.0.2.1"},
            "policyholder":{"last_name":"Петрова","first_name":"Ирина","birth_date":"1984-05-17","id_document":"4509 123456",
                "phone":"+7 903 555-12-34","email":"irina@example.org","address":{"city":"Тверь","street":"Садовая","house":"7"}},
            "drivers":[{"last_name":"Петров","first_name":"Олег","birth_date":"1980-01-02"}],
            "vehicle":{"vin":"XTA219010K0123456","plate":"А123ВС77","make":"Lada","model":"Granta","year":2019,"power_hp":87}}"#;
        decode(body.as_bytes(), None).expect("a quote").quote
    }

    #[test]
    fn no_masked_value_holds_the_open_one() {
        let quote = quote();
        for field in Field::ALL {
            let (masked, open) = (value(field, &quote, false), value(field, &quote, true));
            if is_personal(field) && !open.is_empty() {
                assert!(masked.contains('•') && !masked.contains(open.as_str()), "{field:?}: {masked}");
            } else {
                assert_eq!(masked, open, "{field:?}");
            }
        }
        for (field, expected) in [
            (Field::LastName, "П•••"),
            (Field::BirthDate, "1984-••-••"),
            (Field::IdDocument, "•••56"),
            (Field::Email, "i•••@•••"),
            (Field::Address, "Т•••, С•••, 7•••"),
            (Field::Vin, "•••3456"),
            (Field::DriverList, "О••• П•••"),
        ] {
            assert_eq!(value(field, &quote, false), expected);
        }
        assert_eq!(masked_name(&quote), "И••• П•••");
        assert_eq!(value(Field::DriverData, &quote, true), "Петров Олег (1980-01-02)");
    }

    #[test]
    fn short_texts_are_masked_whole() {
        for (text, expected) in [("1", "•••"), ("12", "•••"), ("123", "•••3"), ("123456", "•••56")] {
            assert_eq!(mask_but_last(text, 2), expected);
        }
        assert_eq!(mask_name(""), "•••");
        assert_eq!(mask_name("\u{202e}x"), "x•••");
    }
}
