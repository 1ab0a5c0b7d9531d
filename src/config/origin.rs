//! Where each value of the configuration came from.

use std::fmt::Write;

use figment::providers::Serialized;
use figment::value::{Dict, Map, Value};
use figment::{Error, Figment, Metadata, Profile, Provider, Source};
use serde::Serialize;

use super::ENV_PREFIX;

/// One flag of the command line, named as such.
pub(super) struct Flag<T>(pub Serialized<T>);

const FLAG: &str = "flag";

impl<T: Serialize> Provider for Flag<T> {
    fn metadata(&self) -> Metadata {
        Metadata::named(FLAG)
    }

    fn data(&self) -> Result<Map<Profile, Dict>, Error> {
        self.0.data()
    }
}

/// `key = value  # origin` for each key of the configuration, whose secrets are hidden already.
pub(super) fn lines(config: &toml::Value, sources: &Figment) -> String {
    let mut out = String::new();
    for (key, value) in config.as_table().into_iter().flatten() {
        walk(&quoted(key), value, sources.find_value(key).ok().as_ref(), sources, &mut out);
    }
    out
}

fn walk(path: &str, value: &toml::Value, found: Option<&Value>, sources: &Figment, out: &mut String) {
    let Some(table) = value.as_table() else {
        let origin = found.and_then(|found| sources.get_metadata(found.tag()));
        let origin = origin.map_or_else(|| "default".to_owned(), |origin| of(origin, path));
        // Writing to a text does not fail.
        let _ = writeln!(out, "{path} = {}  # {origin}", inline(value));
        return;
    };
    let found = found.and_then(Value::as_dict);
    for (key, value) in table {
        walk(&format!("{path}.{}", quoted(key)), value, found.and_then(|dict| dict.get(key)), sources, out);
    }
}

fn of(origin: &Metadata, path: &str) -> String {
    match &origin.source {
        Some(Source::File(file)) => {
            let shown = std::env::current_dir().ok().and_then(|dir| file.strip_prefix(dir).ok().map(ToOwned::to_owned));
            format!("file {}", shown.as_deref().unwrap_or(file).display())
        }
        _ if origin.name == FLAG => FLAG.to_owned(),
        _ if origin.name.contains("environment") => {
            format!("environment {ENV_PREFIX}{}", path.replace('.', "__").to_uppercase())
        }
        _ => "default".to_owned(),
    }
}

/// A key that is no bare one in quotes.
fn quoted(key: &str) -> String {
    let is_bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(is_bare) { key.to_owned() } else { toml::Value::from(key).to_string() }
}

/// On one line: a list of tables as inline tables.
fn inline(value: &toml::Value) -> String {
    let joined = |parts: Vec<String>| parts.join(", ");
    match value {
        toml::Value::Array(items) => format!("[{}]", joined(items.iter().map(inline).collect())),
        toml::Value::Table(table) => {
            let pairs = table.iter().map(|(key, value)| format!("{} = {}", quoted(key), inline(value)));
            format!("{{ {} }}", joined(pairs.collect()))
        }
        other => other.to_string(),
    }
}
