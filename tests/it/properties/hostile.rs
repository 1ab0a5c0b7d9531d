//! Floods: what one step may cost and what a flood may hold is bounded, and nobody else notices.

use std::collections::BTreeMap;

use quoteguard::engine::decision::{Flag, Verdict};
use quoteguard::engine::limits::{
    BLOCK_NEWEST_MAX, COMPARISONS_MAX, DRIVERS_MAX, LINKED_SHOWN_MAX, LINKED_WALK_MAX, PRODUCT_CHARS_MAX, QUOTE_ID_CHARS_MAX,
    REDECIDED_MAX, STRING_CHARS_MAX, TENANT_CHARS_MAX, VARIANTS_COMPARED_MAX,
};
use quoteguard::engine::quote::{Driver, Quote};
use quoteguard::engine::state::Settings;
use quoteguard::engine::step::{Gauges, Step};
use quoteguard::engine::time::{Date, EventTime, SECOND};

use super::LATE;
use crate::oracle::assert_agree;
use crate::oracle::history::{START, arrivals, form, history, seal, text};
use crate::oracle::judge::{Logged, judge_earlier};
use crate::oracle::random::Random;
use crate::oracle::run::{Run, book, content};
use crate::oracle::said;

/// One flood quote in so many microseconds of event time.
const PACE: i64 = SECOND / 50;

pub(super) fn at(i: usize) -> EventTime {
    EventTime(START + i as i64 * PACE)
}

/// The same form again and again but for one thing; `late`: in no order within five seconds.
pub(super) fn flood(i: usize, kind: &str, random: &mut Random) -> Quote {
    let mut quote = form(0, 0, &mut Random::new(7));
    quote.quote_id = format!("f{i}").into();
    quote.submitted_at = at(i);
    match kind {
        "vin" => quote.vehicle.vin = text(&format!("XTA219010K0{i:06}")),
        "document" => quote.policyholder.id_document = text(&format!("4510 {i:06}")),
        "late" => {
            quote.vehicle.vin = text(&format!("XTA219010K0{:06}", i % 4));
            quote.submitted_at.0 -= random.below(5 * SECOND as usize) as i64;
        }
        _ => {}
    }
    seal(quote)
}

pub(super) fn assert_bounded(step: &Step, whose: &str) {
    let Gauges { comparisons, candidates, redecided, .. } = step.gauges;
    assert!(comparisons as usize <= COMPARISONS_MAX, "{whose}: {comparisons} comparisons");
    assert!(candidates as usize <= 44 * BLOCK_NEWEST_MAX, "{whose}: {candidates} candidates");
    assert!(redecided as usize <= REDECIDED_MAX, "{whose}: {redecided} decided again");
    assert!(step.decisions.iter().all(|decision| decision.linked.len() <= LINKED_SHOWN_MAX), "{whose}");
}

/// The share of a flood in memory is bounded by the cap whatever its length, and each quote says that its evidence was cut.
#[test]
fn a_hot_block_is_cut_and_says_so() {
    for (kind, quotes) in [("same", 8_000), ("vin", 1_500), ("document", 1_500)] {
        let random = &mut Random::new(1);
        let mut run = Run::with(book(), Settings { max_live_attempts: 1_000, ..Settings::default() });
        let mut most = 0;
        for i in 0..quotes {
            let step = run.submit(&flood(i, kind, random));
            assert_bounded(&step, kind);
            let saturated = step.decisions[0].flags.has(Flag::Saturated);
            assert_eq!(saturated, i > BLOCK_NEWEST_MAX, "{kind} {i}");
            // Every quote of a flood with ever new values opens a variant of its own.
            let uncompared = kind != "same" && i >= VARIANTS_COMPARED_MAX;
            let cut = uncompared || i > LINKED_WALK_MAX;
            assert_eq!(step.decisions[0].flags.has(Flag::Truncated), cut, "{kind} {i}");
            most = if i < 1_500 { most.max(run.state.resident_bytes()) } else { most };
            assert!(run.state.live_attempts() <= 1_000);
            assert!(run.state.resident_bytes() <= most * 5 / 4, "{kind} {i}: {} B after {most}", run.state.resident_bytes());
            run.finals.clear();
        }
    }
}

