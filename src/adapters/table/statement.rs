//! What is asked of the table, and what becomes of a row.

use std::collections::BTreeMap;

use super::TableOptions;
use crate::adapters::file::{Columns, Refused, read_quote};
use crate::engine::limits::BODY_BYTES_MAX;
use crate::engine::quote::Quote;

/// Rows of one answer. Beyond: they are asked for next.
const PAGE_ROWS: usize = 256;

/// Text of the cells of a row, behind its position.
pub type Cells = Vec<Option<String>>;

#[derive(Clone, Debug)]
pub enum From {
    /// `name` or `schema.name`.
    Table(String),
    /// A `SELECT` with the columns that are named beside it.
    Query(String),
}

/// Where a quote is in a row.
#[derive(Clone, Debug)]
pub enum Taken {
    /// One column of `jsonb`, `json` or text that holds a QuoteV1.
    Body(String),
    /// Field of QuoteV1, as the header of a CSV file names it, and column.
    Columns(BTreeMap<String, String>),
}

pub struct Statement {
    pub text: String,
    /// `None` where a column holds the whole quote.
    columns: Option<Columns>,
}

impl Statement {
    /// # Errors
    /// What is wrong with the names of the fields.
    pub fn new(options: &TableOptions) -> Result<Statement, String> {
        let (xid, key) = (name(&options.xid), name(&options.key));
        // One more than is taken, so that it is seen to be too long.
        let cell = |text: String| format!("left({text}, {})", BODY_BYTES_MAX + 1);
        let (cells, columns): (Vec<String>, _) = match &options.taken {
            Taken::Body(column) => (vec![cell(format!("q.{}::text", name(column)))], None),
            Taken::Columns(columns) => {
                let header = Columns::named(columns.keys().map(String::as_str)).map_err(|refused| refused.error)?;
                if header.unknown() > 0 {
                    return Err("a name is no field of a quote; they are those of a CSV header, such as vehicle.vin".to_owned());
                }
                // As JSON writes them: times by RFC 3339 whatever the server's date style is.
                let cells = columns.values().map(|column| cell(format!("to_jsonb(q.{}) #>> '{{}}'", name(column))));
                (cells.collect(), Some(header))
            }
        };
        let from = match &options.from {
            From::Table(table) => table.split('.').map(name).collect::<Vec<_>>().join("."),
            From::Query(query) => format!("({query}\n)"),
        };
        let text = format!(
            "SELECT q.{xid}::text, q.{key}::bigint, {} FROM {from} AS q \
             WHERE (q.{xid}, q.{key}) > ($1::text::xid8, $2::bigint) AND q.{xid} < pg_snapshot_xmin(pg_current_snapshot()) \
             ORDER BY q.{xid}, q.{key} LIMIT {PAGE_ROWS}",
            cells.join(", ")
        );
        Ok(Statement { text, columns })
    }

    /// A row's quote and its JSON, or why it is none and what is kept of it.
    pub fn read(&self, cells: &Cells) -> Result<(Quote, Vec<u8>), (Refused, Vec<u8>)> {
        let raw = match &self.columns {
            None => cells.first().cloned().flatten().unwrap_or_default().into_bytes(),
            Some(columns) => columns
                .row(cells.iter().map(|cell| cell.as_deref().unwrap_or_default()))
                .map_err(|refused| (refused, Vec::new()))?,
        };
        if raw.len() > BODY_BYTES_MAX {
            return Err((Refused::too_long(), raw[..BODY_BYTES_MAX].to_vec()));
        }
        match read_quote(&raw, None) {
            Ok((quote, json)) => Ok((quote, json.into_owned())),
            Err(refused) => Err((refused, raw)),
        }
    }
}

/// A name as SQL takes it, whatever it holds.
fn name(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_names_whatever_they_hold() {
        assert_eq!(name("id"), "\"id\"");
        assert_eq!(name("a\"; DROP TABLE b"), "\"a\"\"; DROP TABLE b\"");
    }
}
