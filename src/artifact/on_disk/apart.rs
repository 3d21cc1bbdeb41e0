//! Cells that lie apart from their rows: the `bytes` of images, which several artifacts share. A
//! row knows them by their BLAKE3, its `digest`. The files that hold them stand among an output's
//! parts, are called `bytes-…` and hold no rows of the output.

use std::collections::{HashMap, HashSet};
use std::num::NonZeroU64;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{ArrayRef, BinaryArray, FixedSizeBinaryArray, RecordBatch};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::SchemaRef;
use parquet::arrow::arrow_reader::ArrowReaderMetadata;
use parquet::basic::Compression;
use parquet::file::metadata::ParquetMetaData;
use seedpipe_base::{Refusal, text};

use crate::on_disk::file::PositionedFile;
use crate::on_disk::part::{
    BATCH_BYTES, PartBatches, Positions, load, options, read_batches, row_group_starts,
};
use crate::on_disk::row::{TableRow, table};
use crate::on_disk::table::TableWriter;
use crate::schema::column::{Column, column};
use crate::schema::failure::{self, Result, guarded};

/// The column that may lie apart, and the one that says which cell it is.
pub(crate) const CELL: &str = "bytes";
pub(crate) const KEY: &str = "digest";
const BYTES: &str = "bytes/v1";
/// Files that stay open; those beyond are opened for each read.
const OPEN_FILES: usize = 256;

table! {
    /// Bytes that lie apart from their rows.
    pub struct StoredBytes of BYTES {
        /// BLAKE3 of `bytes`.
        digest: [u8; 32],
        /// The file, encoded as it was found.
        bytes: Vec<u8> as Pages,
    }
}

pub type BytesWriter = TableWriter<StoredBytes>;

impl TableRow for StoredBytes {
    fn check(&self) -> std::result::Result<(), Refusal> {
        if *blake3::hash(&self.bytes).as_bytes() == self.digest {
            return Ok(());
        }
        Err(Refusal::expected("the BLAKE3 of the bytes", "another").place(KEY))
    }
}

/// Whether a file of an output holds cells instead of rows.
pub fn is_apart(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().starts_with("bytes-")
}

/// Where a cell is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub file: u32,
    pub offset: NonZeroU64,
    pub length: u32,
}

/// Files that cells are read from, each by its number.
#[derive(Debug, Default)]
pub(crate) struct CellFiles(Vec<(PathBuf, Option<PositionedFile>)>);

impl CellFiles {
    pub fn add(&mut self, path: &Path) -> Result<()> {
        let opened = self.0.len() < OPEN_FILES;
        let file = opened.then(|| PositionedFile::open(path)).transpose()?;
        self.0.push((path.to_path_buf(), file));
        Ok(())
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn path(&self, file: u32) -> &Path {
        &self.0[file as usize].0
    }

    /// One read; from any thread.
    pub fn read(&self, place: Place) -> Result<Vec<u8>> {
        let (path, file) = &self.0[place.file as usize];
        let opened;
        let file = match file {
            Some(file) => file,
            None => {
                opened = PositionedFile::open(path)?;
                &opened
            }
        };
        let mut bytes = Vec::new();
        file.read_into(place.offset.get(), place.length as usize, &mut bytes)
            .map_err(|error| failure::io(path, "cannot read", error))?;
        Ok(bytes)
    }
}

/// Cells by their BLAKE3. What is read is not hashed: who asks knows what it should be.
#[derive(Debug, Default)]
pub struct Cells {
    files: CellFiles,
    places: HashMap<[u8; 32], Place>,
}

impl Cells {
    /// Takes up the cells of a file, those of `wanted` alone where it is given; a cell that is known
    /// stays where it was. Gives the bytes of all its cells, and of the wanted ones.
    pub fn add(&mut self, path: &Path, wanted: Option<&HashSet<[u8; 32]>>) -> Result<[u64; 2]> {
        let file = PositionedFile::open(path)?;
        let found = guarded(path, || load(path, &file, options(Positions::Load)))?;
        let parquet = found.metadata();
        let starts = row_group_starts(path, parquet, file.length())?;
        let (key, cell) = columns(path, &found)?;
        let number = self.files.len() as u32;
        let (mut bytes, mut cells) = ([0; 2], Vec::new());
        for (group, bounds) in starts.windows(2).enumerate() {
            let places = indexed(parquet, group, cell, bounds[1] - bounds[0]).ok_or_else(|| {
                let expected = "one to a page, uncompressed";
                failure::unexpected(path, "bytes", expected, "others")
            })?;
            let mut places = places.into_iter();
            let rows = bounds[0]..bounds[1];
            for batch in read_batches(path, file.clone(), &found, &starts, rows, &[key])? {
                for (digest, (offset, length)) in
                    digests(column::<[u8; 32]>(&batch?, KEY)).zip(&mut places)
                {
                    bytes[0] += u64::from(length);
                    if wanted.is_none_or(|wanted| wanted.contains(&digest)) {
                        bytes[1] += u64::from(length);
                        let file = number;
                        cells.push((
                            digest,
                            Place {
                                file,
                                offset,
                                length,
                            },
                        ));
                    }
                }
            }
        }
        self.files.add(path)?;
        for (digest, place) in cells {
            self.places.entry(digest).or_insert(place);
        }
        Ok(bytes)
    }

    /// The number of the file that holds a cell, counted by calls of [`Self::add`] that succeeded.
    pub fn file_of(&self, digest: &[u8; 32]) -> Option<usize> {
        let place = self.places.get(digest)?;
        Some(place.file as usize)
    }

