//! Which of a file's tensors are the network's: finds the prefix they lie under, and accounts for
//! every tensor.
//!
//! A partial match is an error that lists all names. Leftovers that are known to belong elsewhere
//! (a classifier that the network was not asked to have, a head, MoCo's key encoder and queue, an
//! optimiser's state) are reported, not refused.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;

use seedpipe_base::Refusal;
use tch::Tensor;

use super::Checkpoint;
use super::candidates::{Candidate, candidates, container, is_known, reshaped, segments};
use super::guesses::guess_for_hint;
use super::hints::{hint, nothing_found};
use super::origins::origin;
use super::spellings::spellings;
use super::timm_state::move_epsilon;
use crate::architecture::Architecture;
use crate::graph::{Graph, TensorSpec};
use crate::network::{Mismatch, described};

/// The network's tensors under its own names, and what else the file holds.
#[derive(Debug)]
pub struct Matched {
    pub weights: BTreeMap<String, Tensor>,
    /// Such as "legacy torch.save, MoCo v2, prefix `state_dict.module.encoder_q.`".
    pub layout: String,
    /// Full names in the file.
    pub leftovers: Vec<String>,
}

/// A file whose tensors are not the network's.
#[derive(Debug)]
pub struct Unmatched {
    pub path: PathBuf,
    /// Such as "nearest layout: safetensors, plain names".
    pub layout: String,
    pub mismatch: Box<Mismatch>,
}

impl Unmatched {
    fn refusal(self) -> Refusal {
        let place = format!("`{}` ({})", self.path.display(), self.layout);
        self.mismatch.refusal().place(place)
    }
}

const CLASSIFIERS: [&str; 2] = ["fc", "linear"];
/// What SwAV keeps beside its network.
const SWAV: [&str; 2] = ["projection_head", "prototypes"];

/// Finds the network in a file, or refuses the file with all names that differ. See [`try_match`].
pub fn match_network(
    checkpoint: Checkpoint,
    architecture: &Architecture,
) -> Result<Matched, Refusal> {
    try_match(checkpoint, architecture)?.map_err(Unmatched::refusal)
}

/// Finds the network in a file.
///
/// Recognises prefixes made of `state_dict`, `model`, `model_state_dict`, `teacher`, `student`,
/// `module`, `encoder_q` and `backbone`; the network's own names, and those of the other origins
/// that `spellings` knows. Fails where [`Architecture::validate`] does.
pub fn try_match(
    checkpoint: Checkpoint,
    architecture: &Architecture,
) -> Result<Result<Matched, Unmatched>, Refusal> {
    let graph = described(architecture)?;
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
        return Ok(Err(nothing_found(&checkpoint, &specs, unknown)));
    };
    let best = candidates.swap_remove(known);
    Ok(account(checkpoint, architecture, &graph, best))
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
) -> Result<Matched, Unmatched> {
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
        let held = [weights.len(), specs.len()];
        mismatch.hint = hint(&mismatch, architecture, held, guessed);
        return Err(Unmatched {
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
