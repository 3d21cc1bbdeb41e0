//! `views/v1`: every view of every image, as numbers. Rows are view-major: `view_id = view · viewed + position`, where `viewed` is the
//! number of images that have views, and positions follow ascending image ids.

use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Float32Array, ListArray, RecordBatch, StringArray, UInt16Array, UInt32Array,
    UInt64Array,
};
use arrow::buffer::OffsetBuffer;
use arrow::datatypes::{DataType, Float32Type, UInt16Type, UInt32Type, UInt64Type};
use seedpipe_base::{CropBox, Filter, Operation, View};

use crate::on_disk::columns::{list_numbers, list_range, list_texts, lists, numbers, texts};
use crate::on_disk::table::{TableReader, TableRow, TableWriter};
use crate::on_disk::write::ROW_GROUP_ROWS;
use crate::schema::error::{ArtifactError, Invalid, Result};
use crate::schema::metadata::Metadata;
use crate::schema::{VIEWS, element};

/// An enumeration whose values are stored by name.
macro_rules! named {
    ($(#[$documentation:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$documentation])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name {
            $($variant),+
        }

        impl $name {
            /// As stored.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $text),+
                }
            }

            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($text => Some(Self::$variant),)+
                    _ => None,
                }
            }

            fn parse(name: &str) -> std::result::Result<Self, Invalid> {
                Self::from_name(name).ok_or_else(|| {
                    Invalid::new(stringify!($name), [$($text),+].join(", "), format!("`{name}`"))
                })
            }
        }
    };
}

named! {
    /// Which of a multi-crop recipe's sizes a view belongs to.
    Scale { Global = "global", Small = "small" }
}

#[derive(Clone, Debug, PartialEq)]
pub struct ViewRow {
    pub view_id: u64,
    pub image_id: u32,
    /// Which of its image's views it is, from 0.
    pub number: u16,
    pub scale: Scale,
    pub view: View,
}

pub type ViewsWriter = TableWriter<ViewRow>;

/// The columns of u32 between `scale` and `filter`.
const NUMBERS: [fn(&View) -> u32; 9] = [
    |view| view.crop.x,
    |view| view.crop.y,
    |view| view.crop.width,
    |view| view.crop.height,
    |view| view.resize[0],
    |view| view.resize[1],
    |view| view.window[0],
    |view| view.window[1],
    |view| view.size,
];

impl TableRow for ViewRow {
    const KIND: &'static str = VIEWS;

    fn bytes(&self) -> usize {
        // Names are stored once a page by the dictionary.
        5 * self.view.operations.len()
    }

    fn columns(rows: &[Self]) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = vec![
            Arc::new(UInt64Array::from_iter_values(
                rows.iter().map(|row| row.view_id),
            )),
            Arc::new(UInt32Array::from_iter_values(
                rows.iter().map(|row| row.image_id),
            )),
            Arc::new(UInt16Array::from_iter_values(
                rows.iter().map(|row| row.number),
            )),
            Arc::new(StringArray::from_iter_values(
                rows.iter().map(|row| row.scale.name()),
            )),
        ];
        for number in NUMBERS {
            columns.push(Arc::new(UInt32Array::from_iter_values(
                rows.iter().map(|row| number(&row.view)),
            )));
        }
        columns.push(Arc::new(StringArray::from_iter_values(
            rows.iter().map(|row| row.view.filter.name()),
        )));
        let lengths = || rows.iter().map(|row| row.view.operations.len());
        let offsets = || OffsetBuffer::from_lengths(lengths());
        let operations = rows.iter().flat_map(|row| row.view.operations.iter());
        let names = StringArray::from_iter_values(operations.clone().map(Operation::name));
        let amounts = Float32Array::from_iter_values(operations.map(Operation::amount));
        columns.push(Arc::new(ListArray::new(
            element(DataType::Utf8),
            offsets(),
            Arc::new(names),
            None,
        )));
        columns.push(Arc::new(ListArray::new(
            element(DataType::Float32),
            offsets(),
            Arc::new(amounts),
            None,
        )));
        columns
    }

    fn rows(batch: &RecordBatch, rows: &mut Vec<Self>) -> std::result::Result<(), Invalid> {
        let view_ids = numbers::<UInt64Type>(batch, 0).values();
        let image_ids = numbers::<UInt32Type>(batch, 1).values();
        let views = numbers::<UInt16Type>(batch, 2).values();
        let scales = texts(batch, 3);
        let integers: [&[u32]; 9] =
            std::array::from_fn(|index| &numbers::<UInt32Type>(batch, 4 + index).values()[..]);
        let filters = texts(batch, 13);
        let (operations, amounts) = (lists(batch, 14), lists(batch, 15));
        let (names, factors) = (list_texts(operations), list_numbers::<Float32Type>(amounts));
        for row in 0..batch.num_rows() {
            let (named, valued) = (list_range(operations, row), list_range(amounts, row));
            if named.len() != valued.len() {
                let what = format!("amounts of view {}", view_ids[row]);
                return Err(Invalid::new(
                    what,
                    format!("{} as there are operations", named.len()),
                    valued.len(),
                ));
            }
            let [
                crop_x,
                crop_y,
                crop_width,
                crop_height,
                resize_width,
                resize_height,
                window_x,
                window_y,
                size,
            ] = integers.map(|column| column[row]);
            rows.push(Self {
                view_id: view_ids[row],
                image_id: image_ids[row],
                number: views[row],
                scale: Scale::parse(scales.value(row))?,
                view: View {
                    crop: CropBox {
                        x: crop_x,
                        y: crop_y,
                        width: crop_width,
                        height: crop_height,
                    },
                    resize: [resize_width, resize_height],
                    window: [window_x, window_y],
                    size,
                    filter: filter(filters.value(row))?,
                    operations: named
                        .zip(valued)
                        .map(|(name, amount)| operation(names.value(name), factors[amount]))
                        .collect::<std::result::Result<_, Invalid>>()?,
                },
            });
        }
        Ok(())
    }
}