/// Late quotes into a hot block: once it is saturated they decide nothing again.
#[test]
fn late_quotes_into_a_hot_block_stay_cheap() {
    let random = &mut Random::new(1);
    let mut run = Run::new(book());
    let mut last = Vec::new();
    for i in 0..1_100 {
        let step = run.submit(&flood(i, "late", random));
        assert_bounded(&step, "late");
        last.push(step.gauges.redecided);
    }
    let all: u32 = last.iter().sum();
    assert!(all < 60_000, "decided again: {all}");
    assert_eq!(last[1_000..].iter().sum::<u32>(), 0, "the block is saturated");
    // A flood is no cover: whoever back-dates behind it is answered as the newest.
    let mut back_dated = flood(0, "same", random);
    back_dated.quote_id = "z".into();
    back_dated.submitted_at = EventTime(START - 50 * SECOND);
    let step = run.submit(&seal(back_dated));
    assert_eq!((step.decisions[0].verdict, step.decisions[0].answer), (Verdict::Accept, Verdict::Refer));
}

/// A crowd on few forms: blocks fill up while late quotes arrive. A decision that does not say it is saturated is the whole truth.
#[test]
fn a_decision_cut_by_a_full_block_says_so() {
    let (mut cut, mut whole) = (0, 0);
    for seed in 0..2 {
        let mut quotes = history(seed, 260);
        for (i, quote) in quotes.iter_mut().enumerate() {
            quote.submitted_at = EventTime(START + i as i64 * 30 * SECOND);
            *quote = seal(quote.clone());
        }
        let mut run = Run::new(book());
        for i in arrivals(seed, &quotes, LATE) {
            run.submit(&quotes[i]);
        }
        let logged: Vec<Logged> = quotes.iter().map(Logged::new).collect();
        for subject in &logged {
            let got = &run.finals[&subject.id()];
            if got.flags.has(Flag::Saturated) {
                cut += 1;
                continue;
            }
            whole += 1;
            let mut expected = judge_earlier(subject, &logged, &book());
            expected.linked.truncate(LINKED_SHOWN_MAX);
            assert_agree(&said(got), &expected, &format!("seed {seed} {:?}", subject.id()));
        }
    }
    assert!(cut > 50 && whole > 150, "{cut} cut, {whole} whole");
}

/// Nobody who shares nothing with the flood is judged otherwise for it.
#[test]
fn a_flood_changes_no_decision_of_others() {
    for seed in 0..6 {
        let random = &mut Random::new(seed);
        // Strangers to the flood, which poses as a person of another town, with another device.
        let quotes = history(seed, 30);
        let runs = [0, 7].map(|floods| {
            let mut run = Run::new(book());
            let mut n = 0;
            for quote in &quotes {
                for _ in 0..floods {
                    let mut stranger = flood(n, "vin", random);
                    stranger.submitted_at = quote.submitted_at;
                    run.submit(&strange(stranger));
                    n += 1;
                }
                run.submit(quote);
            }
            run.finals.retain(|(_, id), _| !id.starts_with('f'));
            run.finals.iter().map(|(id, decision)| (id.clone(), content(decision))).collect::<BTreeMap<_, _>>()
        });
        assert_eq!(runs[0], runs[1], "seed {seed}");
    }
}

pub(super) fn strange(mut quote: Quote) -> Quote {
    let who = &mut quote.policyholder;
    (who.last_name, who.first_name, who.middle_name) = (text("Гусев"), text("Тимур"), text("Маратович"));
    (who.id_document, who.driver_licence, who.phone) = (text("6011 998877"), text("6022 554433"), text("+7 905 000-00-01"));
    (who.email, who.address.city, who.address.street) = (text("flood@example.org"), text("Омск"), text("Дальняя"));
    (who.address.house, who.address.flat) = (text("99"), None);
    quote.channel.device_id = text("flood");
    quote.vehicle.plate = None;
    // Another make: a hundred thousand serials of this one would be neighbours of everybody's.
    quote.vehicle.vin = quote.vehicle.vin.map(|vin| vin.replace("XTA219010", "WDB123456").into());
    quote.drivers.clear();
    seal(quote)
}

/// Strangers who share one thing each with the late form: it is no candidate of theirs, and enters their evidence only as a further
/// surname seen with the thing. The one in each block for whom it is one too many learns that the block is saturated.
#[test]
fn a_late_quote_decides_nobody_again_for_one_shared_block() {
    for (namesakes, most) in [(true, 4), (false, 4 * (BLOCK_NEWEST_MAX + 1))] {
        let random = &mut Random::new(5);
        let mut late = form(0, 0, &mut Random::new(7));
        (late.quote_id, late.submitted_at) = ("z".into(), EventTime(START - SECOND));
        late.channel.session_id = text("session");
        let mut run = Run::new(book());
        for i in 0..600 {
            let mut quote = one_tenant(i, random);
            match i % 4 {
                0 => quote.channel.device_id = late.channel.device_id.clone(),
                1 => quote.channel.session_id = late.channel.session_id.clone(),
                2 => quote.policyholder.email = late.policyholder.email.clone(),
                _ => quote.policyholder.address = late.policyholder.address.clone(),
            }
            if namesakes {
                quote.policyholder.last_name = late.policyholder.last_name.clone();
            }
            run.submit(&seal(quote));
        }
        let step = run.submit(&seal(late));
        assert!(step.decisions[0].flags.has(Flag::Late));
        let redecided = step.gauges.redecided as usize;
        assert!((most / 2..=most).contains(&redecided), "{redecided} decided again");
    }
}

