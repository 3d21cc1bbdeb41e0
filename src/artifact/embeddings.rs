//! `embeddings/v1`: one vector of fixed length a view or an image, as f16 or f32. Stored plain and uncompressed, so that reading is
//! copying and widening.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, FixedSizeListArray, Float16Array, Float32Array, RecordBatch, UInt32Array, UInt64Array};
use arrow::datatypes::{DataType, Field, Float16Type, Float32Type, Schema, SchemaRef, UInt32Type, UInt64Type};
use half::f16;
use half::slice::HalfFloatSliceExt;

use crate::columns::numbers;
use crate::error::{ArtifactError, Result};
use crate::metadata::Metadata;
use crate::part::Positions;
use crate::parts::Parts;
use crate::schema::{EMBEDDINGS, element};
use crate::vectors::{self, Vectors};
use crate::write::{PartWriter, ROW_GROUP_ROWS};

const PAGE_BYTES: usize = 1 << 20;
/// Rows of a batch are few enough that their values stay in the processor's cache while they are written.
const BATCH_VALUES: usize = 1 << 18;

/// What was embedded: decides the name and type of the id column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// `view_id` u64.
    Views,
    /// `image_id` u32.
    Images,
}

impl Of {
    pub fn name(self) -> &'static str {
        match self {
            Self::Views => "views",
            Self::Images => "images",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Views, Self::Images].into_iter().find(|of| of.name() == name)
    }
}

/// How a value is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    F16,
    F32,
}

impl Precision {
    pub fn name(self) -> &'static str {
        match self {
            Self::F16 => "f16",
            Self::F32 => "f32",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        [Self::F16, Self::F32].into_iter().find(|precision| precision.name() == name)
    }

    /// Bytes of a value.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::F16 => 2,
            Self::F32 => 4,
        }
    }
}

/// The declared metadata of embeddings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddingsHeader {
    pub of: Of,
    pub precision: Precision,
    /// Values of a vector, at least 1.
    pub dimension: usize,
    /// Whether vectors have length 1 (up to the precision's rounding).
    pub normalised: bool,
    /// Content digest of the network that made them.
    pub network: String,
    /// Whatever else is to be part of the content.
    pub extra: Metadata,
}

impl EmbeddingsHeader {
    fn to_metadata(&self, path: &Path) -> Result<Metadata> {
        let mut metadata = self.extra.clone();
        let own = [
            ("of", self.of.name().to_string()),
            ("precision", self.precision.name().to_string()),
            ("dimension", self.dimension.to_string()),
            ("normalised", self.normalised.to_string()),
            ("network", self.network.clone()),
        ];
        for (key, value) in own {
            if metadata.insert(key.to_string(), value).is_some() {
                return Err(ArtifactError::new(path, format!("metadata key `{key}` is the header's own")));
            }
        }
        Ok(metadata)
    }

    pub(crate) fn from_metadata(path: &Path, metadata: &Metadata) -> Result<Self> {
        let mut extra = metadata.clone();
        let mut take = |key: &str, expected: &str| {
            let value = extra.remove(key);
            move |parsed: Option<()>| match (parsed, value) {
                (Some(()), _) => unreachable!(),
                (None, value) => ArtifactError::unexpected(
                    path,
                    format!("metadata `{key}`"),
                    expected,
                    value.map_or("none".to_string(), |value| format!("`{value}`")),
                ),
            }
        };
        let _ = &mut take;
        todo!()
    }
}
