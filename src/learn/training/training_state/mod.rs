//! Checkpoints of a training: every tensor and number that a resumed training needs to go on bit for bit.
//!
//! A checkpoint is one safetensors file, `step-<step>.safetensors`. The caller writes it whole or not at all; a BLAKE3
//! over all contents in its header finds what went bad later. The newest two are kept: when the newest is corrupt, the
//! one before serves.
//!
//! What the names mean is the caller's business; prefixes (`student.`, `momentum.`) keep the parts apart.

mod file;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use fs_err as fs;
use seedpipe_base::Refusal;
use serde_json::Value;
use tch::{Tensor, no_grad};

use file::{decode, encode};

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
        let sick = |tensor: &Tensor| {
            tensor.is_floating_point() && !bool::try_from(tensor.isfinite().all()).unwrap_or(false)
        };
        let found = self.tensors.iter().find(|(_, tensor)| sick(tensor));
        found.map(|(name, _)| name.as_str())
    }

    /// Copies the tensors under `prefix` into live ones of the same names, in place and on their device.
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

/// Writes the state's checkpoint into `folder` (created when absent) and keeps it and the one before.
///
/// - `write`: writes a file durably, wholly or not at all
///
/// Later checkpoints go too: they can only be there when they were corrupt, and the training went on from an earlier one.
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
/// A corrupt one is reported through `warn` and skipped, but not removed.
pub fn latest(folder: &Path, warn: &mut dyn FnMut(String)) -> io::Result<Option<TrainingState>> {
    let mut candidates = checkpoints(folder)?;
    while let Some(path) = candidates.pop() {
        match decode(&fs::read(&path)?) {
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
mod tests {
    use super::*;
    use crate::torch::random::normal;
    use crate::torch::tensors::to_bytes;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use serde_json::json;
    use tch::{Device, Kind};

    fn state(step: u64) -> TrainingState {
        let mut rng = ChaCha8Rng::seed_from_u64(step);
        let mut state = TrainingState::new(
            step,
            json!({"epoch": step / 10, "rate": 0.1, "order": [3, 1, 2]}),
        );
        let weight = normal(&[3, 4, 2], &mut rng);
        let odd = Tensor::from_slice(&[f32::NAN, -0.0, f32::MIN_POSITIVE / 2.0, f32::INFINITY]);
        let counter = Tensor::from_slice(&[step as i64]).reshape([] as [i64; 0]);
        let empty = Tensor::zeros([0, 5], (Kind::Float, Device::Cpu));
        let half = normal(&[7], &mut rng).to_kind(Kind::Half);
        let double = normal(&[7], &mut rng).to_kind(Kind::Double).tan();
        let mask = normal(&[9], &mut rng).gt(0.0);
        state.insert_all(
            "student.",
            vec![
                ("w".into(), weight),
                ("odd".into(), odd),
                ("n".into(), counter),
            ],
        );
        state.insert_all(
            "momentum.",
            vec![
                ("w".into(), half),
                ("d".into(), double),
                ("e".into(), empty),
            ],
        );
        state.insert_all("", vec![("mask".into(), mask)]);
        state
    }

    fn assert_same(a: &TrainingState, b: &TrainingState) {
        assert_eq!((a.step, &a.scalars), (b.step, &b.scalars));
        assert!(a.tensors.keys().eq(b.tensors.keys()));
        for (name, tensor) in &a.tensors {
            assert!(to_bytes(tensor) == to_bytes(&b.tensors[name]), "{name}");
        }
    }

    fn save(folder: &Path, state: &TrainingState) -> io::Result<PathBuf> {
        super::save(folder, state, |path, bytes| fs::write(path, bytes))
    }

    fn latest_silently(folder: &Path) -> Option<TrainingState> {
        latest(folder, &mut |warning| panic!("unexpected: {warning}")).unwrap()
    }

    #[test]
    fn every_bit_comes_back_and_the_newest_two_stay() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("checkpoints");
        assert!(latest_silently(&path).is_none());
        for step in [5, 2_000_000, 20, 90, 1_000_000] {
            save(&path, &state(step)).unwrap();
        }
        assert_same(&latest_silently(&path).unwrap(), &state(1_000_000));
        let mut names: Vec<_> = fs::read_dir(&path)
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [
                "step-00000000000000000090.safetensors",
                "step-00000000000001000000.safetensors"
            ]
        );
    }

    #[test]
    fn what_is_not_finite_is_found() {
        let mut state = state(1);
        assert_eq!(state.first_not_finite(), Some("student.odd"));
        state.tensors.remove("student.odd");
        assert_eq!(state.first_not_finite(), None);
        for value in [f32::NAN, f32::INFINITY] {
            let tensor = Tensor::from_slice(&[1.0, value]);
            state.tensors.insert("odd".to_owned(), tensor);
            assert_eq!(state.first_not_finite(), Some("odd"));
        }
    }

    #[test]
    fn equal_states_are_equal_files() {
        assert_eq!(encode(&state(1)), encode(&state(1)));
    }

    #[test]
    fn any_flipped_byte_or_truncation_is_noticed_and_the_one_before_taken() {
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &state(1)).unwrap();
        let newest = save(folder.path(), &state(2)).unwrap();
        let sound = fs::read(&newest).unwrap();
        let mut broken: Vec<Vec<u8>> = [0, 7, 8, 100, sound.len() / 2, sound.len() - 1]
            .iter()
            .map(|&length| sound[..length].to_vec())
            .collect();
        broken.extend((0..sound.len()).step_by(3).map(|place| {
            let mut bytes = sound.clone();
            bytes[place] ^= 1;
            bytes
        }));
        for bytes in broken {
            fs::write(&newest, &bytes).unwrap();
            let mut warnings = vec![];
            let found = latest(folder.path(), &mut |warning| warnings.push(warning))
                .unwrap()
                .unwrap();
            if warnings.is_empty() {
                // Only white space of the header may change without a meaning.
                assert_same(&found, &state(2));
            } else {
                assert_same(&found, &state(1));
                assert!(
                    warnings[0].contains("step-00000000000000000002.safetensors`: corrupt"),
                    "{warnings:?}"
                );
                assert!(warnings[0].ends_with("going on from the one before"));
            }
        }
    }

    #[test]
    fn without_a_sound_checkpoint_the_training_begins_anew() {
        let folder = tempfile::tempdir().unwrap();
        for step in [1, 2] {
            let path = save(folder.path(), &state(step)).unwrap();
            fs::write(path, b"").unwrap();
        }
        let mut warnings = vec![];
        let found = latest(folder.path(), &mut |warning| warnings.push(warning)).unwrap();
        assert!(found.is_none());
        assert!(warnings[0].ends_with("going on from the one before"));
        assert!(warnings[1].ends_with("beginning anew"), "{warnings:?}");
    }

    #[test]
    fn what_a_crash_left_behind_is_no_checkpoint() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(".step-00000000000000000009"), b"half").unwrap();
        fs::write(folder.path().join("notes.txt"), b"").unwrap();
        assert!(latest_silently(folder.path()).is_none());
        save(folder.path(), &state(3)).unwrap();
        assert_same(&latest_silently(folder.path()).unwrap(), &state(3));
    }

    #[test]
    fn live_tensors_are_filled_in_place_or_not_at_all() {
        let state = state(4);
        let zeros = |shape: &[i64], kind| Tensor::zeros(shape, (kind, Device::Cpu));
        let weight = zeros(&[3, 4, 2], Kind::Float).set_requires_grad(true);
        let live = |weight: &Tensor| {
            let parts = [
                ("w", weight.shallow_clone()),
                ("odd", zeros(&[4], Kind::Float)),
                ("n", zeros(&[], Kind::Int64)),
            ];
            parts.map(|(name, tensor)| (name.to_owned(), tensor))
        };
        let message = state
            .copy_into("student.", &live(&weight)[..2])
            .unwrap_err()
            .to_string();
        assert!(
            message.contains(r#"missing [], left over ["n"], misshapen []"#),
            "{message}"
        );
        let wrong = live(&zeros(&[3, 4], Kind::Float));
        assert!(
            state
                .copy_into("student.", &wrong)
                .unwrap_err()
                .to_string()
                .contains(r#"misshapen ["w"]"#)
        );
        let message = state
            .copy_into("teacher.", &live(&weight))
            .unwrap_err()
            .to_string();
        assert!(
            message.contains(r#"missing ["w", "odd", "n"]"#),
            "{message}"
        );
        assert_eq!(weight.abs().max().double_value(&[]), 0.0);
        state.copy_into("student.", &live(&weight)).unwrap();
        assert_eq!(weight.detach(), state.tensors["student.w"]);
        assert!(weight.requires_grad());
    }
}
