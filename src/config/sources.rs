//! Tables of databases that are read as they grow.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::desk::holds_password;
use super::{Arrival, ConfigError, is_name, wrong};

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Sources {
    pub postgres: Vec<PostgresTable>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresTable {
    /// Names the pipeline, `postgres-NAME`, and remembers how far it was read.
    pub name: String,
    /// `postgres://user@host:port/database`
    pub url: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_file: Option<PathBuf>,
    /// Certificates that may sign the server's; the system's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<PathBuf>,
    /// `name` or `schema.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// A `SELECT` instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// Column with the transaction that wrote the row, of type `xid8`.
    #[serde(default = "xid")]
    pub xid: String,
    /// Unique integer column.
    pub key: String,
    /// Column that holds a whole QuoteV1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Or, for each field of QuoteV1, its column.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub columns: BTreeMap<String, String>,
    /// `log`: rows arrive when they are read, by the machine's clock; `event`: by their own times, for a table of long ago.
    #[serde(default = "arrival")]
    pub arrival: Arrival,
    #[serde(default = "poll_ms")]
    pub poll_ms: u64,
}

fn xid() -> String {
    "quoteguard_xid".to_owned()
}

fn arrival() -> Arrival {
    Arrival::Log
}

fn poll_ms() -> u64 {
    500
}

impl Sources {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        for (i, table) in self.postgres.iter().enumerate() {
            let at = |field: &str| format!("sources.postgres.{i}.{field}");
            if !is_name(&table.name, 40) || self.postgres[..i].iter().any(|other| other.name == table.name) {
                return Err(wrong(at("name"), "must be 1 to 40 of A-Z a-z 0-9 . _ -, and another one for each"));
            }
            if !(table.url.starts_with("postgres://") || table.url.starts_with("postgresql://")) {
                return Err(wrong(at("url"), "must be postgres://user@host:port/database"));
            }
            if holds_password(&table.url) {
                return Err(wrong(at("url"), "must hold no password, for it is shown: give password_file"));
            }
            if table.table.is_some() == table.query.is_some() {
                return Err(wrong(at("table"), "give exactly one of table and query"));
            }
            if table.body.is_some() != table.columns.is_empty() {
                return Err(wrong(at("body"), "give exactly one of body and columns"));
            }
            if table.poll_ms == 0 {
                return Err(wrong(at("poll_ms"), "must be at least 1"));
            }
            if !cfg!(feature = "postgres") {
                return Err(wrong(at("url"), "this build knows SQLite only; build it with the feature postgres"));
            }
        }
        Ok(())
    }
}

#[cfg(feature = "postgres")]
impl PostgresTable {
    /// For people: where it is and what is read, without the user.
    pub fn shown(&self) -> String {
        let place = self.url.rsplit_once('@').or_else(|| self.url.split_once("://")).map_or("", |(_, place)| place);
        let place = place.split('?').next().unwrap_or_default();
        format!("PostgreSQL {place} {}", self.table.as_deref().unwrap_or("query"))
    }

    pub fn options(&self) -> crate::adapters::table::TableOptions {
        use crate::adapters::table::{From, TableOptions, Taken};
        use crate::engine::step::ArrivalClock;
        let from = match (&self.table, &self.query) {
            (Some(table), _) => From::Table(table.clone()),
            (None, query) => From::Query(query.clone().unwrap_or_default()),
        };
        let taken = match &self.body {
            Some(body) => Taken::Body(body.clone()),
            None => Taken::Columns(self.columns.clone()),
        };
        TableOptions {
            section: format!("sources.postgres ({})", self.name),
            url: self.url.clone(),
            password_file: self.password_file.clone(),
            ca_file: self.ca_file.clone(),
            from,
            xid: self.xid.clone(),
            key: self.key.clone(),
            taken,
            clock: match self.arrival {
                Arrival::Log => ArrivalClock::Stream,
                Arrival::Event => ArrivalClock::Event,
            },
            poll: std::time::Duration::from_millis(self.poll_ms),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_that_cannot_be_read_is_refused_by_its_key() {
        for (url, rest, expected) in [
            ("postgres://u:p@h/d", "table = 't'\nbody = 'b'", "sources.postgres.0.url: must hold no password"),
            ("mysql://h/d", "table = 't'\nbody = 'b'", "sources.postgres.0.url: must be postgres://"),
            ("postgres://h/d", "body = 'b'", "sources.postgres.0.table: give exactly one"),
            ("postgres://h/d", "table = 't'", "sources.postgres.0.body: give exactly one"),
            ("postgres://h/d", "table = 't'\nbody = 'b'\npoll_ms = 0", "sources.postgres.0.poll_ms: must be"),
        ] {
            let toml = format!("[[postgres]]\nname = 'a'\nurl = '{url}'\nkey = 'id'\n{rest}");
            let sources: Sources = toml::from_str(&toml).expect("reads");
            let error = sources.check().expect_err(&toml).to_string();
            assert!(error.contains(expected), "{toml}: {error}");
        }
    }
}
