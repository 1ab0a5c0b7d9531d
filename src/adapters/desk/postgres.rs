//! The desk in PostgreSQL: values, relations of arrays, and which errors pass.

use sqlx::postgres::{PgArguments, PgRow, Postgres};
use sqlx::query::Query;
use sqlx::{Row as _, TypeInfo, ValueRef};

use super::Relation;
use super::value::{Cell, Row, Value, ValueKind};
use crate::pipeline::StoreError;

type PgQuery<'q> = Query<'q, Postgres, PgArguments>;

pub(super) fn bind(query: PgQuery<'_>, values: Vec<Value>) -> PgQuery<'_> {
    values.into_iter().fold(query, |query, value| match value {
        Value::Int(int) => query.bind(int),
        Value::Real(real) => query.bind(real),
        Value::Text(text) => query.bind(text),
        Value::Blob(bytes) => query.bind(bytes),
    })
}

/// The columns of a relation as arrays, in their order.
pub(super) fn bind_columns(mut query: PgQuery<'_>, relation: Relation) -> PgQuery<'_> {
    let Relation { columns, rows } = relation;
    let mut cells: Vec<Vec<Value>> = columns.iter().map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, value) in cells.iter_mut().zip(row) {
            column.push(value);
        }
    }
    for ((_, kind), column) in columns.iter().zip(cells) {
        let column = column.into_iter();
        query = match kind {
            ValueKind::Int => query.bind(column.map(|v| if let Value::Int(v) = v { v } else { None }).collect::<Vec<_>>()),
            ValueKind::Real => query.bind(column.map(|v| if let Value::Real(v) = v { v } else { None }).collect::<Vec<_>>()),
            ValueKind::Text => query.bind(column.map(|v| if let Value::Text(v) = v { v } else { None }).collect::<Vec<_>>()),
            ValueKind::Blob => query.bind(column.map(|v| if let Value::Blob(v) = v { v } else { None }).collect::<Vec<_>>()),
        };
    }
    query
}

pub(super) fn relation(before: usize, columns: &[(&str, ValueKind)]) -> String {
    let array = |(i, (_, kind)): (usize, &(&str, ValueKind))| {
        let kind = match kind {
            ValueKind::Int => "BIGINT",
            ValueKind::Real => "DOUBLE PRECISION",
            ValueKind::Text => "TEXT",
            ValueKind::Blob => "BYTEA",
        };
        format!("${i}::{kind}[]")
    };
    let arrays = (before + 1..).zip(columns).map(array).collect::<Vec<_>>().join(", ");
    let names = columns.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
    format!("unnest({arrays}) AS v({names})")
}

pub(super) fn row(row: &PgRow) -> Result<Row, StoreError> {
    let cell = |column: usize| {
        let raw = row.try_get_raw(column)?;
        if raw.is_null() {
            return Ok(Cell::Null);
        }
        Ok(match raw.type_info().name() {
            "INT8" => Cell::Int(row.try_get(column)?),
            "INT4" => Cell::Int(i64::from(row.try_get::<i32, _>(column)?)),
            "FLOAT8" => Cell::Real(row.try_get(column)?),
            "BYTEA" => Cell::Blob(row.try_get(column)?),
            _ => Cell::Text(row.try_get(column)?),
        })
    };
    (0..row.len()).map(cell).collect::<Result<_, sqlx::Error>>().map(Row).map_err(fault)
}

/// Classes of SQLSTATE that no second try mends: a constraint, a value, a name or a type that does not fit.
const LASTING: [&str; 4] = ["22", "23", "42", "3F"];
/// A row has no partition: its month was dropped since it was last looked for, and is made before the next try.
const NO_PARTITION: &str = "23514";
const NO_PRIVILEGE: &str = "42501";

/// What the server says of the statement itself does not pass; that it is away, busy or stopping does.
pub(super) fn fault(error: sqlx::Error) -> StoreError {
    let text = error.to_string();
    match &error {
        sqlx::Error::Database(database) => match database.code().as_deref() {
            Some(NO_PRIVILEGE) => {
                StoreError::Damaged(format!("the role of desk.url may not do what it has to; grant it: {text}"))
            }
            Some(code) if code != NO_PARTITION && LASTING.iter().any(|class| code.starts_with(class)) => foreign(&text),
            _ => StoreError::Unavailable(text),
        },
        sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) | sqlx::Error::ColumnNotFound(_) => foreign(&text),
        _ => StoreError::Unavailable(text),
    }
}

fn foreign(text: &str) -> StoreError {
    StoreError::Damaged(format!(
        "the desk's tables in PostgreSQL are not those of this version; `quoteguard migrate --check` tells whether it is behind: {text}"
    ))
}
