//! What decides a stage, as fields by dotted name: of the plan, and of a pipeline.lock. Equal names
//! mean equal things.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::cache::recipe::{flatten, without};
use crate::pipeline::pipeline_lock::LockedStage;
use crate::pipeline::project::StageNode;

impl StageNode {
    /// The params that are part of the recipe.
    pub(crate) fn deciding_params(&self) -> Value {
        without(&self.params, self.how)
    }

    /// `kind`, `seed`, `params.…` and `inputs.SLOT`, as pipeline.lock has them.
    pub fn fields(&self) -> BTreeMap<String, Value> {
        let mut fields = BTreeMap::from([
            ("kind".to_owned(), self.kind.as_str().into()),
            ("seed".to_owned(), self.seed.into()),
        ]);
        for (key, value) in flatten(&self.deciding_params()) {
            fields.insert(format!("params.{key}"), value);
        }
        for (slot, connections) in &self.inputs {
            let names = connections
                .iter()
                .map(|input| Value::from(format!("{}.{}", input.stage, input.output)));
            fields.insert(format!("inputs.{slot}"), names.collect());
        }
        fields
    }
}

impl LockedStage {
    /// `kind`, `seed`, `params.…` and `inputs.SLOT`.
    pub fn fields(&self) -> BTreeMap<String, Value> {
        let mut fields = BTreeMap::from([
            ("kind".to_owned(), self.kind.as_str().into()),
            ("seed".to_owned(), self.seed.into()),
        ]);
        let decides = |key: &str| key.starts_with("params.") || key.starts_with("inputs.");
        let facts = self.facts.iter().filter(|(key, _)| decides(key));
        fields.extend(facts.map(|(key, value)| (key.clone(), value.clone())));
        fields
    }

    /// Headline figures by name: `test/knn_top1`.
    pub fn figures(&self) -> BTreeMap<String, f64> {
        let facts = self.facts.iter();
        let figures = facts.filter_map(|(key, value)| {
            Some((key.strip_prefix("metrics.")?.to_owned(), value.as_f64()?))
        });
        figures.collect()
    }
}
