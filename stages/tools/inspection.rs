//! What a checkpoint file holds, and which known network it may be.
//!
//! Layouts and prefixes are `checkpoint_file`'s knowledge: every known network is tried on the file
//! by the same `try_match` that loads it.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use seedpipe_engine::Aside;
pub use seedpipe_learn::architecture::Architecture;
use seedpipe_learn::architecture::{Preprocessing, Shortcut, Stem, names};
use seedpipe_learn::checkpoint_file::{self, Checkpoint, Matched, Unmatched, try_match};
use seedpipe_learn::tensors::{dtype, is_finite};
use seedpipe_learn::weights_file;
use serde::Serialize;
use tch::Tensor;

/// Key of a safetensors file that says its network.
const ARCHITECTURE: &str = "architecture";

#[derive(Debug, Serialize)]
pub struct Inspection {
    /// Such as "zip torch.save".
    pub format: String,
    /// By name.
    pub tensors: Vec<InspectedTensor>,
    /// Numbers in all floating-point tensors.
    pub numbers: u64,
    /// Of a safetensors file.
    pub metadata: BTreeMap<String, String>,
    /// The networks that the file fits wholly, those that leave least over first; of another width
    /// than 1 when none of that fits.
    pub guesses: Vec<Guess>,
    /// When it fits none: the network of which most tensors are there, and what its loader says.
    pub nearest: Option<NearestNetwork>,
}

#[derive(Debug, Serialize)]
pub struct InspectedTensor {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<i64>,
    /// No number of it is NaN or infinite.
    pub finite: bool,
}

#[derive(Debug, Serialize)]
pub struct Guess {
    pub network: Architecture,
    pub layout: String,
    pub parameters: u64,
    pub preprocessing: Preprocessing,
    /// Tensors that the network has no place for.
    pub leftovers: Vec<String>,
    /// Prefixes of other whole networks of this architecture in the file.
    pub others: Vec<String>,
}

#[derive(Debug, Serialize)]
pub struct NearestNetwork {
    pub network: String,
    /// Tensors of it that the file lacks or has in another shape.
    pub unmatched: usize,
    /// Tensors of it.
    pub of: usize,
}

/// Reads the file and tries every known network on it.
pub fn inspect(path: &Path) -> Result<Inspection> {
    let reading = Aside::begin("reading the checkpoint", "", 0);
    let checkpoint = checkpoint_file::read(path)?;
    drop(reading);
    let metadata = weights_file::metadata(path)?;
    let tensors: Vec<InspectedTensor> = checkpoint
        .tensors
        .iter()
        .map(|(name, tensor)| InspectedTensor {
            name: name.clone(),
            dtype: dtype(tensor.kind()),
            shape: tensor.size(),
            finite: is_finite(tensor),
        })
        .collect();
    let floating = checkpoint.tensors.values();
    let numbers = floating
        .filter(|tensor| tensor.is_floating_point())
        .map(|tensor| tensor.numel() as u64)
        .sum();
    let mut guesses = Vec::new();
    let mut nearest: Option<NearestNetwork> = None;
    let plain = candidates(&checkpoint, &metadata)?;
    try_all(&checkpoint, &metadata, &plain, &mut guesses, &mut nearest)?;
    if guesses.is_empty() && !metadata.contains_key(ARCHITECTURE) {
        let wide = widened(&checkpoint, &plain);
        try_all(&checkpoint, &metadata, &wide, &mut guesses, &mut nearest)?;
        guesses.truncate(1); // the others are the same network by another name
    }
    guesses.sort_by_key(|guess| guess.leftovers.len()); // stable: the families' order
    Ok(Inspection {
        format: checkpoint.format.to_string(),
        tensors,
        numbers,
        metadata,
        nearest: nearest.filter(|nearest| guesses.is_empty() && nearest.unmatched < nearest.of),
        guesses,
    })
}

/// Tries networks on the file; what fits goes to the guesses.
fn try_all(
    checkpoint: &Checkpoint,
    metadata: &BTreeMap<String, String>,
    architectures: &[Architecture],
    guesses: &mut Vec<Guess>,
    nearest: &mut Option<NearestNetwork>,
) -> Result<()> {
    let count = architectures.len() as u64;
    let aside = Aside::begin("trying networks", "networks", count);
    for architecture in architectures {
        aside.advance(1);
        match guess(checkpoint, metadata, architecture.clone())? {
            Tried::Fits(guess) => guesses.push(*guess),
            Tried::Lacks(found) => {
                // The most tensors that fit; of as many, the network that lacks fewest.
                let worth = |of: &NearestNetwork| {
                    (of.of.saturating_sub(of.unmatched), Reverse(of.unmatched))
                };
                let better = nearest
                    .as_ref()
                    .is_none_or(|best| worth(&found) > worth(best));
                if better {
                    *nearest = Some(found);
                }
            }
        }
    }
    Ok(())
}

