//! Where in a file a network's tensors may lie, and how they are spelled there.

use std::collections::{BTreeMap, BTreeSet};

use tch::Tensor;

use super::Checkpoint;
use super::spellings::Spelling;
use crate::graph::TensorSpec;

/// Containers that a file nests its state dict in; what lies beside them is not the network's.
const CONTAINERS: [&str; 5] = [
    "state_dict",
    "model",
    "model_state_dict",
    "teacher",
    "student",
];
/// Modules that wrap a network.
const WRAPPERS: [&str; 3] = ["module", "encoder_q", "backbone"];

/// Where the network's tensors may lie, and how they are spelled there.
pub(super) struct Candidate<'spelling> {
    pub prefix: String,
    pub spelling: &'spelling Spelling,
    /// Tensors of the network that are there by name, and those of the right shape among them.
    pub present: usize,
    pub fitting: usize,
}

/// Every prefix under which some of the network's tensors are found.
pub(super) fn candidates<'spelling>(
    checkpoint: &Checkpoint,
    specs: &[TensorSpec],
    spelling: &'spelling Spelling,
) -> Vec<Candidate<'spelling>> {
    let by_name: BTreeMap<&str, &TensorSpec> = specs
        .iter()
        .map(|spec| (spec.name.as_str(), spec))
        .collect();
    let names = &spelling.names;
    let starts = |name: &str| -> Vec<usize> {
        let after_dots = name.match_indices('.').map(|(dot, _)| dot + 1);
        std::iter::once(0).chain(after_dots).collect()
    };
    let mut prefixes = BTreeSet::new();
    for name in checkpoint.tensors.keys() {
        let found = starts(name)
            .into_iter()
            .find(|&start| names.contains_key(&name[start..]));
        if let Some(start) = found {
            prefixes.insert(name[..start].to_owned());
        }
    }
    prefixes
        .into_iter()
        .map(|prefix| {
            let (mut present, mut fitting) = (0, 0);
            for (name, own) in names {
                let spec = by_name.get(own.as_str());
                let tensor = checkpoint.tensors.get(&format!("{prefix}{name}"));
                if let (Some(spec), Some(tensor)) = (spec, tensor) {
                    present += 1;
                    let fits = tensor.size() == spec.shape || reshaped(tensor, spec).is_some();
                    fitting += usize::from(fits);
                }
            }
            Candidate {
                prefix,
                spelling,
                present,
                fitting,
            }
        })
        .collect()
}

/// A tensor that another origin keeps in another shape: a linear layer as a 1×1 convolution,
/// positions without the class token's.
pub(super) fn reshaped(tensor: &Tensor, spec: &TensorSpec) -> Option<Tensor> {
    let size = tensor.size();
    if let (&[outputs, inputs, 1, 1], &[rows, columns]) = (&size[..], &spec.shape[..])
        && [outputs, inputs] == [rows, columns]
    {
        return Some(tensor.reshape([rows, columns]));
    }
    if let (&[1, patches, width], &[1, positions, length]) = (&size[..], &spec.shape[..])
        && spec.name.ends_with("pos_embed")
        && patches + 1 == positions
        && width == length
    {
        let class = tensor.slice(1, 0, 1, 1).zeros_like();
        return Some(Tensor::cat(&[&class, tensor], 1));
    }
    None
}

pub(super) fn segments(prefix: &str) -> impl Iterator<Item = &str> {
    prefix.split('.').filter(|segment| !segment.is_empty())
}

pub(super) fn is_known(prefix: &str) -> bool {
    segments(prefix).all(|segment| CONTAINERS.contains(&segment) || WRAPPERS.contains(&segment))
}

/// The leading containers of a prefix.
pub(super) fn container(prefix: &str) -> &str {
    let mut length = 0;
    for segment in segments(prefix) {
        if !CONTAINERS.contains(&segment) {
            break;
        }
        length += segment.len() + 1;
    }
    &prefix[..length]
}
