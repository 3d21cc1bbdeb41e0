//! One teacher, several, with a probe's classifier and with their own.

use insta::assert_snapshot;
use serde_json::Value;

use super::{TEACHERS, tuned};
use crate::sandbox::Sandbox;

/// Content digests by stage.
fn content(lines: &[Value], stage: &str) -> String {
    let line = lines.iter().find(|line| line["stage"] == stage).unwrap();
    line["content"].as_str().unwrap().to_owned()
}

#[test]
fn several_teachers_are_averaged_whichever_way_they_are_connected() {
    let alpha = ", alpha: 0.6";
    let inputs = [
        (
            "probed",
            ", teacher_features: features, teacher_classifier: probe.classifier",
        ),
        (
            "probed_twice",
            ", teacher_features: [features, features], teacher_classifier: [probe.classifier, probe.classifier]",
        ),
        (
            "by_identity",
            ", teacher_features: logits, teacher_classifier: own.classifier",
        ),
        ("by_logits", ", teacher_logits: logits"),
        (
            "both",
            ", teacher_features: features, teacher_classifier: probe.classifier, teacher_logits: [logits]",
        ),
        (
            "both_by_pairs",
            ", teacher_features: [features, logits], teacher_classifier: [probe.classifier, own.classifier]",
        ),
    ];
    let stages: String = inputs
        .iter()
        .map(|(name, inputs)| tuned(name, inputs, alpha))
        .collect();
    let sandbox = Sandbox::with(&format!("{TEACHERS}{stages}"));
    let lines = sandbox.run_json(&[]);
    let content = |stage: &str| content(&lines, stage);
    // The mean of two equal teachers is either of them, and an identity changes no logit.
    assert_eq!(content("probed_twice"), content("probed"));
    assert_eq!(content("by_identity"), content("by_logits"));
    assert_eq!(content("both_by_pairs"), content("both"));
    assert_ne!(content("probed"), content("by_logits"));
    assert_ne!(content("both"), content("probed"));
    assert_ne!(content("both"), content("by_logits"));
}

#[test]
fn a_fine_tuned_network_teaches_by_the_logits_of_its_own_classifier_of_the_very_views() {
    let teacher = tuned("teacher", "", "");
    let said = "  said: {kind: encode, inputs: {images: images, views: views, weights: teacher}, params: {embedding: logits, store: f32}}\n";
    let student = tuned("student", ", teacher_logits: said", ", alpha: 1");
    let sandbox = Sandbox::with(&format!("{TEACHERS}{teacher}{said}{student}"));
    let lines = sandbox.run_json(&["student"]);
    assert_eq!(lines.last().unwrap()["outcome"], "executed");
}

fn refused(inputs: &str, params: &str) -> String {
    let sandbox = Sandbox::with(&format!("{TEACHERS}{}", tuned("student", inputs, params)));
    let finished = sandbox.run(&["run", "student", "--quiet"]);
    assert_ne!(finished.code, Some(0));
    finished.refusal()
}

#[test]
fn lists_that_do_not_pair_are_refused() {
    assert_snapshot!(refused(", teacher_features: [features, logits], teacher_classifier: probe.classifier", ", alpha: 0.5"), @r"
    error: pipeline.yaml: stage `student`: key `inputs.teacher_classifier`: expected 2 classifiers, one for each of `teacher_features`, got 1
    hint: a teacher is an `encode` stage with the `probe` stage on it, in the order of the lists; one with its own classifier is `teacher_logits`
    exit code 2
    ");
}

#[test]
fn soft_labels_without_a_teacher_are_refused() {
    assert_snapshot!(refused("", ", alpha: 0.5"), @r"
    error: pipeline.yaml: stage `student`: key `params.alpha`: expected 0 without a teacher, got 0.5
    hint: connect `teacher_features` (an `encode` stage) and `teacher_classifier` (a `probe` stage on it), or `teacher_logits`
    exit code 2
    ");
}

#[test]
fn features_are_not_taken_for_a_teachers_logits() {
    assert_snapshot!(refused(", teacher_logits: features", ", alpha: 0.5"), @r"
    error: pipeline.yaml: stage `student`: input `teacher_logits`: expected logits, got features from stage `features`
    hint: give it `embedding: logits`, or connect it as `teacher_features` beside a `teacher_classifier`
    exit code 1
    ");
}

#[test]
fn a_classifier_of_another_networks_features_is_refused() {
    assert_snapshot!(refused(", teacher_features: logits, teacher_classifier: probe.classifier", ", alpha: 0.5"), @r"
    error: pipeline.yaml: stage `student`: input `teacher_classifier`: expected a classifier of 10 features into 10 classes for `logits`, got `probe`'s of 32 into 10
    hint: train it by a `probe` stage on `logits` and the same images; the two lists go in pairs
    exit code 1
    ");
}

#[test]
fn a_teacher_must_have_seen_the_images_that_are_trained_on() {
    let blind = "  blind: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet8, width: 0.25, classes: 10}, embedding: logits, splits: [test]}}\n";
    let student = tuned("student", ", teacher_logits: blind", ", alpha: 0.5");
    let sandbox = Sandbox::with(&format!("{TEACHERS}{blind}{student}"));
    let refusal = sandbox.run(&["run", "student", "--quiet"]).exited_with(1);
    let said = refusal.refusal();
    assert!(said.contains("input `teacher_logits`: image "), "{said}");
    assert!(
        said.contains("hint: let stage `blind` encode the split that is trained on (`train`)"),
        "{said}"
    );
}
