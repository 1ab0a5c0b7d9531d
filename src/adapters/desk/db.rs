//! One text of each statement for SQLite and PostgreSQL, and the thin layer that knows the difference.
//!
//! Values are 64-bit integers, floats, text and bytes; parameters are `$1`, `$2`. Where the two databases do not agree, a statement holds a
//! word in braces: `{now}` is the database's clock in microseconds, `{skip_locked}` leaves rows to others that hold them,
//! `{for_update}` waits for them, `{v}` is a relation of parameters named `v` (see [`Relation`]).

use std::borrow::Cow;

use sqlx::AssertSqlSafe;
#[cfg(feature = "postgres")]
use sqlx::postgres::{PgPool, Postgres};
use sqlx::sqlite::{Sqlite, SqlitePool};

use super::value::{Row, Value, ValueKind, bind_sqlite, row_from_sqlite};
use crate::pipeline::StoreError;

/// Rows of one statement over SQLite, largest first: a statement costs more than a row, and each size is prepared once.
const CHUNK_ROWS: [usize; 3] = [64, 8, 1];

/// Both pools are shared by clones.
#[derive(Clone)]
pub enum Db {
    /// One connection writes: there is one writer in SQLite whatever one does.
    Sqlite { read: SqlitePool, write: SqlitePool },
    #[cfg(feature = "postgres")]
    Postgres(PgPool),
}

/// Rows of parameters as a relation: columns with their kinds, in the order of each row.
pub struct Relation {
    pub columns: &'static [(&'static str, ValueKind)],
    pub rows: Vec<Vec<Value>>,
}

impl Db {
    /// Whether one may write in two transactions at once, and people still find a connection.
    pub(super) fn has_room_for_two(&self) -> bool {
        match self {
            Db::Sqlite { .. } => false,
            #[cfg(feature = "postgres")]
            Db::Postgres(pool) => pool.options().get_max_connections() > 2,
        }
    }

    /// All rows of a query.
    pub async fn all(&self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        match self {
            Db::Sqlite { read, .. } => {
                let query = bind_sqlite(sqlx::query(AssertSqlSafe(sqlite_text(sql).into_owned())), values);
                let rows = query.fetch_all(read).await.map_err(super::sqlite::fault)?;
                rows.iter().map(row_from_sqlite).collect()
            }
            #[cfg(feature = "postgres")]
            Db::Postgres(pool) => {
                let query = super::postgres::bind(sqlx::query(AssertSqlSafe(postgres_text(sql).into_owned())), values);
                let rows = query.fetch_all(pool).await.map_err(super::postgres::fault)?;
                rows.iter().map(super::postgres::row).collect()
            }
        }
    }

    /// The first row, if there is any.
    pub async fn first(&self, sql: &str, values: Vec<Value>) -> Result<Option<Row>, StoreError> {
        Ok(self.all(sql, values).await?.into_iter().next())
    }

    /// One statement in a transaction of its own; rows affected.
    pub async fn run(&self, sql: &str, values: Vec<Value>) -> Result<u64, StoreError> {
        let mut tx = self.begin().await?;
        let affected = tx.run(sql, values).await?;
        tx.commit().await?;
        Ok(affected)
    }

    /// Begins a transaction that will write; it is rolled back unless it is committed.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        match self {
            Db::Sqlite { write, .. } => write.begin_with("BEGIN IMMEDIATE").await.map(Tx::Sqlite).map_err(super::sqlite::fault),
            #[cfg(feature = "postgres")]
            Db::Postgres(pool) => pool.begin().await.map(Tx::Postgres).map_err(super::postgres::fault),
        }
    }

    pub async fn close(&self) {
        match self {
            Db::Sqlite { read, write } => {
                read.close().await;
                write.close().await;
            }
            #[cfg(feature = "postgres")]
            Db::Postgres(pool) => pool.close().await,
        }
    }
}

