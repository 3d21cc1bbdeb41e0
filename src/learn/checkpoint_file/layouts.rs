//! Which of a file's tensors are the network's: finds the prefix they lie under, and accounts for every tensor.
//!
//! A partial match is an error that lists all names. Leftovers that are known to belong elsewhere (a classifier that the
//! network was not asked to have, a head, MoCo's key encoder and queue, an optimiser's state) are reported, not refused.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use tch::Tensor;

use super::{Checkpoint, CheckpointError};
use crate::architecture::Architecture;
use crate::graph::{Role, TensorSpec};
use crate::network::{Mismatch, Misshapen};

/// The network's tensors under its own names, and what else the file holds.
#[derive(Debug)]
pub struct Matched {
    pub weights: BTreeMap<String, Tensor>,
    /// Such as "legacy torch.save, prefix `state_dict.module.`".
    pub layout: String,
    /// Full names in the file.
    pub leftovers: Vec<String>,
}

/// Containers that a file nests its state dict in; what lies beside them is not the network's.
const CONTAINERS: [&str; 3] = ["state_dict", "model", "model_state_dict"];
/// Modules that wrap a network.
const WRAPPERS: [&str; 3] = ["module", "encoder_q", "backbone"];
const CLASSIFIERS: [&str; 2] = ["fc", "linear"];

/// Where the network's tensors may lie, and how they are spelled there.
struct Candidate {
    prefix: String,
    /// Name in the file below the prefix → name in the network.
    spelling: BTreeMap<String, String>,
    /// Tensors of the network that are there by name, and those of the right shape among them.
    present: usize,
    fitting: usize,
}

/// Finds the network in a file.
///
/// Recognises prefixes made of `state_dict`, `model`, `model_state_dict`, `module`, `encoder_q` and `backbone`; for a
/// network with a head also MoCo's spelling (no `backbone.`, head called `fc`).
pub fn match_network(
    checkpoint: Checkpoint,
    architecture: &Architecture,
) -> Result<Matched, CheckpointError> {
    let specs = architecture.graph()?.state();
    let own: BTreeMap<String, String> = specs
        .iter()
        .map(|spec| (spec.name.clone(), spec.name.clone()))
        .collect();
    let mut spellings = vec![own];
    if architecture.head.is_some() && architecture.classes.is_none() {
        spellings.push(
            specs
                .iter()
                .map(|spec| (moco_name(&spec.name), spec.name.clone()))
                .collect(),
        );
    }
    let mut candidates: Vec<Candidate> = spellings
        .into_iter()
        .flat_map(|spelling| candidates(&checkpoint, &specs, spelling))
        .collect();
    candidates.sort_by_key(|candidate| {
        let Candidate {
            prefix,
            present,
            fitting,
            ..
        } = candidate;
        (Reverse((*fitting, *present)), prefix.len())
    });
    let known = candidates
        .iter()
        .position(|candidate| is_known(&candidate.prefix));
    let Some(known) = known else {
        let most = |candidate: &&Candidate| 2 * candidate.present > specs.len();
        let unknown = candidates.first().filter(most);
        return Err(nothing_found(&checkpoint, &specs, unknown));
    };
    let best = candidates.swap_remove(known);
    account(checkpoint, architecture, &specs, best)
}

/// MoCo's name of a tensor of a network with a head.
fn moco_name(name: &str) -> String {
    match name.strip_prefix("backbone.") {
        Some(plain) => plain.to_owned(),
        None => name.replacen("head", "fc", 1),
    }
}

/// Every prefix under which some of the network's tensors are found.
fn candidates(
    checkpoint: &Checkpoint,
    specs: &[TensorSpec],
    spelling: BTreeMap<String, String>,
) -> Vec<Candidate> {
    let shapes: BTreeMap<&str, &[i64]> = specs
        .iter()
        .map(|spec| (spec.name.as_str(), &spec.shape[..]))
        .collect();
    let starts = |name: &str| -> Vec<usize> {
        let after_dots = name.match_indices('.').map(|(dot, _)| dot + 1);
        std::iter::once(0).chain(after_dots).collect()
    };
    let mut prefixes = BTreeSet::new();
    for name in checkpoint.tensors.keys() {
        let found = starts(name)
            .into_iter()
            .find(|&start| spelling.contains_key(&name[start..]));
        if let Some(start) = found {
            prefixes.insert(name[..start].to_owned());
        }
    }
    prefixes
        .into_iter()
        .map(|prefix| {
            let (mut present, mut fitting) = (0, 0);
            for (name, own) in &spelling {
                if let Some(tensor) = checkpoint.tensors.get(&format!("{prefix}{name}")) {
                    present += 1;
                    fitting += usize::from(tensor.size() == shapes[own.as_str()]);
                }
            }
            Candidate {
                prefix,
                spelling: spelling.clone(),
                present,
                fitting,
            }
        })
        .collect()
}

