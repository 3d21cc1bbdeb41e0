//! The declared metadata of `embeddings/v1`, from which its columns follow.

use std::path::Path;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};

use crate::schema::element;
use crate::schema::error::{ArtifactError, Result};
use crate::schema::metadata::Metadata;

/// The longest vector: far beyond any network's, and far from overflowing a page.
const MOST_VALUES: usize = 1 << 20;

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
        [Self::Views, Self::Images]
            .into_iter()
            .find(|of| of.name() == name)
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
        [Self::F16, Self::F32]
            .into_iter()
            .find(|precision| precision.name() == name)
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
    pub(crate) fn to_metadata(&self, path: &Path) -> Result<Metadata> {
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
                return Err(ArtifactError::new(
                    path,
                    format!("metadata key `{key}` is the header's own"),
                ));
            }
        }
        Ok(metadata)
    }

    pub(crate) fn from_metadata(path: &Path, metadata: &Metadata) -> Result<Self> {
        let mut extra = metadata.clone();
        let mut take = |key: &str| extra.remove(key).unwrap_or_default();
        let (of, precision, dimension) = (take("of"), take("precision"), take("dimension"));
        let (normalised, network) = (take("normalised"), take("network"));
        let refused = |key: &str, expected: &str, got: &str| {
            ArtifactError::unexpected(
                path,
                format!("metadata `{key}`"),
                expected,
                format!("`{got}`"),
            )
        };
        let length = dimension
            .parse()
            .ok()
            .filter(|length| (1..=MOST_VALUES).contains(length));
        Ok(Self {
            of: Of::from_name(&of).ok_or_else(|| refused("of", "`views` or `images`", &of))?,
            precision: Precision::from_name(&precision)
                .ok_or_else(|| refused("precision", "`f16` or `f32`", &precision))?,
            dimension: length
                .ok_or_else(|| refused("dimension", "a number from 1 to 1048576", &dimension))?,
            normalised: normalised
                .parse()
                .map_err(|_| refused("normalised", "`true` or `false`", &normalised))?,
            network,
            extra,
        })
    }

    pub(crate) fn schema(&self) -> SchemaRef {
        let id = match self.of {
            Of::Views => Field::new("view_id", DataType::UInt64, false),
            Of::Images => Field::new("image_id", DataType::UInt32, false),
        };
        let value = match self.precision {
            Precision::F16 => DataType::Float16,
            Precision::F32 => DataType::Float32,
        };
        let vector = DataType::FixedSizeList(element(value), self.dimension as i32);
        Arc::new(Schema::new(vec![
            id,
            Field::new("embedding", vector, false),
        ]))
    }
}
