//! What `seedpipe show` prints of an output: columns, metadata, the number of rows and the first of
//! them, as text (a polars table, long texts whole below it) or as JSON. Bytes are shown by their
//! number, long lists by their beginning.

use std::path::PathBuf;

use arrow::array::{Array, ArrayRef, AsArray};
use arrow::datatypes::{
    DataType, Float16Type, Float32Type, Float64Type, Int32Type, Int64Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use polars::prelude::{Column, DataFrame, NamedFrom, Series};
use seedpipe_base::neutral;
use seedpipe_base::text::hex;
use serde_json::{Map, Value, json};

use crate::on_disk::part::Positions;
use crate::on_disk::parts::PartList;
use crate::schema::failure::{self, Result};
use crate::schema::metadata::Metadata;
use crate::schema::type_name;
use crate::tables::TABLES;

/// Elements of a list that are shown.
const LIST_ELEMENTS: usize = 8;
/// Polars' tables show this many rows and columns without leaving some out.
const TABLE_ROWS: usize = 8;
const TABLE_COLUMNS: usize = 8;
/// Polars' tables show this many letters of a text.
const TABLE_LETTERS: usize = 30;
/// Metadata in the text is cut to this many characters; the JSON has all.
const METADATA_CHARACTERS: usize = 100;

/// An output in brief.
#[derive(Clone, Debug, PartialEq)]
pub struct Preview {
    pub kind: String,
    /// Name and type, such as `("label", "i32?")`, where `?` marks what may be null.
    pub columns: Vec<(String, String)>,
    pub rows: u64,
    pub metadata: Metadata,
    /// The first rows: column → value, in the order of the columns' names.
    pub first: Vec<Map<String, Value>>,
}

/// Reads the first rows of an output, given its parts in logical row order.
pub fn preview(parts: &[PathBuf], first: usize) -> Result<Preview> {
    let parts = PartList::open(parts, &TABLES, Positions::Skip)?;
    let fields = parts.first().schema().fields().clone();
    let columns: Vec<usize> = (0..fields.len()).collect();
    let mut rows = Vec::new();
    for (part, within) in parts.spans(0..first.min(parts.rows()))? {
        for batch in parts.part(part).batches(within, &columns)? {
            let batch = batch?;
            for row in 0..batch.num_rows() {
                let cell = |column: usize| {
                    (
                        fields[column].name().clone(),
                        value(batch.column(column), row),
                    )
                };
                rows.push(columns.iter().map(|column| cell(*column)).collect());
            }
        }
    }
    Ok(Preview {
        kind: parts.first().kind().to_string(),
        columns: fields
            .iter()
            .map(|field| (field.name().clone(), type_name(field)))
            .collect(),
        rows: parts.rows() as u64,
        metadata: parts.metadata().clone(),
        first: rows,
    })
}

impl Preview {
    pub fn json(&self) -> Value {
        let columns: Vec<Value> = self
            .columns
            .iter()
            .map(|(name, kind)| json!({ "name": name, "type": kind }))
            .collect();
        json!({
            "kind": self.kind,
            "rows": self.rows,
            "columns": columns,
            "metadata": self.metadata,
            "first": self.first,
        })
    }

    /// Kind and rows, columns, metadata, and a table of the first rows (several where it would be
    /// wide or long).
    pub fn text(&self) -> Result<String> {
        let mut text = format!("{}, {} rows\n", self.kind, self.rows);
        let width = self
            .columns
            .iter()
            .map(|(name, _)| name.len())
            .max()
            .unwrap_or(0);
        for (name, kind) in &self.columns {
            text.push_str(&format!("  {name:width$}  {kind}\n"));
        }
        if !self.metadata.is_empty() {
            text.push_str("metadata\n");
        }
        for (key, value) in &self.metadata {
            let mut shown: String = value.chars().take(METADATA_CHARACTERS).collect();
            if shown.len() < value.len() {
                shown.push('…');
            }
            let line = format!("{key}: {shown}");
            text.push_str(&format!("  {}\n", neutral::line(&line)));
        }
        for (index, rows) in self.first.chunks(TABLE_ROWS).enumerate() {
            text.push_str(&format!(
                "rows {}–{}\n",
                index * TABLE_ROWS,
                index * TABLE_ROWS + rows.len() - 1
            ));
            let (long, short): (Vec<_>, Vec<_>) = self
                .columns
                .iter()
                .cloned()
                .partition(|(name, kind)| is_long(rows, name, kind));
            for columns in short.chunks(TABLE_COLUMNS) {
                let table = table(rows, columns).map_err(|error| {
                    failure::new(std::path::Path::new(""), format!("cannot print: {error}"))
                })?;
                text.push_str(&format!("{table}\n"));
            }
            text.push_str(&records(rows, &long, index * TABLE_ROWS));
        }
        Ok(text)
    }
}

/// Whether a table would cut the column's text. Digests and lists may be cut.
fn is_long(rows: &[Map<String, Value>], name: &str, kind: &str) -> bool {
    let texts = rows.iter().filter_map(|row| row[name].as_str());
    kind.starts_with("utf8") && texts.map(|text| text.chars().count()).max() > Some(TABLE_LETTERS)
}

/// A line a text, whole, with the row's number.
fn records(rows: &[Map<String, Value>], columns: &[(String, String)], first: usize) -> String {
    let width = columns.iter().map(|(name, _)| name.len()).max();
    let width = width.unwrap_or_default();
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        for (name, _) in columns {
            if let Some(value) = plain_text(&row[name.as_str()]) {
                let number = first + number;
                text.push_str(&format!("  {number:>4}  {name:width$}  {value}\n"));
            }
        }
    }
    text
}

