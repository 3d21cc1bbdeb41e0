//! `rejected/v1`: the sources that `ingest` could not use, and why.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};

use crate::on_disk::columns::texts;
use crate::on_disk::table::{TableReader, TableRow, TableWriter};
use crate::schema::REJECTED;
use crate::schema::error::Invalid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RejectedRow {
    /// As in `images/v1`: the path within the source, or file and row.
    pub source: String,
    pub reason: String,
}

pub type RejectedWriter = TableWriter<RejectedRow>;
pub type RejectedReader = TableReader<RejectedRow>;

impl TableRow for RejectedRow {
    const KIND: &'static str = REJECTED;

    fn bytes(&self) -> usize {
        self.source.len() + self.reason.len()
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        vec![
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| &row.source),
            )),
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| &row.reason),
            )),
        ]
    }

    fn rows(batch: &RecordBatch, rows: &mut Vec<Self>) -> Result<(), Invalid> {
        let (sources, reasons) = (texts(batch, 0), texts(batch, 1));
        rows.extend((0..batch.num_rows()).map(|row| Self {
            source: sources.value(row).to_string(),
            reason: reasons.value(row).to_string(),
        }));
        Ok(())
    }
}
