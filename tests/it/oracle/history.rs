//! Histories of a small crowded town: families, twins, namesakes, shared phones and devices, cars that stand next to each other on
//! the line, and applicants who tweak, disguise, leave out and put back.

use quoteguard::engine::normalise::hash64;
use quoteguard::engine::quote::{Address, ChannelKind, Driver, Quote, Text};
use quoteguard::engine::time::{Date, EventTime, MINUTE, SECOND};

use super::random::Random;

/// 2026-11-01T00:00:00Z, microseconds.
pub const START: i64 = 1_793_491_200 * SECOND;

/// Last, first and middle name, birth date, document, licence: a family with twins, a father and son of one name, strangers.
const PEOPLE: [[&str; 6]; 9] = [
    ["Заречная", "Мария", "Павловна", "1984-03-07", "4510 123456", "7712 654321"],
    ["Заречный", "Павел", "Ильич", "1982-11-19", "4510 223344", "7712 111222"],
    ["Заречная", "Анна", "Павловна", "2005-06-01", "4525 700001", "9921 300001"],
    ["Заречная", "Алла", "Павловна", "2005-06-01", "4525 700002", "9921 300002"],
    ["Иванов", "Сергей", "Сергеевич", "1961-01-12", "4606 909090", "50АВ 123123"],
    ["Иванов", "Сергей", "Сергеевич", "1989-01-12", "4610 454545", "5012 777000"],
    ["Shcherbakov", "Yuri", "", "1975-12-30", "N1234567", "KR55512"],
    ["Мельник-Орлова", "Наталья", "Олеговна", "1990-08-08", "4515 010203", "7720 405060"],
    ["Лесков", "Александр", "Янович", "1961-12-30", "4600 777888", "5001 111222"],
];

/// VIN, plate, make, model: neighbours on the line, one that must keep its check digit, one without a possible VIN.
const CARS: [[&str; 4]; 6] = [
    ["XTA219010K0123456", "А123ВС69", "Lada", "Granta"],
    ["XTA219010K0123457", "А124ВС69", "Lada", "Granta"],
    ["XTA219010K0123465", "", "Lada", "Vesta"],
    ["Z94CB41AAFR323020", "К777КК177", "Hyundai", "Solaris"],
    ["1HGCM82633A004352", "О001ОО777", "Honda", "Accord"],
    ["BJ40-12345", "М555ММ50", "", ""],
];

const PHONES: [&str; 4] = ["+7 912 345-67-89", "8 (912) 345-67-80", "79991112233", "+44 20 7946 0958"];
const EMAILS: [&str; 4] = ["m.zarechnaya@mail.ru", "ivanov.s@gmail.com", "iv.anov.s+osago@gmail.com", "leskov@ya.ru"];
const CITIES: [&str; 3] = ["Тверь", "г. Москва", "Tver"];
const STREETS: [&str; 3] = ["Новая", "ул. Старая", "Novaya"];
const DEVICES: [&str; 3] = ["device-1", "device-2", "device-3"];

pub fn text(s: &str) -> Text {
    (!s.is_empty()).then(|| s.into())
}

fn date(s: &str) -> Date {
    Date::parse(s).unwrap_or_default()
}

/// The same body is the same hash, and only the same body.
pub fn seal(mut quote: Quote) -> Quote {
    quote.body_hash = 0;
    quote.body_hash = u128::from(hash64(format!("{quote:?}").as_bytes()));
    quote
}

/// The honest form of one person for one car.
pub fn form(person: usize, car: usize, random: &mut Random) -> Quote {
    let [last, first, middle, born, document, licence] = PEOPLE[person];
    let [vin, plate, make, model] = CARS[car];
    let mut quote = Quote { product: "osago".into(), tenant: "default".into(), premium: Some(9_000.0), ..Quote::default() };
    quote.channel.kind = random.pick(&ChannelKind::ALL);
    quote.channel.device_id = text(random.pick(&DEVICES));
    quote.channel.ip = text(["10.0.0.1", "10.0.0.2"][random.below(2)]);
    let who = &mut quote.policyholder;
    (who.last_name, who.first_name, who.middle_name) = (text(last), text(first), text(middle));
    (who.birth_date, who.id_document, who.driver_licence) = (date(born), text(document), text(licence));
    who.phone = text(PHONES[person % PHONES.len()]);
    who.email = text(EMAILS[person % EMAILS.len()]);
    who.address = Address {
        city: text(CITIES[person / 5]),
        street: text(STREETS[person / 5]),
        house: text("д. 5"),
        flat: text(if person < 4 { "7" } else { "12" }),
        ..Address::default()
    };
    let vehicle = &mut quote.vehicle;
    (vehicle.vin, vehicle.plate, vehicle.make, vehicle.model) = (text(vin), text(plate), text(make), text(model));
    (vehicle.year, vehicle.power_hp) = (2015 + car as u16, Some(90.0 + car as f64));
    (quote.coverage.term_months, quote.coverage.deductible) = (Some(12.0), Some(0.0));
    if random.percent(60) {
        quote.drivers = [person, (person + 1) % PEOPLE.len()][..1 + random.below(2)].iter().map(|p| driver(*p)).collect();
    }
    quote
}