/// A crowd on one device, of few surnames and many: late quotes change who is counted, and who is still asked.
#[test]
fn late_quotes_are_counted_where_a_device_is_shared() {
    let (mut amended, mut hubs) = (0, 0);
    for (seed, surnames, crowd) in (0..12).flat_map(|seed| [(seed, 2, 40), (seed, 4, 126), (seed, 10, 126)]) {
        let random = &mut Random::new(seed);
        let mut quotes: Vec<Quote> = (0..crowd).map(|i| one_tenant(i, random)).collect();
        for (i, quote) in quotes.iter_mut().enumerate() {
            quote.submitted_at = EventTime(START + i as i64 * 20 * SECOND);
            quote.channel.device_id = text("broker");
            quote.policyholder.last_name =
                text(&format!("{}{}", random.pick(&SYLLABLES[..surnames]), random.pick(&SYLLABLES[..surnames])));
            if random.percent(20) {
                // The same applicant again and again: the share of the device in the weight shows.
                let mut again = form(1, 1, &mut Random::new(seed));
                again.policyholder.driver_licence = text(&format!("7712 11{:04}", random.below(10_000)));
                (again.quote_id, again.submitted_at) = (quote.quote_id.clone(), quote.submitted_at);
                (again.tenant, again.channel.device_id) = (quote.tenant.clone(), text("broker"));
                *quote = again;
            }
            if random.percent(5) {
                quote.policyholder.last_name = None;
            }
            *quote = seal(quote.clone());
        }
        let mut run = Run::new(book());
        for i in arrivals(seed, &quotes, LATE) {
            run.submit(&quotes[i]);
        }
        let logged: Vec<Logged> = quotes.iter().map(Logged::new).collect();
        for subject in &logged {
            let got = &run.finals[&subject.id()];
            assert!(!got.flags.has(Flag::Saturated));
            let mut expected = judge_earlier(subject, &logged, &book());
            expected.linked.truncate(LINKED_SHOWN_MAX);
            assert_agree(&said(got), &expected, &format!("seed {seed}, {surnames} surnames: {:?}", subject.id()));
            amended += usize::from(got.revision > 1);
            hubs += usize::from(got.features.iter().any(|(name, n)| name == "source_applicants" && *n > 6.0));
        }
    }
    assert!(amended > 500 && hubs > 500, "{amended} amended, {hubs} at a hub");
}

const SYLLABLES: [&str; 10] = ["бар", "вок", "гул", "дем", "жит", "зор", "кап", "лам", "мин", "рус"];

/// The late quote that is one more than a block offers leaves the evidence as it is, and the decision says so all the same: the
/// next one that pushes something out would find it silent.
#[test]
fn a_block_filled_by_a_late_quote_says_so() {
    let random = &mut Random::new(1);
    let mut run = Run::new(book());
    let newest = BLOCK_NEWEST_MAX + 1;
    for i in 1..=newest {
        run.submit(&flood(i, "same", random));
    }
    let id = ("default".into(), format!("f{newest}").into());
    assert!(!run.finals[&id].flags.has(Flag::Saturated), "128 before it");
    run.submit(&flood(0, "same", random));
    assert!(run.finals[&id].flags.has(Flag::Saturated), "129 before it");
}

/// Shares nothing with the others but the tenant.
fn one_tenant(i: usize, random: &mut Random) -> Quote {
    let mut quote = Quote { tenant: "default".into(), ..stranger(i, random) };
    quote.policyholder.birth_date = Date::NONE;
    quote
}

