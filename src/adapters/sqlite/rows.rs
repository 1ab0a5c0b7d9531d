//! Multi-row inserts: a statement costs more than a row, so rows go in a few fixed chunk sizes, each prepared once.

use std::sync::Arc;

use sqlx::query::Query;
use sqlx::sqlite::{Sqlite, SqliteArguments, SqliteConnection};
use sqlx::{AssertSqlSafe, Error};

/// Largest first. The widest table binds 9 values a row, far below SQLite's 32,766.
const CHUNK_ROWS: [usize; 3] = [64, 8, 1];

pub type Bound<'q> = Query<'q, Sqlite, SqliteArguments>;

/// An `INSERT` for each chunk size.
pub struct Insert([Arc<str>; CHUNK_ROWS.len()]);

impl Insert {
    /// `head` is `INSERT INTO table (a, b) VALUES`, `columns` how many it names, `tail` an `ON CONFLICT` or nothing.
    pub fn new(head: &str, columns: usize, tail: &str) -> Insert {
        let row = format!("({})", vec!["?"; columns].join(", "));
        Insert(CHUNK_ROWS.map(|rows| format!("{head} {} {tail}", vec![row.as_str(); rows].join(", ")).into()))
    }

    /// Inserts all rows; `bind` binds one row's columns in order.
    pub async fn run<T>(
        &self,
        connection: &mut SqliteConnection,
        mut rows: &[T],
        bind: impl for<'q> Fn(Bound<'q>, &T) -> Bound<'q>,
    ) -> Result<(), Error> {
        for (size, sql) in CHUNK_ROWS.into_iter().zip(&self.0) {
            while let Some((chunk, rest)) = rows.split_at_checked(size) {
                let query = sqlx::query(AssertSqlSafe(sql.clone()));
                chunk.iter().fold(query, &bind).execute(&mut *connection).await?;
                rows = rest;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_chunk_size_has_its_placeholders() {
        let insert = Insert::new("INSERT INTO t (a, b) VALUES", 2, "ON CONFLICT (a) DO NOTHING");
        let placeholders: Vec<usize> = insert.0.iter().map(|sql| sql.matches('?').count()).collect();
        assert_eq!(placeholders, CHUNK_ROWS.map(|rows| rows * 2));
        assert_eq!(&*insert.0[2], "INSERT INTO t (a, b) VALUES (?, ?) ON CONFLICT (a) DO NOTHING");
    }
}