/// The networks whose names are all in the file, in the widths that it may be of.
fn widened(checkpoint: &Checkpoint, plain: &[Architecture]) -> Vec<Architecture> {
    let mut found = Vec::new();
    for architecture in plain {
        for width in checkpoint_file::widths(checkpoint, architecture) {
            let wide = Architecture {
                width,
                ..architecture.clone()
            };
            if wide.validate().is_ok() {
                found.push(wide);
            }
        }
    }
    found
}

/// The network that the metadata names, else every known one in the variants that a file can be of.
fn candidates(
    checkpoint: &Checkpoint,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<Architecture>> {
    if let Some(said) = metadata.get(ARCHITECTURE) {
        let said = serde_json::from_str(said)
            .with_context(|| format!("`{}`: its metadata", checkpoint.path.display()))?;
        return Ok(vec![said]);
    }
    let mut candidates = Vec::new();
    for name in names() {
        let plain = Architecture::named(name);
        for variant in [
            plain.clone(),
            Architecture {
                stem: Some(Stem::Cifar),
                ..plain.clone()
            },
            Architecture {
                shortcut: Some(Shortcut::B),
                ..plain.clone()
            },
        ] {
            if variant.validate().is_ok() {
                candidates.push(variant);
            }
        }
        for size in position_sizes(checkpoint) {
            let variant = Architecture {
                position_size: Some(size),
                ..plain.clone()
            };
            if variant.validate().is_ok() {
                candidates.push(variant);
            }
        }
    }
    Ok(candidates)
}

/// Image sizes that the file's position embedding may be for, beside the usual ones.
fn position_sizes(checkpoint: &Checkpoint) -> Vec<i64> {
    const PATCHES: [i64; 4] = [8, 14, 16, 32];
    const USUAL: [i64; 2] = [224, 518];
    let embedding = checkpoint
        .tensors
        .iter()
        .find(|(name, tensor)| name.contains("pos_embed") && tensor.dim() == 3);
    let Some((_, embedding)) = embedding else {
        return Vec::new();
    };
    let grid = ((embedding.size()[1] - 1).max(0) as f64).sqrt().round() as i64;
    PATCHES
        .iter()
        .map(|patch| patch * grid)
        .filter(|size| !USUAL.contains(size))
        .collect()
}

enum Tried {
    Fits(Box<Guess>),
    Lacks(NearestNetwork),
}

fn guess(
    checkpoint: &Checkpoint,
    metadata: &BTreeMap<String, String>,
    mut architecture: Architecture,
) -> Result<Tried> {
    let mut matched = match try_on(checkpoint, &architecture)? {
        Ok(matched) => matched,
        Err(Unmatched { mismatch, .. }) => {
            let state = architecture.graph()?.state();
            let needed = state.iter().filter(|spec| !spec.role.may_be_absent());
            return Ok(Tried::Lacks(NearestNetwork {
                unmatched: mismatch.missing.len() + mismatch.misshapen.len(),
                of: needed.count(),
                network: architecture.name,
            }));
        }
    };
    // A classifier among the leftovers is the network's own when it fits too.
    if architecture.classes.is_none()
        && let Some(classes) = classes(checkpoint, &architecture, &matched)?
    {
        let classified = Architecture {
            classes: Some(classes),
            ..architecture.clone()
        };
        if let Ok(Ok(better)) = try_on(checkpoint, &classified) {
            (architecture, matched) = (classified, better);
        }
    }
    let preprocessing = match metadata.get("preprocessing") {
        Some(said) => serde_json::from_str(said)
            .with_context(|| format!("`{}`: its metadata", checkpoint.path.display()))?,
        None => architecture.default_preprocessing(),
    };
    Ok(Tried::Fits(Box::new(Guess {
        parameters: architecture.graph()?.parameter_count(),
        network: architecture,
        layout: matched.layout,
        preprocessing,
        leftovers: matched.leftovers,
        others: matched.others,
    })))
}

fn try_on(
    checkpoint: &Checkpoint,
    architecture: &Architecture,
) -> Result<Result<Matched, Unmatched>> {
    let copy = Checkpoint {
        path: checkpoint.path.clone(),
        format: checkpoint.format,
        tensors: checkpoint
            .tensors
            .iter()
            .map(|(name, tensor)| (name.clone(), Tensor::shallow_clone(tensor)))
            .collect(),
    };
    Ok(try_match(copy, architecture, None)?)
}

/// Outputs of the leftover that is called as the family calls its classifier.
fn classes(
    checkpoint: &Checkpoint,
    architecture: &Architecture,
    matched: &Matched,
) -> Result<Option<i64>> {
    let classified = Architecture {
        classes: Some(1),
        ..architecture.clone()
    };
    let graph = classified.graph()?;
    let Some(last) = graph.nodes().last() else {
        return Ok(None);
    };
    let name = format!("{}.weight", last.name);
    let found = matched
        .leftovers
        .iter()
        .find(|leftover| **leftover == name || leftover.ends_with(&format!(".{name}")));
    Ok(found
        .and_then(|found| checkpoint.tensors.get(found))
        .and_then(|tensor| tensor.size().first().copied()))
}
