//! `images/v1`: the images as found, each with the BLAKE3 of its encoded bytes, its size after EXIF orientation, label, split and source.
//!
//! The encoded bytes are stored plain, uncompressed and one image to a page, so that Parquet's own offset index says where every image
//! is: [`crate::ImagesReader::bytes`] is one `pread`, from any thread in any order. A part that was laid out otherwise is read through
//! the Parquet decoder, slower but equal.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BinaryArray, FixedSizeBinaryArray, Int32Array, RecordBatch, StringArray,
    UInt32Array,
};
use arrow::buffer::Buffer;
use arrow::datatypes::{Int32Type, UInt32Type};

use crate::on_disk::columns::{binaries, fixed, numbers, texts};
use crate::on_disk::table::{Key, TableRow, TableWriter};
use crate::schema::IMAGES;
use crate::schema::error::Invalid;

/// Column of the encoded bytes.
pub(crate) const BYTES: usize = 3;
/// Column of the sources.
pub(crate) const SOURCE: usize = 9;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRow {
    /// Strictly ascending over the rows of an output.
    pub image_id: u32,
    /// BLAKE3 of `bytes`.
    pub digest: [u8; 32],
    /// How many earlier rows have this digest.
    pub occurrence: u32,
    /// Encoded as found.
    pub bytes: Vec<u8>,
    /// In pixels, after EXIF orientation.
    pub width: u32,
    pub height: u32,
    pub label: Option<i32>,
    pub label_name: Option<String>,
    pub split: String,
    /// Path within the source, or file and row.
    pub source: String,
}

pub type ImagesWriter = TableWriter<ImageRow>;

impl TableRow for ImageRow {
    const KIND: &'static str = IMAGES;

    fn bytes(&self) -> usize {
        self.bytes.len()
            + self.label_name.as_ref().map_or(0, String::len)
            + self.split.len()
            + self.source.len()
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        let integers = |number: fn(&Self) -> u32| -> ArrayRef {
            Arc::new(UInt32Array::from_iter_values(rows.iter().map(number)))
        };
        let digests: Vec<u8> = rows.iter().flat_map(|row| row.digest).collect();
        vec![
            integers(|row| row.image_id),
            Arc::new(FixedSizeBinaryArray::new(
                32,
                Buffer::from_vec(digests),
                None,
            )),
            integers(|row| row.occurrence),
            Arc::new(BinaryArray::from_iter_values(
                rows.iter().map(|row| &row.bytes),
            )),
            integers(|row| row.width),
            integers(|row| row.height),
            Arc::new(Int32Array::from_iter(rows.iter().map(|row| row.label))),
            Arc::new(StringArray::from_iter(
                rows.iter().map(|row| row.label_name.as_ref()),
            )),
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| &row.split),
            )),
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| &row.source),
            )),
        ]
    }

    fn rows(batch: &RecordBatch, rows: &mut Vec<Self>) -> Result<(), Invalid> {
        let integer = |column: usize| numbers::<UInt32Type>(batch, column).values();
        let (digests, bytes, labels) = (
            fixed(batch, 1),
            binaries(batch, BYTES),
            numbers::<Int32Type>(batch, 6),
        );
        let (names, splits, sources) = (texts(batch, 7), texts(batch, 8), texts(batch, 9));
        for row in 0..batch.num_rows() {
            rows.push(Self {
                image_id: integer(0)[row],
                digest: digest(digests, row),
                occurrence: integer(2)[row],
                bytes: bytes.value(row).to_vec(),
                width: integer(4)[row],
                height: integer(5)[row],
                label: labels.is_valid(row).then(|| labels.value(row)),
                label_name: names.is_valid(row).then(|| names.value(row).to_string()),
                split: splits.value(row).to_string(),
                source: sources.value(row).to_string(),
            });
        }
        Ok(())
    }

    fn check(&self) -> Result<(), Invalid> {
        if *blake3::hash(&self.bytes).as_bytes() == self.digest {
            return Ok(());
        }
        let what = format!("digest of image {}", self.image_id);
        Err(Invalid::new(what, "the BLAKE3 of its bytes", "another"))
    }

    fn key(&self) -> Key {
        Key::Ascending(u64::from(self.image_id))
    }
}

pub(crate) fn digest(digests: &FixedSizeBinaryArray, row: usize) -> [u8; 32] {
    digests
        .value(row)
        .try_into()
        .expect("BUG: the schema says 32 bytes")
}
