//! One applicant's attempts side by side: columns are attempts in time, rows are fields, changed cells are marked.

use std::fmt::Write;

use crate::form::Form;
use crate::script::twin;
use crate::tariff::premium;

/// A VIN and its mark fit.
const CELL: usize = 18;
const LABEL: usize = 10;
/// Attempts shown; with the labels that makes 100 columns.
pub const COLUMNS: usize = 5;
const UNCHANGED: &str = "·";

/// One attempt as it was answered.
pub struct Column {
    pub number: usize,
    /// UTC.
    pub submitted_at: String,
    pub form: Form,
    pub decision: String,
}

/// How a cell differs from the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    None,
    /// Reads the same: letters of another script.
    Disguised,
    Changed,
}

pub fn render(columns: &[Column], colour: bool) -> String {
    let mut out = String::new();
    let paint = Paint(colour);
    let plain = |cells: Vec<String>| cells.into_iter().map(|cell| (cell, Change::None)).collect::<Vec<_>>();
    row(&mut out, paint, "attempt", &plain(columns.iter().map(|c| c.number.to_string()).collect()));
    row(&mut out, paint, "UTC", &plain(columns.iter().map(|c| time(&c.submitted_at)).collect()));
    let _ = writeln!(out, "{}", "─".repeat(LABEL + CELL * columns.len()));
    for (label, value) in FIELDS {
        let values: Vec<String> = columns.iter().map(|column| value(&column.form)).collect();
        row(&mut out, paint, label, &changes(&values));
    }
    let _ = writeln!(out, "{}", "─".repeat(LABEL + CELL * columns.len()));
    row(&mut out, paint, "premium", &plain(columns.iter().map(|c| format!("{} RUB", premium(&c.form))).collect()));
    out.push_str(&padded("decision", LABEL));
    for column in columns {
        let text = padded(&format!(" {}", column.decision), CELL);
        out.push_str(&paint.decision(&text, &column.decision));
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
    out
}

type Value = fn(&Form) -> String;

const FIELDS: &[(&str, Value)] = &[
    ("surname", |form| form.holder.last.clone()),
    ("given name", |form| form.holder.first.clone()),
    ("birth date", |form| form.holder.birth.to_string()),
    ("licence", |form| form.holder.licence.clone()),
    ("since", |form| form.holder.licensed_since.to_string()),
    ("phone", |form| form.holder.phone.clone()),
    ("e-mail", |form| form.holder.email.clone()),
    ("city", |form| form.holder.address.city.clone()),
    ("street", |form| form.holder.address.street.clone()),
    ("house", |form| format!("{}, {}", form.holder.address.house, form.holder.address.flat)),
    ("VIN", |form| form.car.vin.clone()),
    ("plate", |form| form.car.plate.clone()),
    ("deductible", |form| form.deductible.to_string()),
];

/// The first value in full, then only what differs from the attempt before.
fn changes(values: &[String]) -> Vec<(String, Change)> {
    let first = values.first().map(|value| (value.clone(), Change::None));
    let later = values.windows(2).map(|pair| match change(&pair[0], &pair[1]) {
        Change::None => (UNCHANGED.to_owned(), Change::None),
        change => (pair[1].clone(), change),
    });
    first.into_iter().chain(later).collect()
}

fn change(before: &str, after: &str) -> Change {
    let is_look_alike = |(a, b): (char, char)| a == b || twin(a) == Some(b);
    if before == after {
        Change::None
    } else if before.chars().count() == after.chars().count() && before.chars().zip(after.chars()).all(is_look_alike) {
        Change::Disguised
    } else {
        Change::Changed
    }
}

fn row(out: &mut String, paint: Paint, label: &str, cells: &[(String, Change)]) {
    out.push_str(&padded(label, LABEL));
    for (text, change) in cells {
        let mark = match change {
            Change::None => ' ',
            Change::Disguised => '~',
            Change::Changed => '*',
        };
        out.push_str(&paint.cell(&padded(&format!("{mark}{text}"), CELL), *change));
    }
    out.truncate(out.trim_end().len());
    out.push('\n');
}

/// `MM-DD HH:MM:SS` of an RFC 3339 text.
fn time(rfc3339: &str) -> String {
    rfc3339.get(5..19).map_or_else(String::new, |text| text.replace('T', " "))
}

/// Exactly `width` characters.
fn padded(text: &str, width: usize) -> String {
    let length = text.chars().count();
    if length > width {
        return text.chars().take(width - 1).chain(['…']).collect();
    }
    text.to_owned() + &" ".repeat(width - length)
}

/// Colours, or none.
#[derive(Clone, Copy)]
pub struct Paint(pub bool);

impl Paint {
    fn cell(self, text: &str, change: Change) -> String {
        match change {
            Change::None => text.to_owned(),
            Change::Disguised => self.wrap(text, "35"),
            Change::Changed => self.wrap(text, "33"),
        }
    }

    pub fn decision(self, text: &str, decision: &str) -> String {
        let code = match decision {
            "refer" => "1;31",
            "flag" => "33",
            _ => "32",
        };
        self.wrap(text, code)
    }

    pub fn bold(self, text: &str) -> String {
        self.wrap(text, "1")
    }

    fn wrap(self, text: &str, code: &str) -> String {
        if self.0 { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn look_alikes_are_told_from_changes() {
        for (before, after, expected) in [
            ("Петров", "Петров", Change::None),
            ("Петров", "Пeтpoв", Change::Disguised),
            ("Петров", "Петрова", Change::Changed),
            ("XTA1", "XTA7", Change::Changed),
        ] {
            assert_eq!(change(before, after), expected, "{before} {after}");
        }
    }

    #[test]
    fn the_table_fits_a_hundred_columns() {
        let column =
            |(number, form)| Column { number, submitted_at: "2026-11-24T09:30:00Z".into(), form, decision: "accept".into() };
        let columns: Vec<Column> = (1..).zip(super::super::story::attempts(COLUMNS)).map(column).collect();
        let text = render(&columns, false);
        assert!(text.lines().all(|line| line.chars().count() <= 100), "{text}");
        assert!(text.lines().any(|line| line.starts_with("VIN") && line.contains('*')), "{text}");
        assert!(render(&columns, true).contains("\x1b[35m~"), "the disguise is marked");
    }
}
