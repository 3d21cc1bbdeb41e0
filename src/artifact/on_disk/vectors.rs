//! Raw access to a column of vectors (`fixed_size_list` of numbers, nothing null): by the pages'
//! own bytes where they are plain ([`crate::on_disk::page`]), else through the Parquet decoder.

use std::ops::Range;

use arrow::array::{Array, FixedSizeListArray};
use parquet::basic::Compression;

use crate::on_disk::file::PositionedFile;
use crate::on_disk::page::plain_values;
use crate::on_disk::part::Part;
use crate::schema::failure::{self, Result};

/// A column of vectors in one part.
pub(crate) struct Vectors<'a> {
    pub part: &'a Part,
    /// Index in the schema; also that of its Parquet leaf, all columns before it being flat.
    pub column: usize,
    /// Values of a vector.
    pub dimension: usize,
    /// Bytes of a value.
    pub width: usize,
}

/// Rows that lie together.
enum Piece<'page> {
    /// A page of plain values.
    Plain {
        values: &'page [u8],
        /// Where they begin in the file.
        start: u64,
        /// Rows of the page.
        held: Range<usize>,
        /// Those of them that are asked for.
        wanted: Range<usize>,
    },
    /// Rows that the Parquet decoder has to read.
    Other { wanted: Range<usize> },
}

impl Vectors<'_> {
    /// Hands the little-endian values of `rows` to `visit`, in order, in pieces of whole rows.
    pub fn visit(&self, rows: Range<usize>, mut visit: impl FnMut(&[u8])) -> Result<()> {
        let row = self.dimension * self.width;
        self.pieces(rows, |piece| match piece {
            Piece::Plain {
                values,
                held,
                wanted,
                ..
            } => {
                visit(&values[(wanted.start - held.start) * row..(wanted.end - held.start) * row]);
                Ok(())
            }
            Piece::Other { wanted } => self.decode(wanted, &mut visit),
        })
    }

    /// Hands each page that holds some of `rows` to `found`, in order: its rows, and where its
    /// values begin in the file, if they are plain.
    pub fn locate(
        &self,
        rows: Range<usize>,
        mut found: impl FnMut(Range<usize>, Option<u64>),
    ) -> Result<()> {
        self.pieces(rows, |piece| {
            match piece {
                Piece::Plain { held, start, .. } => found(held, Some(start)),
                Piece::Other { wanted } => found(wanted, None),
            }
            Ok(())
        })
    }

    /// Reads the pages that hold some of `rows`, in order.
    fn pieces(
        &self,
        rows: Range<usize>,
        mut take: impl FnMut(Piece<'_>) -> Result<()>,
    ) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let file = PositionedFile::open(self.part.path())?;
        let mut page = Vec::new();
        for (group, bounds) in self.part.row_group_starts().windows(2).enumerate() {
            if bounds[1] <= rows.start || bounds[0] >= rows.end || bounds[0] == bounds[1] {
                continue;
            }
            let wanted = rows.start.max(bounds[0])..rows.end.min(bounds[1]);
            let Some(pages) = self.pages(group, bounds[0]..bounds[1]) else {
                take(Piece::Other { wanted })?;
                continue;
            };
            for (place, held) in pages {
                let wanted = wanted.start.max(held.start)..wanted.end.min(held.end);
                if wanted.is_empty() {
                    continue;
                }
                file.read_into(place.start, (place.end - place.start) as usize, &mut page)
                    .map_err(|error| failure::io(self.part.path(), "cannot read", error))?;
                take(
                    match plain_values(&page, held.len(), self.dimension, self.width) {
                        Some(values) => Piece::Plain {
                            values,
                            // They are the page's last bytes.
                            start: place.end - values.len() as u64,
                            held,
                            wanted,
                        },
                        None => Piece::Other { wanted },
                    },
                )?;
            }
        }
        Ok(())
    }

    /// Where the pages of a row group are in the file, and the rows that each holds; `None` where
    /// the offset index is not there, the pages are compressed, or its rows make no sense.
    fn pages(&self, group: usize, rows: Range<usize>) -> Option<Vec<(Range<u64>, Range<usize>)>> {
        if self
            .part
            .parquet()
            .row_group(group)
            .column(self.column)
            .compression()
            != Compression::UNCOMPRESSED
        {
            return None;
        }
        let locations = self
            .part
            .parquet()
            .page_index()?
            .offset_index(group, self.column)?
            .page_locations();
        let mut pages = Vec::with_capacity(locations.len());
        let mut first = rows.start;
        for (index, location) in locations.iter().enumerate() {
            let end = match locations.get(index + 1) {
                Some(next) => rows
                    .start
                    .checked_add(usize::try_from(next.first_row_index).ok()?)?,
                None => rows.end,
            };
            let offset = u64::try_from(location.offset).ok()?;
            let length = u64::try_from(location.compressed_page_size).ok()?;
            if end < first || end > rows.end {
                return None;
            }
            pages.push((offset..offset.checked_add(length)?, first..end));
            first = end;
        }
        (locations.first()?.first_row_index == 0).then_some(pages)
    }

    fn decode(&self, rows: Range<usize>, visit: &mut impl FnMut(&[u8])) -> Result<()> {
        for batch in self.part.batches(rows, &[self.column])? {
            let batch = batch?;
            let list = batch
                .column(0)
                .as_any()
                .downcast_ref::<FixedSizeListArray>();
            let list = list.expect("BUG: the schema says a fixed-size list");
            let values = list.values().to_data();
            let begin = (values.offset() + list.offset() * self.dimension) * self.width;
            visit(&values.buffers()[0][begin..begin + list.len() * self.dimension * self.width]);
        }
        Ok(())
    }
}
