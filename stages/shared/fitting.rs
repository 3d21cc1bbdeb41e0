//! Which known networks a checkpoint file fits.
//!
//! Layouts and prefixes are `checkpoint_file`'s knowledge: every known network is tried on the file
//! by the same `try_match` that loads it.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use anyhow::{Context, Result};
use seedpipe_engine::Aside;
use seedpipe_learn::architecture::{Architecture, Preprocessing, Shortcut, Stem, names};
use seedpipe_learn::checkpoint_file::{self, Checkpoint, Matched, Unmatched, try_match};
use serde::Serialize;
use tch::Tensor;

use crate::shared::network_artifact::{ARCHITECTURE, PREPROCESSING};

/// What was tried on a file.
pub struct Fitting {
    /// The networks that the file fits wholly, those that leave least over first; of another width
    /// than 1 when none of that fits.
    pub guesses: Vec<Guess>,
    /// When it fits none: the network of which most tensors are there.
    pub nearest: Option<NearestNetwork>,
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

/// Tries every known network on the file.
///
/// - `metadata`: of the file; the network that it names is the only one then
/// - `prefix`: of several networks in it, the one whose tensors' names begin so
pub fn fitting(
    checkpoint: &Checkpoint,
    metadata: &BTreeMap<String, String>,
    prefix: Option<&str>,
) -> Result<Fitting> {
    let tried = File {
        checkpoint,
        metadata,
        prefix,
    };
    let mut found = Fitting {
        guesses: Vec::new(),
        nearest: None,
    };
    let plain = candidates(checkpoint, metadata)?;
    tried.try_all(&plain, &mut found)?;
    if found.guesses.is_empty() && !metadata.contains_key(ARCHITECTURE) {
        tried.try_all(&widened(checkpoint, &plain), &mut found)?;
        found.guesses.truncate(1); // the others are the same network by another name
    }
    let Fitting {
        mut guesses,
        nearest,
    } = found;
    guesses.sort_by_key(|guess| guess.leftovers.len()); // stable: the families' order
    Ok(Fitting {
        nearest: nearest.filter(|nearest| guesses.is_empty() && nearest.unmatched < nearest.of),
        guesses,
    })
}

/// What networks are tried on.
struct File<'file> {
    checkpoint: &'file Checkpoint,
    metadata: &'file BTreeMap<String, String>,
    prefix: Option<&'file str>,
}

enum Tried {
    Fits(Box<Guess>),
    Lacks(NearestNetwork),
}

impl File<'_> {
    /// Tries networks on the file; what fits goes to the guesses.
    fn try_all(&self, architectures: &[Architecture], found: &mut Fitting) -> Result<()> {
        let count = architectures.len() as u64;
        let aside = Aside::begin("trying networks", "networks", count);
        for architecture in architectures {
            aside.advance(1);
            let tried = match self.guess(architecture.clone()) {
                // Other networks may lie under that prefix.
                Err(_) if self.prefix.is_some() => continue,
                tried => tried?,
            };
            match tried {
                Tried::Fits(guess) => found.guesses.push(*guess),
                Tried::Lacks(lacking) => {
                    // The most tensors that fit; of as many, the network that lacks fewest.
                    let worth = |of: &NearestNetwork| {
                        (of.of.saturating_sub(of.unmatched), Reverse(of.unmatched))
                    };
                    let nearest = found.nearest.as_ref();
                    if nearest.is_none_or(|best| worth(&lacking) > worth(best)) {
                        found.nearest = Some(lacking);
                    }
                }
            }
        }
        Ok(())
    }

    fn guess(&self, mut architecture: Architecture) -> Result<Tried> {
        let mut matched = match self.try_on(&architecture)? {
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
            && let Some(classes) = classes(self.checkpoint, &architecture, &matched)?
        {
            let classified = Architecture {
                classes: Some(classes),
                ..architecture.clone()
            };
            if let Ok(Ok(better)) = self.try_on(&classified) {
                (architecture, matched) = (classified, better);
            }
        }
        let preprocessing = match self.metadata.get(PREPROCESSING) {
            Some(said) => serde_json::from_str(said)
                .with_context(|| format!("`{}`: its metadata", self.checkpoint.path.display()))?,
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

    fn try_on(&self, architecture: &Architecture) -> Result<Result<Matched, Unmatched>> {
        let checkpoint = self.checkpoint;
        let copy = Checkpoint {
            path: checkpoint.path.clone(),
            format: checkpoint.format,
            tensors: checkpoint
                .tensors
                .iter()
                .map(|(name, tensor)| (name.clone(), Tensor::shallow_clone(tensor)))
                .collect(),
        };
        Ok(try_match(copy, architecture, self.prefix)?)
    }
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
