//! Quotes built before a run, so that sending one is a copy and two small patches.

use std::io::BufRead;
use std::ops::Range;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::calendar::rfc3339;

/// Stand-ins of the length of what replaces them.
const ID_HOLE: &str = "lt-0000000000000000-0000000000000000";
const TIME_HOLE: &str = "0000-00-00T00:00:00.000Z";

/// A quote whose id and time are set at each sending; as it is, nothing in it is patched.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    holes: Option<Holes>,
    tenant: String,
}

#[derive(Clone, Debug)]
struct Holes {
    quote_id: Range<usize>,
    submitted_at: Range<usize>,
}

impl Template {
    /// From one line of a quotes file.
    pub fn build(quote: &str, as_is: bool) -> Result<Template> {
        let tenant = tenant(quote);
        if as_is {
            return Ok(Template { bytes: quote.into(), holes: None, tenant });
        }
        let mut fields: Map<String, Value> = serde_json::from_str(quote).context("not a JSON object")?;
        fields.remove("quote_id");
        fields.remove("submitted_at");
        let rest = serde_json::to_string(&fields)?;
        let opening = format!("{{\"quote_id\":\"{ID_HOLE}\",\"submitted_at\":\"{TIME_HOLE}\"");
        let body = if fields.is_empty() { format!("{opening}}}") } else { format!("{opening},{}", &rest[1..]) };
        let id_at = "{\"quote_id\":\"".len();
        let time_at = id_at + ID_HOLE.len() + "\",\"submitted_at\":\"".len();
        let holes = Holes { quote_id: id_at..id_at + ID_HOLE.len(), submitted_at: time_at..time_at + TIME_HOLE.len() };
        Ok(Template { bytes: body.into_bytes(), holes: Some(holes), tenant })
    }

    /// Of the quote in bytes, patched or not.
    pub fn size(&self) -> usize {
        self.bytes.len()
    }

    /// As the quote names it; empty where it does not.
    pub fn tenant(&self) -> &str {
        &self.tenant
    }

    /// Appends the quote to `out` with the id of the `number`th quote of `run` and the time `now_ms` since 1970.
    pub fn append(&self, out: &mut Vec<u8>, run: u64, number: u64, now_ms: i64) {
        let begin = out.len();
        out.extend_from_slice(&self.bytes);
        if let Some(holes) = &self.holes {
            let quote = &mut out[begin..];
            quote[holes.quote_id.clone()].copy_from_slice(id(run, number).as_bytes());
            quote[holes.submitted_at.clone()].copy_from_slice(rfc3339(now_ms).as_bytes());
        }
    }
}

/// The tenant that a quote names; empty where it names none.
pub fn tenant(quote: &str) -> String {
    #[derive(Default, Deserialize)]
    struct Named {
        #[serde(default)]
        tenant: String,
    }
    serde_json::from_str::<Named>(quote).unwrap_or_default().tenant
}

/// Id of the `number`th quote of `run`.
pub fn id(run: u64, number: u64) -> String {
    format!("lt-{run:016x}-{number:016x}")
}

/// The number in an id of this run; `None` for one of another.
pub fn number(run: u64, id: &[u8]) -> Option<u64> {
    let (of, number) = std::str::from_utf8(id).ok()?.strip_prefix("lt-")?.split_once('-')?;
    (u64::from_str_radix(of, 16) == Ok(run)).then(|| u64::from_str_radix(number, 16).ok())?
}

/// From the first `most` lines of a quotes file.
pub fn load(quotes: impl BufRead, most: usize, as_is: bool) -> Result<Vec<Template>> {
    let mut out = Vec::new();
    for (number, line) in quotes.lines().take(most).enumerate() {
        let template = line.map_err(Into::into).and_then(|line| Template::build(&line, as_is));
        out.push(template.with_context(|| format!("quotes, line {}", number + 1))?);
    }
    if out.is_empty() {
        bail!("the quotes file has no lines");
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_patched_and_ids_found_again() {
        let quote =
            r#"{"product":"osago","quote_id":"old","tenant":"t","vehicle":{"vin":"ХTA"},"submitted_at":"2026-11-01T00:00:00Z"}"#;
        let template = Template::build(quote, false).expect("valid");
        let mut sent = b"before".to_vec();
        template.append(&mut sent, 10, 11, 0);
        assert_eq!((sent.len(), template.tenant()), (6 + template.size(), "t"));
        let fields: Value = serde_json::from_slice(&sent[6..]).expect("JSON");
        assert_eq!(fields["quote_id"], "lt-000000000000000a-000000000000000b");
        assert_eq!(fields["submitted_at"], "1970-01-01T00:00:00.000Z");
        assert_eq!(fields["vehicle"]["vin"], "ХTA");
        let id = id(10, 11);
        assert_eq!((number(10, id.as_bytes()), number(9, id.as_bytes()), number(10, b"q-1")), (Some(11), None, None));

        let mut kept = Vec::new();
        Template::build(quote, true).expect("valid").append(&mut kept, 1, 1, 0);
        assert_eq!(kept, quote.as_bytes());
        assert!(Template::build("[1]", false).is_err());
    }
}
