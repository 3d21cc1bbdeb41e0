//! Which of a file's tensors are the network's: finds the prefix they lie under, and accounts for every tensor.
//!
//! A partial match is an error that lists all names. Leftovers that are known to belong elsewhere (a classifier that the
//! network was not asked to have, a head, MoCo's key encoder and queue, an optimiser's state) are reported, not refused.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use tch::Tensor;

use super::origins::origin;
use super::spellings::{Spelling, spellings};
use super::{Checkpoint, CheckpointError};
use crate::architecture::{self, Architecture};
use crate::graph::{Graph, Operation, Role, TensorSpec};
use crate::network::{Mismatch, Misshapen};

/// The network's tensors under its own names, and what else the file holds.
#[derive(Debug)]
pub struct Matched {
    pub weights: BTreeMap<String, Tensor>,
    /// Such as "legacy torch.save, MoCo v2, prefix `state_dict.module.encoder_q.`".
    pub layout: String,
    /// Full names in the file.
    pub leftovers: Vec<String>,
}

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
const CLASSIFIERS: [&str; 2] = ["fc", "linear"];
/// What SwAV keeps beside its network.
const SWAV: [&str; 2] = ["projection_head", "prototypes"];

/// Where the network's tensors may lie, and how they are spelled there.
struct Candidate<'spelling> {
    prefix: String,
    spelling: &'spelling Spelling,
    /// Tensors of the network that are there by name, and those of the right shape among them.
    present: usize,
    fitting: usize,
}

