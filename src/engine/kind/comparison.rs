//! What two outputs of one recipe may differ in, and what they do differ in; computed by the codec.
//!
//! Within one numerics class nothing may differ. What may across classes is declared in pipeline.yaml:
//!
//! ```yaml
//! verify:
//!   tolerance:
//!     embeddings: {cosine: 0.999}
//!     metrics: {points: 1}
//! ```

use seedpipe_base::Refusal;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_yaml::Value as Yaml;

use crate::base::suggestion;
use crate::kind::registry::Registry;

/// What may differ between numerics classes; every bound that is there must hold, and without any nothing may differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tolerance {
    /// Largest difference of a number with a fraction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_abs: Option<f64>,
    /// Smallest cosine between two rows' vectors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cosine: Option<f64>,
    /// For figures at their last step: percentage points between accuracies, and ten times as many per cent of other figures. For
    /// predictions: per cent of images whose best class may be another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub points: Option<f64>,
}

/// What two outputs differ in.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Comparison {
    /// Equal to the bit.
    pub equal: bool,
    /// Every row is within the tolerance.
    pub within: bool,
    /// Rows compared.
    pub rows: u64,
    /// Rows that are not equal to the bit.
    pub differing: u64,
    /// Largest difference of a number with a fraction.
    pub max_abs: f64,
    /// Smallest cosine of two vectors; `None` where the kind has none.
    pub min_cosine: Option<f64>,
    /// The row that is furthest beyond, or else nearest to, the tolerance.
    pub worst: Option<WorstRow>,
    /// Metadata keys whose values differ.
    pub metadata: Vec<String>,
    /// Why rows could not be compared.
    pub structure: Option<String>,
}

/// The row that differs most.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct WorstRow {
    pub row: u64,
    pub column: String,
    pub detail: String,
}

/// Artifact kind without its version → what may differ.
pub(crate) type Tolerances = BTreeMap<String, Tolerance>;

/// `embeddings` of `embeddings/v1`.
pub(crate) fn plain_name(kind: &str) -> &str {
    kind.split('/').next().unwrap_or(kind)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Verify {
    #[serde(default)]
    tolerance: BTreeMap<String, Yaml>,
}

/// Reads the value of `verify:`; kinds of artifacts are those that the registry's kinds make.
pub(crate) fn read(
    place: &str,
    registry: &Registry,
    value: Option<&Yaml>,
) -> Result<Tolerances, Refusal> {
    let Some(value) = value.filter(|value| !value.is_null()) else {
        return Ok(Tolerances::new());
    };
    let error = |key: String, message: String, hint: String| {
        Refusal::new(message).place(place).key(key).hint(hint)
    };
    let example = "write `verify: {tolerance: {embeddings: {cosine: 0.999}}}`";
    let verify: Verify = serde_yaml::from_value(value.clone())
        .map_err(|fault| error("verify".to_owned(), fault.to_string(), example.to_owned()))?;
    let outputs = registry.kinds().flat_map(|kind| kind.outputs());
    let mut names: Vec<&str> = outputs.map(|output| plain_name(output.kind)).collect();
    names.sort_unstable();
    names.dedup();
    let mut tolerances = Tolerances::new();
    for (name, value) in verify.tolerance {
        let key = format!("verify.tolerance.{name}");
        if !names.contains(&name.as_str()) {
            let message = "expected a kind of artifact without its version, got another name";
            let hint = suggestion::hint_for(&name, "kinds of artifacts", &names);
            return Err(error(key, message.to_owned(), hint));
        }
        let tolerance: Tolerance = serde_yaml::from_value(value)
            .map_err(|fault| error(key.clone(), fault.to_string(), example.to_owned()))?;
        let is_size =
            |bound: Option<f64>| bound.is_none_or(|bound| bound.is_finite() && bound >= 0.0);
        let is_cosine = tolerance
            .cosine
            .is_none_or(|cosine| (-1.0..=1.0).contains(&cosine));
        if !is_size(tolerance.max_abs) || !is_size(tolerance.points) || !is_cosine {
            let message = "expected finite bounds of 0 or more, and a cosine of -1 to 1".to_owned();
            return Err(error(key, message, example.to_owned()));
        }
        tolerances.insert(name, tolerance);
    }
    Ok(tolerances)
}
