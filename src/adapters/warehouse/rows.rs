//! Decisions as rows of a Parquet file.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;

use ::parquet::basic::Compression;
use ::parquet::data_type::{ByteArray, ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use ::parquet::errors::Result;
use ::parquet::file::properties::WriterProperties;
use ::parquet::file::writer::{SerializedFileWriter, SerializedRowGroupWriter};
use ::parquet::schema::parser::parse_message_type;

use crate::contract::decision::DecisionV1;
use crate::pipeline::desk::feed::DecisionRecord;

/// `json` is the whole DecisionV1; the other columns are for queries. No personal data, as in the decision itself.
const SCHEMA: &str = "message decision {
    required binary decision_id (STRING);
    required int32 revision;
    required binary quote_id (STRING);
    required binary tenant_id (STRING);
    required binary decision (STRING);
    required binary answer (STRING);
    optional binary referral_id (STRING);
    required binary rules (STRING);
    required int32 attempts;
    required int32 suspicious_attempts;
    required double suspicion;
    required int32 linked_total;
    required int32 rule_book_version;
    required binary engine (STRING);
    required int64 event_time (TIMESTAMP(MICROS,true));
    required int32 log_partition;
    required int64 log_offset;
    optional binary cause_quote_id (STRING);
    required binary flags (STRING);
    required binary json (STRING);
}";

/// The decisions of one file, in the order of the log.
pub struct Part {
    /// `YYYY-MM-DD`, of the event time by UTC.
    pub date: String,
    pub tenant: String,
    rows: Vec<DecisionRecord>,
}

/// Sorts decisions into the files they belong to.
pub fn parts(decisions: Vec<DecisionRecord>) -> Vec<Part> {
    let mut parts: BTreeMap<(String, String), Vec<DecisionRecord>> = BTreeMap::new();
    for record in decisions {
        // Decisions are written by UTC.
        let date = record.decision.event_time.get(..10).unwrap_or_default().to_owned();
        parts.entry((date, record.decision.tenant.clone())).or_default().push(record);
    }
    parts.into_iter().map(|((date, tenant), rows)| Part { date, tenant, rows }).collect()
}

impl Part {
    /// # Errors
    /// The file cannot be written.
    pub(super) fn write(&self, out: impl Write + Send) -> Result<()> {
        let schema = Arc::new(parse_message_type(SCHEMA)?);
        let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
        let mut writer = SerializedFileWriter::new(out, schema, Arc::new(properties))?;
        Columns { group: writer.next_row_group()?, rows: &self.rows }.write()?;
        writer.close()?;
        Ok(())
    }
}

/// Columns in the order of the schema.
struct Columns<'a, W: Write + Send> {
    group: SerializedRowGroupWriter<'a, W>,
    rows: &'a [DecisionRecord],
}

impl<W: Write + Send> Columns<'_, W> {
    fn write(mut self) -> Result<()> {
        self.text(|d| d.decision_id.clone())?;
        self.int(|d| d.revision)?;
        self.text(|d| d.quote_id.clone())?;
        self.text(|d| d.tenant.clone())?;
        self.text(|d| d.decision.name().to_owned())?;
        self.text(|d| d.answer.name().to_owned())?;
        self.optional(|d| d.referral_id.clone())?;
        self.text(|d| joined(d.reasons.iter().map(|reason| reason.rule.clone())))?;
        self.int(|d| d.attempts)?;
        self.int(|d| d.suspicious_attempts)?;
        let suspicion: Vec<f64> = self.rows.iter().map(|row| row.decision.suspicion).collect();
        self.column::<DoubleType>(&suspicion, None)?;
        self.int(|d| d.linked_total)?;
        self.int(|d| d.rule_book.version)?;
        self.text(|d| d.engine.clone())?;
        let times: Vec<i64> = self.rows.iter().map(|row| row.event_time.0).collect();
        self.column::<Int64Type>(&times, None)?;
        self.int(|d| d.position.partition)?;
        let offsets: Vec<i64> = self.rows.iter().map(|row| row.decision.position.offset.cast_signed()).collect();
        self.column::<Int64Type>(&offsets, None)?;
        self.optional(|d| d.cause.as_ref().map(|cause| cause.quote_id.clone()))?;
        self.text(|d| joined(d.flags.iter().filter_map(|flag| serde_json::to_value(flag).ok()?.as_str().map(str::to_owned))))?;
        let json: Vec<ByteArray> = self.rows.iter().map(|row| row.json.as_str().into()).collect();
        self.column::<ByteArrayType>(&json, None)?;
        self.group.close()?;
        Ok(())
    }

    fn text(&mut self, of: impl Fn(&DecisionV1) -> String) -> Result<()> {
        let values: Vec<ByteArray> = self.rows.iter().map(|row| of(&row.decision).into_bytes().into()).collect();
        self.column::<ByteArrayType>(&values, None)
    }

    fn int(&mut self, of: impl Fn(&DecisionV1) -> u32) -> Result<()> {
        let values: Vec<i32> = self.rows.iter().map(|row| of(&row.decision).cast_signed()).collect();
        self.column::<Int32Type>(&values, None)
    }

    fn optional(&mut self, of: impl Fn(&DecisionV1) -> Option<String>) -> Result<()> {
        let cells: Vec<Option<String>> = self.rows.iter().map(|row| of(&row.decision)).collect();
        let is_there: Vec<i16> = cells.iter().map(|cell| i16::from(cell.is_some())).collect();
        let values: Vec<ByteArray> = cells.into_iter().flatten().map(|text| text.into_bytes().into()).collect();
        self.column::<ByteArrayType>(&values, Some(&is_there))
    }

    fn column<T: DataType>(&mut self, values: &[T::T], is_there: Option<&[i16]>) -> Result<()> {
        // As many as the schema has.
        let Some(mut column) = self.group.next_column()? else { return Ok(()) };
        column.typed::<T>().write_batch(values, is_there, None)?;
        column.close()
    }
}

fn joined(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(",")
}
