//! `metrics/v1`: one measured number a row. No rates and no seconds: those are telemetry, outside every digest.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array, RecordBatch, StringArray, UInt64Array};
use arrow::datatypes::{Float64Type, UInt64Type};

use crate::on_disk::columns::{numbers, texts};
use crate::on_disk::table::{TableReader, TableRow, TableWriter};
use crate::schema::METRICS;
use crate::schema::error::Invalid;

#[derive(Clone, Debug, PartialEq)]
pub struct MetricRow {
    /// Optimiser step after which it was measured; 0 for a single measurement.
    pub step: u64,
    /// `train`, `val`, `test`…
    pub split: String,
    /// `loss`, `knn_top1`…
    pub name: String,
    /// Accuracies are fractions.
    pub value: f64,
}

pub type MetricsWriter = TableWriter<MetricRow>;
pub type MetricsReader = TableReader<MetricRow>;

impl TableRow for MetricRow {
    const KIND: &'static str = METRICS;

    fn bytes(&self) -> usize {
        self.split.len() + self.name.len()
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        vec![
            Arc::new(UInt64Array::from_iter_values(
                rows.iter().map(|row| row.step),
            )),
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| &row.split),
            )),
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| &row.name),
            )),
            Arc::new(Float64Array::from_iter_values(
                rows.iter().map(|row| row.value),
            )),
        ]
    }

    fn rows(batch: &RecordBatch, rows: &mut Vec<Self>) -> Result<(), Invalid> {
        let steps = numbers::<UInt64Type>(batch, 0).values();
        let (splits, names) = (texts(batch, 1), texts(batch, 2));
        let values = numbers::<Float64Type>(batch, 3).values();
        rows.extend((0..batch.num_rows()).map(|row| Self {
            step: steps[row],
            split: splits.value(row).to_string(),
            name: names.value(row).to_string(),
            value: values[row],
        }));
        Ok(())
    }
}