/// Finds the network in a file.
///
/// Recognises prefixes made of `state_dict`, `model`, `model_state_dict`, `teacher`, `student`, `module`, `encoder_q` and
/// `backbone`; the network's own names, and those of the other origins that `spellings` knows.
pub fn match_network(
    checkpoint: Checkpoint,
    architecture: &Architecture,
) -> Result<Matched, CheckpointError> {
    let graph = architecture.graph()?;
    let specs = graph.state();
    let spellings = spellings(architecture)?;
    let mut candidates: Vec<Candidate> = spellings
        .iter()
        .flat_map(|spelling| candidates(&checkpoint, &specs, spelling))
        .collect();
    candidates.sort_by_key(|candidate| {
        let Candidate {
            prefix,
            present,
            fitting,
            ..
        } = candidate;
        // Of teacher and student, the teacher is the average that people use.
        let student = segments(prefix).any(|segment| segment == "student");
        (Reverse((*fitting, *present)), student, prefix.len())
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
    account(checkpoint, architecture, &graph, best)
}

/// The architecture, by name and count of classes, whose backbone's tensors are all in the file; the largest, if several.
pub fn guess(checkpoint: &Checkpoint) -> Option<Architecture> {
    let mut found: Option<(usize, Architecture)> = None;
    for name in architecture::names() {
        let architecture = Architecture::named(name);
        let (Ok(graph), Ok(spellings)) = (architecture.graph(), spellings(&architecture)) else {
            continue;
        };
        let specs = graph.state();
        let needed = specs
            .iter()
            .filter(|spec| !spec.role.may_be_absent())
            .count();
        let best = spellings
            .iter()
            .flat_map(|spelling| candidates(checkpoint, &specs, spelling))
            .filter(|candidate| candidate.fitting >= needed)
            .max_by_key(|candidate| (candidate.fitting, Reverse(candidate.prefix.len())));
        let Some(candidate) = best else { continue };
        if found.as_ref().is_none_or(|(count, _)| needed > *count) {
            let classes = classes(checkpoint, &candidate, &specs);
            found = Some((
                needed,
                Architecture {
                    classes,
                    ..architecture
                },
            ));
        }
    }
    found.map(|(_, architecture)| architecture)
}

/// Outputs of the classifier that lies beside a network's backbone.
fn classes(checkpoint: &Checkpoint, candidate: &Candidate, specs: &[TensorSpec]) -> Option<i64> {
    let known: BTreeSet<&str> = specs.iter().map(|spec| spec.name.as_str()).collect();
    candidate
        .spelling
        .names
        .iter()
        .filter(|(_, own)| !known.contains(own.as_str()) && own.ends_with(".bias"))
        .filter_map(|(name, own)| {
            let tensor = checkpoint
                .tensors
                .get(&format!("{}{name}", candidate.prefix))?;
            Some((own.clone(), tensor.size().first().copied()?))
        })
        .max()
        .map(|(_, classes)| classes)
}

/// Every prefix under which some of the network's tensors are found.
fn candidates<'spelling>(
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

/// A tensor that another origin keeps in another shape: a linear layer as a 1×1 convolution, positions without the class
/// token's.
fn reshaped(tensor: &Tensor, spec: &TensorSpec) -> Option<Tensor> {
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
fn is_leftover(name: &str, candidate: &Candidate, architecture: &Architecture) -> bool {
    let Candidate {
        prefix, spelling, ..
    } = candidate;
    let first = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    if let Some(inside) = name.strip_prefix(prefix) {
        // A classifier that the network was not asked to have.
        let classifier = architecture.classes.is_none()
            && (spelling.names.contains_key(inside)
                || CLASSIFIERS.contains(&first(inside).as_str()));
        if classifier || SWAV.contains(&first(inside).as_str()) {
            return true;
        }
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
        || (wrapped_in("backbone")
            && ["head", "fc", "linear", "dino_head", "ibot_head"].contains(&beside.as_str()))
}

/// Takes the network's tensors out of the file and accounts for the rest.
fn account(
    checkpoint: Checkpoint,
    architecture: &Architecture,
    graph: &Graph,
    best: Candidate,
) -> Result<Matched, CheckpointError> {
    let specs = graph.state();
    let Candidate {
        prefix, spelling, ..
    } = &best;
    let names = checkpoint.tensors.keys().map(String::as_str);
    let place = match prefix.as_str() {
        "" => "plain names".to_owned(),
        prefix => format!("prefix `{prefix}`"),
    };
    let layout = match origin(names, prefix, spelling.origin) {
        Some(origin) => format!("{}, {origin}, {place}", checkpoint.format),
        None => format!("{}, {place}", checkpoint.format),
    };
    let path = checkpoint.path.clone();
    let guessed = guess_for_hint(&checkpoint, architecture, &best, specs.len());
    let by_name: BTreeMap<&str, &TensorSpec> = specs
        .iter()
        .map(|spec| (spec.name.as_str(), spec))
        .collect();
    let mut weights = BTreeMap::new();
    let (mut leftovers, mut unexpected) = (vec![], vec![]);
    for (name, tensor) in checkpoint.tensors {
        let own = name
            .strip_prefix(prefix.as_str())
            .and_then(|inside| spelling.names.get(inside))
            .and_then(|own| by_name.get(own.as_str()));
        match own {
            Some(spec) => {
                let fits = tensor.size() == spec.shape;
                let tensor = match fits {
                    true => tensor,
                    false => reshaped(&tensor, spec).unwrap_or(tensor),
                };
                weights.insert(spec.name.clone(), tensor);
            }
            None if is_leftover(&name, &best, architecture) => leftovers.push(name),
            None => unexpected.push(name),
        }
    }
    let mut mismatch = Mismatch::between(&specs, &weights);
    mismatch.extra = unexpected;
    if !mismatch.is_empty() {
        mismatch.hint = hint(&mismatch, architecture, &leftovers, guessed);
        return Err(CheckpointError::Mismatch {
            path,
            layout: format!("nearest layout: {layout}"),
            mismatch: Box::new(mismatch),
        });
    }
    if let Some(epsilon) = spelling.epsilon {
        move_epsilon(graph, &mut weights, epsilon, 1.0);
    }
    Ok(Matched {
        weights,
        layout,
        leftovers,
    })
}

/// Another architecture that the file is of, when it is not of the one asked for.
fn guess_for_hint(
    checkpoint: &Checkpoint,
    architecture: &Architecture,
    best: &Candidate,
    count: usize,
) -> Option<String> {
    if best.fitting == count {
        return None;
    }
    guess(checkpoint)
        .map(|guessed| guessed.name)
        .filter(|name| *name != architecture.name)
}

/// Batch norms of another epsilon compute the same with their running variances moved by the difference: from that origin to
/// us with `sign` 1, back with −1.
pub(super) fn move_epsilon(
    graph: &Graph,
    weights: &mut BTreeMap<String, Tensor>,
    theirs: f64,
    sign: f64,
) {
    for node in graph.nodes() {
        if let Operation::BatchNorm { epsilon, .. } = node.operation
            && let Some(variance) = weights.get_mut(&format!("{}.running_var", node.name))
        {
            *variance = tch::no_grad(|| &*variance + sign * (theirs - epsilon));
        }
    }
}

fn hint(
    mismatch: &Mismatch,
    architecture: &Architecture,
    leftovers: &[String],
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
