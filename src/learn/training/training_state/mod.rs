//! Checkpoints of a training: every tensor and number that a resumed training needs to go on bit
//! for bit.
//!
//! A checkpoint is one safetensors file, `step-<step>.safetensors`. The caller writes it whole or
//! not at all; a BLAKE3 over all contents in its header finds what went bad later. The newest two
//! are kept: when the newest is corrupt, the one before serves.
//!
//! What the names mean is the caller's business; prefixes (`student.`, `momentum.`) keep the parts
//! apart.

mod file;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use seedpipe_base::Refusal;
use serde_json::Value;
use tch::{Tensor, no_grad};

use crate::torch::tensors;
use file::{encode, read};

/// Checkpoints kept in a folder.
const KEPT: usize = 2;
const PREFIX: &str = "step-";
const SUFFIX: &str = ".safetensors";

/// A training as it stands after `step` steps.
#[derive(Debug)]
pub struct TrainingState {
    pub step: u64,
    pub tensors: BTreeMap<String, Tensor>,
    /// whatever else is needed: epoch, queue pointer, position in the order of samples
    pub scalars: Value,
}

impl TrainingState {
    /// A state without tensors yet.
    pub fn new(step: u64, scalars: Value) -> Self {
        Self {
            step,
            tensors: BTreeMap::new(),
            scalars,
        }
    }

    /// Adds tensors under `prefix` + name. They are not copied: save before they change.
    pub fn insert_all(&mut self, prefix: &str, tensors: Vec<(String, Tensor)>) {
        for (name, tensor) in tensors {
            let taken = self.tensors.insert(format!("{prefix}{name}"), tensor);
            assert!(
                taken.is_none(),
                "BUG: two tensors `{prefix}{name}` in one checkpoint"
            );
        }
    }

    /// The tensors under `prefix`, by their names without it.
    pub fn take_all(&self, prefix: &str) -> BTreeMap<String, Tensor> {
        self.tensors
            .iter()
            .filter_map(|(name, tensor)| {
                Some((
                    name.strip_prefix(prefix)?.to_owned(),
                    tensor.shallow_clone(),
                ))
            })
            .collect()
    }

    /// The first tensor, by name, that holds an infinite number or none at all.
    pub fn first_not_finite(&self) -> Option<&str> {
        tensors::first_not_finite(&self.tensors)
    }

    /// Copies the tensors under `prefix` into live ones of the same names, in place and on their
    /// device.
    ///
    /// Fails, and changes nothing, unless names and shapes match both ways.
    pub fn copy_into(&self, prefix: &str, live: &[(String, Tensor)]) -> Result<(), Refusal> {
        let mut stored = self.take_all(prefix);
        let (mut missing, mut misshapen, mut pairs) = (vec![], vec![], vec![]);
        for (name, target) in live {
            match stored.remove(name) {
                None => missing.push(name.clone()),
                Some(tensor)
                    if tensor.size() != target.size() || tensor.kind() != target.kind() =>
                {
                    misshapen.push(name.clone());
                }
                Some(tensor) => pairs.push((target.detach(), tensor)),
            }
        }
        if !(missing.is_empty() && misshapen.is_empty() && stored.is_empty()) {
            let extra: Vec<String> = stored.into_keys().collect();
            return Err(Refusal::failure(format!(
                "the checkpoint's `{prefix}…` does not fit: missing {missing:?}, left over {extra:?}, misshapen {misshapen:?}"
            )));
        }
        no_grad(|| {
            pairs
                .iter_mut()
                .for_each(|(target, tensor)| target.copy_(tensor))
        });
        Ok(())
    }
}

/// Writes the state's checkpoint into `folder` (created when absent) and keeps it and the one
/// before.
///
/// - `write`: writes a file durably, wholly or not at all
///
/// Later checkpoints go too: they can only be there when they were corrupt, and the training went
/// on from an earlier one.
pub fn save(
    folder: &Path,
    state: &TrainingState,
    write: impl FnOnce(&Path, &[u8]) -> io::Result<()>,
) -> io::Result<PathBuf> {
    fs::create_dir_all(folder)?;
    let path = path_of(folder, state.step);
    write(&path, &encode(state))?;
    let (done, later): (Vec<_>, Vec<_>) = checkpoints(folder)?
        .into_iter()
        .partition(|found| *found <= path);
    for unwanted in later.iter().chain(done.iter().rev().skip(KEPT)) {
        fs::remove_file(unwanted)?;
    }
    Ok(path)
}

/// Names sort as steps do.
fn path_of(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("{PREFIX}{step:020}{SUFFIX}"))
}

/// The newest sound checkpoint of `folder`, on the CPU; none when there is none, or no folder.
///
/// One that is corrupt or can't be read is reported through `warn` and skipped, but not removed.
pub fn latest(folder: &Path, warn: &mut dyn FnMut(String)) -> io::Result<Option<TrainingState>> {
    let mut candidates = checkpoints(folder)?;
    while let Some(path) = candidates.pop() {
        match read(&path) {
            Ok(state) => return Ok(Some(state)),
            Err(reason) => {
                let next = match candidates.last() {
                    Some(_) => "going on from the one before",
                    None => "beginning anew",
                };
                warn(format!("checkpoint `{}`: {reason}; {next}", path.display()));
            }
        }
    }
    Ok(None)
}

/// Finished checkpoints in ascending order of steps.
fn checkpoints(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(vec![]),
        Err(error) => return Err(error),
    };
    let mut found = BTreeMap::new();
    for entry in entries {
        let path = entry?.path();
        let step = path.file_name().and_then(|name| {
            name.to_str()?
                .strip_prefix(PREFIX)?
                .strip_suffix(SUFFIX)?
                .parse::<u64>()
                .ok()
        });
        if let Some(step) = step {
            found.insert(step, path);
        }
    }
    Ok(found.into_values().collect())
}

#[cfg(test)]
#[path = "training_state_tests.rs"]
mod tests;
