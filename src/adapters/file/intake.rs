//! One record of a file to a quote, or why it is none.

use std::borrow::Cow;

use crate::contract::csv::{CsvColumns, CsvMapping};
use crate::contract::error::DecodeErrorKind;
use crate::contract::quote::decode;
use crate::engine::limits::BODY_BYTES_MAX;
use crate::engine::quote::Quote;

/// Why a record is no quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Stable code.
    pub reason: &'static str,
    /// What is wrong and how to put it right.
    pub error: String,
    /// JSON pointer of the first offending field, empty for the whole record.
    pub pointer: String,
}

impl Refused {
    pub fn too_long() -> Refused {
        Refused {
            reason: DecodeErrorKind::TooLarge.name(),
            error: format!("the record has more than {BODY_BYTES_MAX} bytes; raw holds its beginning"),
            pointer: String::new(),
        }
    }

    fn csv(error: impl ToString) -> Refused {
        Refused { reason: "not_csv", error: error.to_string(), pointer: String::new() }
    }
}

/// Reads a record as JSON, or as a row under `columns`. Gives the quote and its JSON, which is what the log keeps.
pub fn read_quote<'r>(record: &'r [u8], columns: Option<&Columns>) -> Result<(Quote, Cow<'r, [u8]>), Refused> {
    let json = match columns {
        None => Cow::Borrowed(record),
        Some(columns) => Cow::Owned(columns.to_json(record)?),
    };
    match decode(&json, None) {
        Ok(decoded) => Ok((decoded.quote, json)),
        Err(error) => Err(Refused {
            reason: error.kind.name(),
            pointer: error.pointer().unwrap_or_default().to_owned(),
            error: error.to_string(),
        }),
    }
}

/// The header of a CSV file.
pub struct Columns(CsvColumns);

impl Columns {
    /// # Errors
    /// A header that is no UTF-8 or names a column twice, or lacks one of the mapping.
    pub fn parse(header: &[u8], mapping: &CsvMapping) -> Result<Columns, Refused> {
        let row = csv::StringRecord::from_byte_record(row(header)?).map_err(Refused::csv)?;
        CsvColumns::from_header(row.iter().map(str::trim), mapping).map(Columns).map_err(Refused::csv)
    }

    /// Of columns that have their names elsewhere.
    ///
    /// # Errors
    /// A name that stands twice, more drivers or extras than a quote may have.
    pub fn named<'h>(names: impl IntoIterator<Item = &'h str>) -> Result<Columns, Refused> {
        CsvColumns::from_header(names, &CsvMapping::default()).map(Columns).map_err(Refused::csv)
    }

    /// Names that are no field of a quote.
    pub fn unknown(&self) -> u32 {
        self.0.unknown()
    }

    /// The JSON of a row of cells; an empty one is "not given".
    ///
    /// # Errors
    /// Another number of cells than of names.
    pub fn row<'c>(&self, cells: impl IntoIterator<Item = &'c str>) -> Result<Vec<u8>, Refused> {
        let mut json = Vec::with_capacity(1024);
        self.0.write_json(&cells.into_iter().collect(), &mut json).map_err(Refused::csv)?;
        Ok(json)
    }

    fn to_json(&self, record: &[u8]) -> Result<Vec<u8>, Refused> {
        let mut json = Vec::with_capacity(record.len() * 2 + 256);
        self.0.write_json(&row(record)?, &mut json).map_err(Refused::csv)?;
        Ok(json)
    }
}

fn row(record: &[u8]) -> Result<csv::ByteRecord, Refused> {
    let mut reader =
        csv::ReaderBuilder::new().has_headers(false).flexible(true).buffer_capacity(record.len().max(1)).from_reader(record);
    let mut row = csv::ByteRecord::new();
    reader.read_byte_record(&mut row).map_err(Refused::csv)?;
    Ok(row)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_and_its_json_are_the_same_quote() {
        let header = "quote_id,submitted_at,product,channel.kind,policyholder.last_name,policyholder.first_name,premium";
        let columns = Columns::parse(header.as_bytes(), &CsvMapping::default()).expect("a header");
        let (quote, json) =
            read_quote(b"q-1,2026-11-24T09:30:00Z,osago,web,\"Ivanova, jr\",Anna,100.5", Some(&columns)).expect("a quote");
        assert_eq!(quote.policyholder.last_name.as_deref(), Some("Ivanova, jr"));
        assert_eq!(quote.premium, Some(100.5));
        assert_eq!(read_quote(&json, None).expect("a quote").0, quote);
    }

    #[test]
    fn what_is_wrong_is_told() {
        let columns = Columns::parse(b"quote_id,submitted_at", &CsvMapping::default()).expect("a header");
        for (record, columns, reason, pointer) in [
            (&b"{"[..], None, "not_json", ""),
            (b"\xFF", None, "invalid_utf8", ""),
            (br#"{"quote_id":7}"#, None, "invalid_fields", "/quote_id"),
            (b"a,b,c", Some(&columns), "not_csv", ""),
            (b"a,soon", Some(&columns), "invalid_fields", "/submitted_at"),
        ] {
            let refused = read_quote(record, columns).map(|_| ()).expect_err("no quote");
            assert_eq!((refused.reason, refused.pointer.as_str()), (reason, pointer), "{}", refused.error);
        }
        assert!(Columns::parse(b"quote_id,quote_id", &CsvMapping::default()).is_err());
        assert!(Columns::parse(b"\xFF", &CsvMapping::default()).is_err());
    }

    #[test]
    fn a_mapping_reads_the_columns_of_others() {
        let mapping: CsvMapping = toml::from_str(
            "[columns]\n\"Заявка\" = 'quote_id'\nwhen = 'submitted_at'\n'Фамилия' = 'policyholder.last_name'\n\
             [constants]\nproduct = 'osago'\n'channel.kind' = 'web'\n'policyholder.first_name' = ''\npremium = '7'\n",
        )
        .expect("a mapping");
        assert_eq!(mapping.check(), Ok(()));
        let columns = Columns::parse("Заявка,when,Фамилия,other".as_bytes(), &mapping).expect("a header");
        let (quote, _) = read_quote("q-1,2026-11-24T09:30:00Z,Лесная,x".as_bytes(), Some(&columns)).expect("a quote");
        assert_eq!(
            (&*quote.product, quote.policyholder.last_name.as_deref(), quote.premium),
            ("osago", Some("Лесная"), Some(7.0))
        );
        for (header, said) in [
            ("Заявка,when", "the mapping names the column Фамилия, which is not in the header"),
            ("Заявка,when,Фамилия,quote_id", "column quote_id: this name stands in the header twice"),
            ("Заявка,when,Фамилия,product", "column product: this name stands in the header twice"),
        ] {
            let refused = Columns::parse(header.as_bytes(), &mapping).map(|_| ()).expect_err(header);
            assert_eq!(refused.error, said, "{header}");
        }
        let wrong: CsvMapping = toml::from_str("[columns]\nx = 'vehicle.vim'").expect("a mapping");
        let error = wrong.check().expect_err("no field").to_string();
        assert_eq!(error, "the mapping gives vehicle.vim, which is no field of a quote: did you mean `vehicle.vin`?");
    }
}