fn filter(name: &str) -> std::result::Result<Filter, Invalid> {
    let expected = || Filter::ALL.map(Filter::name).join(", ");
    Filter::from_name(name).ok_or_else(|| Invalid::new("filter", expected(), format!("`{name}`")))
}

fn operation(name: &str, amount: f32) -> std::result::Result<Operation, Invalid> {
    let expected = || Operation::NAMES.join(", ");
    Operation::named(name, amount)
        .ok_or_else(|| Invalid::new("operation", expected(), format!("`{name}`")))
}

/// Reads views by their number and the images' positions.
pub struct ViewsReader {
    table: TableReader<ViewRow>,
    views: usize,
}

impl ViewsReader {
    /// Opens the parts, given in logical row order. Fails where rows are not a whole number of views.
    pub fn open(parts: &[PathBuf]) -> Result<Self> {
        let table = TableReader::<ViewRow>::open(parts)?;
        let rows = table.rows();
        let last = if rows == 0 {
            None
        } else {
            table.read(rows - 1..rows)?.pop()
        };
        let views = last.map_or(0, |row| usize::from(row.number) + 1);
        if rows % views.max(1) != 0 {
            return Err(ArtifactError::unexpected(
                table.first_path(),
                "rows of the output",
                format!("a multiple of its {views} views"),
                rows,
            ));
        }
        Ok(Self { table, views })
    }

    pub fn rows(&self) -> usize {
        self.table.rows()
    }

    pub fn metadata(&self) -> &Metadata {
        self.table.metadata()
    }

    /// Number of views of an image; 0 when there are no rows.
    pub fn views(&self) -> usize {
        self.views
    }

    /// Number of images that have views.
    pub fn viewed(&self) -> usize {
        self.rows() / self.views.max(1)
    }

    /// The rows of one view for a range of positions. Fails beyond the views or the positions, and where a row is not what its place says.
    pub fn read(&self, view: usize, positions: Range<usize>) -> Result<Vec<ViewRow>> {
        let (views, viewed) = (self.views, self.viewed());
        if view >= views || positions.start > positions.end || positions.end > viewed {
            return Err(ArtifactError::unexpected(
                self.table.first_path(),
                "views asked for",
                format!("view below {views}, positions within 0..{viewed}"),
                format!(
                    "view {view}, positions {}..{}",
                    positions.start, positions.end
                ),
            ));
        }
        let first = view * viewed + positions.start;
        let rows = self.table.read(first..first + positions.len())?;
        for (row, place) in rows.iter().zip(first as u64..) {
            if row.view_id != place || usize::from(row.number) != view {
                return Err(ArtifactError::unexpected(
                    self.table.first_path(),
                    format!("row {place}"),
                    format!("view_id {place}, view {view}"),
                    format!("view_id {}, view {}", row.view_id, row.number),
                ));
            }
        }
        Ok(rows)
    }

    /// The viewed images by position, which are the same in every view: `[viewed]`.
    pub fn image_ids(&self) -> Result<Vec<u32>> {
        if self.views == 0 {
            return Ok(Vec::new());
        }
        let mut ids = Vec::new();
        for rows in self.blocks(0) {
            ids.extend(rows?.iter().map(|row| row.image_id));
        }
        Ok(ids)
    }

