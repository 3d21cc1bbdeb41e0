//! What two outputs of one recipe may differ in, and what they do differ in.

use serde::{Deserialize, Serialize};

/// What may differ between numerics classes; every bound that is there must hold, and without any
/// nothing may differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// Largest difference of a number with a fraction; without it 0, or any where a cosine is
    /// given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_abs: Option<f64>,
    /// Smallest cosine between two rows' vectors; of networks, between the similarities that both
    /// see among sampled images.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f64>,
    /// For figures at their last step: percentage points between accuracies, and ten times as many
    /// per cent of other figures. For predictions: per cent of images whose best class may be
    /// another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<f64>,
}

/// What two outputs differ in.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Equal to the bit, metadata included.
    pub equal: bool,
    /// Same columns and rows, every cell within the tolerance. Of metadata only digests may differ:
    /// of what may itself be within tolerance only.
    pub within: bool,
    /// Rows compared.
    pub rows: u64,
    /// Rows that are not equal to the bit.
    pub differing: u64,
    /// Largest difference of a number with a fraction.
    pub max_abs: f64,
    /// Smallest cosine of two vectors; `None` where the kind has none.
    pub min_cosine: Option<f64>,
    /// How alike two networks see sampled images, from -1 to 1; `None` where that was not asked.
    pub seen_alike: Option<f64>,
    /// The same of the network that was made again, and of one that was made by the same training
    /// after one rounding: where that was asked.
    pub rounding_alike: Option<f64>,
    /// The row that is furthest beyond, or else nearest to, the tolerance.
    pub worst: Option<WorstRow>,
    /// Metadata keys whose values differ.
    pub metadata: Vec<String>,
    /// Why rows could not be compared: other columns or another number of rows.
    pub structure: Option<String>,
}

/// The row that differs most.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorstRow {
    pub row: u64,
    pub column: String,
    pub detail: String,
}
