//! What is believed after a crash, a full disk, a damaged file, a neighbour: drives the binaries to
//! their deaths.

mod corruption;
mod divergence;
pub mod leftovers;
mod machine;
mod optimisers;
mod points;
mod processes;
mod random_kills;
mod repair;
mod training;

use std::collections::BTreeMap;
use std::process::Command;

use crate::sandbox::{Finished, Sandbox};

/// Every kind, in about a second: 40 training and 20 test digits, two views, 10 steps a training, a
/// checkpoint every 2.
pub const REDUCED_PIPELINE: &str = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 40, test: 20}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 12, views_per_image: 2}}
  teacher:
    kind: pretrain
    inputs: {images: images, views: views}
    params: {network: {name: cifar_resnet8, width: 0.25}, queue: 32, training: {epochs: 2, batch: 8, checkpoint_steps: 2}}
  targets: {kind: encode, inputs: {images: images, views: views, weights: teacher}, params: {batch: 16}}
  student:
    kind: distill
    inputs: {images: images, views: views, targets: targets}
    params: {network: {name: cifar_resnet8, width: 0.25}, queue: 32, training: {epochs: 2, batch: 8, checkpoint_steps: 2}}
  features: {kind: encode, inputs: {images: images, weights: student}, params: {batch: 16}}
  neighbours: {kind: knn, inputs: {images: images, features: features}, params: {k: [5]}}
  probe: {kind: probe, inputs: {images: images, features: features}}
  tuned:
    kind: finetune
    inputs: {images: images, views: views, weights: student, teacher_features: features, teacher_classifier: probe.classifier}
    params: {alpha: 0.5, training: {epochs: 2, batch: 8, checkpoint_steps: 2}}
  report: {kind: report, inputs: {metrics: [student.metrics, neighbours.metrics, probe.metrics, tuned.metrics]}, params: {path: report.html}}
";

/// Steps from one checkpoint of [`REDUCED_PIPELINE`] to the next.
const CHECKPOINT_STEPS: usize = 2;

/// Environment of the binaries' fault points; see `fault.rs` of the engine.
const FAULT: &str = "SEEDPIPE_FAULT";
const FAULT_LOG: &str = "SEEDPIPE_FAULT_LOG";

/// A file of the sandbox that gets the names of the fault points that were passed.
const LOG: &str = "points.log";

/// The command with its fault points logged, after those that are there.
fn logged(sandbox: &Sandbox, arguments: &[&str]) -> Command {
    let mut command = sandbox.command(arguments);
    command.env(FAULT_LOG, sandbox.path(LOG));
    command
}

/// Fault points that were passed, in order; the log is emptied.
fn passed(sandbox: &Sandbox) -> Vec<String> {
    let text = fs_err::read_to_string(sandbox.path(LOG)).unwrap_or_default();
    let _ = fs_err::remove_file(sandbox.path(LOG));
    text.lines().map(str::to_owned).collect()
}

/// How often each of them was passed.
fn counted(points: &[String]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for point in points {
        *counts.entry(point.clone()).or_default() += 1;
    }
    counts
}

fn count(points: &[String], name: &str) -> usize {
    points.iter().filter(|point| *point == name).count()
}

/// Runs to the end with a fault.
fn faulted(sandbox: &Sandbox, arguments: &[&str], fault: &str) -> Finished {
    sandbox.finish(logged(sandbox, arguments).env(FAULT, fault))
}