fn driver(person: usize) -> Driver {
    let [last, first, middle, born, _, licence] = PEOPLE[person];
    Driver {
        last_name: text(last),
        first_name: text(first),
        middle_name: text(middle),
        birth_date: date(born),
        driver_licence: text(licence),
        licensed_since: date("2008-05-05"),
    }
}

/// One character or digit of a text changed, dropped, doubled or swapped with its neighbour.
fn slip(value: &mut Text, random: &mut Random) {
    let Some(old) = value else { return };
    let mut chars: Vec<char> = old.chars().collect();
    let at = random.below(chars.len());
    match random.below(4) {
        0 => chars[at] = random.pick(&['7', '4', 'Б', 'K', '0']),
        1 if chars.len() > 1 => drop(chars.remove(at)),
        2 => chars.insert(at, chars[at]),
        _ if at + 1 < chars.len() => chars.swap(at, at + 1),
        _ => chars[at] = '9',
    }
    *value = text(&chars.into_iter().collect::<String>());
}

/// A letter replaced by one that looks the same, or an invisible character put in.
fn disguise(value: &mut Text, random: &mut Random) {
    const PAIRS: [(char, char); 9] =
        [('а', 'a'), ('е', 'e'), ('о', 'o'), ('С', 'C'), ('А', 'A'), ('K', 'К'), ('0', 'O'), ('X', 'Х'), ('1', 'I')];
    let Some(old) = value else { return };
    let mut chars: Vec<char> = old.chars().collect();
    let pairs = PAIRS.iter().flat_map(|(a, b)| [(*a, *b), (*b, *a)]);
    let possible: Vec<(usize, char)> =
        pairs.filter_map(|(from, to)| chars.iter().position(|c| *c == from).map(|at| (at, to))).collect();
    if possible.is_empty() || random.percent(25) {
        chars.insert(chars.len() / 2, '\u{200B}');
    } else {
        let (at, to) = random.pick(&possible);
        chars[at] = to;
    }
    *value = text(&chars.into_iter().collect::<String>());
}

/// The texts of a form that a tweak or an omission may hit.
fn texts(quote: &mut Quote) -> [&mut Text; 17] {
    let (who, vehicle) = (&mut quote.policyholder, &mut quote.vehicle);
    let address = &mut who.address;
    [
        &mut who.last_name,
        &mut who.first_name,
        &mut who.middle_name,
        &mut who.id_document,
        &mut who.driver_licence,
        &mut who.phone,
        &mut who.email,
        &mut address.city,
        &mut address.street,
        &mut address.house,
        &mut address.flat,
        &mut vehicle.vin,
        &mut vehicle.plate,
        &mut vehicle.model,
        &mut quote.channel.device_id,
        &mut quote.channel.session_id,
        &mut quote.channel.agent_id,
    ]
}

fn tweak(quote: &mut Quote, random: &mut Random) {
    const DATES: [&str; 5] = ["1984-07-03", "1985-03-07", "1961-01-21", "2005-06-10", ""];
    let other = random.below(PEOPLE.len());
    match random.below(16) {
        0..=3 => slip(texts(quote)[random.below(13)], random),
        4..=6 => disguise(texts(quote)[random.below(13)], random),
        7 => quote.policyholder.birth_date = date(random.pick(&DATES)),
        8 => slip(&mut quote.vehicle.vin, random),
        9 => drivers(quote, random),
        10 => quote.vehicle.year = [0, 2013, 2016, 2022][random.below(4)],
        11 => quote.vehicle.power_hp = [None, Some(89.6), Some(70.0), Some(150.0)][random.below(4)],
        12 => quote.channel.device_id = text(random.pick(&DEVICES)),
        13 => quote.policyholder.phone = text(random.pick(&PHONES)),
        14 => std::mem::swap(&mut quote.policyholder.last_name, &mut quote.policyholder.first_name),
        _ => quote.policyholder.first_name = text(PEOPLE[other][1]),
    }
    quote.premium = [None, Some(9_000.0), Some(8_000.0), Some(7_100.0), Some(9_900.0)][random.below(5)];
}