fn segments(prefix: &str) -> impl Iterator<Item = &str> {
    prefix.split('.').filter(|segment| !segment.is_empty())
}

fn is_known(prefix: &str) -> bool {
    segments(prefix).all(|segment| CONTAINERS.contains(&segment) || WRAPPERS.contains(&segment))
}

/// The leading containers of a prefix.
fn container(prefix: &str) -> &str {
    let mut length = 0;
    for segment in segments(prefix) {
        if !CONTAINERS.contains(&segment) {
            break;
        }
        length += segment.len() + 1;
    }
    &prefix[..length]
}

/// Whether a tensor that the network has no place for is known to belong elsewhere.
fn is_leftover(name: &str, prefix: &str, architecture: &Architecture) -> bool {
    let first = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    if let Some(inside) = name.strip_prefix(prefix)
        && architecture.classes.is_none()
        && CLASSIFIERS.contains(&first(inside).as_str())
    {
        return true;
    }
    let Some(mut beside) = name.strip_prefix(container(prefix)) else {
        return true;
    };
    while let Some(rest) = beside.strip_prefix("module.") {
        beside = rest;
    }
    let beside = first(beside);
    let wrapped_in = |wrapper| segments(prefix).any(|segment| segment == wrapper);
    (wrapped_in("encoder_q") && ["encoder_k", "queue", "queue_ptr"].contains(&beside.as_str()))
        || (wrapped_in("backbone") && ["head", "fc", "linear"].contains(&beside.as_str()))
}

/// Takes the network's tensors out of the file and accounts for the rest.
fn account(
    checkpoint: Checkpoint,
    architecture: &Architecture,
    specs: &[TensorSpec],
    best: Candidate,
) -> Result<Matched, CheckpointError> {
    let Candidate {
        prefix, spelling, ..
    } = best;
    let layout = if prefix.is_empty() {
        format!("{}, plain names", checkpoint.format)
    } else {
        format!("{}, prefix `{prefix}`", checkpoint.format)
    };
    let mut weights = BTreeMap::new();
    let (mut leftovers, mut unexpected) = (vec![], vec![]);
    for (name, tensor) in checkpoint.tensors {
        match name
            .strip_prefix(prefix.as_str())
            .and_then(|inside| spelling.get(inside))
        {
            Some(own) => drop(weights.insert(own.clone(), tensor)),
            None if is_leftover(&name, &prefix, architecture) => leftovers.push(name),
            None => unexpected.push(name),
        }
    }
    let mut mismatch = Mismatch::between(specs, &weights);
    mismatch.extra = unexpected;
    if !mismatch.is_empty() {
        mismatch.hint = hint(&mismatch, architecture, &leftovers);
        return Err(CheckpointError::Mismatch {
            path: checkpoint.path,
            layout,
            mismatch: Box::new(mismatch),
        });
    }
    Ok(Matched {
        weights,
        layout,
        leftovers,
    })
}

fn hint(mismatch: &Mismatch, architecture: &Architecture, leftovers: &[String]) -> String {
    let all = |names: &[String], prefix: &str| {
        !names.is_empty() && names.iter().all(|name| name.starts_with(prefix))
    };
    let is_classifier = |name: &str| {
        CLASSIFIERS
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
    if mismatch.missing.is_empty() && mismatch.extra.is_empty() {
        return format!(
            "only shapes differ; check `width` ({}) and the head's lengths",
            architecture.width
        );
    }
    let rest = if leftovers.is_empty() {
        String::new()
    } else {
        format!("; {} tensors lie elsewhere", leftovers.len())
    };
    format!("check that the file is of a `{}`{rest}", architecture.name)
}

/// No known prefix leads to the network.
fn nothing_found(
    checkpoint: &Checkpoint,
    specs: &[TensorSpec],
    unknown: Option<&Candidate>,
) -> CheckpointError {
    let names = specs
        .iter()
        .filter(|spec| spec.role != Role::BatchesTracked);
    let hint = match unknown {
        Some(Candidate {
            prefix, present, ..
        }) => {
            format!(
                "{present} of the network's tensors lie under `{prefix}`, which is not a known prefix"
            )
        }
        None => "is it a checkpoint of another architecture?".to_owned(),
    };
    let mismatch = Mismatch {
        missing: names.map(|spec| spec.name.clone()).collect(),
        extra: checkpoint.tensors.keys().cloned().collect(),
        misshapen: vec![],
        hint,
    };
    CheckpointError::Mismatch {
        path: checkpoint.path.clone(),
        layout: format!("{}, no known layout", checkpoint.format),
        mismatch: Box::new(mismatch),
    }
}
