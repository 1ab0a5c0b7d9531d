//! The diff matrix as it is shown: fields by quotes, every change marked by a sign as well as a colour.

use std::collections::BTreeSet;

use super::show::{Zone, percent};
use super::svg::sparkline;
use super::texts::Texts;
use super::values::{is_personal, value};
use crate::contract::quote::decode;
use crate::engine::field::{Field, Level};
use crate::engine::quote::Quote;
use crate::pipeline::desk::views::CaseQuote;
use crate::shown::money;

/// Quotes shown, the newest. Beyond: the page says how many are left out.
pub const COLUMNS_MAX: usize = 24;
/// CSS pixels; the style sheet has the same number.
const COLUMN_WIDTH: f64 = 148.0;

/// Which personal data is open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Open {
    pub all: bool,
    pub fields: BTreeSet<Field>,
}

impl Open {
    pub fn holds(&self, field: Field) -> bool {
        self.all || self.fields.contains(&field)
    }

    pub fn is_some(&self) -> bool {
        self.all || !self.fields.is_empty()
    }
}

pub struct Matrix {
    pub columns: Vec<Column>,
    pub groups: Vec<Group>,
    pub sparkline: String,
    pub has_premium: bool,
    pub hidden: usize,
}

/// Fields that changed, then those that are the same in every quote; a group without any is left out.
pub struct Group {
    pub is_changed: bool,
    pub rows: Vec<Row>,
}

pub struct Column {
    pub quote_id: String,
    pub date: String,
    pub clock: String,
    pub is_referred: bool,
    pub is_held: bool,
    pub premium: String,
    /// Against the premium before: `−12 %`.
    pub step: String,
    pub is_fall: bool,
}

pub struct Row {
    pub name: &'static str,
    pub label: &'static str,
    pub is_personal: bool,
    pub is_open: bool,
    pub cells: Vec<Cell>,
}

/// A value in three parts: what differs from the value before is in the middle.
pub struct Cell {
    pub class: &'static str,
    pub sign: &'static str,
    pub says: &'static str,
    pub before: String,
    pub changed: String,
    pub after: String,
}

impl Matrix {
    pub fn new(t: &'static Texts, zone: Zone, quotes: &[CaseQuote], tenant: &str, open: &Open) -> Matrix {
        let hidden = quotes.len().saturating_sub(COLUMNS_MAX);
        let shown = &quotes[hidden..];
        let forms: Vec<Option<Quote>> = shown.iter().map(|quote| form(quote, tenant)).collect();
        let rows = Field::ALL.into_iter().filter_map(|field| row(t, field, shown, &forms, open.holds(field)));
        let (changed, unchanged): (Vec<Row>, Vec<Row>) = rows.partition(|row| row.cells.iter().any(|cell| !cell.sign.is_empty()));
        let groups = [(true, changed), (false, unchanged)].into_iter().filter(|(_, rows)| !rows.is_empty());
        let groups = groups.map(|(is_changed, rows)| Group { is_changed, rows }).collect();
        let premiums: Vec<Option<f64>> = shown.iter().map(|quote| quote.premium).collect();
        let has_premium = premiums.iter().any(Option::is_some);
        let mut last = None;
        let column = |(quote, form): (&CaseQuote, &Option<Quote>)| {
            let change = quote.premium.zip(last).filter(|(now, before)| now != before && *before > 0.0);
            last = quote.premium.or(last);
            Column {
                quote_id: quote.quote_id.clone(),
                date: zone.date(t, quote.event_time),
                clock: zone.clock(quote.event_time),
                is_referred: quote.is_referred,
                is_held: form.is_some(),
                premium: quote.premium.map_or_else(String::new, money),
                step: change.map_or_else(String::new, |(now, before)| step(now, before)),
                is_fall: change.is_some_and(|(now, before)| now < before),
            }
        };
        let columns = shown.iter().zip(&forms).map(column).collect();
        Matrix { columns, groups, sparkline: sparkline(&premiums, COLUMN_WIDTH), has_premium, hidden }
    }
}

pub fn form(quote: &CaseQuote, tenant: &str) -> Option<Quote> {
    decode(quote.form.as_deref()?, Some(tenant)).ok().map(|decoded| decoded.quote)
}

/// `−12 %`
fn step(now: f64, before: f64) -> String {
    let sign = if now < before { '−' } else { '+' };
    let share = percent(((now - before).abs() * 100.0) as u64, (before * 100.0) as u64).unwrap_or_default();
    format!("{sign}{share}")
}

/// `None` for a field that no quote gives.
fn row(t: &Texts, field: Field, quotes: &[CaseQuote], forms: &[Option<Quote>], is_open: bool) -> Option<Row> {
    let values: Vec<String> =
        forms.iter().map(|form| form.as_ref().map_or_else(String::new, |quote| value(field, quote, is_open))).collect();
    if values.iter().all(String::is_empty) {
        return None;
    }
    let mut before: Option<&str> = None;
    let mut cells = Vec::with_capacity(values.len());
    for ((quote, value), form) in quotes.iter().zip(&values).zip(forms) {
        let level = quote.changes.iter().find(|changed| changed.field == field).map(|changed| changed.level);
        cells.push(cell(t, value, before, level, form.is_some()));
        if form.is_some() {
            before = Some(value);
        }
    }
    Some(Row { name: field.name(), label: t.field(field), is_personal: is_personal(field), is_open, cells })
}

