//! Embeddings that [`crate::SeenWriter`] wrote, read back in batches of bounded memory. The file is
//! a user's own: nothing of it is believed unchecked.

use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::{DataType, Float32Type};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{PageIndexPolicy, ParquetStatisticsPolicy};

use crate::on_disk::file::PositionedFile;
use crate::on_disk::part::{load, read_batches, row_group_starts};
use crate::schema::failure::{self, Result, guarded};
use crate::schema::metadata::Metadata;
use crate::tables::seen::METADATA_PREFIX;

const NOT_EMBEDDINGS: &str = "expected a file that `seedpipe embed` wrote";

/// A file of embeddings, opened.
pub struct SeenReader {
    path: PathBuf,
    reader: ArrowReaderMetadata,
    starts: Vec<usize>,
    /// Of `image` and `embedding`.
    columns: [usize; 2],
}

impl SeenReader {
    /// Fails where the file is not Parquet, or lacks a text column `image` or a column `embedding`
    /// of lists of f32.
    pub fn open(path: &Path) -> Result<Self> {
        let file = PositionedFile::open(path)?;
        let options = || {
            ArrowReaderOptions::new()
                .with_page_index_policy(PageIndexPolicy::Skip)
                .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        };
        let reader = guarded(path, || load(path, &file, options()))?;
        let starts = row_group_starts(path, reader.metadata(), file.length())?;
        let column = |name: &str, expected: &str, fits: fn(&DataType) -> bool| {
            let found = reader.schema().column_with_name(name);
            match found {
                Some((index, field)) if fits(field.data_type()) => Ok(index),
                found => Err(failure::unexpected(
                    path,
                    format!("column `{name}`"),
                    expected,
                    found.map_or("none".to_owned(), |(_, field)| {
                        field.data_type().to_string()
                    }),
                )
                .hint(NOT_EMBEDDINGS)),
            }
        };
        let columns = [
            column("image", "text", |kind| *kind == DataType::Utf8)?,
            column(
                "embedding",
                "lists of f32",
                |kind| matches!(kind, DataType::List(item) if *item.data_type() == DataType::Float32),
            )?,
        ];
        Ok(Self {
            path: path.to_owned(),
            reader,
            starts,
            columns,
        })
    }

    /// What was said of the whole file when it was written; empty for files from elsewhere.
    pub fn metadata(&self) -> Metadata {
        let footer = self.reader.metadata().file_metadata();
        let entries = footer.key_value_metadata().into_iter().flatten();
        entries
            .filter_map(|entry| {
                let key = entry.key.strip_prefix(METADATA_PREFIX)?;
                Some((key.to_owned(), entry.value.clone()?))
            })
            .collect()
    }

