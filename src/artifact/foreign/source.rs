//! A user's own Parquet of images: a binary column, Hugging Face's struct of `bytes` and `path`, or
//! paths as text, with labels, label names and splits where they are named. Read in batches of
//! bounded memory.

use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow::array::{Array, ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::{CastOptions, cast_with_options};
use arrow::datatypes::{DataType, Float64Type, Int64Type};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::file::metadata::{PageIndexPolicy, ParquetStatisticsPolicy};
use serde_json::Value;

use crate::foreign::source_columns::{
    ChosenColumns, SourceColumns, is_binary, is_fraction, is_image, is_text_type, named,
};
use crate::on_disk::file::PositionedFile;
use crate::on_disk::part::{PartBatches, load, read_batches, row_group_starts};
use crate::schema::failure::{self, Result, guarded};

/// Above this, numbers with a fraction don't tell whole numbers apart.
const MOST: f64 = 9_007_199_254_740_992.0;

/// A label as the file has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SourceLabel {
    /// Whole numbers of any type; false and true are 0 and 1.
    Class(i64),
    Name(String),
}

/// One row of a user's table. What is null there is `None`, and so are a text without letters and a
/// label that is no number (NaN).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceRow {
    /// Number in the file, from 0.
    pub row: usize,
    /// The encoded image.
    pub bytes: Option<Vec<u8>>,
    /// The path beside the bytes, or instead of them.
    pub path: Option<String>,
    pub label: Option<SourceLabel>,
    pub label_name: Option<String>,
    pub split: Option<String>,
}

/// A user's Parquet file with its columns found.
pub struct SourceTable {
    path: PathBuf,
    reader: ArrowReaderMetadata,
    starts: Vec<usize>,
    chosen: ChosenColumns,
    class_names: Option<Vec<String>>,
}

/// A Parquet file's columns of labels, their names and splits, by their usual names.
///
/// # Errors
/// When the file is not Parquet.
pub fn guessed_columns(path: &Path) -> Result<SourceColumns> {
    let file = PositionedFile::open(path)?;
    let reader = guarded(path, || load(path, &file, ArrowReaderOptions::new()))?;
    let mut columns = SourceColumns::guess(reader.schema());
    let label = columns.label.as_deref();
    let label = label.and_then(|label| reader.schema().index_of(label).ok());
    if let Some(label) = label
        && is_fraction(reader.schema().field(label).data_type())
    {
        // Measures and prices have fractions, classes have none.
        let starts = row_group_starts(path, reader.metadata(), file.length())?;
        let rows = 0..starts[starts.len() - 1];
        let whole = read_batches(path, file, &reader, &starts, rows, &[label])?
            .try_for_each(|batch| Labels::of(path, batch?.column(0), 0).map(drop));
        if whole.is_err() {
            columns.label = None;
        }
    }
    Ok(columns)
}

impl SourceTable {
    /// Opens a file. Fails where it is not Parquet, a named column is not there or of another type,
    /// or no column holds images; the message then lists the columns.
    pub fn open(path: &Path, columns: &SourceColumns) -> Result<Self> {
        let file = PositionedFile::open(path)?;
        let options = || {
            ArrowReaderOptions::new()
                .with_page_index_policy(PageIndexPolicy::Skip)
                .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
        };
        let reader = guarded(path, || load(path, &file, options()))?;
        let starts = row_group_starts(path, reader.metadata(), file.length())?;
        let chosen = columns.choose(path, reader.schema())?;
        let class_names = chosen
            .label
            .and_then(|label| class_names(&reader, reader.schema().field(label).name()));
        Ok(Self {
            path: path.to_path_buf(),
            reader,
            starts,
            chosen,
            class_names,
        })
    }

