//! Differences between the tensors that a network needs and those at hand; says all of them.

use std::collections::BTreeMap;

use seedpipe_base::Refusal;
use tch::Tensor;

use crate::graph::TensorSpec;

#[derive(Clone, Debug, PartialEq)]
pub struct Misshapen {
    pub name: String,
    pub expected: Vec<i64>,
    pub got: Vec<i64>,
}

/// All tensors that are missing, unexpected or of another shape, and what to do about it.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Mismatch {
    pub missing: Vec<String>,
    pub extra: Vec<String>,
    pub misshapen: Vec<Misshapen>,
    pub hint: String,
}

impl Mismatch {
    /// Compares names and shapes. What nothing reads may be absent: PyTorch wrote no
    /// `num_batches_tracked` before 0.4.1.
    pub fn between(specs: &[TensorSpec], weights: &BTreeMap<String, Tensor>) -> Self {
        let mut mismatch = Self::default();
        for spec in specs {
            match weights.get(&spec.name) {
                None if spec.role.may_be_absent() => {}
                None => mismatch.missing.push(spec.name.clone()),
                Some(tensor) if tensor.size() != spec.shape => mismatch.misshapen.push(Misshapen {
                    name: spec.name.clone(),
                    expected: spec.shape.clone(),
                    got: tensor.size(),
                }),
                Some(_) => {}
            }
        }
        let known: std::collections::BTreeSet<&str> =
            specs.iter().map(|spec| spec.name.as_str()).collect();
        mismatch.extra = weights
            .keys()
            .filter(|name| !known.contains(name.as_str()))
            .cloned()
            .collect();
        mismatch
    }

    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty() && self.misshapen.is_empty()
    }

    /// Lists them, with the remedy.
    pub fn refusal(&self) -> Refusal {
        let counts = [
            (self.missing.len(), "missing"),
            (self.extra.len(), "unexpected"),
            (self.misshapen.len(), "of another shape"),
        ];
        let counts: Vec<String> = counts
            .iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, what)| format!("{count} {what}"))
            .collect();
        let mut lines = vec![format!(
            "tensors don't match the network: {}",
            counts.join(", ")
        )];
        let named = |what, names: &[String]| -> Vec<String> {
            names
                .iter()
                .map(|name| format!("  {what:<12}{name}"))
                .collect()
        };
        lines.extend(named("missing", &self.missing));
        lines.extend(named("unexpected", &self.extra));
        lines.extend(self.misshapen.iter().map(|tensor| {
            let Misshapen {
                name,
                expected,
                got,
            } = tensor;
            format!("  shape       {name}: expected {expected:?}, got {got:?}")
        }));
        Refusal::failure(lines.join("\n")).hint_if(Some(self.hint.clone()))
    }
}
