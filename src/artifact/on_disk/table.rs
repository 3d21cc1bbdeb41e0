//! Kinds that are read and written as rows: one writer and one reader for all of them.

use std::marker::PhantomData;
use std::ops::Range;
use std::path::{Path, PathBuf};

use arrow::array::RecordBatch;
use seedpipe_base::Refusal;

use crate::on_disk::apart::CELL;
use crate::on_disk::part::Positions;
use crate::on_disk::parts::PartList;
use crate::on_disk::row::{RowKey, TableRow};
use crate::on_disk::write::{PartWriter, ROW_GROUP_ROWS};
use crate::schema::failure::{self, Result};
use crate::schema::metadata::Metadata;

/// A row group ends when its rows' text and bytes reach this.
const ROW_GROUP_BYTES: usize = 16 << 20;
const PAGE_BYTES: usize = 1 << 20;
/// What Arrow's 32-bit offsets and Parquet's 32-bit page sizes can hold in one cell, with room for
/// the page's header.
const CELL_BYTES: usize = (i32::MAX as usize) - (1 << 20);

/// Checks [`TableRow::key`] from row to row.
#[derive(Default)]
struct Keys {
    last: Option<u64>,
    seen: std::collections::HashSet<String>,
}

impl Keys {
    fn check(&mut self, key: RowKey) -> std::result::Result<(), Refusal> {
        match key {
            RowKey::None => Ok(()),
            RowKey::Ascending(value) => match self.last.replace(value) {
                Some(last) if last >= value => {
                    Err(Refusal::expected(format!("an id above {last}"), value)
                        .place("order of rows"))
                }
                _ => Ok(()),
            },
            RowKey::Distinct(name) if self.seen.contains(&name) => Err(Refusal::expected(
                "every name once",
                format!("`{name}` twice"),
            )
            .place("names of rows")),
            RowKey::Distinct(name) => {
                self.seen.insert(name);
                Ok(())
            }
        }
    }
}

/// Writes the rows of one part. How they are cut into calls of `write` does not matter.
pub struct TableWriter<R: TableRow> {
    part: PartWriter,
    /// The column that is not written: it lies apart.
    apart: Option<usize>,
    group_rows: usize,
    group_bytes: usize,
    keys: Keys,
    row: PhantomData<fn(R)>,
}

impl<R: TableRow> TableWriter<R> {
    /// Creates or empties the file at `path`, whose folder must exist. `metadata` must be the same
    /// for all parts of an output.
    pub fn create(path: &Path, metadata: &Metadata) -> Result<Self> {
        Self::begin(path, metadata, false)
    }

    /// The same without the column of bytes, which then lie apart.
    pub fn create_apart(path: &Path, metadata: &Metadata) -> Result<Self> {
        Self::begin(path, metadata, true)
    }

    fn begin(path: &Path, metadata: &Metadata, is_apart: bool) -> Result<Self> {
        R::check_metadata(metadata).map_err(|wrong| failure::of(path, wrong))?;
        let mut columns = (R::TABLE.columns)(path, metadata)?;
        let mut all = columns.iter();
        let apart = all.position(|column| is_apart && column.field.name() == CELL);
        if let Some(apart) = apart {
            columns.remove(apart);
        }
        let part = PartWriter::create(path, R::TABLE.kind, &columns, metadata, PAGE_BYTES)?;
        Ok(Self {
            part,
            apart,
            group_rows: 0,
            group_bytes: 0,
            keys: Keys::default(),
            row: PhantomData,
        })
    }

    /// Appends rows. A row that the kind forbids is an error, and the file is then not to be used.
    pub fn write(&mut self, rows: &[R]) -> Result<()> {
        let path = self.part.path().to_path_buf();
        for row in rows {
            row.check()
                .and_then(|()| self.keys.check(row.key()))
                .map_err(|wrong| failure::of(&path, wrong))?;
            if row.bytes() > CELL_BYTES {
                let most = format!("at most {CELL_BYTES} bytes");
                return Err(failure::unexpected(
                    &path,
                    "size of a row",
                    most,
                    row.bytes(),
                ));
            }
        }
        let mut begin = 0;
        let mut bytes = 0;
        for (index, row) in rows.iter().enumerate() {
            let full = self.group_rows + index - begin == ROW_GROUP_ROWS
                || (self.group_bytes + bytes + row.bytes() > ROW_GROUP_BYTES
                    && self.group_rows + index - begin > 0);
            if full {
                self.append(&rows[begin..index])?;
                self.part.end_row_group()?;
                (self.group_rows, self.group_bytes, begin, bytes) = (0, 0, index, 0);
            }
            bytes += row.bytes();
        }
        self.append(&rows[begin..])?;
        self.group_bytes += bytes;
        Ok(())
    }

    /// Writes the footer and returns the number of rows. A file that was not finished is not
    /// readable.
    pub fn finish(self) -> Result<u64> {
        self.part.finish()
    }

    fn append(&mut self, rows: &[R]) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let mut columns = R::columns(rows);
        if let Some(apart) = self.apart {
            columns.remove(apart);
        }
        let batch =
            RecordBatch::try_new(self.part.schema().clone(), columns).unwrap_or_else(|error| {
                panic!(
                    "BUG: columns of `{}` do not fit its schema: {error}",
                    R::TABLE.kind
                )
            });
        self.part.write(&batch)?;
        self.group_rows += rows.len();
        Ok(())
    }
}

/// Reads the rows of an output over all its parts.
pub struct TableReader<R: TableRow> {
    parts: PartList,
    row: PhantomData<fn() -> R>,
}

impl<R: TableRow> TableReader<R> {
    /// Opens the parts, given in logical row order. Fails where a part is not this kind's, or parts
    /// disagree in metadata.
    pub fn open(parts: &[PathBuf]) -> Result<Self> {
        let parts = PartList::open(parts, &[R::TABLE], Positions::Skip)?;
        R::check_metadata(parts.metadata())
            .map_err(|wrong| failure::of(parts.first().path(), wrong))?;
        Ok(Self {
            parts,
            row: PhantomData,
        })
    }

    pub fn rows(&self) -> usize {
        self.parts.rows()
    }

    /// The declared metadata, without the kind.
    pub fn metadata(&self) -> &Metadata {
        self.parts.metadata()
    }

    /// Reads `rows`, decoding only the row groups that hold them. Fails when the range ends beyond
    /// the rows.
    pub fn read(&self, rows: Range<usize>) -> Result<Vec<R>> {
        let mut read = Vec::new();
        for (part, within) in self.parts.spans(rows)? {
            let part = self.parts.part(part);
            let columns: Vec<usize> = (0..part.schema().fields().len()).collect();
            for batch in part.batches(within, &columns)? {
                let first = read.len();
                R::rows(&batch?, &mut read)
                    .and_then(|()| read[first..].iter().try_for_each(R::check))
                    .map_err(|wrong| failure::of(part.path(), wrong))?;
            }
        }
        Ok(read)
    }

    /// Reads everything, and checks what the rows must satisfy together (distinct names, ascending
    /// ids).
    pub fn read_all(&self) -> Result<Vec<R>> {
        let rows = self.read(0..self.rows())?;
        let mut keys = Keys::default();
        for row in &rows {
            keys.check(row.key())
                .map_err(|wrong| failure::of(self.parts.first().path(), wrong))?;
        }
        Ok(rows)
    }

    pub(crate) fn first_path(&self) -> &Path {
        self.parts.first().path()
    }
}
