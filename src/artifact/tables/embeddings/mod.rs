//! `embeddings/v1`: one vector of fixed length a view or an image, as f16 or f32. Stored plain and
//! uncompressed, so that reading is copying and widening.

pub(crate) mod header;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, FixedSizeListArray, Float16Array, Float32Array, RecordBatch, UInt32Array,
    UInt64Array,
};
use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::on_disk::part::{Part, Positions};
use crate::on_disk::parts::PartList;
use crate::on_disk::vectors::Vectors;
use crate::on_disk::write::{PartWriter, ROW_GROUP_ROWS};
use crate::schema::column::column;
use crate::schema::element;
use crate::schema::failure::{self, Result};
use crate::tables::embeddings::header::{EMBEDDING, EmbeddingsHeader, Of, Precision};

const PAGE_BYTES: usize = 1 << 20;
/// Rows of a batch are few enough that their values stay in the processor's cache while they are
/// written.
const BATCH_VALUES: usize = 1 << 18;

/// Writes the embeddings of one part.
pub struct EmbeddingsWriter {
    part: PartWriter,
    header: EmbeddingsHeader,
}

impl EmbeddingsWriter {
    /// Creates or empties the file at `path`, whose folder must exist. `header` must be the same
    /// for all parts of an output.
    pub fn create(path: &Path, header: &EmbeddingsHeader) -> Result<Self> {
        let metadata = header.to_metadata(path)?;
        let header = EmbeddingsHeader::from_metadata(path, &metadata)?;
        Ok(Self {
            part: PartWriter::create(
                path,
                header::TABLE.kind,
                &(header::TABLE.columns)(path, &metadata)?,
                &metadata,
                PAGE_BYTES,
            )?,
            header,
        })
    }

    /// Appends rows; for f16, each value is rounded to the nearest, ties to even.
    ///
    /// # Shapes
    /// - `ids`: `[N]`; ids of images must fit u32
    /// - `values`: `[N, D]`, row-major
    pub fn write(&mut self, ids: &[u64], values: &[f32]) -> Result<()> {
        let dimension = self.header.dimension;
        if ids.len().checked_mul(dimension) != Some(values.len()) {
            let expected = format!("{} rows of {dimension}", ids.len());
            return Err(failure::unexpected(
                self.part.path(),
                "values",
                expected,
                values.len(),
            ));
        }
        self.header.check(ids, values)?;
        let rows = (BATCH_VALUES / dimension).clamp(1, ROW_GROUP_ROWS);
        for (ids, values) in ids.chunks(rows).zip(values.chunks(rows * dimension)) {
            let ids = self.ids(ids)?;
            let values: ArrayRef = match self.header.precision {
                Precision::F32 => Arc::new(Float32Array::from(values.to_vec())),
                Precision::F16 => {
                    let mut narrow = vec![f16::ZERO; values.len()];
                    narrow.convert_from_f32_slice(values);
                    Arc::new(Float16Array::from(narrow))
                }
            };
            let field = element(values.data_type().clone());
            let vectors = FixedSizeListArray::new(field, dimension as i32, values, None);
            let batch =
                RecordBatch::try_new(self.part.schema().clone(), vec![ids, Arc::new(vectors)])
                    .unwrap_or_else(|error| {
                        panic!("BUG: embeddings do not fit their schema: {error}")
                    });
            self.part.write(&batch)?;
        }
        Ok(())
    }

    fn ids(&self, ids: &[u64]) -> Result<ArrayRef> {
        if self.header.of == Of::Views {
            return Ok(Arc::new(UInt64Array::from(ids.to_vec())));
        }
        let narrow: std::result::Result<Vec<u32>, _> =
            ids.iter().map(|id| u32::try_from(*id)).collect();
        let narrow = narrow.map_err(|_| {
            let largest = ids
                .iter()
                .max()
                .expect("BUG: an id that does not fit is an id");
            failure::unexpected(self.part.path(), "image_id", "at most 4294967295", largest)
        })?;
        Ok(Arc::new(UInt32Array::from(narrow)))
    }

