//! A recipe: everything that decides a stage's result, readable; and what differs between two of
//! them.
//!
//! The stage's name is not in it, so that equal work under two names is one artifact. Device,
//! threads and times are not in it either: they are telemetry.

use std::collections::BTreeMap;
use std::fmt;

use seedpipe_base::neutral;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::base::canonical::canonical_text;
use crate::base::digest::Digest;

/// Everything that decides a stage's result.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Recipe {
    pub kind: String,
    pub version: u32,
    pub seed: u64,
    /// The kind's parameter block, defaults filled in, without what only says how the work is done
    /// (`Stage::HOW`).
    pub params: Value,
    /// Slot → content digests of the connected outputs, in the order of pipeline.yaml.
    pub inputs: BTreeMap<String, Vec<Digest>>,
    /// Path as written in the params → digest of that file's or folder's content.
    pub sources: BTreeMap<String, Digest>,
    /// Ancestor's stage name → its fingerprint; only for kinds that show where their inputs come
    /// from.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub lineage: BTreeMap<String, Digest>,
}

impl Recipe {
    /// The text that the fingerprint hashes: sorted, indented JSON.
    pub fn canonical(&self) -> String {
        canonical_text(&self.value())
    }

    /// The name of the artifact that this recipe gives, known before it exists.
    pub fn fingerprint(&self) -> Digest {
        Digest::of(self.canonical().as_bytes())
    }

    /// The fields that differ from `old`, sorted by field; empty exactly when the fingerprints are
    /// equal.
    pub(crate) fn changes_since(&self, old: &Recipe) -> Vec<Change> {
        differences(&flatten(&old.value()), &flatten(&self.value()))
    }

    pub(crate) fn value(&self) -> Value {
        serde_json::to_value(self).expect("BUG: a recipe is always JSON")
    }
}

/// One field that differs between two recipes.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Change {
    /// Dotted path such as `params.temperature_student`, `version`, `inputs.views`,
    /// `sources.data/digits.parquet`.
    pub field: String,
    /// The value before; `None` when the field is new.
    pub old: Option<Value>,
    /// The value now; `None` when the field is gone.
    pub new: Option<Value>,
}

impl fmt::Display for Change {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_digest = !self.field.starts_with("params.");
        let show = |value: &Option<Value>| match value {
            None => "nothing".to_owned(),
            Some(value) => shortened(value, is_digest),
        };
        let (old, new) = (show(&self.old), show(&self.new));
        formatter.write_str(&neutral::line(&format!("{}: {old} → {new}", self.field)))
    }
}

/// A value for one line: digests outside the params are cut to 12 digits.
fn shortened(value: &Value, is_digest: bool) -> String {
    match value {
        Value::String(text) if is_digest => match text.parse::<Digest>() {
            Ok(digest) => digest.short(),
            Err(_) => text.clone(),
        },
        Value::Array(items) if is_digest => {
            let items: Vec<_> = items.iter().map(|item| shortened(item, true)).collect();
            items.join(", ")
        }
        other => other.to_string(),
    }
}

/// Params without those at dotted paths.
pub(crate) fn without(params: &Value, paths: &[&str]) -> Value {
    let mut params = params.clone();
    for path in paths {
        let (parents, key) = path.rsplit_once('.').unwrap_or(("", path));
        let keys = parents.split('.').filter(|key| !key.is_empty());
        let mut block = Some(&mut params);
        for parent in keys {
            block = block.and_then(|block| block.get_mut(parent));
        }
        if let Some(block) = block.and_then(Value::as_object_mut) {
            block.remove(key);
        }
    }
    params
}

/// Leaves by dotted path. A list of plain values is one leaf; a list of objects is entered.
pub(crate) fn flatten(value: &Value) -> BTreeMap<String, Value> {
    let mut leaves = BTreeMap::new();
    flatten_into(&mut leaves, String::new(), value);
    leaves
}

