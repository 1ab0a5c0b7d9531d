//! Values on their way to the database and back.

use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteRow};
use sqlx::{Row as _, TypeInfo, ValueRef};

use crate::engine::time::EventTime;
use crate::pipeline::StoreError;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueKind {
    Int,
    Real,
    Text,
    Blob,
}

/// A parameter; `None` is NULL.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    Int(Option<i64>),
    Real(Option<f64>),
    Text(Option<String>),
    Blob(Option<Vec<u8>>),
}

macro_rules! from {
    ($($type:ty => $value:ident, |$given:ident| $made:expr;)*) => {
        $(impl From<$type> for Value {
            fn from($given: $type) -> Value {
                Value::$value(Some($made))
            }
        }

        impl From<Option<$type>> for Value {
            fn from(given: Option<$type>) -> Value {
                Value::$value(given.map(|$given| $made))
            }
        })*
    };
}

from! {
    i64 => Int, |int| int;
    u32 => Int, |int| i64::from(int);
    u64 => Int, |int| int.cast_signed();
    bool => Int, |is| i64::from(is);
    EventTime => Int, |time| time.0;
    f64 => Real, |real| real;
    String => Text, |text| text;
    &str => Text, |text| text.to_owned();
    Vec<u8> => Blob, |bytes| bytes;
}

/// One row of a result.
#[derive(Debug)]
pub struct Row(pub(super) Vec<Cell>);

#[derive(Clone, Debug, PartialEq)]
pub enum Cell {
    Null,
    Int(i64),
    Real(f64),
    Text(String),
    Blob(Vec<u8>),
}

impl Row {
    /// The value of a column, counted from 0.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] where the column holds something else.
    pub fn get<T: FromCell>(&self, column: usize) -> Result<T, StoreError> {
        let cell = self.0.get(column).unwrap_or(&Cell::Null);
        T::from_cell(cell).ok_or_else(|| {
            StoreError::Damaged(format!("column {column} of the desk's table does not hold {}", std::any::type_name::<T>()))
        })
    }
}

pub trait FromCell: Sized {
    fn from_cell(cell: &Cell) -> Option<Self>;
}

impl FromCell for i64 {
    fn from_cell(cell: &Cell) -> Option<i64> {
        if let Cell::Int(int) = cell { Some(*int) } else { None }
    }
}

impl FromCell for u64 {
    fn from_cell(cell: &Cell) -> Option<u64> {
        i64::from_cell(cell).map(i64::cast_unsigned)
    }
}

impl FromCell for u32 {
    fn from_cell(cell: &Cell) -> Option<u32> {
        i64::from_cell(cell).and_then(|int| u32::try_from(int).ok())
    }
}

impl FromCell for bool {
    fn from_cell(cell: &Cell) -> Option<bool> {
        i64::from_cell(cell).map(|int| int != 0)
    }
}

impl FromCell for EventTime {
    fn from_cell(cell: &Cell) -> Option<EventTime> {
        i64::from_cell(cell).map(EventTime)
    }
}

impl FromCell for f64 {
    fn from_cell(cell: &Cell) -> Option<f64> {
        match cell {
            Cell::Real(real) => Some(*real),
            Cell::Int(int) => Some(*int as f64),
            _ => None,
        }
    }
}

impl FromCell for String {
    fn from_cell(cell: &Cell) -> Option<String> {
        if let Cell::Text(text) = cell { Some(text.clone()) } else { None }
    }
}

impl FromCell for Vec<u8> {
    fn from_cell(cell: &Cell) -> Option<Vec<u8>> {
        if let Cell::Blob(bytes) = cell { Some(bytes.clone()) } else { None }
    }
}

impl<T: FromCell> FromCell for Option<T> {
    fn from_cell(cell: &Cell) -> Option<Option<T>> {
        if *cell == Cell::Null { Some(None) } else { T::from_cell(cell).map(Some) }
    }
}

pub(super) type SqliteQuery<'q> = Query<'q, Sqlite, SqliteArguments>;

pub(super) fn bind_sqlite(query: SqliteQuery<'_>, values: Vec<Value>) -> SqliteQuery<'_> {
    values.into_iter().fold(query, |query, value| match value {
        Value::Int(int) => query.bind(int),
        Value::Real(real) => query.bind(real),
        Value::Text(text) => query.bind(text),
        Value::Blob(bytes) => query.bind(bytes),
    })
}

pub(super) fn row_from_sqlite(row: &SqliteRow) -> Result<Row, StoreError> {
    let cell = |column: usize| {
        let raw = row.try_get_raw(column)?;
        if raw.is_null() {
            return Ok(Cell::Null);
        }
        Ok(match raw.type_info().name() {
            "INTEGER" => Cell::Int(row.try_get_unchecked(column)?),
            "REAL" => Cell::Real(row.try_get_unchecked(column)?),
            "BLOB" => Cell::Blob(row.try_get_unchecked(column)?),
            _ => Cell::Text(row.try_get_unchecked(column)?),
        })
    };
    (0..row.len()).map(cell).collect::<Result<_, sqlx::Error>>().map(Row).map_err(super::sqlite::fault)
}