    /// All rows of one view in order, a row group's at a time. Fails as [`Self::read`].
    pub fn blocks(&self, view: usize) -> impl Iterator<Item = Result<Vec<ViewRow>>> {
        let viewed = self.viewed();
        let mut next = Some(0);
        std::iter::from_fn(move || {
            let start = next?;
            // To the end of a row group in a lone part; elsewhere a group may be read twice.
            let rest =
                ROW_GROUP_ROWS - view.wrapping_mul(viewed).wrapping_add(start) % ROW_GROUP_ROWS;
            let end = viewed.min(start + rest);
            next = (end < viewed).then_some(end);
            Some(self.read(view, start..end))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn row(view: u16, position: u32, viewed: u32) -> ViewRow {
        ViewRow {
            view_id: u64::from(view) * u64::from(viewed) + u64::from(position),
            image_id: 10 + 3 * position,
            number: view,
            scale: if view.is_multiple_of(2) {
                Scale::Global
            } else {
                Scale::Small
            },
            view: View {
                crop: CropBox {
                    x: position,
                    y: 2,
                    width: 30,
                    height: 40,
                },
                resize: [32, 33],
                window: [0, 1],
                size: 32,
                filter: Filter::Bicubic,
                operations: match position % 3 {
                    0 => vec![],
                    1 => vec![Operation::Hue(-0.1), Operation::Flip],
                    _ => vec![Operation::Blur(1.5)],
                },
            },
        }
    }

    fn write(folder: &std::path::Path, name: &str, rows: &[ViewRow]) -> PathBuf {
        let path = folder.join(name);
        let mut writer = ViewsWriter::create(&path, &Metadata::new()).unwrap();
        writer.write(rows).unwrap();
        writer.finish().unwrap();
        path
    }

    #[test]
    fn views_are_read_back_across_parts_and_row_groups() {
        let folder = tempfile::tempdir().unwrap();
        let viewed = 20_000u32; // more than a row group
        let all: Vec<ViewRow> = (0..2)
            .flat_map(|view| (0..viewed).map(move |position| row(view, position, viewed)))
            .collect();
        let parts = [
            write(folder.path(), "a", &all[..17_000]),
            write(folder.path(), "b", &[]),
            write(folder.path(), "c", &all[17_000..]),
        ];
        let reader = ViewsReader::open(&parts).unwrap();
        assert_eq!(
            (reader.views(), reader.viewed(), reader.rows()),
            (2, 20_000, 40_000)
        );
        assert_eq!(reader.read(0, 16_380..17_010).unwrap(), all[16_380..17_010]);
        assert_eq!(reader.read(1, 0..20_000).unwrap(), all[20_000..]);
        assert!(reader.read(1, 5..5).unwrap().is_empty());
        assert_eq!(reader.image_ids().unwrap()[..3], [10, 13, 16]);
        let blocks: Vec<_> = reader.blocks(1).map(Result::unwrap).collect();
        assert_eq!(
            blocks.iter().map(Vec::len).collect::<Vec<_>>(),
            [12_768, 7_232]
        );
        assert_eq!(blocks.concat(), all[20_000..]);
        assert!(reader.blocks(2).next().unwrap().is_err());
        assert!(reader.read(2, 0..1).is_err());
        assert!(reader.read(0, 0..20_001).is_err());
    }

    #[test]
    fn rows_that_are_not_in_their_place_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut rows: Vec<ViewRow> = (0..4).map(|position| row(0, position, 4)).collect();
        rows.swap(1, 2);
        let reader = ViewsReader::open(&[write(folder.path(), "a", &rows)]).unwrap();
        let message = reader.read(0, 0..4).unwrap_err().to_string();
        assert!(
            message.contains("row 1: expected view_id 1, view 0, got view_id 2, view 0"),
            "{message}"
        );
        let odd = [row(0, 0, 1), row(0, 1, 2), row(1, 0, 1)];
        assert!(ViewsReader::open(&[write(folder.path(), "b", &odd)]).is_err());
    }

    #[test]
    fn no_views_at_all_are_readable() {
        let folder = tempfile::tempdir().unwrap();
        let reader = ViewsReader::open(&[write(folder.path(), "a", &[])]).unwrap();
        assert_eq!((reader.views(), reader.viewed()), (0, 0));
        assert!(reader.image_ids().unwrap().is_empty());
    }
}
