//! `predictions/v1`: the best classes of each image and their probabilities.

use std::sync::Arc;

use arrow::array::{Array, Float32Array};
use arrow::array::{ArrayRef, Int32Array, ListArray, RecordBatch, UInt32Array};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Float32Type, Int32Type, UInt32Type};

use crate::on_disk::columns::{list_numbers, list_range, lists, numbers};
use crate::on_disk::table::{TableReader, TableRow, TableWriter};
use crate::schema::error::Invalid;
use crate::schema::{PREDICTIONS, element};

#[derive(Clone, Debug, PartialEq)]
pub struct PredictionRow {
    pub image_id: u32,
    /// The true class where it is known.
    pub label: Option<i32>,
    /// The top-k classes, best first.
    pub classes: Vec<i32>,
    /// Their probabilities, in the same order.
    pub probabilities: Vec<f32>,
}

pub type PredictionsWriter = TableWriter<PredictionRow>;
pub type PredictionsReader = TableReader<PredictionRow>;

impl TableRow for PredictionRow {
    const KIND: &'static str = PREDICTIONS;

    fn bytes(&self) -> usize {
        4 * self.classes.len() + 4 * self.probabilities.len()
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        let offsets = || OffsetBuffer::from_lengths(rows.iter().map(|row| row.classes.len()));
        let classes =
            Int32Array::from_iter_values(rows.iter().flat_map(|row| row.classes.iter().copied()));
        let probabilities = Float32Array::from_iter_values(
            rows.iter()
                .flat_map(|row| row.probabilities.iter().copied()),
        );
        vec![
            Arc::new(UInt32Array::from_iter_values(
                rows.iter().map(|row| row.image_id),
            )),
            Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.label))),
            Arc::new(ListArray::new(
                element(DataType::Int32),
                offsets(),
                Arc::new(classes),
                None,
            )),
            Arc::new(ListArray::new(
                element(DataType::Float32),
                offsets(),
                Arc::new(probabilities),
                None,
            )),
        ]
    }

    fn rows(batch: &RecordBatch, rows: &mut Vec<Self>) -> Result<(), Invalid> {
        let image_ids = numbers::<UInt32Type>(batch, 0).values();
        let labels = numbers::<Int32Type>(batch, 1);
        let (classes, probabilities) = (lists(batch, 2), lists(batch, 3));
        rows.extend((0..batch.num_rows()).map(|row| Self {
            image_id: image_ids[row],
            label: labels.is_valid(row).then(|| labels.value(row)),
            classes: list_numbers::<Int32Type>(classes)[list_range(classes, row)].to_vec(),
            probabilities:
                list_numbers::<Float32Type>(probabilities)[list_range(probabilities, row)].to_vec(),
        }));
        Ok(())
    }

    fn check(&self) -> Result<(), Invalid> {
        if self.classes.len() == self.probabilities.len() {
            return Ok(());
        }
        let what = format!("probabilities of image {}", self.image_id);
        Err(Invalid::new(
            what,
            format!("{} as there are classes", self.classes.len()),
            self.probabilities.len(),
        ))
    }
}
