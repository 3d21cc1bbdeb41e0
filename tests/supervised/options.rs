//! Unlabelled images, smoothing, mixup, frozen layers: what they change, what is refused, and that
//! they resume bit for bit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use insta::assert_snapshot;
use seedpipe_artifact::WeightsReader;

use super::{TEACHERS, figure, tuned};
use crate::sandbox::{Sandbox, contents, outcomes};

const EVERYTHING: &str = ", alpha: 0.5, label_fraction: 0.3, unlabelled: true, label_smoothing: 0.1, mixup: 0.3, freeze: {blocks: 1}, layer_decay: 0.8";

/// The parts of a stage's weights.
fn parts(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs_err::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            parts(&path, found);
        } else if path.display().to_string().contains("weights") {
            found.push(path);
        }
    }
}

/// Bytes of each tensor of a stage's weights.
fn weights(sandbox: &Sandbox, stage: &str) -> BTreeMap<String, Vec<u8>> {
    let shown = sandbox.run(&["show", stage, "--json"]).succeeded().json();
    let mut found = Vec::new();
    parts(
        &sandbox.path(shown["directory"].as_str().unwrap()),
        &mut found,
    );
    let rows = WeightsReader::open(&found).unwrap().read_all().unwrap();
    rows.into_iter().map(|row| (row.name, row.data)).collect()
}

#[test]
fn frozen_blocks_keep_weights_and_statistics_and_the_others_learn() {
    let first = tuned("first", "", "");
    let second = "  second: {kind: finetune, inputs: {images: images, views: views, weights: first}, params: {freeze: {blocks: 2}, training: {epochs: 1, batch: 16, threads: 1}}}\n";
    let sandbox = Sandbox::with(&format!("{TEACHERS}{first}{second}"));
    sandbox.run(&["run", "second", "--quiet"]).succeeded();
    let (before, after) = (weights(&sandbox, "first"), weights(&sandbox, "second"));
    assert_eq!(before.len(), after.len());
    for (name, bytes) in &before {
        let is_frozen = ["conv1.", "bn1.", "layer1.", "layer2."]
            .iter()
            .any(|start| name.starts_with(start));
        assert_eq!(after[name] == *bytes, is_frozen, "{name}");
    }
}

#[test]
fn layers_far_from_the_classifier_learn_slower() {
    let first = tuned("first", "", "");
    let later = |name: &str, params: &str| {
        format!(
            "  {name}: {{kind: finetune, inputs: {{images: images, views: views, weights: first}}, params: {{{params}training: {{epochs: 1, batch: 16, threads: 1}}}}}}\n"
        )
    };
    let sandbox = Sandbox::with(&format!(
        "{TEACHERS}{first}{}{}",
        later("alike", ""),
        later("decayed", "layer_decay: 0.1, ")
    ));
    sandbox
        .run(&["run", "alike", "decayed", "--quiet"])
        .succeeded();
    let before = weights(&sandbox, "first");
    let moved = |stage: &str, name: &str| -> f32 {
        let values = |bytes: &[u8]| -> Vec<f32> {
            let values = bytes.as_chunks::<4>().0;
            values.iter().copied().map(f32::from_le_bytes).collect()
        };
        let after = values(&weights(&sandbox, stage)[name]);
        let pairs = after.iter().zip(values(&before[name]));
        pairs.map(|(after, before)| (after - before).abs()).sum()
    };
    // Stem, 3 blocks, classifier: the stem is four levels below, so its rate is a ten-thousandth.
    let stem = moved("decayed", "conv1.weight") / moved("alike", "conv1.weight");
    assert!((1e-6..1e-2).contains(&stem), "{stem}");
    let classifier = moved("decayed", "linear.weight") / moved("alike", "linear.weight");
    assert!((0.5..2.0).contains(&classifier), "{classifier}");
}

#[test]
fn unlabelled_images_are_trained_on_and_those_to_judge_or_choose_by_stay_out() {
    let teacher = ", teacher_logits: logits";
    let labelled = tuned("labelled", teacher, ", alpha: 0.5, label_fraction: 0.3");
    let labelled = labelled.replace("batch: 16", "batch: 4");
    let all = tuned(
        "all",
        teacher,
        ", alpha: 0.5, label_fraction: 0.3, unlabelled: true",
    );
    let pipeline = format!("{TEACHERS}{labelled}{all}").replace(
        "recipe: custom, size: 16,",
        "recipe: custom, size: 16, split: all,",
    );
    let splits = "hash_split: {val: 0.3}, take: {train: 60, val: 15, test: 20}";
    let pipeline = pipeline.replace("take: {train: 60, test: 20}", splits);
    assert!(pipeline.contains(splits));
    let sandbox = Sandbox::with(&pipeline);
    sandbox
        .run(&["run", "labelled", "all", "--quiet"])
        .succeeded();
    let labels = figure(&sandbox, "labelled", "train", "images");
    assert!((10.0..30.0).contains(&labels), "{labels}");
    assert_eq!(figure(&sandbox, "all", "train", "images"), 60.0);
    assert_eq!(figure(&sandbox, "all", "train", "labelled_images"), labels);
}