    /// A cell's bytes; `None` for one that is in no file.
    pub fn read(&self, digest: &[u8; 32]) -> Result<Option<Vec<u8>>> {
        let place = self.places.get(digest);
        place.map(|place| self.files.read(*place)).transpose()
    }

    pub(crate) fn place(&self, digest: &[u8; 32]) -> Option<Place> {
        self.places.get(digest).copied()
    }
}

/// The cells of an output, looked for when the first is asked for.
#[derive(Debug, Default)]
pub(crate) struct Apart {
    paths: Vec<PathBuf>,
    cells: OnceLock<Result<Cells>>,
}

impl Apart {
    pub fn new(paths: Vec<PathBuf>) -> Self {
        Self {
            paths,
            cells: OnceLock::new(),
        }
    }

    pub fn paths(&self) -> &[PathBuf] {
        &self.paths
    }

    pub fn cells(&self) -> Result<&Cells> {
        let found = self.cells.get_or_init(|| {
            let mut cells = Cells::default();
            for path in &self.paths {
                cells.add(path, None)?;
            }
            Ok(cells)
        });
        found.as_ref().map_err(Clone::clone)
    }

    /// Mean bytes of a cell.
    pub fn mean(&self) -> usize {
        let Ok(cells) = self.cells() else { return 0 };
        let lengths = cells.places.values().map(|place| place.length as usize);
        lengths.sum::<usize>() / cells.places.len().max(1)
    }
}

/// Batches of a part whose `bytes` lie apart, filled in.
pub(crate) struct FilledBatches {
    pub path: PathBuf,
    /// With the digests, without the bytes.
    pub rows: PartBatches,
    pub apart: Arc<Apart>,
    /// Of what is wanted.
    pub schema: SchemaRef,
    /// Rows of a batch that wait until those before them were used.
    pub pending: Option<RecordBatch>,
}

impl FilledBatches {
    fn fill(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let cells = self.apart.cells()?;
        let (mut values, mut lengths) = (Vec::new(), Vec::new());
        for digest in digests(column::<[u8; 32]>(batch, KEY)) {
            let place = cells.place(&digest).ok_or_else(|| {
                let what = format!("image {}", text::hex(&digest));
                let expected = "its bytes in a file `bytes-…` beside it";
                failure::unexpected(&self.path, what, expected, "none")
            })?;
            let length = place.length as usize;
            if !lengths.is_empty() && (values.len() + length) as u64 > BATCH_BYTES {
                break;
            }
            values.extend(cells.files.read(place)?);
            lengths.push(length);
        }
        let rows = lengths.len();
        if rows < batch.num_rows() {
            self.pending = Some(batch.slice(rows, batch.num_rows() - rows));
        }
        let offsets = OffsetBuffer::from_lengths(lengths);
        let bytes: ArrayRef = Arc::new(BinaryArray::new(offsets, values.into(), None));
        let batch = batch.slice(0, rows);
        let names = self.schema.fields().iter().map(|field| field.name());
        let columns = names.map(|name| match batch.column_by_name(name) {
            Some(column) => column.clone(),
            None => bytes.clone(),
        });
        RecordBatch::try_new(self.schema.clone(), columns.collect())
            .map_err(|error| failure::arrow(&self.path, "cannot read", error))
    }
}

impl Iterator for FilledBatches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        let batch = match self.pending.take() {
            Some(batch) => Ok(batch),
            None => self.rows.next()?,
        };
        Some(batch.and_then(|batch| self.fill(&batch)))
    }
}

pub(crate) fn digests(array: &FixedSizeBinaryArray) -> impl Iterator<Item = [u8; 32]> + '_ {
    array.iter().map(|digest| {
        let mut copy = [0; 32];
        copy.copy_from_slice(digest.unwrap_or(&[0; 32]));
        copy
    })
}

/// Where the key and the cells are among a file's columns.
fn columns(path: &Path, found: &ArrowReaderMetadata) -> Result<(usize, usize)> {
    let place = |name: &str, expected| {
        let (place, field) = found.schema().column_with_name(name)?;
        (*field.data_type() == expected).then_some(place)
    };
    place(KEY, <[u8; 32]>::data_type())
        .zip(place(CELL, Vec::<u8>::data_type()))
        .ok_or_else(|| {
            let expected = format!("`{KEY}` and `{CELL}`");
            failure::unexpected(path, "columns", expected, "others")
        })
}

/// The places of a row group's cells where each has its own plain page: a cell is the end of its
/// page. No column before it is a list, so that `cell` is its place among the leaves too.
pub(crate) fn indexed(
    parquet: &ParquetMetaData,
    group: usize,
    cell: usize,
    rows: usize,
) -> Option<Vec<(NonZeroU64, u32)>> {
    if parquet.row_group(group).column(cell).compression() != Compression::UNCOMPRESSED {
        return None;
    }
    let index = parquet.page_index()?.offset_index(group, cell)?;
    let (pages, lengths) = (
        index.page_locations(),
        index.unencoded_byte_array_data_bytes()?,
    );
    if pages.len() != rows || lengths.len() != rows {
        return None;
    }
    let place = |row: usize| -> Option<(NonZeroU64, u32)> {
        // No more than Arrow's offsets reach.
        let length = u32::try_from(i32::try_from(lengths[row]).ok()?).ok()?;
        let page = &pages[row];
        // The page's header and the value's own length come before it.
        let header = u64::try_from(page.compressed_page_size)
            .ok()?
            .checked_sub(u64::from(length) + 4)?;
        let offset = u64::try_from(page.offset).ok()?.checked_add(header + 4)?;
        let alone = page.first_row_index == row as i64;
        alone.then_some((NonZeroU64::new(offset)?, length))
    };
    (0..rows).map(place).collect()
}
