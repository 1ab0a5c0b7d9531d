//! A CSV file of quotes: the header's dotted paths (`vehicle.vin`, `drivers.0.birth_date`, `coverage.extra.garage`) make a
//! JSON skeleton once, and each row fills it, so that CSV and JSON share one decoder.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value};

use crate::engine::limits::{DRIVERS_MAX, EXTRA_MAX};
use crate::engine::rules::suggest::did_you_mean;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CsvError {
    #[error("column {0}: this name stands in the header twice")]
    DuplicateColumn(String),
    #[error("column {0}: give at most {DRIVERS_MAX} drivers, counted from 0")]
    TooManyDrivers(String),
    #[error("give at most {EXTRA_MAX} columns coverage.extra.*")]
    TooManyExtras,
    #[error("column {0}: the cell is not UTF-8")]
    InvalidUtf8(String),
    #[error("the mapping names the column {0}, which is not in the header")]
    NotInHeader(String),
    #[error("the mapping gives {0}, which is no field of a quote{1}")]
    UnknownField(String, String),
    #[error("the row has {found} cells, the header {expected}")]
    CellCount { expected: usize, found: usize },
}

/// What a cell becomes in JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Text,
    /// A number where the cell is one; else a string, which the decoder refuses by the field's name.
    Number,
    /// The insurer's own choices carry no types in CSV: what reads as a number or as true or false is one.
    Any,
}

/// Where a column's cells go.
#[derive(Debug, PartialEq, Eq)]
enum Place<'h> {
    /// Keys from the top down.
    Plain(Vec<&'h str>),
    Driver(usize, &'h str),
}

/// Fixed JSON and cells, in the order of writing.
#[derive(Clone, Debug)]
enum Piece {
    Json(String),
    Cell { index: usize, form: Form },
}

/// How the columns of somebody else's file are to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CsvMapping {
    /// By the name in their header, our dotted path.
    #[serde(default)]
    columns: BTreeMap<String, String>,
    /// By our dotted path, what every row has.
    #[serde(default)]
    constants: BTreeMap<String, String>,
}

impl CsvMapping {
    /// # Errors
    /// A path that is no field of a quote.
    pub fn check(&self) -> Result<(), CsvError> {
        match self.columns.values().chain(self.constants.keys()).find(|path| place(path).is_none()) {
            None => Ok(()),
            Some(path) => {
                let help = did_you_mean(path, TEXT_COLUMNS.iter().chain(NUMBER_COLUMNS).copied());
                Err(CsvError::UnknownField(path.clone(), help.map_or_else(String::new, |help| format!(": {help}"))))
            }
        }
    }
}

/// The columns of one file.
#[derive(Clone, Debug)]
pub struct CsvColumns {
    names: Vec<String>,
    pieces: Vec<Piece>,
    unknown: u32,
}

impl CsvColumns {
    /// Reads a header. Columns outside the contract are ignored and counted.
    ///
    /// # Errors
    /// A name that stands twice, or more drivers or extra columns than a quote may have; a column of the mapping that is not there.
    pub fn from_header<'h>(header: impl IntoIterator<Item = &'h str>, mapping: &CsvMapping) -> Result<CsvColumns, CsvError> {
        let mut skeleton = Value::Object(Map::new());
        let (mut names, mut forms, mut unknown) = (Vec::new(), Vec::new(), 0);
        for (index, name) in header.into_iter().enumerate() {
            // Spreadsheets put a byte order mark before the first name.
            let name = name.trim_start_matches('\u{FEFF}').trim();
            names.push(name.to_owned());
            let name = mapping.columns.get(name).map_or(name, String::as_str);
            let Some((place, form)) = place(name) else {
                unknown += 1;
                forms.push(Form::Text);
                continue;
            };
            *slot(&mut skeleton, place, name)? = index.into();
            forms.push(form);
        }
        if let Some(missing) = mapping.columns.keys().find(|wanted| !names.contains(wanted)) {
            return Err(CsvError::NotInHeader(missing.clone()));
        }
        for (path, value) in &mapping.constants {
            let Some((place, form)) = place(path) else { return Err(CsvError::UnknownField(path.clone(), String::new())) };
            let mut json = Vec::new();
            write_cell(value, form, &mut json);
            *slot(&mut skeleton, place, path)? = String::from_utf8_lossy(&json).into();
        }
        if forms.iter().filter(|form| **form == Form::Any).count() > EXTRA_MAX {
            return Err(CsvError::TooManyExtras);
        }
        let mut pieces = vec![Piece::Json(String::new())];
        lay_out(&skeleton, &forms, &mut pieces);
        Ok(CsvColumns { names, pieces, unknown })
    }

    /// Columns that are no field of a quote.
    pub fn unknown(&self) -> u32 {
        self.unknown
    }

    /// Appends the row as the JSON of one quote, without a line end. An empty cell is "not given".
    ///
    /// # Errors
    /// Another number of cells than the header's, or a cell that is not UTF-8; what was appended is then of no use.
    pub fn write_json(&self, row: &csv::ByteRecord, out: &mut Vec<u8>) -> Result<(), CsvError> {
        if row.len() != self.names.len() {
            return Err(CsvError::CellCount { expected: self.names.len(), found: row.len() });
        }
        for piece in &self.pieces {
            match piece {
                Piece::Json(json) => out.extend_from_slice(json.as_bytes()),
                Piece::Cell { index, form } => {
                    let cell = std::str::from_utf8(row.get(*index).unwrap_or_default())
                        .map_err(|_| CsvError::InvalidUtf8(self.names[*index].clone()))?;
                    write_cell(cell, *form, out);
                }
            }
        }
        Ok(())
    }
}

