//! Full quotes of made-up people for the tests of rules.

use serde_json::{Value, json};

const NAMES: [[&str; 3]; 12] = [
    ["Петрова", "Анна", "Сергеевна"],
    ["Кузнецов", "Дмитрий", "Олегович"],
    ["Ахметова", "Лилия", "Рашидовна"],
    ["Соколов", "Пётр", "Ильич"],
    ["Жданова", "Вера", "Павловна"],
    ["Громов", "Егор", "Андреевич"],
    ["Лебедева", "Ольга", "Викторовна"],
    ["Чернов", "Максим", "Юрьевич"],
    ["Белоусова", "Нина", "Фёдоровна"],
    ["Тарасов", "Глеб", "Романович"],
    ["Щербакова", "Инна", "Львовна"],
    ["Мельник", "Тарас", "Богданович"],
];
const STREETS: [&str; 6] = ["Лесная", "Садовая", "Мира", "Заречная", "Гагарина", "Полевая"];
const CITIES: [&str; 4] = ["Казань", "Пермь", "Омск", "Тверь"];
const CARS: [[&str; 3]; 6] = [
    ["XTA219010K0", "LADA", "Granta"],
    ["Z94K241CBLR", "Hyundai", "Solaris"],
    ["XW8ZZZ61ZJG", "Volkswagen", "Polo"],
    ["X7LLSRB1HAH", "Renault", "Logan"],
    ["JTNBF3HK503", "Toyota", "Camry"],
    ["XWEPH81ABN0", "Kia", "Rio"],
];
const PLATE_LETTERS: [&str; 12] = ["А", "В", "Е", "К", "М", "Н", "О", "Р", "С", "Т", "У", "Х"];

/// Person number `n` with their own car, device and address. The same number is always the same person.
pub fn quote(n: u32) -> Value {
    let person = Person(n);
    let [last, first, middle] = *person.pick(&NAMES);
    let [vin_start, make, model] = *person.pick(&CARS);
    let licence = format!("99{:02} {:06}", person.number(1, 100), person.number(2, 1_000_000));
    let born = format!("{}-{:02}-{:02}", 1960 + person.number(3, 40), 1 + person.number(4, 12), 1 + person.number(5, 28));
    let letter = |salt| PLATE_LETTERS[person.number(salt, 12) as usize];
    json!({
        "quote_id": null,
        "submitted_at": null,
        "product": "osago",
        "tenant": null,
        "channel": {
            "kind": "web",
            "session_id": format!("session-{n}"),
            "device_id": format!("device-{n}"),
            "ip": format!("198.51.100.{}", 1 + n % 254),
            "agent_id": null,
        },
        "policyholder": {
            "last_name": last,
            "first_name": first,
            "middle_name": middle,
            "birth_date": born,
            "id_document": format!("45{:02} {:06}", person.number(6, 100), person.number(7, 1_000_000)),
            "driver_licence": licence,
            "phone": format!("+79{:09}", person.number(8, 1_000_000_000)),
            "email": format!("person{n}@example.org"),
            "address": {
                "postal_code": format!("{:06}", 100_000 + person.number(9, 500_000)),
                "region": null,
                "city": person.pick(&CITIES),
                "street": person.pick(&STREETS),
                "house": (1 + person.number(10, 90)).to_string(),
                "flat": (1 + person.number(11, 200)).to_string(),
                "line": null,
            },
        },
        "drivers": [{
            "last_name": last,
            "first_name": first,
            "middle_name": middle,
            "birth_date": born,
            "driver_licence": licence,
            "licensed_since": format!("{}-05-20", 2005 + person.number(12, 15)),
        }],
        "vehicle": {
            "vin": format!("{vin_start}{:06}", person.number(13, 1_000_000)),
            "plate": format!("{}{:03}{}{}77", letter(14), 1 + person.number(15, 998), letter(16), letter(17)),
            "make": make,
            "model": model,
            "year": 2012 + person.number(18, 12),
            "power_hp": 80 + person.number(19, 90),
        },
        "coverage": {"term_months": 12, "deductible": 0, "extra": {}},
        "premium": 9000,
    })
}

/// A driver about whom nothing is known yet.
pub fn driver() -> Value {
    json!({
        "last_name": null,
        "first_name": null,
        "middle_name": null,
        "birth_date": null,
        "driver_licence": null,
        "licensed_since": null,
    })
}

struct Person(u32);

impl Person {
    fn pick<T, const N: usize>(&self, from: &'static [T; N]) -> &'static T {
        &from[self.0 as usize % N]
    }

    /// Below `end`; differs between people and between salts (the finaliser of SplitMix64).
    fn number(&self, salt: u64, end: u64) -> u64 {
        let mut z = (u64::from(self.0) << 32 | salt).wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