/// All different in everything: memory follows the cap, not the number of keys seen.
#[test]
fn many_distinct_keys_are_held_up_to_the_cap() {
    const CAP: usize = 5_000;
    let random = &mut Random::new(3);
    let mut run = Run::with(book(), Settings { max_live_attempts: CAP, ..Settings::default() });
    let mut at_cap = 0;
    for i in 0..25_000 {
        let step = run.submit(&stranger(i, random));
        assert_bounded(&step, "distinct");
        if i == CAP {
            at_cap = run.state.resident_bytes();
        }
        run.finals.clear();
    }
    assert_eq!(run.state.live_attempts(), CAP);
    let now = run.state.resident_bytes();
    assert!(now <= at_cap * 3 / 2, "{now} B at the end, {at_cap} B when the cap was reached");
    assert!(run.state.look_back_secs() <= CAP as i64 * PACE / SECOND + 60);
}

/// Forms as large as the contract allows: the cap on bytes holds what it counts, and it counts what is held.
#[test]
fn the_largest_forms_are_held_up_to_the_cap_on_bytes() {
    const CAP: usize = 4_000_000;
    // The parts of the index at their smallest, which a small state does not fill.
    const TABLE: usize = 4096 * 400;
    let random = &mut Random::new(9);
    let mut run = Run::with(book(), Settings { max_live_bytes: CAP, ..Settings::default() });
    let mut cut = 0;
    for i in 0..4_000 {
        // Every third is an ordinary one.
        let quote = if i % 3 == 0 { stranger(i, random) } else { largest(i, random) };
        let step = run.submit(&quote);
        cut += usize::from(step.decisions[0].flags.has(Flag::Truncated));
        assert!(run.state.live_bytes() <= CAP, "{i}: {} B", run.state.live_bytes());
        run.finals.clear();
    }
    let (attempts, counted, held) = (run.state.live_attempts(), run.state.live_bytes(), run.state.resident_bytes());
    assert!(counted > CAP * 99 / 100 && cut > 1_000, "{counted} B, {cut} cut");
    assert!(attempts > 1_000 && counted / attempts > 1_500, "{} B each", counted / attempts);
    assert!(held < CAP * 9 / 8 + TABLE, "{held} B held, {counted} B counted");
}

/// Every text and list at its bound, and every value new.
fn largest(i: usize, random: &mut Random) -> Quote {
    let mut filled = |chars: usize| {
        let letters = "абвгдежзиклмнопрстуф".chars().collect::<Vec<_>>();
        text(&(0..chars).map(|_| random.pick(&letters)).collect::<String>())
    };
    let mut quote = Quote { product: "p".repeat(PRODUCT_CHARS_MAX).into(), ..Quote::default() };
    quote.quote_id = format!("{i:0width$}", width = QUOTE_ID_CHARS_MAX).into();
    (quote.tenant, quote.submitted_at) = (format!("{:0width$}", i % 7, width = TENANT_CHARS_MAX).into(), at(i));
    let who = &mut quote.policyholder;
    let address = &mut who.address;
    for value in [
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
        &mut quote.vehicle.vin,
        &mut quote.vehicle.plate,
        &mut quote.vehicle.make,
        &mut quote.vehicle.model,
        &mut quote.channel.device_id,
        &mut quote.channel.session_id,
        &mut quote.channel.ip,
        &mut quote.channel.agent_id,
    ] {
        *value = filled(STRING_CHARS_MAX);
    }
    who.birth_date = Date::new(1960 + i as u32 % 40, 1 + i as u32 % 12, 1 + i as u32 % 28).unwrap_or_default();
    quote.drivers = (0..DRIVERS_MAX)
        .map(|_| Driver { first_name: filled(STRING_CHARS_MAX), driver_licence: filled(STRING_CHARS_MAX), ..Driver::default() })
        .collect();
    seal(quote)
}

pub(super) fn stranger(i: usize, random: &mut Random) -> Quote {
    let mut number = |digits: usize| (0..digits).map(|_| char::from(b'0' + random.below(10) as u8)).collect::<String>();
    let mut quote = form(0, 0, &mut Random::new(i as u64));
    let who = &mut quote.policyholder;
    who.last_name = text(&format!("Дом{}ов", number(3)));
    (who.id_document, who.driver_licence, who.phone) = (text(&number(10)), text(&number(10)), text(&format!("+79{}", number(9))));
    (who.email, who.address.house) = (text(&format!("{}@mail.ru", number(9))), text(&number(4)));
    quote.vehicle.vin = text(&format!("XTA{}K{}", number(6), number(7)));
    quote.vehicle.plate = None;
    quote.channel.device_id = text(&number(12));
    quote.quote_id = format!("d{i}").into();
    quote.tenant = format!("tenant-{}", i % 7).into();
    quote.submitted_at = at(i);
    quote.drivers.clear();
    seal(quote)
}
