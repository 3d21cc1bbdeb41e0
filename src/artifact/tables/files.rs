//! `files/v1`: whole files as rows (an ONNX network, a model card, a report).

use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch, StringArray};

use crate::on_disk::columns::{binaries, texts};
use crate::on_disk::table::{Key, TableReader, TableRow, TableWriter};
use crate::schema::FILES;
use crate::schema::error::Invalid;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRow {
    /// A plain file name: it can be written into any folder without leaving it.
    pub name: String,
    pub bytes: Vec<u8>,
}

pub type FilesWriter = TableWriter<FileRow>;
pub type FilesReader = TableReader<FileRow>;

impl TableRow for FileRow {
    const KIND: &'static str = FILES;

    fn bytes(&self) -> usize {
        self.name.len() + self.bytes.len()
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        vec![
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| &row.name),
            )),
            Arc::new(BinaryArray::from_iter_values(
                rows.iter().map(|row| &row.bytes),
            )),
        ]
    }

    fn rows(batch: &RecordBatch, rows: &mut Vec<Self>) -> Result<(), Invalid> {
        let (names, bytes) = (texts(batch, 0), binaries(batch, 1));
        rows.extend((0..batch.num_rows()).map(|row| Self {
            name: names.value(row).to_string(),
            bytes: bytes.value(row).to_vec(),
        }));
        Ok(())
    }

    fn check(&self) -> Result<(), Invalid> {
        let plain = !self.name.is_empty()
            && self.name != "."
            && self.name != ".."
            && !self.name.contains(['/', '\\', ':', '\0']);
        if plain {
            Ok(())
        } else {
            Err(Invalid::new(
                "file name",
                "a plain name without a folder",
                format!("`{}`", self.name),
            ))
        }
    }

    fn key(&self) -> Key {
        Key::Distinct(self.name.clone())
    }
}