    pub fn rows(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Name of the column that holds the images.
    pub fn image_column(&self) -> &str {
        self.reader.schema().field(self.chosen.image).name()
    }

    /// The columns that are not read, with their types, for people; empty where all are.
    pub fn unread_columns(&self) -> String {
        let read = self.chosen.all();
        let fields = self.reader.schema().fields().iter().enumerate();
        let unread = fields.filter(|(index, _)| !read.contains(index));
        named(unread.map(|(_, field)| field))
    }

    /// Names of the label column's classes by number, where the file has Hugging Face's metadata
    /// for it.
    pub fn class_names(&self) -> Option<&[String]> {
        self.class_names.as_deref()
    }

    /// Reads a range of rows in batches of about 8 MiB. Fails when the range ends beyond the rows.
    pub fn batches(&self, rows: Range<usize>) -> Result<SourceBatches> {
        let ChosenColumns {
            image,
            label,
            label_name,
            split,
        } = self.chosen;
        let mut columns = self.chosen.all();
        columns.sort_unstable();
        columns.dedup();
        let place = |column: usize| {
            columns
                .binary_search(&column)
                .unwrap_or_else(|_| panic!("BUG: column {column} is not read"))
        };
        let places = ChosenColumns {
            image: place(image),
            label: label.map(place),
            label_name: label_name.map(place),
            split: split.map(place),
        };
        let file = PositionedFile::open(&self.path)?;
        let next = rows.start;
        let batches = read_batches(&self.path, file, &self.reader, &self.starts, rows, &columns)?;
        Ok(SourceBatches {
            path: self.path.clone(),
            batches,
            places,
            next,
        })
    }
}

/// Whether a Parquet file has a column of images: the one of that name, else one of a suitable type.
///
/// # Errors
/// When the file is not Parquet.
pub fn holds_images(path: &Path, column: Option<&str>) -> Result<bool> {
    let file = PositionedFile::open(path)?;
    let reader = guarded(path, || load(path, &file, ArrowReaderOptions::new()))?;
    let mut fields = reader.schema().fields().iter();
    Ok(fields.any(|field| match column {
        Some(column) => field.name() == column,
        None => is_image(field),
    }))
}

/// The class names that Hugging Face's `datasets` writes into the footer.
fn class_names(reader: &ArrowReaderMetadata, label: &str) -> Option<Vec<String>> {
    let footer = reader.metadata().file_metadata().key_value_metadata()?;
    let entry = footer
        .iter()
        .find(|entry| entry.key == "huggingface")?
        .value
        .as_deref()?;
    let described: Value = serde_json::from_str(entry).ok()?;
    let names = described
        .get("info")?
        .get("features")?
        .get(label)?
        .get("names")?
        .as_array()?;
    names
        .iter()
        .map(|name| name.as_str().map(String::from))
        .collect()
}

/// PartBatches of rows; ends after the first error.
pub struct SourceBatches {
    path: PathBuf,
    batches: PartBatches,
    /// Where the columns are in a batch.
    places: ChosenColumns,
    next: usize,
}

impl Iterator for SourceBatches {
    type Item = Result<Vec<SourceRow>>;

    fn next(&mut self) -> Option<Self::Item> {
        let rows = self
            .batches
            .next()?
            .and_then(|batch| guarded(&self.path, || self.rows(&batch)));
        if let Ok(rows) = &rows {
            self.next += rows.len();
        }
        Some(rows)
    }
}

impl SourceBatches {
    fn rows(&self, batch: &RecordBatch) -> Result<Vec<SourceRow>> {
        let images = ImageColumn::of(&self.path, batch.column(self.places.image))?;
        let label = self
            .places
            .label
            .map(|place| Labels::of(&self.path, batch.column(place), self.next))
            .transpose()?;
        let texts = |place: Option<usize>| {
            place
                .map(|place| texts(&self.path, batch.column(place)))
                .transpose()
        };
        let (label_name, split) = (texts(self.places.label_name)?, texts(self.places.split)?);
        let text = |texts: &Option<StringArray>, row: usize| {
            texts.as_ref().and_then(|texts| text_at(texts, row))
        };
        Ok((0..batch.num_rows())
            .map(|row| SourceRow {
                row: self.next + row,
                bytes: images.bytes(row),
                path: images.path(row),
                label: label.as_ref().and_then(|labels| labels.at(row)),
                label_name: text(&label_name, row),
                split: text(&split, row),
            })
            .collect())
    }
}

/// An image column, whichever form it has.
struct ImageColumn {
    /// The column itself: a null struct hides what is in it.
    column: ArrayRef,
    bytes: Option<BinaryArray>,
    paths: Option<StringArray>,
}

impl ImageColumn {
    fn of(path: &Path, column: &ArrayRef) -> Result<Self> {
        let (bytes, paths) = match column.as_struct_opt() {
            None if is_text_type(column.data_type()) => (None, Some(column)),
            None => (Some(column), None),
            Some(fields) => {
                let child = |name: &str, fits: fn(&DataType) -> bool| {
                    let child = fields.column_by_name(name);
                    child.filter(|child| fits(child.data_type()))
                };
                (child("bytes", is_binary), child("path", is_text_type))
            }
        };
        let binary = |bytes: &ArrayRef| {
            let bytes = cast(path, bytes, &DataType::Binary)?;
            Ok(bytes.as_binary::<i32>().clone())
        };
        Ok(Self {
            column: column.clone(),
            bytes: bytes.map(binary).transpose()?,
            paths: paths.map(|paths| texts(path, paths)).transpose()?,
        })
    }