#[test]
fn a_hundredth_of_the_labels_is_balanced_and_the_same_for_every_stage() {
    let sandbox = Sandbox::with(
        &format!("{TEACHERS}{}", tuned("few", "", ", label_fraction: 0.01"))
            .replace(", take: {train: 60, test: 20}", "")
            .replace("epochs: 1", "epochs: 3"),
    );
    sandbox.run(&["run", "few", "--quiet"]).succeeded();
    // 400 training digits of each class.
    assert_eq!(figure(&sandbox, "few", "train", "images"), 40.0);
}

#[test]
fn each_option_changes_what_is_learned() {
    let options = [
        "",
        ", label_smoothing: 0.2",
        ", mixup: 0.4",
        ", layer_decay: 0.5",
        ", freeze: {blocks: 0}",
    ];
    let stages: String = options
        .iter()
        .enumerate()
        .map(|(number, option)| tuned(&format!("tuned{number}"), "", option))
        .collect();
    let sandbox = Sandbox::with(&format!("{TEACHERS}{stages}"));
    let names = ["tuned0", "tuned1", "tuned2", "tuned3", "tuned4"];
    let lines = sandbox.run_json(&names);
    let contents: BTreeMap<String, String> = contents(&lines).into_iter().collect();
    let different: std::collections::BTreeSet<&String> =
        names.iter().map(|name| &contents[*name]).collect();
    assert_eq!(different.len(), names.len());
}

#[test]
fn killed_with_every_option_the_bits_are_those_of_an_uninterrupted_run() {
    let stage = tuned("tuned", ", teacher_logits: logits", EVERYTHING)
        .replace("epochs: 1,", "epochs: 2, checkpoint_steps: 2,");
    let pipeline = format!("{TEACHERS}{stage}");
    let whole = Sandbox::with(&pipeline);
    let expected = whole.run_json(&["tuned"]);

    let sandbox = Sandbox::with(&pipeline);
    sandbox
        .run(&["run", "logits", "views", "--quiet"])
        .succeeded();
    let mut command = sandbox.command(&["run", "tuned", "--quiet"]);
    let struck = sandbox.finish(command.env("SEEDPIPE_FAULT", "training.step:5=kill"));
    assert_eq!(struck.code, None, "{}", struck.stderr);
    let lines = sandbox.run_json(&["tuned"]);
    assert_eq!(outcomes(&lines).last().unwrap(), "tuned=executed");
    assert_eq!(contents(&lines), contents(&expected));
}

fn refused(params: &str) -> String {
    let stage = tuned("tuned", ", teacher_logits: logits", params);
    let sandbox = Sandbox::with(&format!("{TEACHERS}{stage}"));
    let finished = sandbox.run(&["run", "tuned", "--quiet"]);
    assert_ne!(finished.code, Some(0));
    finished.refusal()
}

#[test]
fn unlabelled_images_without_soft_labels_are_refused() {
    assert_snapshot!(refused(", unlabelled: true"), @r"
    error: pipeline.yaml: stage `tuned`: key `params.unlabelled`: expected false without soft labels, got true with `alpha: 0`
    hint: an image without a label is learned from by a teacher alone: set `alpha`
    exit code 2
    ");
}

#[test]
fn a_label_that_is_smoothed_away_is_refused() {
    assert_snapshot!(refused(", label_smoothing: 1"), @r"
    error: pipeline.yaml: stage `tuned`: key `params.label_smoothing`: expected from 0 to below 1, got 1
    hint: 0.1 is usual
    exit code 2
    ");
}

#[test]
fn mixup_by_no_distribution_is_refused() {
    assert_snapshot!(refused(", mixup: 0"), @r"
    error: pipeline.yaml: stage `tuned`: key `params.mixup`: expected a number above 0, got 0
    hint: leave the key out for no mixup; 0.2 is usual
    exit code 2
    ");
}

#[test]
fn a_layer_decay_that_is_a_growth_is_refused() {
    assert_snapshot!(refused(", layer_decay: 1.5"), @r"
    error: pipeline.yaml: stage `tuned`: key `params.layer_decay`: expected above 0 and at most 1, got 1.5
    hint: 0.65 to 0.9 are usual for transformers
    exit code 2
    ");
}

#[test]
fn more_frozen_blocks_than_there_are_are_refused() {
    assert_snapshot!(refused(", freeze: {blocks: 4}"), @r"
    error: pipeline.yaml: stage `tuned`: key `freeze.blocks`: expected at most the 3 blocks of `cifar_resnet8`, got 4
    hint: with 3 all but the classifier is frozen
    exit code 1
    ");
}
