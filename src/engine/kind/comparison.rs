//! What two outputs of one recipe may differ in. Within one numerics class nothing may. What may
//! across classes is declared in pipeline.yaml:
//!
//! ```yaml
//! verify:
//!   tolerance:
//!     embeddings: {cosine: 0.999}
//!     metrics: {points: 1}
//! ```

use std::collections::BTreeMap;

use seedpipe_base::{Refusal, Tolerance};
use serde::Deserialize;
use serde_yaml::Value as Yaml;

use crate::base::yaml;
use crate::kind::registry::Registry;
use seedpipe_base::suggestion;

/// Artifact kind without its version → what may differ.
pub(crate) type Tolerances = BTreeMap<String, Tolerance>;

/// `embeddings` of `embeddings/v1`.
pub(crate) fn plain_name(kind: &str) -> &str {
    kind.split('/').next().unwrap_or(kind)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyBlock {
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
    let verify: VerifyBlock = yaml::read(value)
        .map_err(|fault| error("verify".to_owned(), fault.what(), example.to_owned()))?;
    let outputs = registry.kinds().flat_map(|kind| kind.outputs());
    let mut names: Vec<&str> = outputs.map(|output| plain_name(output.kind)).collect();
    names.sort_unstable();
    names.dedup();
    let mut tolerances = Tolerances::new();
    for (name, value) in verify.tolerance {
        let key = format!("verify.tolerance.{name}");
        if !names.contains(&name.as_str()) {
            let message = "expected a kind of artifact without its version, got another name";
            let hint = suggestion::hint_or_list(&name, "kinds of artifacts", &names);
            return Err(error(key, message.to_owned(), hint));
        }
        let tolerance: Tolerance = yaml::read(&value)
            .map_err(|fault| error(key.clone(), fault.what(), example.to_owned()))?;
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