    fn bytes(&self, row: usize) -> Option<Vec<u8>> {
        let bytes = self.bytes.as_ref()?;
        (self.column.is_valid(row) && bytes.is_valid(row)).then(|| bytes.value(row).to_vec())
    }

    fn path(&self, row: usize) -> Option<String> {
        self.paths
            .as_ref()
            .filter(|_| self.column.is_valid(row))
            .and_then(|paths| text_at(paths, row))
    }
}

enum Labels {
    Classes(Int64Array),
    Names(StringArray),
}

impl Labels {
    /// `first`: the number of the column's first row in the file, for messages.
    fn of(path: &Path, column: &ArrayRef, first: usize) -> Result<Self> {
        if is_text_type(column.data_type()) {
            return texts(path, column).map(Self::Names);
        }
        if is_fraction(column.data_type()) {
            let numbers = cast(path, column, &DataType::Float64)?;
            let numbers = numbers.as_primitive::<Float64Type>().iter().enumerate();
            let whole = numbers.map(|(row, number)| match number {
                None => Ok(None),
                Some(number) if number.is_nan() => Ok(None),
                Some(number) if number.fract() == 0.0 && number.abs() < MOST => {
                    Ok(Some(number as i64))
                }
                Some(number) => Err(failure::unexpected(
                    path,
                    format!("row {}: label", first + row),
                    "a whole number",
                    number,
                )
                .hint("name a column of classes by `label_column`")),
            });
            return whole.collect::<Result<Int64Array>>().map(Self::Classes);
        }
        Ok(Self::Classes(
            cast(path, column, &DataType::Int64)?
                .as_primitive::<Int64Type>()
                .clone(),
        ))
    }

    fn at(&self, row: usize) -> Option<SourceLabel> {
        match self {
            Self::Classes(classes) => classes
                .is_valid(row)
                .then(|| SourceLabel::Class(classes.value(row))),
            Self::Names(names) => text_at(names, row).map(SourceLabel::Name),
        }
    }
}

fn text_at(texts: &StringArray, row: usize) -> Option<String> {
    let text = texts.is_valid(row).then(|| texts.value(row));
    text.filter(|text| !text.trim().is_empty())
        .map(str::to_owned)
}

fn texts(path: &Path, column: &ArrayRef) -> Result<StringArray> {
    Ok(cast(path, column, &DataType::Utf8)?
        .as_string::<i32>()
        .clone())
}

/// Converts without loss: a number that does not fit is an error.
fn cast(path: &Path, column: &ArrayRef, to: &DataType) -> Result<ArrayRef> {
    let options = CastOptions {
        safe: false,
        ..CastOptions::default()
    };
    cast_with_options(column, to, &options)
        .map_err(|error| failure::arrow(path, "cannot read a column", error))
}

#[cfg(test)]
#[path = "source_tests.rs"]
mod tests;
