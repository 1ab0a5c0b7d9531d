//! The dearest step: a late quote into hot blocks, with as many later attempts in each as a block offers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use quoteguard::engine::decide::{Prepared, decide};
use quoteguard::engine::limits::BLOCK_NEWEST_MAX;
use quoteguard::engine::quote::{Address, Position, Quote};
use quoteguard::engine::state::State;
use quoteguard::engine::step::{ArrivalClock, Input, LoggedQuote};
use quoteguard::engine::time::{ArrivalTime, Date, EventTime, SECOND};

/// 2026-11-01T00:00:00Z, microseconds.
const START: i64 = 1_793_491_200 * SECOND;
const REPEATS: usize = 31;
const THREE_OF_FIVE: [[usize; 3]; 10] =
    [[0, 1, 2], [0, 1, 3], [0, 1, 4], [0, 2, 3], [0, 2, 4], [0, 3, 4], [1, 2, 3], [1, 2, 4], [1, 3, 4], [2, 3, 4]];

/// Copies something of the late form into a stranger's; the number tells the strangers apart.
type Share = Box<dyn Fn(&mut Quote, usize)>;

pub fn report() {
    measure("no block shared", vec![]);
    measure("one block each", one_block());
    measure("one identity each", one_identity());
    measure("the same form", vec![Box::new(|quote, i| *quote = Quote { quote_id: format!("s{i}").into(), ..late() })]);
}

/// Each of these shares exactly one blocking key with the late form.
fn one_block() -> Vec<Share> {
    let mut shares: Vec<Share> = Vec::new();
    for kept in THREE_OF_FIVE {
        shares.push(Box::new(move |quote, i| {
            let vin = late().vehicle.vin.unwrap_or_default();
            let other = format!("{:017}", i % 10 * 11_111_111_111_111_111);
            let pick = |(at, (a, b)): (usize, (char, char))| if kept.contains(&(at % 5)) { a } else { b };
            let mixed: String = vin.chars().zip(other.chars()).enumerate().map(pick).collect();
            quote.vehicle.vin = Some(mixed.into());
        }));
    }
    for third in 0..3 {
        shares.push(Box::new(move |quote, i| quote.policyholder.id_document = Some(other_third("4510123456", third, i))));
        shares.push(Box::new(move |quote, i| quote.policyholder.driver_licence = Some(other_third("7712654321", third, i))));
    }
    shares.push(Box::new(|quote, _| quote.channel.device_id = late().channel.device_id));
    shares.push(Box::new(|quote, _| quote.channel.session_id = late().channel.session_id));
    shares.push(Box::new(|quote, _| quote.policyholder.email = late().policyholder.email));
    shares.push(Box::new(|quote, _| quote.policyholder.address = late().policyholder.address));
    shares
}

/// Ten digits of which one third is another's.
fn other_third(number: &str, third: usize, i: usize) -> Box<str> {
    let range = [0..3, 3..7, 7..10][third].clone();
    let mut digits = number.to_owned();
    let other = format!("{:04}", 1_000 + i % 9_000);
    digits.replace_range(range.clone(), &other[other.len() - range.len()..]);
    digits.into()
}

/// Each of these makes the stranger a candidate; the papers and the name with the birth date link him.
fn one_identity() -> Vec<Share> {
    vec![
        Box::new(|quote, _| quote.vehicle.vin = late().vehicle.vin),
        Box::new(|quote, _| quote.vehicle.plate = late().vehicle.plate),
        Box::new(|quote, _| quote.policyholder.id_document = late().policyholder.id_document),
        Box::new(|quote, _| quote.policyholder.driver_licence = late().policyholder.driver_licence),
        Box::new(|quote, _| quote.policyholder.phone = late().policyholder.phone),
        Box::new(|quote, _| {
            let (who, own) = (&mut quote.policyholder, late().policyholder);
            (who.last_name, who.first_name, who.middle_name, who.birth_date) =
                (own.last_name, own.first_name, own.middle_name, own.birth_date);
        }),
    ]
}

/// A full form, earlier than all others.
fn late() -> Quote {
    let text = |s: &str| Some(s.into());
    let mut quote = Quote { quote_id: "late".into(), product: "osago".into(), tenant: "default".into(), ..Quote::default() };
    quote.submitted_at = EventTime(START);
    (quote.channel.device_id, quote.channel.session_id) = (text("device"), text("session"));
    let who = &mut quote.policyholder;
    (who.last_name, who.first_name, who.middle_name) = (text("Заречная"), text("Мария"), text("Павловна"));
    (who.birth_date, who.phone, who.email) =
        (Date::new(1984, 3, 7).unwrap_or_default(), text("+79123456789"), text("m.zarechnaya@mail.ru"));
    (who.id_document, who.driver_licence) = (text("4510123456"), text("7712654321"));
    who.address =
        Address { city: text("Тверь"), street: text("Новая"), house: text("5"), flat: text("7"), ..Address::default() };
    (quote.vehicle.vin, quote.vehicle.plate) = (text("XTA219010K0123456"), text("А123ВС69"));
    quote
}

/// Names nobody and nothing: what is shared is all there is.
fn stranger(i: usize) -> Quote {
    let mut quote =
        Quote { quote_id: format!("s{i}").into(), product: "osago".into(), tenant: "default".into(), ..Quote::default() };
    quote.policyholder.last_name = Some(format!("Дом{i}ов").into());
    quote
}

fn measure(name: &str, shares: Vec<Share>) {
    let (mut state, books) = super::fresh();
    let crowd = shares.len().max(1) * BLOCK_NEWEST_MAX;
    for i in 0..crowd {
        let mut quote = stranger(i);
        if let Some(share) = shares.get(i % shares.len().max(1)) {
            share(&mut quote, i);
        }
        quote.submitted_at = EventTime(START + (i as i64 + 1) * SECOND / 2);
        let step = decide(&state, &logged(&state, &quote), &books).expect("every book is held");
        state.apply(&step.delta).expect("a delta fits the state it was made from");
    }
    let input = logged(&state, &late());
    let mut times: Vec<Duration> = Vec::with_capacity(REPEATS);
    let mut redecided = 0;
    for _ in 0..REPEATS {
        let start = Instant::now();
        let step = decide(&state, &input, &books).expect("every book is held");
        times.push(start.elapsed());
        redecided = step.gauges.redecided;
    }
    times.sort();
    let median = times[REPEATS / 2].as_secs_f64() * 1e3;
    println!("late quote           {crowd:5} later, {name:18} {redecided:5} decided again, {median:8.3} ms");
}

fn logged(state: &State, quote: &Quote) -> Input {
    let position = Position { partition: 0, offset: state.next_offset() };
    let prepared = Arc::new(Prepared::new(quote));
    Input::Quote(LoggedQuote { position, arrival: ArrivalTime(0), clock: ArrivalClock::Event, prepared })
}
