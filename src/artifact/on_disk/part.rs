//! One Parquet file: opened, checked against its kind, and read in batches of rows. Holds no file
//! handle: an output may have thousands of parts.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader,
    ParquetRecordBatchReaderBuilder,
};
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetStatisticsPolicy};

use crate::on_disk::apart::{Apart, CELL, FilledBatches, KEY};
use crate::on_disk::file::PositionedFile;
use crate::on_disk::footer;
use crate::schema::IMAGES;
use crate::schema::failure::{self, Result, guarded};
use crate::schema::metadata::{self, Metadata};
use crate::schema::table::Table;

/// Decoded bytes that a batch aims at: bounds memory whatever the rows' width.
pub(crate) const BATCH_BYTES: u64 = 8 << 20;
const BATCH_ROWS: u64 = 8192;

/// Whether the positions of a file's pages are wanted (for direct reads), which costs memory per
/// page.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Positions {
    Skip,
    Load,
}

pub(crate) struct Part {
    path: PathBuf,
    reader: ArrowReaderMetadata,
    schema: SchemaRef,
    /// The column that lies apart, and where.
    apart: Option<(usize, Arc<Apart>)>,
    table: &'static Table,
    metadata: Metadata,
    /// First row of each row group, and the number of rows at the end.
    starts: Vec<usize>,
}

