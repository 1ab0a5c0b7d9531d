//! Made-up applicants.

use serde_json::{Value, json};
use time::format_description::well_known::Rfc3339;
use time::{Duration, OffsetDateTime, macros::datetime};

/// Where generated histories begin.
pub const EPOCH: OffsetDateTime = datetime!(2026-03-02 12:00 UTC);

pub fn instant(at: OffsetDateTime) -> String {
    at.format(&Rfc3339).expect("a year within RFC 3339")
}

/// A form sent now.
pub fn quote(id: &str) -> Value {
    quote_at(id, OffsetDateTime::now_utc(), 0)
}

/// A form of applicant number `person`.
pub fn quote_at(id: &str, at: OffsetDateTime, person: u64) -> Value {
    let digits = |modulus: u64, seed: u64| (person.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(seed) >> 11) % modulus;
    json!({
        "quote_id": id,
        "submitted_at": instant(at),
        "product": "osago",
        "channel": {"kind": "web", "session_id": format!("s-{person}"), "device_id": format!("d-{person}"), "ip": "192.0.2.1"},
        "policyholder": {
            "last_name": format!("Тестова{}", letters(person)),
            "first_name": "Анна",
            "birth_date": format!("{}-{:02}-{:02}", 1960 + digits(40, 1), 1 + digits(12, 2), 1 + digits(28, 3)),
            "id_document": format!("{:010}", digits(10_000_000_000, 4)),
            "driver_licence": format!("{:010}", digits(10_000_000_000, 5)),
            "phone": format!("+79{:09}", digits(1_000_000_000, 6)),
            "email": format!("anna{person}@example.org"),
            "address": {"city": "Город", "street": format!("Улица {}", letters(digits(900, 7))), "house": digits(90, 8).to_string()},
        },
        "vehicle": {"vin": format!("XTA219010K{:07}", digits(10_000_000, 9)), "plate": format!("А{:03}АА77", digits(1000, 10)),
                    "make": "Lada", "model": "Granta", "year": 2019, "power_hp": 87},
        "coverage": {"term_months": 12, "deductible": 0},
        "premium": 10_000,
    })
}

fn letters(mut number: u64) -> String {
    const ALPHABET: [char; 10] = ['б', 'в', 'г', 'д', 'ж', 'з', 'к', 'л', 'м', 'н'];
    let mut text = String::new();
    while number > 0 || text.is_empty() {
        text.push(ALPHABET[(number % 10) as usize]);
        text.push('о');
        number /= 10;
    }
    text
}

/// `count` quotes over two days: honest applicants, tweakers, late quotes and exact duplicates, the same for one seed.
pub fn history(seed: u64, count: usize) -> Vec<Value> {
    let mut random = Lcg(seed);
    let mut quotes: Vec<Value> = Vec::with_capacity(count);
    for i in 0..count {
        if i > 10 && random.below(50) == 0 {
            quotes.push(quotes[i - 1 - random.below(10) as usize].clone());
            continue;
        }
        let person = random.below(count as u64 / 6 + 1);
        let late = if random.below(10) == 0 { random.below(50) as i64 } else { 0 };
        let at = EPOCH + Duration::seconds(i as i64 * 172_800 / count as i64) - Duration::minutes(late);
        let mut quote = quote_at(&format!("q-{seed}-{i}"), at, person);
        if person.is_multiple_of(3) {
            tweak(&mut quote, &mut random);
        }
        quotes.push(quote);
    }
    quotes
}

fn tweak(quote: &mut Value, random: &mut Lcg) {
    quote["premium"] = json!(10_000 - random.below(3_000));
    match random.below(4) {
        0 => quote["vehicle"]["vin"] = json!(format!("XTA219010K{:07}", random.below(10_000_000))),
        1 => quote["policyholder"]["birth_date"] = json!(format!("1970-01-{:02}", 1 + random.below(28))),
        2 => quote["policyholder"]["last_name"] = json!(format!("Тестовa{}", letters(random.below(30)))),
        _ => quote["policyholder"]["driver_licence"] = json!(format!("{:010}", random.below(1_000_000))),
    }
}

/// As JSONL.
pub fn lines(quotes: &[Value]) -> String {
    quotes.iter().map(|quote| format!("{quote}\n")).collect()
}

/// Knuth's MMIX generator: enough to vary test data, the same everywhere.
pub struct Lcg(pub u64);

impl Lcg {
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % bound
    }
}