fn cell(t: &Texts, value: &str, before: Option<&str>, level: Option<Level>, is_held: bool) -> Cell {
    let (class, sign, says) = match level {
        Some(Level::Disguised) => ("disguised", "~", t.level_disguised),
        Some(Level::Near) => ("near", "≈", t.level_near),
        Some(Level::Different) => ("different", "∗", t.level_different),
        _ if !is_held || value.is_empty() => ("missing", "", t.level_missing),
        _ if before.is_some_and(|before| !before.is_empty()) => ("same", "", t.level_same),
        _ => ("first", "", ""),
    };
    let is_empty = value.is_empty();
    // Dots that differ say nothing, nor do the letters two other names share; small changes are shown letter by letter.
    let is_small = matches!(level, Some(Level::Disguised | Level::Near));
    let compared = before.filter(|before| is_small && !before.contains('•'));
    let (from, to) = compared.map_or((0, 0), |before| difference(before, value));
    Cell {
        class,
        sign,
        says: if sign.is_empty() && !is_empty { "" } else { says },
        before: if is_empty { "—".to_owned() } else { value[..from].to_owned() },
        changed: value[from..to].to_owned(),
        after: value[to..].to_owned(),
    }
}

/// The bytes of `now` that are left when the common beginning and end are taken off.
fn difference(before: &str, now: &str) -> (usize, usize) {
    let common = |a: &mut dyn Iterator<Item = char>, b: &mut dyn Iterator<Item = char>| -> usize {
        a.zip(b).take_while(|(a, b)| a == b).map(|(a, _)| a.len_utf8()).sum()
    };
    let from = common(&mut before.chars(), &mut now.chars());
    let tail = common(&mut before[from..].chars().rev(), &mut now[from..].chars().rev());
    (from, now.len() - tail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::check::Language;
    use crate::engine::time::EventTime;
    use crate::pipeline::desk::matrix::changes;
    use time::UtcOffset;

    fn quotes(forms: &[(&str, &str, f64)]) -> Vec<CaseQuote> {
        let body = |(name, vin, premium): &(&str, &str, f64)| {
            format!(
                r#"{{"quote_id":"q","submitted_at":"2026-03-02T12:00:00Z","product":"osago","channel":{{"kind":"web"}},"premium":{premium},
                "policyholder":{{"last_name":"{name}","first_name":"Анна"}},"vehicle":{{"vin":"{vin}"}}}}"#
            )
            .into_bytes()
        };
        let bodies: Vec<Vec<u8>> = forms.iter().map(body).collect();
        let changes = changes("default", bodies.iter().map(|body| Some(body.as_slice())));
        let quote = |((i, body), changes): ((usize, Vec<u8>), _)| CaseQuote {
            quote_id: format!("q-{i}"),
            event_time: EventTime(0),
            partition: 0,
            offset: i as u64,
            is_referred: false,
            premium: Some(forms[i].2),
            form: Some(body),
            decisions: Vec::new(),
            changes,
        };
        bodies.into_iter().enumerate().zip(changes).map(quote).collect()
    }

    fn shown(forms: &[(&str, &str, f64)], open: &Open) -> Matrix {
        Matrix::new(Texts::of(Language::En), Zone(UtcOffset::UTC), &quotes(forms), "default", open)
    }

    #[test]
    fn changes_have_a_sign_and_show_what_differs() {
        let forms = [
            ("Петрова", "XTA219010K0123456", 200.0),
            ("Пeтрова", "XTA219010K0123465", 150.0),
            ("Пeтрова", "XTA219010K0123465", 150.0),
        ];
        let matrix = shown(&forms, &Open { all: true, ..Open::default() });
        let labels: Vec<&str> = matrix.groups[0].rows.iter().map(|row| row.name).collect();
        assert_eq!(labels, ["policyholder.last_name", "vehicle.vin"]);
        let [name, vin] = &matrix.groups[0].rows[..] else { panic!("two rows") };
        assert_eq!((name.cells[1].sign, &*name.cells[1].changed), ("~", "e"), "the Latin letter");
        assert_eq!((vin.cells[1].sign, &*vin.cells[1].before, &*vin.cells[1].changed), ("≈", "XTA219010K01234", "65"));
        assert_eq!(vin.cells[2].class, "same");
        assert!(matrix.groups[1].rows.iter().any(|row| row.name == "policyholder.first_name"));
        assert_eq!(matrix.columns.iter().map(|column| &*column.step).collect::<Vec<_>>(), ["", "−25\u{a0}%", ""]);
    }

    #[test]
    fn masked_values_are_marked_and_say_no_more() {
        let forms = [("Петрова", "XTA219010K0123456", 1.0), ("Сидорова", "XTA219010K0123456", 1.0)];
        let matrix = shown(&forms, &Open::default());
        let name = &matrix.groups[0].rows[0].cells[1];
        assert_eq!((&*name.before, &*name.changed, &*name.after, name.sign), ("", "", "С•••", "∗"));
        let one = Open { all: false, fields: BTreeSet::from([Field::LastName]) };
        let matrix = shown(&forms, &one);
        let name = &matrix.groups[0].rows[0];
        assert!(name.is_open && !matrix.groups[1].rows.iter().any(|row| row.is_open));
        assert_eq!(name.cells[0].after, "Петрова");
    }

    #[test]
    fn the_newest_are_shown() {
        let forms: Vec<(&str, &str, f64)> = (0..30).map(|i| ("Петрова", "XTA219010K0123456", f64::from(i))).collect();
        let matrix = shown(&forms, &Open::default());
        assert_eq!((matrix.columns.len(), matrix.hidden, &*matrix.columns[23].quote_id), (COLUMNS_MAX, 6, "q-29"));
    }

    #[test]
    fn differences_are_found_between_letters() {
        for (before, now, expected) in
            [("abc", "axc", "x"), ("aa", "aaa", "a"), ("аб", "аб", ""), ("", "новое", "новое"), ("aba", "aa", "")]
        {
            let (from, to) = difference(before, now);
            assert_eq!(&now[from..to], expected, "{before} {now}");
        }
    }
}