/// The column a decoder's pointer speaks of: `/vehicle/vin` is `vehicle.vin`.
pub fn column_of(pointer: &str) -> String {
    let keys = pointer.trim_start_matches('/').split('/');
    keys.map(|key| key.replace("~1", "/").replace("~0", "~")).collect::<Vec<_>>().join(".")
}

fn write_cell(cell: &str, form: Form, out: &mut Vec<u8>) {
    let trimmed = cell.trim();
    let is_bare = match form {
        Form::Text => false,
        Form::Number => is_json_number(trimmed),
        Form::Any => is_json_number(trimmed) || matches!(trimmed, "true" | "false"),
    };
    if is_bare {
        out.extend_from_slice(trimmed.as_bytes());
    } else {
        let cell = if form == Form::Text { cell } else { trimmed };
        serde_json::to_writer(out, cell).expect("memory takes every byte");
    }
}

fn is_json_number(cell: &str) -> bool {
    // A JSON text that starts so and is valid can be nothing but a number.
    matches!(cell.as_bytes().first(), Some(b'-' | b'0'..=b'9')) && serde_json::from_str::<serde::de::IgnoredAny>(cell).is_ok()
}

/// The empty leaf of a place.
fn slot<'s>(skeleton: &'s mut Value, place: Place<'_>, name: &str) -> Result<&'s mut Value, CsvError> {
    let slot = match place {
        Place::Plain(keys) => keys.into_iter().fold(skeleton, |slot, key| &mut slot[key]),
        Place::Driver(driver, _) if driver >= DRIVERS_MAX => return Err(CsvError::TooManyDrivers(name.to_owned())),
        Place::Driver(driver, key) => &mut driver_slot(skeleton, driver)[key],
    };
    if slot.is_null() { Ok(slot) } else { Err(CsvError::DuplicateColumn(name.to_owned())) }
}

/// The driver's object in the skeleton; drivers skipped by the header are null, which is no driver.
fn driver_slot(skeleton: &mut Value, driver: usize) -> &mut Value {
    let list = &mut skeleton["drivers"];
    if list.is_null() {
        *list = vec![Value::Null; DRIVERS_MAX].into();
    }
    &mut list[driver]
}

/// Turns the skeleton, whose leaves are column numbers or the JSON of constants, into pieces.
fn lay_out(value: &Value, forms: &[Form], pieces: &mut Vec<Piece>) {
    match value {
        Value::Object(map) => {
            for (i, (key, value)) in map.iter().enumerate() {
                let key = Value::from(key.as_str());
                push_json(pieces, &format!("{}{key}:", if i == 0 { "{" } else { "," }));
                lay_out(value, forms, pieces);
            }
            push_json(pieces, if map.is_empty() { "{}" } else { "}" });
        }
        Value::Array(list) => {
            for (i, value) in list.iter().enumerate() {
                push_json(pieces, if i == 0 { "[" } else { "," });
                lay_out(value, forms, pieces);
            }
            push_json(pieces, "]");
        }
        Value::Number(index) => {
            let index = index.as_u64().map_or(usize::MAX, |index| index as usize);
            pieces.push(Piece::Cell { index, form: forms.get(index).copied().unwrap_or(Form::Text) });
        }
        Value::String(json) => push_json(pieces, json),
        _ => push_json(pieces, "null"),
    }
}

