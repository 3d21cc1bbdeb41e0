//! `pretrain` on views or labels that its objective can't use, and params of another objective.

use insta::assert_snapshot;

use super::refused_at_once;
use crate::sandbox::Sandbox;

/// Views of 32 training digits, small ones of as many, and a network that learns by an objective.
fn pretraining(small: &str, inputs: &str, params: &str) -> Sandbox {
    Sandbox::with(&format!(
        "\
stages:
  images: {{kind: ingest, params: {{source: digits.parquet, split_column: split, take: {{train: 32, test: 16}}}}}}
  views: {{kind: augment, inputs: {{images: images}}, params: {{recipe: custom, size: 12, views_per_image: 1}}}}
  pairs: {{kind: augment, inputs: {{images: images}}, params: {{recipe: custom, size: 12, views_per_image: 2}}}}
  small: {{kind: augment, inputs: {{images: images}}, params: {{recipe: swav_small, size: 8, views_per_image: 4{small}}}}}
  network:
    kind: pretrain
    inputs: {{images: images, {inputs}}}
    params: {{network: {{name: cifar_resnet8, width: 0.25}}, training: {{epochs: 1, batch: 16}}, {params}}}
"
    ))
}

fn refusal(sandbox: &Sandbox) -> String {
    let finished = sandbox.run(&["run", "--quiet"]).exited_with(1);
    finished.refusal()
}

#[test]
fn a_pair_of_views_where_there_is_one() {
    let sandbox = pretraining("", "views: views", "objective: simclr");
    assert_snapshot!(refusal(&sandbox), @r"
    error: pipeline.yaml: stage `network`: input `views`: expected at least 2 views of each image, since two are compared, got 1
    hint: set `views_per_image` of stage `views` to 2 or more
    exit code 1
    ");
}

#[test]
fn more_small_crops_than_small_views() {
    let sandbox = pretraining("", "views: pairs, small_views: small", "objective: swav");
    assert_snapshot!(refusal(&sandbox), @r"
    error: pipeline.yaml: stage `network`: input `small_views`: expected at least 6 views of each image, since `small_crops` asks for as many in a step, got 4
    hint: set `views_per_image` of stage `small` to 6 or more
    exit code 1
    ");
}

#[test]
fn small_views_of_other_images() {
    let sandbox = pretraining(
        ", split: all",
        "views: pairs, small_views: small",
        "objective: swav, small_crops: 4",
    );
    assert_snapshot!(refusal(&sandbox), @r"
    error: pipeline.yaml: stage `network`: input `small_views`: expected views of the 32 images that stage `pairs` views, got stage `small`'s of 48 images, not all the same
    hint: give both `augment` stages the same `split`
    exit code 1
    ");
}

#[test]
fn supervision_without_labels() {
    let sandbox = pretraining("", "views: views", "objective: supervised");
    assert_snapshot!(refusal(&sandbox), @r"
    error: pipeline.yaml: stage `network`: the images have 0 labelled classes, expected at least 2
    hint: give `ingest` a `label_column`, or a folder for each class
    exit code 1
    ");
}

#[test]
fn a_param_of_another_objective() {
    let sandbox = pretraining("", "views: pairs", "objective: simclr, prototypes: 30");
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml: stage `network`: key `params.prototypes`: expected nothing, since objective `simclr` has no such param, got 30
    hint: leave the key out; `swav` has it
    exit code 2
    ");
}

#[test]
fn small_views_for_an_objective_without_them() {
    let sandbox = pretraining("", "views: pairs, small_views: small", "queue: 32");
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml: stage `network`: key `params.small_crops`: expected nothing, since objective `moco` has no such param, got the input `small_views`
    hint: leave the key out; `swav` has it
    exit code 2
    ");
}