fn drivers(quote: &mut Quote, random: &mut Random) {
    let other = random.below(PEOPLE.len());
    let held = quote.drivers.len();
    match (random.below(5), quote.drivers.last_mut()) {
        (0, Some(last)) => last.licensed_since = date("2019-01-01"),
        (1, Some(last)) => slip(&mut last.driver_licence, random),
        (2, Some(last)) => *last = driver(other),
        (3, Some(_)) => drop(quote.drivers.pop()),
        _ if held < 4 => quote.drivers.push(driver(other)),
        _ => quote.drivers.clear(),
    }
}

fn choose(quote: &mut Quote, random: &mut Random) {
    match random.below(3) {
        0 => quote.coverage.term_months = Some([6.0, 12.0][random.below(2)]),
        1 => quote.coverage.deductible = Some([0.0, 10_000.0][random.below(2)]),
        _ => quote.coverage.extra_hash = random.below(3) as u64,
    }
}

/// Seeded quotes in event-time order; ids do not follow time, and equal times are frequent.
pub fn history(seed: u64, quotes: usize) -> Vec<Quote> {
    let random = &mut Random::new(seed);
    let mut ids: Vec<usize> = (0..quotes).collect();
    random.shuffle(&mut ids);
    let applicants = 1 + random.below(5);
    let honest: Vec<Quote> =
        (0..applicants).map(|_| form(random.below(PEOPLE.len()), random.below(CARS.len()), random)).collect();
    let mut forms = honest.clone();
    let mut time = START;
    let mut history = Vec::with_capacity(quotes);
    for id in ids {
        time += [0, SECOND, 30 * SECOND, 5 * MINUTE, 5 * MINUTE, 50 * MINUTE, 10 * 60 * MINUTE, 3 * 24 * 60 * MINUTE]
            [random.below(8)];
        let who = random.below(applicants);
        match random.below(10) {
            0 => forms[who] = honest[who].clone(),
            1..=5 => (0..=random.below(2)).for_each(|_| tweak(&mut forms[who], random)),
            6 => choose(&mut forms[who], random),
            _ => {}
        }
        let mut quote = forms[who].clone();
        if random.percent(15) {
            texts(&mut quote).into_iter().filter(|_| random.percent(40)).for_each(|value| *value = None);
        }
        if random.percent(5) {
            // A mark instead of a value: something was typed, nothing can be compared.
            *texts(&mut quote)[random.below(13)] = text("-");
        }
        if random.percent(25) {
            // A visitor from elsewhere.
            (quote.channel.device_id, quote.channel.ip) = (text(&format!("device-of-{id}")), None);
        }
        if random.percent(7) {
            quote.tenant = "other".into();
        }
        quote.quote_id = format!("q{id:03}").into();
        quote.submitted_at = EventTime(time);
        history.push(seal(quote));
    }
    history
}

/// An order of arrival in which no quote comes more than `late` microseconds of event time behind one that came before it, with
/// duplicates: positions in `quotes`.
pub fn arrivals(seed: u64, quotes: &[Quote], late: i64) -> Vec<usize> {
    let random = &mut Random::new(seed ^ 0xA5A5);
    let mut order: Vec<(i64, usize)> =
        quotes.iter().enumerate().map(|(i, quote)| (quote.submitted_at.0 + random.below(late as usize + 1) as i64, i)).collect();
    order.sort_unstable();
    let mut arrivals: Vec<usize> = Vec::with_capacity(quotes.len() + 8);
    for (_, i) in order {
        arrivals.push(i);
        if random.percent(10) {
            let again = arrivals[arrivals.len() - 1 - random.below(arrivals.len().min(6))];
            arrivals.push(again);
        }
    }
    arrivals
}