/// A data frame of the given rows and columns.
fn table(
    rows: &[Map<String, Value>],
    columns: &[(String, String)],
) -> polars::prelude::PolarsResult<DataFrame> {
    let series = columns.iter().map(|(name, _)| -> Column {
        let cells = || rows.iter().map(|row| &row[name.as_str()]);
        let whole = |cell: &Value| cell.is_null() || cell.is_u64();
        let signed = |cell: &Value| cell.is_null() || cell.is_i64();
        let number = |cell: &Value| cell.is_null() || cell.is_number();
        let name = name.as_str().into();
        let series = if cells().all(whole) {
            Series::new(name, cells().map(Value::as_u64).collect::<Vec<_>>())
        } else if cells().all(signed) {
            Series::new(name, cells().map(Value::as_i64).collect::<Vec<_>>())
        } else if cells().all(number) {
            Series::new(name, cells().map(Value::as_f64).collect::<Vec<_>>())
        } else {
            Series::new(name, cells().map(plain_text).collect::<Vec<_>>())
        };
        series.into()
    });
    DataFrame::new(rows.len(), series.collect())
}

fn plain_text(cell: &Value) -> Option<String> {
    match cell {
        Value::Null => None,
        Value::String(text) => Some(neutral::line(text).into_owned()),
        other => Some(neutral::line(&other.to_string()).into_owned()),
    }
}

/// A cell as JSON.
fn value(array: &ArrayRef, row: usize) -> Value {
    if array.is_null(row) {
        return Value::Null;
    }
    match array.data_type() {
        DataType::UInt16 => json!(array.as_primitive::<UInt16Type>().value(row)),
        DataType::UInt32 => json!(array.as_primitive::<UInt32Type>().value(row)),
        DataType::UInt64 => json!(array.as_primitive::<UInt64Type>().value(row)),
        DataType::Int32 => json!(array.as_primitive::<Int32Type>().value(row)),
        DataType::Int64 => json!(array.as_primitive::<Int64Type>().value(row)),
        DataType::Float16 => fraction(array.as_primitive::<Float16Type>().value(row).to_f32()),
        DataType::Float32 => fraction(array.as_primitive::<Float32Type>().value(row)),
        DataType::Float64 => finite(array.as_primitive::<Float64Type>().value(row)),
        DataType::Utf8 => json!(array.as_string::<i32>().value(row)),
        DataType::Binary => json!(format!(
            "<{} bytes>",
            array.as_binary::<i32>().value(row).len()
        )),
        DataType::FixedSizeBinary(_) => {
            let bytes = array.as_fixed_size_binary().value(row);
            json!(hex(bytes))
        }
        DataType::List(_) => list(&array.as_list::<i32>().value(row)),
        DataType::FixedSizeList(..) => list(&array.as_fixed_size_list().value(row)),
        other => panic!("BUG: no kind has a column of {other}"),
    }
}