fn push_json(pieces: &mut Vec<Piece>, json: &str) {
    match pieces.last_mut() {
        Some(Piece::Json(last)) => last.push_str(json),
        _ => pieces.push(Piece::Json(json.to_owned())),
    }
}

/// Place and form of a column, or `None` for one outside the contract.
fn place(name: &str) -> Option<(Place<'_>, Form)> {
    if let Some(key) = name.strip_prefix("coverage.extra.") {
        return (!key.is_empty()).then(|| (Place::Plain(vec!["coverage", "extra", key]), Form::Any));
    }
    if let Some((driver, key)) = name.strip_prefix("drivers.").and_then(|rest| rest.split_once('.')) {
        let is_known = DRIVER_COLUMNS.contains(&key) && !driver.is_empty() && driver.bytes().all(|b| b.is_ascii_digit());
        return is_known.then(|| (Place::Driver(driver.parse().unwrap_or(usize::MAX), key), Form::Text));
    }
    let form = match name {
        _ if NUMBER_COLUMNS.contains(&name) => Form::Number,
        _ if TEXT_COLUMNS.contains(&name) => Form::Text,
        _ => return None,
    };
    Some((Place::Plain(name.split('.').collect()), form))
}

const NUMBER_COLUMNS: &[&str] = &["premium", "vehicle.year", "vehicle.power_hp", "coverage.term_months", "coverage.deductible"];

/// After `drivers.N.`
const DRIVER_COLUMNS: &[&str] = &["last_name", "first_name", "middle_name", "birth_date", "driver_licence", "licensed_since"];

