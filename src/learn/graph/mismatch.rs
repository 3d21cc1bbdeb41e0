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

    /// Counts them and names the first of each, with the remedy.
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
        let missing = self.missing.iter().map(|name| match self.nearest(name) {
            Some(nearest) => format!("missing     {name}; nearest in the file: {nearest}"),
            None => format!("missing     {name}"),
        });
        let extra = self.extra.iter().map(|name| format!("unexpected  {name}"));
        let misshapen = self.misshapen.iter().map(|tensor| {
            let Misshapen {
                name,
                expected,
                got,
            } = tensor;
            format!("shape       {name}: expected {expected:?}, got {got:?}")
        });
        first_of(&mut lines, missing);
        first_of(&mut lines, extra);
        first_of(&mut lines, misshapen);
        Refusal::failure(lines.join("\n")).hint_if(Some(self.hint.clone()))
    }

    /// The unexpected tensor that ends most like one that is missing: by two segments at least.
    fn nearest(&self, missing: &str) -> Option<&str> {
        let alike = |name: &str| {
            let pairs = name.rsplit('.').zip(missing.rsplit('.'));
            pairs.take_while(|(one, other)| one == other).count()
        };
        let nearest = self.extra.iter().max_by_key(|name| alike(name))?;
        (alike(nearest) >= 2).then_some(nearest)
    }
}

/// Of each sort that many are named.
const NAMED: usize = 3;

fn first_of(lines: &mut Vec<String>, mut named: impl ExactSizeIterator<Item = String>) {
    lines.extend(named.by_ref().take(NAMED).map(|name| format!("  {name}")));
    if named.len() > 0 {
        lines.push(format!("  … {} more", named.len()));
    }
}
