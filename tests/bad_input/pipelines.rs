//! Mistakes in pipeline.yaml and on the command line: refused before anything runs.

use insta::assert_snapshot;

use super::refused;
use crate::sandbox::{LIGHT_PIPELINE, Sandbox, WHOLE_PIPELINE};

/// The whole pipeline with one piece of text replaced.
fn whole_with(old: &str, new: &str) -> Sandbox {
    assert_eq!(
        WHOLE_PIPELINE.matches(old).count(),
        1,
        "`{old}` must be there once"
    );
    Sandbox::with(&WHOLE_PIPELINE.replace(old, new))
}

#[test]
fn an_unknown_key_of_a_stage() {
    let sandbox = Sandbox::with(&LIGHT_PIPELINE.replace("views_per_image", "view_per_image"));
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn an_unknown_key_of_the_pipeline() {
    let sandbox = Sandbox::with(&format!("sede: 3\n{LIGHT_PIPELINE}"));
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn an_unknown_kind() {
    let sandbox = whole_with("kind: distill", "kind: distil");
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn a_cycle() {
    let sandbox = whole_with(
        "inputs: {images: images, views: views, targets: targets}",
        "inputs: {images: images, views: views, targets: features}",
    );
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn a_missing_input() {
    let sandbox = whole_with(
        "inputs: {images: images, views: views, targets: targets}",
        "inputs: {images: images, views: views}",
    );
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn an_input_that_names_no_stage() {
    let sandbox = whole_with("targets: targets}", "targets: target}");
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn an_input_of_the_wrong_artifact_kind() {
    let sandbox = whole_with("targets: targets}", "targets: images}");
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn a_stage_that_is_there_twice() {
    let sandbox = Sandbox::with(&format!(
        "{LIGHT_PIPELINE}  views: {{kind: augment, inputs: {{images: images}}, params: {{recipe: eval}}}}\n"
    ));
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn a_queue_smaller_than_a_batch() {
    let sandbox = whole_with(
        "training: {epochs: 2, batch: 16}",
        "training: {epochs: 2, batch: 128}",
    );
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn a_temperature_of_0() {
    let sandbox = whole_with("training: {epochs: 2, batch: 16}", "temperature_student: 0");
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn no_views() {
    let sandbox = whole_with("views_per_image: 2", "views_per_image: 0");
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn a_value_of_another_type() {
    let sandbox = whole_with("views_per_image: 2", "views_per_image: two");
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn a_network_that_does_not_exist() {
    let sandbox = whole_with(
        "{name: cifar_resnet8, width: 0.25}",
        "{name: cifar_resnet9}",
    );
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn a_source_that_does_not_exist() {
    let sandbox = Sandbox::with("stages:\n  images: {kind: ingest, params: {source: photos}}\n");
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn set_on_an_unknown_stage() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(refused(&sandbox, &["run", "--set", "view.size=32"], 2), @"");
}

#[test]
fn set_on_an_unknown_key() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(refused(&sandbox, &["run", "--set", "views.sise=32"], 2), @"");
}

#[test]
fn an_unknown_stage_on_the_command_line() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(refused(&sandbox, &["run", "image"], 2), @"");
}

#[test]
fn only_without_cached_inputs() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(refused(&sandbox, &["run", "views", "--only"], 2), @"");
}

#[test]
fn only_without_a_stage() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(refused(&sandbox, &["run", "--only"], 2), @"");
}

#[test]
fn two_stages_that_write_one_file() {
    let sandbox = Sandbox::with(&format!(
        "{WHOLE_PIPELINE}  summary: {{kind: report, inputs: {{metrics: [probe.metrics]}}}}\n"
    ));
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn a_device_that_does_not_exist() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(refused(&sandbox, &["run", "--device", "gpu"], 2), @"");
}

#[test]
fn no_pipeline() {
    let sandbox = Sandbox::empty();
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}

#[test]
fn a_pipeline_that_is_no_yaml() {
    let sandbox = Sandbox::with("stages:\n  images: {kind: ingest\n");
    assert_snapshot!(refused(&sandbox, &["run"], 2), @"");
}