const TEXT_COLUMNS: &[&str] = &[
    "quote_id",
    "submitted_at",
    "product",
    "tenant",
    "channel.kind",
    "channel.session_id",
    "channel.device_id",
    "channel.ip",
    "channel.agent_id",
    "policyholder.last_name",
    "policyholder.first_name",
    "policyholder.middle_name",
    "policyholder.birth_date",
    "policyholder.id_document",
    "policyholder.driver_licence",
    "policyholder.phone",
    "policyholder.email",
    "policyholder.address.postal_code",
    "policyholder.address.region",
    "policyholder.address.city",
    "policyholder.address.street",
    "policyholder.address.house",
    "policyholder.address.flat",
    "policyholder.address.line",
    "vehicle.vin",
    "vehicle.plate",
    "vehicle.make",
    "vehicle.model",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::contract::error::FieldCode;
    use crate::contract::quote::{Decoded, decode};

    const HEADER: &str = "quote_id,submitted_at,product,channel.kind,policyholder.last_name,policyholder.first_name";
    const ROW: &str = "q-1,2026-11-24T09:30:00Z,osago,web,Петрова,";

    /// One row under one header, both longer than [`HEADER`] and [`ROW`] by what is given.
    fn json(header: &str, row: &[u8]) -> Result<(CsvColumns, Vec<u8>), CsvError> {
        let bytes = [HEADER.as_bytes(), header.as_bytes(), b"\n", ROW.as_bytes(), row, b"\n"].concat();
        let mut reader = csv::ReaderBuilder::new().flexible(true).from_reader(bytes.as_slice());
        let columns = CsvColumns::from_header(reader.headers().expect("a header"), &CsvMapping::default())?;
        let row = reader.byte_records().next().expect("a row").expect("reads");
        let mut out = Vec::new();
        columns.write_json(&row, &mut out)?;
        Ok((columns, out))
    }

    fn read(header: &str, row: &str) -> Decoded {
        let (_, out) = json(header, row.as_bytes()).expect("makes JSON");
        decode(&out, None).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&out)))
    }

    #[test]
    fn a_row_reads_like_the_json_it_stands_for() {
        let decoded = read(
            ",vehicle.year,drivers.1.last_name,drivers.00.birth_date,coverage.extra.a.b,coverage.extra.ok,premium,vehicle.vin,note",
            ",2019.0,\"Пет\"\"ров\",1980-01-31,007,true, 12.5 ,,x",
        );
        let json = r#"{"quote_id":"q-1","submitted_at":"2026-11-24T09:30:00Z","product":"osago","channel":{"kind":"web"},
            "policyholder":{"last_name":"Петрова","first_name":""},"vehicle":{"year":2019},"premium":12.5,
            "drivers":[{"birth_date":"1980-01-31"},{"last_name":"Пет\"ров"}],"coverage":{"extra":{"a.b":"007","ok":true}}}"#;
        assert_eq!(decoded, decode(json.as_bytes(), None).expect("decodes"));
    }

    #[test]
    fn every_field_has_its_column() {
        let full = serde_json::to_value(crate::contract::quote::tests::full()).expect("serialises");
        let leaves = crate::contract::quote::tests::leaves("", &full);
        assert!(leaves.len() > 40, "{leaves:?}");
        let row = csv::ByteRecord::from(
            leaves
                .iter()
                .map(|leaf| {
                    let value = full.pointer(leaf).expect("a leaf");
                    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
                })
                .collect::<Vec<_>>(),
        );
        let names: Vec<_> = leaves.iter().map(|leaf| column_of(leaf)).collect();
        let columns = CsvColumns::from_header(names.iter().map(String::as_str), &CsvMapping::default()).expect("a header");
        let mut out = Vec::new();
        columns.write_json(&row, &mut out).expect("makes JSON");
        assert_eq!(columns.unknown(), 0);
        assert_eq!(decode(&out, None), decode(full.to_string().as_bytes(), None));
    }

    #[test]
    fn unknown_columns_are_ignored_and_counted() {
        for (name, expected) in [
            ("policyholder.last_nam", 1),
            ("drivers.last_name", 1),
            ("drivers.x.last_name", 1),
            ("drivers.0.vin", 1),
            ("drivers", 1),
            ("channel", 1),
            ("coverage.extra", 1),
            ("coverage.extra.", 1),
            ("", 1),
            ("vehicle.vin", 0),
            (" vehicle.vin ", 0),
            ("\u{FEFF}vehicle.vin", 0),
        ] {
            let (columns, out) = json(&format!(",{name}"), b",A").expect("makes JSON");
            assert_eq!(columns.unknown(), expected, "{name}");
            let vin = decode(&out, None).expect("decodes").quote.vehicle.vin;
            assert_eq!(vin.is_some(), expected == 0, "{name}");
        }
    }

    #[test]
    fn errors_name_the_column() {
        let extras: String = (0..=EXTRA_MAX).map(|i| format!(",coverage.extra.k{i}")).collect();
        for (header, row, expected) in [
            (",vehicle.vin,vehicle.vin", ",A,B", CsvError::DuplicateColumn("vehicle.vin".into())),
            (",drivers.1.last_name,drivers.01.last_name", ",A,B", CsvError::DuplicateColumn("drivers.01.last_name".into())),
            (",drivers.10.last_name", ",A", CsvError::TooManyDrivers("drivers.10.last_name".into())),
            (
                ",drivers.99999999999999999999.last_name",
                ",A",
                CsvError::TooManyDrivers("drivers.99999999999999999999.last_name".into()),
            ),
            (&extras, "", CsvError::TooManyExtras),
            (",vehicle.vin", ",A,B", CsvError::CellCount { expected: 7, found: 8 }),
            (",vehicle.vin", "", CsvError::CellCount { expected: 7, found: 6 }),
        ] {
            assert_eq!(json(header, row.as_bytes()).err(), Some(expected), "{header}");
        }
        assert_eq!(json(",vehicle.vin", b",\xFF").err(), Some(CsvError::InvalidUtf8("vehicle.vin".into())));
    }

    #[test]
    fn a_cell_that_is_no_number_is_refused_under_its_columns_name() {
        for (cell, expected) in [
            ("2019", None),
            ("-1", Some(FieldCode::OutOfRange)),
            ("1e999", Some(FieldCode::OutOfRange)),
            ("NaN", Some(FieldCode::WrongType)),
            ("20 19", Some(FieldCode::WrongType)),
            ("0x7", Some(FieldCode::WrongType)),
            ("1}", Some(FieldCode::WrongType)),
            ("true", Some(FieldCode::WrongType)),
        ] {
            let (_, out) = json(",vehicle.year", format!(",{cell}").as_bytes()).expect("makes JSON");
            let error = decode(&out, None).err().and_then(|error| error.fields.into_iter().next());
            assert_eq!(error.as_ref().map(|error| error.code), expected, "{cell}");
            assert!(error.is_none_or(|error| column_of(&error.pointer) == "vehicle.year"), "{cell}");
        }
    }
}