    /// Writes the footer and returns the number of rows. A file that was not finished is not
    /// readable.
    pub fn finish(self) -> Result<u64> {
        self.part.finish()
    }
}

/// Embeddings of a range of rows.
#[derive(Clone, Debug, PartialEq)]
pub struct Embeddings {
    /// `[N]`: of views or of images, as the header says.
    pub ids: Vec<u64>,
    /// `[N, D]`, row-major; f16 is widened exactly.
    pub values: Vec<f32>,
}

/// Reads the embeddings of an output over all its parts.
pub struct EmbeddingsReader {
    pub(crate) parts: PartList,
    pub(crate) header: EmbeddingsHeader,
}

impl EmbeddingsReader {
    /// Opens the parts, given in logical row order.
    pub fn open(parts: &[PathBuf]) -> Result<Self> {
        let parts = PartList::open(parts, &[header::TABLE], Positions::Load)?;
        let header = EmbeddingsHeader::from_metadata(parts.first().path(), parts.metadata())?;
        Ok(Self { parts, header })
    }

    pub fn header(&self) -> &EmbeddingsHeader {
        &self.header
    }

    /// Values of a vector.
    pub fn dimension(&self) -> usize {
        self.header.dimension
    }

    pub fn rows(&self) -> usize {
        self.parts.rows()
    }

    /// Reads a range of rows: `ids` `[N]`, `values` `[N, D]`. Fails when the range ends beyond the
    /// rows.
    pub fn read(&self, rows: Range<usize>) -> Result<Embeddings> {
        let mut ids = Vec::new();
        let mut values = Vec::new();
        for (part, within) in self.parts.spans(rows)? {
            let part = self.parts.part(part);
            let id = self.header.of.column();
            for batch in part.batches(within.clone(), &[part.column(id)])? {
                let batch = batch?;
                match self.header.of {
                    Of::Views => ids.extend_from_slice(column::<u64>(&batch, id).values()),
                    Of::Images => ids.extend(
                        column::<u32>(&batch, id)
                            .values()
                            .iter()
                            .map(|id| u64::from(*id)),
                    ),
                }
            }
            // The ids were read, so the part does hold this many rows.
            values.reserve(within.len() * self.header.dimension);
            vectors(part, &self.header).visit(within, |bytes| {
                widen(bytes, self.header.precision, &mut values)
            })?;
        }
        self.header
            .check(&ids, &values)
            .map_err(|wrong| failure::of(self.parts.first().path(), wrong))?;
        Ok(Embeddings { ids, values })
    }
}

/// The vectors of a part.
pub(crate) fn vectors<'a>(part: &'a Part, header: &EmbeddingsHeader) -> Vectors<'a> {
    Vectors {
        part,
        column: part.column(EMBEDDING),
        dimension: header.dimension,
        width: header.precision.width(),
    }
}

/// Appends little-endian values as f32.
pub(crate) fn widen(bytes: &[u8], precision: Precision, values: &mut Vec<f32>) {
    match precision {
        Precision::F32 => {
            values.extend(
                bytes
                    .as_chunks::<4>()
                    .0
                    .iter()
                    .map(|value| f32::from_le_bytes(*value)),
            );
        }
        Precision::F16 => {
            let mut block = [f16::ZERO; 512];
            for bytes in bytes.chunks(2 * block.len()) {
                let narrow = &mut block[..bytes.len() / 2];
                for (value, bytes) in narrow.iter_mut().zip(bytes.as_chunks::<2>().0) {
                    *value = f16::from_le_bytes(*bytes);
                }
                let first = values.len();
                values.resize(first + narrow.len(), 0.0);
                narrow.convert_to_f32_slice(&mut values[first..]);
            }
        }
    }
}

#[cfg(test)]
mod tests;
