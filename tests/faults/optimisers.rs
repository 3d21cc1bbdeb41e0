//! Every optimiser with every way of updating goes on from a checkpoint as if it had not been
//! interrupted, bit for bit.

use std::collections::{BTreeMap, BTreeSet};

use super::{count, faulted, logged, passed};
use crate::sandbox::{Sandbox, contents};

const OPTIMISERS: [(&str, &str); 3] = [
    (
        "sgd",
        "optimiser: {kind: sgd, nesterov: true, decay_biases_and_norms: false}, learning_rate: 0.05",
    ),
    ("adamw", "optimiser: {kind: adamw}, learning_rate: 0.005"),
    (
        "lars",
        "optimiser: {kind: lars, weight_decay: 1e-3}, learning_rate: 2",
    ),
];

const WAYS: [(&str, &str); 6] = [
    ("plain", "schedule: {kind: cosine, warmup_epochs: 1}"),
    ("accumulate", "accumulate: 2, scale_learning_rate: true"),
    ("average", "average: {decay: 0.8}"),
    ("clip", "clip_gradient_norm: 0.5"),
    (
        "recompute",
        "schedule: {kind: cosine, warmup_epochs: 1}, recompute: true",
    ),
    (
        "half",
        "precision: f16, schedule: {kind: steps, epochs: [1], per: epoch}",
    ),
];

/// Updates of a training, 2 epochs of 5 batches, and after which one it is killed; a checkpoint is
/// written every 2.
fn updates(way: &str) -> usize {
    if way == "accumulate" { 4 } else { 10 }
}
const KILLED: usize = 3;
const KEPT: usize = 2;

fn pipeline() -> String {
    let mut text = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 40, test: 20}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 12, views_per_image: 2}}
"
    .to_owned();
    for (optimiser, options) in OPTIMISERS {
        for (way, more) in WAYS {
            text += &format!(
                "  {optimiser}_{way}: {{kind: finetune, inputs: {{images: images, views: views}}, params: {{network: {{name: cifar_resnet8, width: 0.25}}, training: {{epochs: 2, batch: 8, checkpoint_steps: 2, {options}, {more}}}}}}}\n"
            );
        }
    }
    text
}

#[test]
fn each_optimiser_with_each_way_of_updating_goes_on_bit_for_bit() {
    let expected = contents(&Sandbox::with(&pipeline()).run_json(&[]));

    let sandbox = Sandbox::with(&pipeline());
    sandbox.run(&["run", "--quiet", "views"]).succeeded();
    let mut steps = 0;
    for (optimiser, _) in OPTIMISERS {
        for (way, _) in WAYS {
            let stage = format!("{optimiser}_{way}");
            let fault = format!("training.step:{KILLED}=kill");
            let struck = faulted(&sandbox, &["run", "--quiet", &stage], &fault);
            assert_eq!(struck.code, None, "{stage}: {}", struck.stderr);
            steps += updates(way) - KEPT;
        }
    }
    passed(&sandbox);
    let mut command = logged(&sandbox, &["run", "--json"]);
    let lines = sandbox.finish(&mut command).succeeded().json_lines();
    assert_eq!(count(&passed(&sandbox), "training.step"), steps);
    assert_eq!(contents(&lines), expected);

    let of: BTreeMap<&str, &str> = expected
        .iter()
        .map(|(stage, content)| (stage.as_str(), content.as_str()))
        .collect();
    for (optimiser, _) in OPTIMISERS {
        assert_eq!(
            of[format!("{optimiser}_plain").as_str()],
            of[format!("{optimiser}_recompute").as_str()],
            "{optimiser}: recomputing changes no bit"
        );
    }
    let different: BTreeSet<&str> = of.values().copied().collect();
    assert_eq!(
        different.len(),
        of.len() - OPTIMISERS.len(),
        "every other way has a result of its own"
    );
}
