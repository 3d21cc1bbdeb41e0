//! Parquet for a user's own tools, outside the cache: what a network made of image files. No
//! artifact kind.

pub(crate) mod reader;

use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use crate::schema::column::{Column, list};
use crate::schema::failure::{self, Result};
use crate::schema::metadata::Metadata;

/// One image and what was made of it.
#[derive(Clone, Debug, PartialEq)]
pub enum SeenRow {
    /// Columns `image`, `embedding`.
    Embedding { image: String, embedding: Vec<f32> },
    /// Columns `image`, `classes`, `names`, `probabilities`, best first. Where the classes are not
    /// known `outputs` stands for both, counted from 0 in the network's order.
    Prediction {
        image: String,
        /// Labels, or outputs.
        numbers: Vec<i32>,
        names: Option<Vec<String>>,
        probabilities: Vec<f32>,
    },
}

/// Of our keys in the footer, so that they meet no other program's.
pub(crate) const METADATA_PREFIX: &str = "seedpipe.";

/// Rows that are collected before they are written.
const ROWS: usize = 1024;

/// Writes rows of one sort to a file.
pub struct SeenWriter {
    path: PathBuf,
    metadata: Metadata,
    pending: Vec<SeenRow>,
    writer: Option<ArrowWriter<BufWriter<File>>>,
}

impl SeenWriter {
    /// The file is created with the first rows; `metadata` is kept in its footer.
    pub fn create(path: &Path, metadata: &Metadata) -> Self {
        Self {
            path: path.to_owned(),
            metadata: metadata.clone(),
            pending: Vec::new(),
            writer: None,
        }
    }

    pub fn write(&mut self, row: SeenRow) -> Result<()> {
        self.pending.push(row);
        if self.pending.len() == ROWS {
            self.flush()?;
        }
        Ok(())
    }

    /// Writes the footer; without any row there is no file, and `false` says so.
    pub fn finish(mut self) -> Result<bool> {
        self.flush()?;
        let Some(writer) = self.writer else {
            return Ok(false);
        };
        let wrong = |error| failure::parquet(&self.path, "cannot write", error);
        let file = writer.into_inner().map_err(wrong)?;
        let file = file
            .into_inner()
            .map_err(|error| failure::io(&self.path, "cannot write", error.into_error()))?;
        file.sync_all()
            .map_err(|error| failure::io(&self.path, "cannot write", error))?;
        Ok(true)
    }

    fn flush(&mut self) -> Result<()> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let batch = batch(&self.pending);
        self.pending.clear();
        let writer = match &mut self.writer {
            Some(writer) => writer,
            None => {
                let file = fs_err::File::create(&self.path)
                    .map_err(|error| failure::io(&self.path, "cannot create", error))?
                    .into_file();
                let entries = self.metadata.iter().map(|(key, value)| {
                    KeyValue::new(format!("{METADATA_PREFIX}{key}"), value.clone())
                });
                let properties = WriterProperties::builder()
                    .set_key_value_metadata(Some(entries.collect()))
                    .build();
                let schema = batch.schema();
                let writer =
                    ArrowWriter::try_new(BufWriter::new(file), schema, Some(properties))
                        .map_err(|error| failure::parquet(&self.path, "cannot write", error))?;
                self.writer.insert(writer)
            }
        };
        writer
            .write(&batch)
            .map_err(|error| failure::parquet(&self.path, "cannot write", error))
    }
}

fn batch(rows: &[SeenRow]) -> RecordBatch {
    let (mut images, mut embeddings) = (vec![], vec![]);
    let (mut numbers, mut names, mut probabilities) = (vec![], vec![], vec![]);
    for row in rows {
        match row {
            SeenRow::Embedding { image, embedding } => {
                images.push(image);
                embeddings.push(embedding);
            }
            SeenRow::Prediction {
                image,
                numbers: these,
                names: called,
                probabilities: sure,
            } => {
                images.push(image);
                numbers.push(these);
                names.extend(called);
                probabilities.push(sure);
            }
        }
    }
    let images = String::array(images.into_iter());
    let mut columns: Vec<(&str, ArrayRef)> = vec![("image", Arc::new(images))];
    if embeddings.is_empty() {
        let are_known = !names.is_empty();
        let lengths = names.iter().map(|names| names.len());
        let texts = StringArray::from_iter_values(names.iter().copied().flatten());
        let numbers = Vec::<i32>::array(numbers.into_iter());
        let probabilities = Vec::<f32>::array(probabilities.into_iter());
        columns.push((
            if are_known { "classes" } else { "outputs" },
            Arc::new(numbers),
        ));
        if are_known {
            columns.push(("names", Arc::new(list(lengths, texts))));
        }
        columns.push(("probabilities", Arc::new(probabilities)));
    } else {
        let embeddings = Vec::<f32>::array(embeddings.into_iter());
        columns.push(("embedding", Arc::new(embeddings)));
    }
    let fields: Vec<Field> = columns
        .iter()
        .map(|(name, values)| Field::new(*name, DataType::clone(values.data_type()), false))
        .collect();
    let columns = columns.into_iter().map(|(_, values)| values).collect();
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
        .unwrap_or_else(|error| panic!("BUG: columns of what was seen do not fit: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

    #[test]
    fn rows_read_back_in_their_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen.parquet");
        let mut writer = SeenWriter::create(&path, &Metadata::new());
        for index in 0..ROWS + 1 {
            writer
                .write(SeenRow::Prediction {
                    image: format!("{index}.png"),
                    numbers: vec![index as i32, 7],
                    names: Some(vec!["a".to_owned(), "b".to_owned()]),
                    probabilities: vec![0.75, 0.25],
                })
                .unwrap();
        }
        assert!(writer.finish().unwrap());
        let file = std::fs::File::open(&path).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file)
            .unwrap()
            .with_batch_size(2 * ROWS)
            .build()
            .unwrap();
        let batches: Vec<RecordBatch> = reader.map(|batch| batch.unwrap()).collect();
        let last = batches.last().unwrap();
        assert_eq!(
            batches.iter().map(RecordBatch::num_rows).sum::<usize>(),
            ROWS + 1
        );
        let names: Vec<&str> = last
            .schema_ref()
            .fields()
            .iter()
            .map(|field| field.name().as_str())
            .collect();
        assert_eq!(names, ["image", "classes", "names", "probabilities"]);
        let images = last
            .column(0)
            .as_any()
            .downcast_ref::<StringArray>()
            .unwrap();
        assert_eq!(images.value(last.num_rows() - 1), "1024.png");
    }

    #[test]
    fn nothing_seen_leaves_no_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen.parquet");
        assert!(
            !SeenWriter::create(&path, &Metadata::new())
                .finish()
                .unwrap()
        );
        assert!(!path.exists());
    }
}
