//! What to do about a file whose tensors are not the network's.

use super::{Checkpoint, Unmatched};
use crate::architecture::Architecture;
use crate::graph::{Role, TensorSpec};
use crate::network::{Mismatch, Misshapen};

/// `held`: how many of the network's tensors the file has by name, of how many.
pub(super) fn hint(
    mismatch: &Mismatch,
    architecture: &Architecture,
    held: [usize; 2],
    guessed: Option<String>,
) -> String {
    if let Some(name) = guessed {
        return format!(
            "the file is of a `{name}`, and `{}` was asked for",
            architecture.name
        );
    }
    let all = |names: &[String], prefix: &str| {
        !names.is_empty() && names.iter().all(|name| name.starts_with(prefix))
    };
    let is_classifier = |name: &str| {
        ["fc", "linear", "classifier", "heads", "head"]
            .iter()
            .any(|classifier| name.contains(&format!("{classifier}.")))
    };
    let other_shape: Vec<&Misshapen> = mismatch.misshapen.iter().collect();
    if all(&mismatch.missing, "head.") {
        return "the file holds a backbone without a head; leave `head` out".to_owned();
    }
    if !mismatch.missing.is_empty() && mismatch.missing.iter().all(|name| is_classifier(name)) {
        return "the file has no such classifier; leave `classes` out".to_owned();
    }
    if !other_shape.is_empty()
        && mismatch.missing.is_empty()
        && other_shape.iter().all(|shape| is_classifier(&shape.name))
    {
        return format!(
            "the file's classifier has {} outputs; set `classes` to that",
            other_shape[0].got[0]
        );
    }
    let alike = |shape: &&Misshapen| {
        shape.expected.len() == 4 && shape.expected[..2] == shape.got[..2.min(shape.got.len())]
    };
    if mismatch.missing.is_empty() && mismatch.extra.is_empty() && other_shape.iter().all(alike) {
        return "only kernels differ; check `stem`, and the size of patches".to_owned();
    }
    if mismatch.missing.is_empty() && mismatch.extra.is_empty() {
        return format!(
            "only shapes differ; check `width` ({}) and the head's lengths",
            architecture.width
        );
    }
    let [held, all] = held;
    format!(
        "check that the file is of a `{}`: it holds {held} of its {all} tensors; `seedpipe network inspect` says what it may be",
        architecture.name
    )
}

/// No prefix leads to the network.
pub(super) fn nothing_found(checkpoint: &Checkpoint, specs: &[TensorSpec]) -> Unmatched {
    let names = specs
        .iter()
        .filter(|spec| spec.role != Role::BatchesTracked);
    let mismatch = Mismatch {
        missing: names.map(|spec| spec.name.clone()).collect(),
        extra: checkpoint.tensors.keys().cloned().collect(),
        misshapen: vec![],
        hint: format!(
            "`seedpipe network inspect {}` says what it may be",
            checkpoint.path.display()
        ),
    };
    Unmatched {
        path: checkpoint.path.clone(),
        layout: format!("{}, no known layout", checkpoint.format),
        mismatch: Box::new(mismatch),
    }
}
