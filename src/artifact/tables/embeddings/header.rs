//! The declared metadata of `embeddings/v1`, from which its columns follow.

use std::path::Path;

use arrow::datatypes::{DataType, Field};

use seedpipe_base::Refusal;

use crate::schema::column::{Layout, named};
use crate::schema::failure::{self, Result};
use crate::schema::metadata::Metadata;
use crate::schema::table::{Declared, Table};
use crate::schema::{EMBEDDINGS, element};

/// The longest vector: far beyond any network's, and far from overflowing a page.
const MOST_VALUES: usize = 1 << 20;
/// The largest that is rounded to a finite f16: half way to the next, which is none.
const LARGEST_F16: f32 = 65_519.996;
/// The column of the vectors.
pub(crate) const EMBEDDING: &str = "embedding";

named! {
    /// What was embedded: decides the name and type of the id column.
    pub enum Of {
        /// `view_id` u64.
        Views = "views",
        /// `image_id` u32.
        Images = "images",
    }
}

named! {
    /// How a value is stored.
    pub enum Precision {
        F16 = "f16",
        F32 = "f32",
    }
}

impl Of {
    /// The id column's name.
    pub(crate) fn column(self) -> &'static str {
        match self {
            Self::Views => "view_id",
            Self::Images => "image_id",
        }
    }
}

impl Precision {
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
                return Err(failure::new(
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
            failure::unexpected(
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

    /// Refuses values that are not finite, or would not be as they are stored.
    pub(crate) fn check(&self, ids: &[u64], values: &[f32]) -> Result<()> {
        let largest = match self.precision {
            Precision::F16 => LARGEST_F16,
            Precision::F32 => f32::MAX,
        };
        let fits = |value: &f32| value.abs() <= largest; // NaN does not
        if values.iter().fold(true, |all, value| all & fits(value)) {
            return Ok(());
        }
        let rows = ids.iter().zip(values.chunks(self.dimension));
        let mut wrong = rows.flat_map(|(id, row)| row.iter().map(move |value| (id, value)));
        let Some((id, value)) = wrong.find(|(_, value)| !fits(value)) else {
            return Ok(());
        };
        let (expected, hint) = match value.is_finite() {
            true => (
                "numbers that f16 holds, up to 65504",
                "store them as `f32`: `store: f32`",
            ),
            false => (
                "finite numbers",
                "check the network's weights (`seedpipe network inspect`) and preprocessing, or compute in `precision: f32`",
            ),
        };
        let what = format!("embedding of {} {id}", self.of.column());
        Err(Refusal::expected(expected, value)
            .failed()
            .place(what)
            .hint(hint))
    }

    fn columns(&self) -> Vec<Declared> {
        let id = match self.of {
            Of::Views => DataType::UInt64,
            Of::Images => DataType::UInt32,
        };
        let value = match self.precision {
            Precision::F16 => DataType::Float16,
            Precision::F32 => DataType::Float32,
        };
        let vector = DataType::FixedSizeList(element(value), self.dimension as i32);
        vec![
            Declared {
                field: Field::new(self.of.column(), id, false),
                layout: Layout::Differences,
                meaning: &["The row of the views; `image_id` (u32) in embeddings of images."],
            },
            Declared {
                field: Field::new(EMBEDDING, vector, false),
                layout: Layout::Plain,
                meaning: &["The vector; `f32[D]` where `store: f32` asked for it."],
            },
        ]
    }
}

pub(crate) const TABLE: &Table = &Table {
    kind: EMBEDDINGS,
    holds: &[
        "One vector of length D a row, of a view or of an image. Metadata: `of` (`views` or `images`: the",
        "id column is `view_id` or `image_id`), `precision` (`f16` or `f32`), `dimension`, `normalised`,",
        "`network` (the content digest of the weights), `views` (that of the views), `output` (`logits`",
        "where they are).",
    ],
    columns: |path, metadata| Ok(EmbeddingsHeader::from_metadata(path, metadata)?.columns()),
};