    pub fn rows(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Values of the first embedding; 0 where there is none.
    ///
    /// # Errors
    /// Where the file is damaged.
    pub fn dimension(&self) -> Result<usize> {
        let file = PositionedFile::open(&self.path)?;
        let rows = 0..self.rows().min(1);
        let columns = [self.columns[1]];
        let batches = read_batches(&self.path, file, &self.reader, &self.starts, rows, &columns)?;
        let mut dimension = 0;
        for batch in batches {
            let batch = batch?;
            let embeddings = batch.column(0).as_list::<i32>();
            if embeddings.len() == 1 && embeddings.is_valid(0) {
                dimension = embeddings.value(0).len();
            }
        }
        Ok(dimension)
    }

    /// Calls with each image of some rows and its embedding, in order.
    ///
    /// # Errors
    /// Where the file is damaged, a row is null, or not all embeddings have `length` values.
    pub fn each(
        &self,
        rows: Range<usize>,
        length: usize,
        mut see: impl FnMut(&str, &[f32]),
    ) -> Result<()> {
        let file = PositionedFile::open(&self.path)?;
        let mut columns = self.columns;
        columns.sort_unstable();
        let place = self.columns.map(|column| usize::from(column == columns[1]));
        let batches = read_batches(&self.path, file, &self.reader, &self.starts, rows, &columns)?;
        for batch in batches {
            let batch = batch?;
            guarded(&self.path, || self.batch(&batch, place, length, &mut see))?;
        }
        Ok(())
    }

    fn batch(
        &self,
        batch: &RecordBatch,
        [image, embedding]: [usize; 2],
        length: usize,
        see: &mut impl FnMut(&str, &[f32]),
    ) -> Result<()> {
        let images = batch.column(image).as_string::<i32>();
        let embeddings = batch.column(embedding).as_list::<i32>();
        for row in 0..batch.num_rows() {
            let wrong = |expected: String, got: String| {
                failure::unexpected(&self.path, "an embedding", expected, got)
            };
            if images.is_null(row) || embeddings.is_null(row) {
                return Err(wrong(
                    "an image and its values".to_owned(),
                    "null".to_owned(),
                ));
            }
            let values = embeddings.value(row);
            let values = values.as_primitive::<Float32Type>();
            if values.len() != length || values.null_count() > 0 {
                let got = format!(
                    "{} for `{}`",
                    values.len() - values.null_count(),
                    images.value(row)
                );
                return Err(wrong(format!("{length} values"), got));
            }
            if let Some(value) = values.values().iter().find(|value| !value.is_finite()) {
                let got = format!("{value} for `{}`", images.value(row));
                return Err(wrong("finite numbers".to_owned(), got));
            }
            see(images.value(row), values.values());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::seen::{SeenRow, SeenWriter};

    fn written(folder: &Path, lengths: &[usize]) -> PathBuf {
        let path = folder.join("seen.parquet");
        let metadata = Metadata::from([("network".to_owned(), "abc".to_owned())]);
        let mut writer = SeenWriter::create(&path, &metadata);
        for (row, &length) in lengths.iter().enumerate() {
            let embedding = (0..length).map(|column| (row * 10 + column) as f32);
            writer
                .write(SeenRow::Embedding {
                    image: format!("{row}.png"),
                    embedding: embedding.collect(),
                })
                .unwrap();
        }
        assert!(writer.finish().unwrap());
        path
    }

    #[test]
    fn what_was_written_is_read_with_its_metadata() {
        let folder = tempfile::tempdir().unwrap();
        let reader = SeenReader::open(&written(folder.path(), &[2; 1500])).unwrap();
        assert_eq!(
            (reader.rows(), &reader.metadata()["network"][..]),
            (1500, "abc")
        );
        let mut seen = vec![];
        reader
            .each(0..1500, 2, |image, embedding| {
                seen.push((image.to_owned(), embedding.to_vec()))
            })
            .unwrap();
        assert_eq!(seen.len(), 1500);
        assert_eq!(seen[1499], ("1499.png".to_owned(), vec![14990.0, 14991.0]));
    }

    #[test]
    fn embeddings_of_another_length_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let reader = SeenReader::open(&written(folder.path(), &[2, 3])).unwrap();
        let refused = reader.each(0..2, 2, |_, _| {}).unwrap_err().to_string();
        assert!(
            refused.contains("expected 2 values, got 3 for `1.png`"),
            "{refused}"
        );
    }

    #[test]
    fn damaged_files_and_other_tables_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = written(folder.path(), &[4; 40]);
        let whole = fs_err::read(&path).unwrap();
        let mut refused = 0;
        for place in (0..whole.len()).step_by(7) {
            let mut bytes = whole.clone();
            bytes[place] ^= 0x55;
            fs_err::write(&path, bytes).unwrap();
            let read = SeenReader::open(&path)
                .and_then(|reader| reader.each(0..reader.rows(), 4, |_, _| {}));
            refused += usize::from(read.is_err());
        }
        assert!(refused > 5, "{refused}");
        let mut writer = SeenWriter::create(&path, &Metadata::new());
        writer
            .write(SeenRow::Prediction {
                image: "a.png".to_owned(),
                numbers: vec![1],
                names: Some(vec!["one".to_owned()]),
                probabilities: vec![1.0],
            })
            .unwrap();
        assert!(writer.finish().unwrap());
        let other = SeenReader::open(&path).err().unwrap().to_string();
        assert!(
            other.contains("column `embedding`: expected lists of f32, got none"),
            "{other}"
        );
    }
}