/// An open transaction.
pub enum Tx {
    Sqlite(sqlx::Transaction<'static, Sqlite>),
    #[cfg(feature = "postgres")]
    Postgres(sqlx::Transaction<'static, Postgres>),
}

impl Tx {
    pub async fn all(&mut self, sql: &str, values: Vec<Value>) -> Result<Vec<Row>, StoreError> {
        match self {
            Tx::Sqlite(tx) => {
                let query = bind_sqlite(sqlx::query(AssertSqlSafe(sqlite_text(sql).into_owned())), values);
                let rows = query.fetch_all(&mut **tx).await.map_err(super::sqlite::fault)?;
                rows.iter().map(row_from_sqlite).collect()
            }
            #[cfg(feature = "postgres")]
            Tx::Postgres(tx) => {
                let query = super::postgres::bind(sqlx::query(AssertSqlSafe(postgres_text(sql).into_owned())), values);
                let rows = query.fetch_all(&mut **tx).await.map_err(super::postgres::fault)?;
                rows.iter().map(super::postgres::row).collect()
            }
        }
    }

    pub async fn first(&mut self, sql: &str, values: Vec<Value>) -> Result<Option<Row>, StoreError> {
        Ok(self.all(sql, values).await?.into_iter().next())
    }

    /// Rows affected.
    pub async fn run(&mut self, sql: &str, values: Vec<Value>) -> Result<u64, StoreError> {
        match self {
            Tx::Sqlite(tx) => {
                let query = bind_sqlite(sqlx::query(AssertSqlSafe(sqlite_text(sql).into_owned())), values);
                query.execute(&mut **tx).await.map(|done| done.rows_affected()).map_err(super::sqlite::fault)
            }
            #[cfg(feature = "postgres")]
            Tx::Postgres(tx) => {
                let query = super::postgres::bind(sqlx::query(AssertSqlSafe(postgres_text(sql).into_owned())), values);
                query.execute(&mut **tx).await.map(|done| done.rows_affected()).map_err(super::postgres::fault)
            }
        }
    }

    /// A statement over a relation of parameters, which follow `values`; what it returns. Over SQLite it is run for a few rows at
    /// a time: it must mean the same for the whole and for its parts.
    pub async fn over(&mut self, sql: &str, values: &[Value], relation: Relation) -> Result<Vec<Row>, StoreError> {
        if relation.rows.is_empty() {
            return Ok(Vec::new());
        }
        match self {
            Tx::Sqlite(_) => self.over_chunks(sql, values, relation).await,
            #[cfg(feature = "postgres")]
            Tx::Postgres(tx) => {
                let from = super::postgres::relation(values.len(), relation.columns);
                let text = postgres_text(sql).replace("{v}", &from);
                let query = super::postgres::bind(sqlx::query(AssertSqlSafe(text)), values.to_vec());
                let query = super::postgres::bind_columns(query, relation);
                let rows = query.fetch_all(&mut **tx).await.map_err(super::postgres::fault)?;
                rows.iter().map(super::postgres::row).collect()
            }
        }
    }

    async fn over_chunks(&mut self, sql: &str, values: &[Value], relation: Relation) -> Result<Vec<Row>, StoreError> {
        let Relation { columns, rows } = relation;
        let mut returned = Vec::new();
        let mut rows = rows.into_iter();
        for size in CHUNK_ROWS {
            let text = sql.replace("{v}", &sqlite_relation(values.len(), columns, size));
            while rows.len() >= size {
                let mut bound = values.to_vec();
                bound.extend(rows.by_ref().take(size).flatten());
                returned.extend(self.all(&text, bound).await?);
            }
        }
        Ok(returned)
    }

    /// For a transaction that loses nothing with a server that dies right after it: what it held is written again, from positions that
    /// were lost with it.
    pub async fn commit_lazily(&mut self) -> Result<(), StoreError> {
        match self {
            Tx::Sqlite(_) => Ok(()),
            #[cfg(feature = "postgres")]
            Tx::Postgres(_) => self.run("SET LOCAL synchronous_commit = off", vec![]).await.map(drop),
        }
    }

    pub async fn commit(self) -> Result<(), StoreError> {
        match self {
            Tx::Sqlite(tx) => tx.commit().await.map_err(super::sqlite::fault),
            #[cfg(feature = "postgres")]
            Tx::Postgres(tx) => tx.commit().await.map_err(super::postgres::fault),
        }
    }
}

fn sqlite_text(sql: &str) -> Cow<'_, str> {
    if !sql.contains('{') {
        return sql.into();
    }
    sql.replace("{now}", "CAST(unixepoch('subsec') * 1000000 AS INTEGER)")
        .replace("{skip_locked}", "")
        .replace("{for_update}", "")
        .into()
}

#[cfg(feature = "postgres")]
fn postgres_text(sql: &str) -> Cow<'_, str> {
    if !sql.contains('{') {
        return sql.into();
    }
    let now = "CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT)";
    sql.replace("{now}", now).replace("{skip_locked}", "FOR UPDATE SKIP LOCKED").replace("{for_update}", "FOR UPDATE").into()
}

fn sqlite_relation(before: usize, columns: &[(&str, ValueKind)], rows: usize) -> String {
    let named = columns.iter().zip(1..).map(|((name, _), i)| format!("column{i} AS {name}")).collect::<Vec<_>>().join(", ");
    let row = |row: usize| {
        let first = before + row * columns.len() + 1;
        let places = (first..first + columns.len()).map(|i| format!("${i}")).collect::<Vec<_>>().join(", ");
        format!("({places})")
    };
    let values = (0..rows).map(row).collect::<Vec<_>>().join(", ");
    format!("(SELECT {named} FROM (VALUES {values})) AS v")
}
