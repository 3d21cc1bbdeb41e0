//! The artifact kinds and their columns. Names, types and nullability are a kind's identity: a file that differs is refused.

pub(crate) mod embeddings_header;
pub(crate) mod error;
pub(crate) mod metadata;

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};

use crate::schema::embeddings_header::EmbeddingsHeader;
use crate::schema::error::{ArtifactError, Result};
use crate::schema::metadata::Metadata;

pub const IMAGES: &str = "images/v1";
pub const REJECTED: &str = "rejected/v1";
pub const VIEWS: &str = "views/v1";
pub const EMBEDDINGS: &str = "embeddings/v1";
pub const WEIGHTS: &str = "weights/v1";
pub const PREDICTIONS: &str = "predictions/v1";
pub const METRICS: &str = "metrics/v1";
pub const FILES: &str = "files/v1";

/// Every artifact kind.
pub const KINDS: &[&str] = &[
    IMAGES,
    REJECTED,
    VIEWS,
    EMBEDDINGS,
    WEIGHTS,
    PREDICTIONS,
    METRICS,
    FILES,
];

/// The element of a list, always called `element` and never null.
pub(crate) fn element(data_type: DataType) -> FieldRef {
    Arc::new(Field::new("element", data_type, false))
}

/// The columns of `kind`; those of embeddings follow from the metadata.
pub(crate) fn schema(path: &Path, kind: &str, metadata: &Metadata) -> Result<SchemaRef> {
    let list = |data_type| DataType::List(element(data_type));
    let column = |name: &str, data_type| Field::new(name, data_type, false);
    let nullable = |name: &str, data_type| Field::new(name, data_type, true);
    let columns = match kind {
        IMAGES => vec![
            column("image_id", DataType::UInt32),
            column("digest", DataType::FixedSizeBinary(32)),
            column("occurrence", DataType::UInt32),
            column("bytes", DataType::Binary),
            column("width", DataType::UInt32),
            column("height", DataType::UInt32),
            nullable("label", DataType::Int32),
            nullable("label_name", DataType::Utf8),
            column("split", DataType::Utf8),
            column("source", DataType::Utf8),
        ],
        REJECTED => vec![
            column("source", DataType::Utf8),
            column("reason", DataType::Utf8),
        ],
        VIEWS => {
            let numbers = |names: &[&str]| -> Vec<Field> {
                names
                    .iter()
                    .map(|name| column(name, DataType::UInt32))
                    .collect()
            };
            let mut columns = vec![
                column("view_id", DataType::UInt64),
                column("image_id", DataType::UInt32),
                column("view", DataType::UInt16),
                column("scale", DataType::Utf8),
            ];
            columns.extend(numbers(&["crop_x", "crop_y", "crop_width", "crop_height"]));
            columns.extend(numbers(&[
                "resize_width",
                "resize_height",
                "window_x",
                "window_y",
                "size",
            ]));
            columns.push(column("filter", DataType::Utf8));
            columns.push(column("operations", list(DataType::Utf8)));
            columns.push(column("amounts", list(DataType::Float32)));
            columns
        }
        EMBEDDINGS => return Ok(EmbeddingsHeader::from_metadata(path, metadata)?.schema()),
        WEIGHTS => vec![
            column("name", DataType::Utf8),
            column("dtype", DataType::Utf8),
            column("shape", list(DataType::Int64)),
            column("data", DataType::Binary),
        ],
        PREDICTIONS => vec![
            column("image_id", DataType::UInt32),
            nullable("label", DataType::Int32),
            column("classes", list(DataType::Int32)),
            column("probabilities", list(DataType::Float32)),
        ],
        METRICS => vec![
            column("step", DataType::UInt64),
            column("split", DataType::Utf8),
            column("name", DataType::Utf8),
            column("value", DataType::Float64),
        ],
        FILES => vec![
            column("name", DataType::Utf8),
            column("bytes", DataType::Binary),
        ],
        other => {
            return Err(ArtifactError::unexpected(
                path,
                "artifact kind",
                format!("one of {}", KINDS.join(", ")),
                format!("`{other}`"),
            ));
        }
    };
    Ok(Arc::new(Schema::new(columns)))
}

/// How a type is written in content digests and shown to people: `u32`, `utf8`, `fixed[32]`, `list<f32>`, `f16[128]`; `?` marks a column
/// or an element that may be null.
pub(crate) fn type_name(field: &Field) -> String {
    let name = match field.data_type() {
        DataType::Boolean => "bool".to_string(),
        DataType::UInt8 => "u8".to_string(),
        DataType::UInt16 => "u16".to_string(),
        DataType::UInt32 => "u32".to_string(),
        DataType::UInt64 => "u64".to_string(),
        DataType::Int8 => "i8".to_string(),
        DataType::Int16 => "i16".to_string(),
        DataType::Int32 => "i32".to_string(),
        DataType::Int64 => "i64".to_string(),
        DataType::Float16 => "f16".to_string(),
        DataType::Float32 => "f32".to_string(),
        DataType::Float64 => "f64".to_string(),
        DataType::Utf8 => "utf8".to_string(),
        DataType::Binary => "binary".to_string(),
        DataType::FixedSizeBinary(width) => format!("fixed[{width}]"),
        DataType::List(element) => format!("list<{}>", type_name(element)),
        DataType::FixedSizeList(element, length) => format!("{}[{length}]", type_name(element)),
        other => other.to_string(),
    };
    if field.is_nullable() {
        format!("{name}?")
    } else {
        name
    }
}
