//! The artifact kinds, what a column of one is, and what goes with the columns: metadata, errors.

pub(crate) mod column;
pub(crate) mod failure;
pub(crate) mod metadata;
pub(crate) mod table;

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, FieldRef};

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

/// How a type is written in content digests and shown to people: `u32`, `utf8`, `fixed[32]`,
/// `list<f32>`, `f16[128]`; `?` marks a column or an element that may be null.
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
