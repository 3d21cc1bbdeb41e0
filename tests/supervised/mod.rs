//! Supervised training and evaluation as a user drives them: teachers, options, transfer to other
//! images, what is reported.

mod evaluation;
mod labelled;
mod labels;
mod options;
mod probing;
mod teachers;
mod transfer;
mod while_training;

use crate::sandbox::Sandbox;

/// Digits, one view of each training digit, and two untrained networks as teachers: by a probe on
/// their features, and by a classifier of their own.
pub const TEACHERS: &str = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 60, test: 20}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 16, views_per_image: 2}}
  features: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet8, width: 0.5}, embedding: features}}
  probe: {kind: probe, inputs: {images: images, features: features}}
  logits: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet8, width: 0.25, classes: 10}, embedding: logits, store: f32}}
  own: {kind: probe, inputs: {images: images, features: logits}, params: {method: logits}}
";

/// A `finetune` stage of a tiny network, named `name`, with these inputs beside images and views,
/// and these params.
pub fn tuned(name: &str, inputs: &str, params: &str) -> String {
    format!(
        "  {name}:
    kind: finetune
    inputs: {{images: images, views: views{inputs}}}
    params: {{network: {{name: cifar_resnet8, width: 0.25}}{params}, training: {{epochs: 1, batch: 16, threads: 1}}}}
"
    )
}

/// A figure of `metrics`.
pub fn figure(sandbox: &Sandbox, stage: &str, split: &str, name: &str) -> f64 {
    let found = sandbox.run(&["metrics", "--json"]).succeeded().json();
    let rows = found.as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["stage"] == stage && row["split"] == split && row["name"] == name);
    row.unwrap_or_else(|| panic!("no {stage} {split}/{name}: {found}"))["value"]
        .as_f64()
        .unwrap()
}
