//! `views/v1`: every view of every image, as numbers. Rows are view-major:
//! `view_id = view · viewed + position`, where `viewed` is the number of images that have views,
//! and positions follow ascending image ids.

use std::ops::Range;
use std::path::PathBuf;

use arrow::array::{Float32Array, ListArray, StringArray};
use arrow::datatypes::DataType;
use seedpipe_base::{Filter, Operation, Refusal, View};

use crate::on_disk::row::{TableRow, table};
use crate::on_disk::table::{TableReader, TableWriter};
use crate::on_disk::write::ROW_GROUP_ROWS;
use crate::schema::column::{Column, by_name, list, list_range, list_values, named};
use crate::schema::failure::{self, Result};
use crate::schema::metadata::Metadata;
use crate::schema::{VIEWS, element};

named! {
    /// Which of a multi-crop recipe's sizes a view belongs to.
    pub enum Scale {
        Global = "global",
        Small = "small",
    }
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

impl Default for ViewRow {
    fn default() -> Self {
        Self {
            view_id: 0,
            image_id: 0,
            number: 0,
            scale: Scale::Global,
            view: View::identity(0),
        }
    }
}

pub type ViewsWriter = TableWriter<ViewRow>;

table! {
    /// Augmented looks at images as explicit numbers, one a row: all images of view 0, then of view
    /// 1 and so on. Metadata: `size`, `recipe`.
    ViewRow of VIEWS {
        /// Its place in the order of rows.
        view_id: u64 as Differences = view_id,
        /// The image that is looked at.
        image_id: u32 as Differences = image_id,
        /// Which view of the image, from 0.
        view: u16 = number,
        /// `global`, or `small` for the small crops of a multi-crop recipe.
        scale: Scale = scale,
        /// Left edge of the crop in the oriented image, pixels.
        crop_x: u32 = view.crop.x,
        /// Upper edge of the crop, pixels.
        crop_y: u32 = view.crop.y,
        /// Pixels.
        crop_width: u32 = view.crop.width,
        /// Pixels.
        crop_height: u32 = view.crop.height,
        /// What the crop is resized to, pixels.
        resize_width: u32 = view.resize[0],
        /// What the crop is resized to, pixels.
        resize_height: u32 = view.resize[1],
        /// Left edge of the view within the resized crop, pixels.
        window_x: u32 = view.window[0],
        /// Upper edge of the view within the resized crop, pixels.
        window_y: u32 = view.window[1],
        /// Side of the view, pixels.
        size: u32 = view.size,
        #[doc = Filter::MEANING]
        filter: Filter = view.filter,
        #[doc = Operation::NAMES_MEANING]
        operations: NamesColumn = view.operations,
        #[doc = Operation::AMOUNTS_MEANING]
        amounts: AmountsColumn = view.operations,
    }
}

impl TableRow for ViewRow {
    fn cell(&self, column: &str) -> String {
        match column {
            "scale" => "Scale".to_owned(),
            "operations" => "operation".to_owned(),
            "amounts" => format!("amounts of view {}", self.view_id),
            other => other.to_owned(),
        }
    }
}

by_name!(Scale, Scale::NAMES.join(", "));
by_name!(Filter, Filter::ALL.map(Filter::name).join(", "));

/// The operations' names.
struct NamesColumn;

impl Column for NamesColumn {
    type Value = Vec<Operation>;
    type Array = ListArray;

    fn data_type() -> DataType {
        DataType::List(element(DataType::Utf8))
    }

    fn array<'a>(values: impl Iterator<Item = &'a Self::Value> + Clone) -> ListArray {
        let names = values.clone().flatten().map(Operation::name);
        list(values.map(Vec::len), StringArray::from_iter_values(names))
    }

    /// The amounts are still to be set.
    fn read(
        array: &ListArray,
        row: usize,
        value: &mut Self::Value,
    ) -> std::result::Result<(), Refusal> {
        let names = list_values::<StringArray>(array);
        let range = list_range(array, row);
        value.reserve_exact(range.len());
        for place in range {
            value.push(operation(names.value(place), 0.0)?);
        }
        Ok(())
    }
}

/// The amounts of operations whose names were read.
struct AmountsColumn;

impl Column for AmountsColumn {
    type Value = Vec<Operation>;
    type Array = ListArray;

    fn data_type() -> DataType {
        Vec::<f32>::data_type()
    }

    fn array<'a>(values: impl Iterator<Item = &'a Self::Value> + Clone) -> ListArray {
        let amounts = values.clone().flatten().map(Operation::amount);
        list(
            values.map(Vec::len),
            Float32Array::from_iter_values(amounts),
        )
    }

    fn read(
        array: &ListArray,
        row: usize,
        value: &mut Self::Value,
    ) -> std::result::Result<(), Refusal> {
        let amounts = list_values::<Float32Array>(array).values();
        let amounts = &amounts[list_range(array, row)];
        if amounts.len() != value.len() {
            let expected = format!("{} as there are operations", value.len());
            return Err(Refusal::expected(expected, amounts.len()));
        }
        for (operation, amount) in value.iter_mut().zip(amounts) {
            *operation =
                Operation::of_row(operation.row(), *amount).expect("BUG: an operation has a row");
        }
        Ok(())
    }
}

fn operation(name: &str, amount: f32) -> std::result::Result<Operation, Refusal> {
    let expected = || Operation::NAMES.join(", ");
    Operation::named(name, amount).ok_or_else(|| Refusal::expected(expected(), format!("`{name}`")))
}

/// Reads views by their number and the images' positions.
pub struct ViewsReader {
    table: TableReader<ViewRow>,
    views: usize,
}

impl ViewsReader {
    /// Opens the parts, given in logical row order. Fails where rows are not a whole number of
    /// views.
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
            return Err(failure::unexpected(
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

    /// The rows of one view for a range of positions. Fails beyond the views or the positions, and
    /// where a row is not what its place says.
    pub fn read(&self, view: usize, positions: Range<usize>) -> Result<Vec<ViewRow>> {
        let (views, viewed) = (self.views, self.viewed());
        if view >= views || positions.start > positions.end || positions.end > viewed {
            return Err(failure::unexpected(
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
                return Err(failure::unexpected(
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
    use std::path::Path;

    use super::*;
    use crate::on_disk::row::StoredRow;
    use arrow::array::RecordBatch;
    use seedpipe_base::CropBox;

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
    fn every_operation_needs_an_amount() {
        // Two operations, and one.
        let (two, one) = (row(0, 1, 4), row(0, 2, 4));
        let mut columns = ViewRow::columns(&[two]);
        *columns.last_mut().unwrap() = ViewRow::columns(&[one]).pop().unwrap();
        let schema = ViewRow::TABLE.schema(Path::new(""), &Metadata::new());
        let batch = RecordBatch::try_new(schema.unwrap(), columns).unwrap();
        assert_eq!(
            ViewRow::rows(&batch, &mut vec![]).unwrap_err().to_string(),
            "amounts of view 1: expected 2 as there are operations, got 1"
        );
    }

    #[test]
    fn no_views_at_all_are_readable() {
        let folder = tempfile::tempdir().unwrap();
        let reader = ViewsReader::open(&[write(folder.path(), "a", &[])]).unwrap();
        assert_eq!((reader.views(), reader.viewed()), (0, 0));
        assert!(reader.image_ids().unwrap().is_empty());
    }
}