fn flatten_into(leaves: &mut BTreeMap<String, Value>, path: String, value: &Value) {
    match value {
        Value::Object(entries) if !entries.is_empty() => {
            for (key, item) in entries {
                let separator = if path.is_empty() { "" } else { "." };
                flatten_into(leaves, format!("{path}{separator}{key}"), item);
            }
        }
        Value::Array(items) if items.iter().any(|item| item.is_object() || item.is_array()) => {
            for (index, item) in items.iter().enumerate() {
                flatten_into(leaves, format!("{path}[{index}]"), item);
            }
        }
        // An empty map of inputs, sources or params is no fact of its own: its entries appear when
        // they do.
        Value::Object(_) if matches!(path.as_str(), "inputs" | "sources" | "params" | "") => {}
        other => {
            leaves.insert(path, other.clone());
        }
    }
}

/// What differs between two sets of leaves, sorted by field.
pub(crate) fn differences(
    old: &BTreeMap<String, Value>,
    new: &BTreeMap<String, Value>,
) -> Vec<Change> {
    let mut fields: Vec<&String> = old.keys().chain(new.keys()).collect();
    fields.sort();
    fields.dedup();
    let changed = fields
        .into_iter()
        .filter(|field| !same(old.get(*field), new.get(*field)));
    changed
        .map(|field| Change {
            field: field.clone(),
            old: old.get(field).cloned(),
            new: new.get(field).cloned(),
        })
        .collect()
}

fn same(old: Option<&Value>, new: Option<&Value>) -> bool {
    match (old, new) {
        (Some(old), Some(new)) => canonical_text(old) == canonical_text(new),
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::base::canonical::tests::any_json;

    fn recipe(params: Value) -> Recipe {
        Recipe {
            kind: "distill".into(),
            version: 3,
            seed: 7,
            params,
            inputs: BTreeMap::from([("views".into(), vec![Digest::of(b"views")])]),
            sources: BTreeMap::from([("data/x.parquet".into(), Digest::of(b"x"))]),
            lineage: BTreeMap::new(),
        }
    }

    #[test]
    fn changes_are_named_field_by_field() {
        let old = recipe(
            json!({"temperature": 0.2, "head": {"hidden": 64}, "k": [10, 20], "gone": true}),
        );
        let mut new =
            recipe(json!({"temperature": 0.1, "head": {"hidden": 128}, "k": [10], "added": 1}));
        new.seed = 8;
        new.inputs.insert("targets".into(), vec![Digest::of(b"t")]);
        let changes = new.changes_since(&old);
        let fields: Vec<_> = changes.iter().map(|change| change.field.as_str()).collect();
        assert_eq!(
            fields,
            [
                "inputs.targets",
                "params.added",
                "params.gone",
                "params.head.hidden",
                "params.k",
                "params.temperature",
                "seed"
            ]
        );
        assert_eq!(changes[5].to_string(), "params.temperature: 0.2 → 0.1");
        assert_eq!(
            changes[0].to_string(),
            format!("inputs.targets: nothing → {}", Digest::of(b"t").short())
        );
    }

    #[test]
    fn params_that_say_how_are_left_out() {
        let params = json!({"size": 1, "training": {"epochs": 2, "steps": 3}});
        let paths = ["training.steps", "size.of", "gone"];
        assert_eq!(
            without(&params, &paths),
            json!({"size": 1, "training": {"epochs": 2}})
        );
        assert_eq!(without(&params, &["training", "size"]), json!({}));
    }

    proptest! {
        #[test]
        fn equal_fingerprints_are_exactly_no_changes(left in any_json(), right in any_json()) {
            // Params are always an object.
            let left = recipe(json!({"value": left}));
            let right = recipe(json!({"value": right}));
            prop_assert_eq!(left.fingerprint() == right.fingerprint(), left == right);
            prop_assert_eq!(left.changes_since(&left).len(), 0);
        }

        #[test]
        fn a_recipe_read_from_its_text_has_the_same_fingerprint(params in any_json(), seed in any::<u64>()) {
            let mut written = recipe(json!({"value": params}));
            written.seed = seed;
            let read: Recipe = serde_json::from_str(&written.canonical()).unwrap();
            prop_assert_eq!(read.fingerprint(), written.fingerprint());
        }

        #[test]
        fn a_changed_leaf_is_reported(old in any::<f64>(), new in any::<f64>()) {
            prop_assume!(old.is_finite() && new.is_finite());
            let changes = recipe(json!({"a": {"b": new}})).changes_since(&recipe(json!({"a": {"b": old}})));
            prop_assert_eq!(changes.len(), usize::from(old != new));
        }
    }
}