/// A short list as it is, a long one as text: its beginning and its length.
fn list(elements: &ArrayRef) -> Value {
    let shown: Vec<Value> = (0..elements.len().min(LIST_ELEMENTS))
        .map(|index| value(elements, index))
        .collect();
    if elements.len() <= LIST_ELEMENTS {
        return Value::Array(shown);
    }
    let shown: Vec<String> = shown
        .iter()
        .take(LIST_ELEMENTS / 2)
        .map(Value::to_string)
        .collect();
    json!(format!(
        "[{}, … {} values]",
        shown.join(", "),
        elements.len()
    ))
}

/// With as many digits as an f32 has, not as many as its f64 has.
fn fraction(value: f32) -> Value {
    finite(value.to_string().parse().unwrap_or(f64::from(value)))
}

/// JSON has no NaN and no infinity: those are text.
fn finite(value: f64) -> Value {
    if value.is_finite() {
        json!(value)
    } else {
        json!(value.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::embeddings::EmbeddingsWriter;
    use crate::tables::embeddings::header::{EmbeddingsHeader, Of, Precision};
    use crate::tables::images::{ImageRow, ImagesWriter};

    #[test]
    fn long_texts_are_shown_whole() {
        let reason = "truncated jpeg: the file ends before the image does".repeat(3);
        let rows = ["a.jpg".to_owned(), format!("{}.png", "b".repeat(40))].map(|source| {
            Map::from_iter([
                ("source".to_owned(), json!(source)),
                ("reason".to_owned(), json!(reason)),
                ("size".to_owned(), json!(3)),
            ])
        });
        let columns = [("source", "utf8"), ("reason", "utf8"), ("size", "u32")];
        let preview = Preview {
            kind: "rejected/v1".to_owned(),
            columns: columns
                .map(|(name, kind)| (name.to_owned(), kind.to_owned()))
                .to_vec(),
            rows: 2,
            metadata: Metadata::new(),
            first: rows.to_vec(),
        };
        let text = preview.text().unwrap();
        assert!(
            text.contains(&format!("     0  reason  {reason}\n")),
            "{text}"
        );
        assert!(
            text.contains(&format!("     1  source  {}.png\n", "b".repeat(40))),
            "{text}"
        );
        assert!(text.contains("│ size"), "{text}");
    }

    #[test]
    fn images_are_shown_without_their_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("i.parquet");
        let mut writer =
            ImagesWriter::create(&path, &Metadata::from([("size".into(), "x".repeat(300))]))
                .unwrap();
        let rows: Vec<ImageRow> = (0..11u32)
            .map(|id| ImageRow {
                label: (id > 0).then_some(-3),
                label_name: Some("c\u{1b}at".into()),
                ..ImageRow::example(id, vec![id as u8; 40])
            })
            .collect();
        writer.write(&rows).unwrap();
        writer.finish().unwrap();
        let preview = preview(&[path], 10).unwrap();
        assert_eq!(
            (preview.kind.as_str(), preview.rows, preview.first.len()),
            ("images/v1", 11, 10)
        );
        assert_eq!(preview.first[1]["bytes"], "<40 bytes>");
        assert_eq!(preview.first[0]["label"], Value::Null);
        assert_eq!(
            preview.columns[6],
            ("label".to_string(), "i32?".to_string())
        );
        let text = preview.text().unwrap();
        for part in [
            "images/v1, 11 rows",
            "label_name  utf8?",
            "c\\u{1b}at",
            "rows 8–9",
            "9.jpg",
            "-3",
            "xxx…",
        ] {
            assert!(text.contains(part), "{part} is missing in\n{text}");
        }
        assert!(
            !text.contains("10.jpg") && text.matches("train").count() == 10,
            "{text}"
        );
        assert_eq!(
            preview.json()["columns"][3],
            json!({"name": "bytes", "type": "binary"})
        );
    }

    #[test]
    fn vectors_are_shown_by_their_beginning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e.parquet");
        let header = EmbeddingsHeader {
            of: Of::Images,
            precision: Precision::F32,
            dimension: 9,
            normalised: false,
            network: String::new(),
            extra: Metadata::new(),
        };
        let mut writer = EmbeddingsWriter::create(&path, &header).unwrap();
        writer
            .write(&[5], &[0.1, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0])
            .unwrap();
        writer.finish().unwrap();
        let preview = preview(&[path], 3).unwrap();
        assert_eq!(
            preview.first[0]["embedding"],
            "[0.1, 1.0, 2.0, 3.0, … 9 values]"
        );
        assert_eq!(preview.columns[1].1, "f32[9]");
        // Of a file that a program from before wrote.
        assert_eq!(finite(f64::NAN), "NaN");
    }
}
