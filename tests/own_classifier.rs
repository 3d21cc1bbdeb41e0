//! A network's own classifier as a stage, on a network without training: what is written, and what
//! is refused.

use insta::assert_snapshot;

use crate::sandbox::{Sandbox, outcomes};

fn pipeline(network: &str, embedding: &str) -> String {
    format!(
        "\
stages:
  images: {{kind: ingest, params: {{source: digits.parquet, label_column: label, split_column: split, take: {{train: 60, test: 20}}}}}}
  views: {{kind: augment, inputs: {{images: images}}, params: {{recipe: custom, size: 16, views_per_image: 1}}}}
  logits: {{kind: encode, inputs: {{images: images}}, params: {{network: {{name: cifar_resnet8, width: 0.25{network}}}, embedding: {embedding}}}}}
  own: {{kind: probe, inputs: {{images: images, features: logits}}, params: {{method: logits}}}}
  tuned:
    kind: finetune
    inputs: {{images: images, views: views, teacher_features: logits, teacher_classifier: own.classifier}}
    params: {{network: {{name: cifar_resnet8, width: 0.25}}, alpha: 0.5, training: {{epochs: 1, batch: 16}}}}
"
    )
}

fn refused(network: &str, embedding: &str) -> String {
    let sandbox = Sandbox::with(&pipeline(network, embedding));
    let finished = sandbox.run(&["run", "own", "--quiet"]).exited_with(1);
    finished.refusal()
}

#[test]
fn its_logits_are_judged_and_serve_as_soft_labels() {
    let sandbox = Sandbox::with(&pipeline(", classes: 10", "logits"));
    let stages = sandbox.run_json(&[]);
    assert_eq!(outcomes(&stages).len(), 5);
    let results = sandbox.run(&["metrics"]).succeeded().stdout;
    for measure in ["top1", "top5"] {
        let own = results
            .lines()
            .find(|line| line.starts_with("own") && line.contains(&format!(" {measure} ")));
        assert!(own.is_some(), "{measure}: {results}");
    }
}

#[test]
fn a_network_without_a_classifier_has_no_logits() {
    assert_snapshot!(refused("", "logits"), @r"
    error: pipeline.yaml: stage `logits`: key `embedding`: expected `features` or `auto` for a network without a classifier, got `logits`
    hint: a checkpoint's classifier is read when `network` has `classes: COUNT`
    exit code 1
    ");
}

#[test]
fn features_are_not_taken_for_logits() {
    assert_snapshot!(refused(", classes: 10", "features"), @r"
    error: pipeline.yaml: stage `own`: input `features`: expected logits, got features from stage `logits`
    hint: give it `embedding: logits`
    exit code 1
    ");
}

#[test]
fn a_classifier_of_other_classes_is_refused() {
    assert_snapshot!(refused(", classes: 12", "logits"), @r"
    error: pipeline.yaml: stage `own`: input `features`: expected 10 logits, one for each class of the images, got 12 from stage `logits`
    hint: fit a classifier on its features, `method: lbfgs`
    exit code 1
    ");
}
