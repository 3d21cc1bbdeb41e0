//! Which network a file may be of.

use std::collections::{BTreeMap, BTreeSet};

use super::Checkpoint;
use super::candidates::{Candidate, candidates};
use super::spellings::spellings;
use crate::architecture::{self, Architecture};
use crate::graph::TensorSpec;

/// The architecture, by name and count of classes, whose backbone's tensors are all in the file;
/// the largest, if several.
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
            .filter(Candidate::is_whole)
            .min_by_key(Candidate::rank);
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
        .names
        .iter()
        .filter(|(_, own)| !known.contains(own.as_str()) && own.ends_with(".bias"))
        .filter_map(|(name, own)| {
            let tensor = checkpoint.tensors.get(name)?;
            Some((own.clone(), tensor.size().first().copied()?))
        })
        .max()
        .map(|(_, classes)| classes)
}

/// Another architecture that the file is of, when it is not of the one asked for.
pub(super) fn another(checkpoint: &Checkpoint, architecture: &Architecture) -> Option<String> {
    let guessed = guess(checkpoint)?.name;
    (guessed != architecture.name).then_some(guessed)
}

/// Width factors that a file may be of whose tensors have an architecture's names and other
/// lengths; most likely first.
///
/// Families that round a channel count to the nearest leave only one short decimal that all lengths
/// agree with; for the others, which round to multiples of 8, the factors are returned that people
/// use.
pub fn widths(checkpoint: &Checkpoint, architecture: &Architecture) -> Vec<f64> {
    let (Ok(graph), Ok(spellings)) = (architecture.graph(), spellings(architecture)) else {
        return vec![];
    };
    let specs = graph.state();
    let needed = specs
        .iter()
        .filter(|spec| !spec.role.may_be_absent())
        .count();
    let all = spellings
        .iter()
        .flat_map(|spelling| candidates(checkpoint, &specs, spelling));
    let Some(best) = all.max_by_key(|candidate| candidate.present) else {
        return vec![];
    };
    if best.present < needed || best.is_whole() {
        return vec![];
    }
    let lengths: BTreeMap<&str, f64> = specs
        .iter()
        .filter_map(|spec| Some((spec.name.as_str(), *spec.shape.first()? as f64)))
        .collect();
    let (mut low, mut high) = (0.0_f64, f64::INFINITY);
    for (name, own) in &best.names {
        let tensor = checkpoint.tensors.get(name);
        let first = tensor.and_then(|tensor| tensor.size().first().copied());
        let (Some(first), Some(&length)) = (first, lengths.get(own.as_str())) else {
            continue;
        };
        if length > 1.0 {
            low = low.max((first as f64 - 0.5) / length);
            high = high.min((first as f64 + 0.5) / length);
        }
    }
    let common = [0.25, 0.35, 0.5, 0.75, 1.25, 1.4, 1.5, 2.0, 3.0, 4.0];
    shortest_between(low, high)
        .into_iter()
        .chain(common)
        .collect()
}

/// The number of fewest decimals from `low` up to, not including, `high`.
fn shortest_between(low: f64, high: f64) -> Option<f64> {
    (0..=6)
        .map(|decimals| 10_f64.powi(decimals))
        .map(|scale| (low * scale).ceil() / scale)
        .find(|number| *number > 0.0 && *number < high)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint_file::CheckpointFormat;
    use std::path::PathBuf;
    use tch::Tensor;

    fn file_of(architecture: &Architecture) -> Checkpoint {
        let state = architecture.graph().unwrap().state();
        let tensor = |shape: &[i64]| Tensor::from(0.5_f32).expand(shape, false);
        Checkpoint {
            path: PathBuf::from("wide.pth"),
            format: CheckpointFormat::Zip,
            tensors: state
                .iter()
                .map(|spec| (format!("module.{}", spec.name), tensor(&spec.shape)))
                .collect(),
        }
    }

    #[test]
    fn the_width_is_the_shortest_number_that_all_lengths_agree_with() {
        for (name, width) in [
            ("resnet18", 2.0),
            ("resnet50", 3.0),
            ("cifar_resnet20", 4.0),
            ("cifar_resnet8", 0.3),
            ("cifar_resnet8", 0.25),
        ] {
            let plain = Architecture::named(name);
            let wide = Architecture {
                width,
                ..plain.clone()
            };
            assert_eq!(widths(&file_of(&wide), &plain)[0], width, "{name}");
        }
    }

    #[test]
    fn a_file_that_fits_or_has_other_names_needs_no_width() {
        let plain = Architecture::named("resnet18");
        assert!(widths(&file_of(&plain), &plain).is_empty());
        let other = Architecture::named("mobilenet_v2");
        assert!(widths(&file_of(&other), &plain).is_empty());
    }
}
