//! Partitions by month: made before a row needs them, dropped whole when they are old.

use std::collections::BTreeSet;

use time::{Month, OffsetDateTime};

use super::db::Db;
use crate::engine::time::SECOND;
use crate::pipeline::StoreError;
use crate::pipeline::desk::feed::Page;

const TABLES: [&str; 2] = ["decisions", "forms"];
const PARTITIONS: &str = "SELECT p.relname::text, c.relname::text FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent \
    JOIN pg_class c ON c.oid = i.inhrelid WHERE p.relname IN ('decisions', 'forms') AND pg_table_is_visible(p.oid)";

/// A month of UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct YearMonth {
    year: i32,
    month: u8,
}

impl YearMonth {
    /// Of a time in microseconds since 1970; `None` outside the years that the calendar knows.
    fn of(micros: i64) -> Option<YearMonth> {
        let time = OffsetDateTime::from_unix_timestamp(micros.div_euclid(SECOND)).ok()?;
        Some(YearMonth { year: time.year(), month: time.month().into() })
    }

    fn next(self) -> YearMonth {
        match self.month {
            12 => YearMonth { year: self.year + 1, month: 1 },
            month => YearMonth { month: month + 1, ..self },
        }
    }

    /// Its first microsecond.
    fn begins(self) -> Option<i64> {
        let month = Month::try_from(self.month).ok()?;
        let date = time::Date::from_calendar_date(self.year, month, 1).ok()?;
        Some(date.midnight().assume_utc().unix_timestamp() * SECOND)
    }

    /// `decisions_2026_03`
    fn partition(self, table: &str) -> String {
        format!("{table}_{:04}_{:02}", self.year, self.month)
    }

    fn parse(table: &str, partition: &str) -> Option<YearMonth> {
        let (year, month) = partition.strip_prefix(table)?.strip_prefix('_')?.split_once('_')?;
        Some(YearMonth { year: year.parse().ok()?, month: month.parse().ok()? })
    }
}

/// The partitions that are there, as far as this instance knows.
#[derive(Default)]
pub(super) struct Months(BTreeSet<(&'static str, YearMonth)>);

impl Months {
    /// They are looked for anew: some may have been dropped.
    pub(super) fn forget(&mut self) {
        self.0.clear();
    }

    /// Makes those that the rows of a page go to, and the one after the newest.
    pub(super) async fn make_for(&mut self, db: &Db, page: &Page) -> Result<(), StoreError> {
        let decided = page.decisions.iter().filter_map(|record| YearMonth::of(record.event_time.0));
        let arrived = page.forms.iter().filter_map(|form| YearMonth::of(form.arrival.0));
        let wanted: BTreeSet<_> =
            decided.map(|month| (TABLES[0], month)).chain(arrived.map(|month| (TABLES[1], month))).collect();
        for (table, month) in wanted {
            if !self.0.contains(&(table, month)) {
                make(db, table, month).await?;
                self.0.insert((table, month));
            }
            // In good time, so that its first row waits for no lock; until then it may fail.
            let next = month.next();
            if !self.0.contains(&(table, next)) {
                match make(db, table, next).await {
                    Ok(()) => drop(self.0.insert((table, next))),
                    Err(error) => tracing::warn!(%error, table, "the next month's partition cannot be made yet"),
                }
            }
        }
        Ok(())
    }
}

async fn make(db: &Db, table: &str, month: YearMonth) -> Result<(), StoreError> {
    let (Some(from), Some(to)) = (month.begins(), month.next().begins()) else {
        return Err(StoreError::Damaged(format!("no month {month:?} in the calendar")));
    };
    let partition = month.partition(table);
    // Asked first: to make one, others are kept out of the table.
    let found = db.first("SELECT to_regclass($1)::text", vec![partition.as_str().into()]).await?;
    if found.map(|row| row.get::<Option<String>>(0)).transpose()?.flatten().is_some() {
        return Ok(());
    }
    let sql = format!("CREATE TABLE IF NOT EXISTS {partition} PARTITION OF {table} FOR VALUES FROM ({from}) TO ({to})");
    db.run(&sql, vec![]).await?;
    Ok(())
}

/// Drops the months that ended before.
pub(super) async fn drop_before(db: &Db, time: i64) -> Result<(), StoreError> {
    for row in db.all(PARTITIONS, vec![]).await? {
        let (table, partition): (String, String) = (row.get(0)?, row.get(1)?);
        let ended = YearMonth::parse(&table, &partition).and_then(|month| month.next().begins());
        if ended.is_some_and(|ended| ended <= time) {
            db.run(&format!("DROP TABLE IF EXISTS {partition}"), vec![]).await?;
            tracing::info!(partition, "older than desk.retention_days, and dropped");
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn months_follow_each_other_without_a_gap() {
        for (micros, expected) in [
            (0, (1970, 1)),
            (-1, (1969, 12)),
            (951_782_399_999_999, (2000, 2)),
            (951_868_800_000_000, (2000, 3)),
            (1_798_761_599_999_999, (2026, 12)),
        ] {
            let month = YearMonth::of(micros).expect("in the calendar");
            assert_eq!((month.year, month.month), expected);
            assert!((month.begins().expect("begins")..month.next().begins().expect("begins")).contains(&micros));
            assert_eq!(YearMonth::parse("forms", &month.partition("forms")), Some(month));
        }
    }
}