impl Part {
    /// Opens an artifact's part. Fails when the file is not Parquet, is not of one of the
    /// `expected` kinds, or its schema is not that of its kind.
    ///
    /// - `apart`: the output's files of cells
    pub fn open(
        path: &Path,
        expected: &[&'static Table],
        positions: Positions,
        apart: &Arc<Apart>,
    ) -> Result<Self> {
        let file = PositionedFile::open(path)?;
        let found = guarded(path, || load(path, &file, options(positions)))?;
        let (kind, metadata) = metadata::from_footer(path, found.metadata().file_metadata())?;
        let table = *expected
            .iter()
            .find(|table| table.kind == kind)
            .ok_or_else(|| {
                let names: Vec<String> = expected
                    .iter()
                    .map(|table| format!("`{}`", table.kind))
                    .collect();
                failure::unexpected(
                    path,
                    "artifact kind",
                    names.join(" or "),
                    format!("`{kind}`"),
                )
            })?;
        let schema = table.schema(path, &metadata)?;
        let lacks = kind == IMAGES && found.schema().index_of(CELL).is_err();
        let cell = schema.index_of(CELL).ok().filter(|_| lacks);
        let stored = match cell {
            Some(cell) => but(&schema, cell),
            None => schema.clone(),
        };
        let reader = guarded(path, || {
            let options = ArrowReaderOptions::new().with_schema(stored);
            ArrowReaderMetadata::try_new(found.metadata().clone(), options).map_err(|error| {
                failure::new(
                    path,
                    format!("columns differ from those of `{kind}`: {error}"),
                )
            })
        })?;
        let starts = row_group_starts(path, reader.metadata(), file.length())?;
        Ok(Self {
            path: path.to_path_buf(),
            reader,
            schema,
            apart: cell.map(|cell| (cell, apart.clone())),
            table,
            metadata,
            starts,
        })
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    pub fn kind(&self) -> &'static str {
        self.table.kind
    }

    pub fn metadata(&self) -> &Metadata {
        &self.metadata
    }

    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The output's files of cells, where a column lies there.
    pub fn apart(&self) -> Option<&Arc<Apart>> {
        self.apart.as_ref().map(|(_, apart)| apart)
    }

    /// Where a column is in the schema.
    pub fn column(&self, name: &str) -> usize {
        self.schema()
            .index_of(name)
            .unwrap_or_else(|error| panic!("BUG: {error}"))
    }

    pub fn rows(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Mean bytes of a row before compression.
    pub fn row_bytes(&self) -> usize {
        let groups = self.parquet().row_groups().iter();
        let bytes: u64 = groups
            .map(|group| group.total_byte_size().max(0) as u64)
            .fold(0, u64::saturating_add);
        let mean = usize::try_from(bytes).unwrap_or(usize::MAX) / self.rows().max(1);
        mean.saturating_add(self.apart().map_or(0, |apart| apart.mean()))
    }

    /// First row of each row group, and the number of rows at the end.
    pub fn row_group_starts(&self) -> &[usize] {
        &self.starts
    }

    pub fn parquet(&self) -> &ParquetMetaData {
        self.reader.metadata()
    }

    /// Reads the given rows of the given columns (by index into the schema), touching only the row
    /// groups that hold them.
    pub fn batches(&self, rows: Range<usize>, columns: &[usize]) -> Result<Batches> {
        let file = PositionedFile::open(&self.path)?;
        let read = |columns: &[usize]| {
            read_batches(&self.path, file, &self.reader, &self.starts, rows, columns)
        };
        let Some((cell, apart)) = &self.apart else {
            return Ok(Box::new(read(columns)?));
        };
        let others = columns.iter().filter(|column| *column != cell);
        let stored = |column: usize| column - usize::from(column > *cell);
        let mut wanted: Vec<usize> = others.map(|column| stored(*column)).collect();
        if wanted.len() == columns.len() {
            return Ok(Box::new(read(&wanted)?));
        }
        wanted.push(stored(self.column(KEY)));
        let names = self.schema.fields().iter().enumerate();
        let asked = names.filter(|(place, _)| columns.contains(place));
        let asked: Vec<_> = asked.map(|(_, field)| field.clone()).collect();
        Ok(Box::new(FilledBatches {
            path: self.path.clone(),
            rows: read(&wanted)?,
            apart: apart.clone(),
            schema: Arc::new(Schema::new(asked)),
            pending: None,
        }))
    }
}

pub(crate) type Batches = Box<dyn Iterator<Item = Result<RecordBatch>>>;

/// The schema without a column.
fn but(schema: &SchemaRef, column: usize) -> SchemaRef {
    let mut fields = schema.fields().to_vec();
    fields.remove(column);
    Arc::new(Schema::new(fields))
}

/// Options for a first look at a file: no statistics, no column index, page positions where wanted.
pub(crate) fn options(positions: Positions) -> ArrowReaderOptions {
    let policy = if positions == Positions::Load {
        PageIndexPolicy::Optional
    } else {
        PageIndexPolicy::Skip
    };
    ArrowReaderOptions::new()
        .with_skip_arrow_metadata(true)
        .with_column_index_policy(PageIndexPolicy::Skip)
        .with_offset_index_policy(policy)
        .with_column_stats_policy(ParquetStatisticsPolicy::SkipAll)
}

/// Reads the footer; for artifacts and for a user's Parquet.
pub(crate) fn load(
    path: &Path,
    file: &PositionedFile,
    options: ArrowReaderOptions,
) -> Result<ArrowReaderMetadata> {
    if file.length() == 0 {
        return Err(failure::unexpected(
            path,
            "not Parquet",
            "a Parquet file",
            "an empty file",
        ));
    }
    footer::check(path, file)?;
    ArrowReaderMetadata::load(file, options)
        .map_err(|error| failure::parquet(path, "not Parquet, or damaged", error))
}

/// First row of each row group, and the number of rows at the end. A footer whose numbers
/// contradict each other or the file's length is refused.
pub(crate) fn row_group_starts(
    path: &Path,
    parquet: &ParquetMetaData,
    length: u64,
) -> Result<Vec<usize>> {
    let claimed = parquet.file_metadata().num_rows();
    let mut starts = vec![0usize];
    for group in parquet.row_groups() {
        for column in group.columns() {
            let offset = column
                .dictionary_page_offset()
                .unwrap_or(column.data_page_offset());
            let end = u64::try_from(offset)
                .ok()
                .zip(u64::try_from(column.compressed_size()).ok());
            if end
                .and_then(|(offset, size)| offset.checked_add(size))
                .is_none_or(|end| end > length)
            {
                let what = format!("place of column `{}`", column.column_path());
                let got = format!("{} bytes at offset {offset}", column.compressed_size());
                return Err(failure::unexpected(
                    path,
                    what,
                    format!("within the file's {length} bytes"),
                    got,
                ));
            }
        }
        let rows = usize::try_from(group.num_rows()).ok();
        let end = rows.and_then(|rows| starts[starts.len() - 1].checked_add(rows));
        starts.push(end.ok_or_else(|| {
            failure::unexpected(
                path,
                "rows of a row group",
                "a number of rows",
                group.num_rows(),
            )
        })?);
    }
    let rows = starts[starts.len() - 1];
    if i64::try_from(rows) != Ok(claimed) {
        return Err(failure::unexpected(
            path,
            "rows in the footer",
            rows,
            claimed,
        ));
    }
    Ok(starts)
}

/// Reads `rows` of `columns`: for artifacts and for a user's Parquet.
pub(crate) fn read_batches(
    path: &Path,
    file: PositionedFile,
    reader: &ArrowReaderMetadata,
    starts: &[usize],
    rows: Range<usize>,
    columns: &[usize],
) -> Result<PartBatches> {
    let total = starts[starts.len() - 1];
    if rows.start > rows.end || rows.end > total {
        return Err(failure::unexpected(
            path,
            "rows asked for",
            format!("a range within 0..{total}"),
            format!("{}..{}", rows.start, rows.end),
        ));
    }
    if rows.is_empty() {
        return Ok(PartBatches {
            path: path.to_path_buf(),
            reader: None,
            missing: 0,
        });
    }
    let first = starts.partition_point(|start| *start <= rows.start) - 1;
    let last = starts.partition_point(|start| *start < rows.end);
    let batch_rows = batch_rows(reader.metadata(), first..last, columns).min(rows.len());
    let reader = guarded(path, || {
        let mask = ProjectionMask::roots(reader.parquet_schema(), columns.iter().copied());
        ParquetRecordBatchReaderBuilder::new_with_metadata(file, reader.clone())
            .with_projection(mask)
            .with_row_groups((first..last).collect())
            .with_offset(rows.start - starts[first])
            .with_limit(rows.len())
            .with_batch_size(batch_rows)
            .build()
            .map_err(|error| failure::parquet(path, "cannot read", error))
    })?;
    Ok(PartBatches {
        path: path.to_path_buf(),
        reader: Some(reader),
        missing: rows.len(),
    })
}

/// Rows whose columns come to about [`BATCH_BYTES`].
fn batch_rows(parquet: &ParquetMetaData, groups: Range<usize>, columns: &[usize]) -> usize {
    let schema = parquet.file_metadata().schema_descr();
    let wanted: Vec<usize> = (0..schema.num_columns())
        .filter(|leaf| columns.contains(&schema.get_column_root_idx(*leaf)))
        .collect();
    let widest = groups
        .map(|group| {
            let group = parquet.row_group(group);
            let bytes: u64 = wanted
                .iter()
                .map(|leaf| group.column(*leaf).uncompressed_size().max(0) as u64)
                .sum();
            bytes / (group.num_rows().max(1) as u64)
        })
        .max()
        .unwrap_or(0);
    (BATCH_BYTES / widest.max(1)).clamp(1, BATCH_ROWS) as usize
}

/// The batches of one read; an error where the file holds fewer rows than it claims.
pub(crate) struct PartBatches {
    path: PathBuf,
    reader: Option<ParquetRecordBatchReader>,
    missing: usize,
}

impl Iterator for PartBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let reader = self.reader.as_mut()?;
        let next = guarded(&self.path, || {
            reader
                .next()
                .transpose()
                .map_err(|error| failure::arrow(&self.path, "cannot read", error))
        });
        let item = match next {
            Ok(Some(batch)) if batch.num_rows() <= self.missing => {
                self.missing -= batch.num_rows();
                return Some(Ok(batch));
            }
            Ok(None) if self.missing == 0 => None,
            Ok(batch) => Some(Err(failure::unexpected(
                &self.path,
                "rows in the pages",
                "as many as the footer says",
                if batch.is_some() {
                    "more".to_string()
                } else {
                    format!("{} fewer", self.missing)
                },
            ))),
            Err(error) => Some(Err(error)),
        };
        self.reader = None;
        item
    }
}
