//! `probe` by SGD over stored views, as papers have it: what it sees in which epoch, and what it
//! refuses.

use insta::assert_snapshot;

use crate::sandbox::Sandbox;

/// Digits, three views and one view of each training digit, and features of an untrained network.
const PIPELINE: &str = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 60, test: 20}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: moco_lincls, size: 16, views_per_image: 3}}
  first: {kind: augment, inputs: {images: images}, params: {recipe: moco_lincls, size: 16}}
  of_test: {kind: augment, inputs: {images: images}, params: {recipe: moco_lincls, size: 16, split: test}}
  features: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet8, width: 0.5, head: {out: 32}}, embedding: features, splits: [test]}}
  seen: {kind: encode, inputs: {images: images, views: views}, params: {network: {name: cifar_resnet8, width: 0.5, head: {out: 32}}, embedding: features}}
  seen_first: {kind: encode, inputs: {images: images, views: first}, params: {network: {name: cifar_resnet8, width: 0.5, head: {out: 32}}, embedding: features}}
  seen_of_test: {kind: encode, inputs: {images: images, views: of_test}, params: {network: {name: cifar_resnet8, width: 0.5, head: {out: 32}}, embedding: features}}
  other: {kind: encode, inputs: {images: images, views: views}, params: {network: {name: cifar_resnet20, width: 0.5}, embedding: features}}
  head: {kind: encode, inputs: {images: images, views: views}, params: {network: {name: cifar_resnet8, width: 0.5, head: {out: 32}}, embedding: head}}
";

/// A probe of some epochs.
fn probe(name: &str, inputs: &str, epochs: u32) -> String {
    format!(
        "  {name}: {{kind: probe, inputs: {{images: images, features: features{inputs}}}, params: {{method: sgd, sgd: {{learning_rate: 0.5, batch: 16, epochs: {epochs}}}}}}}\n"
    )
}

const SEEN: &str = ", views: views, view_features: seen";
const SEEN_FIRST: &str = ", views: first, view_features: seen_first";

#[test]
fn each_epoch_sees_another_stored_view_and_plain_images_judge() {
    let stages = [
        probe("three_1", SEEN, 1),
        probe("first_1", SEEN_FIRST, 1),
        probe("three_2", SEEN, 2),
        probe("first_2", SEEN_FIRST, 2),
    ];
    let sandbox = Sandbox::with(&format!("{PIPELINE}{}", stages.concat()));
    sandbox.run(&["run", "--quiet"]).succeeded();
    let content = |stage: &str, output: &str| {
        let shown = sandbox.run(&["show", stage, "--json"]).succeeded().json();
        let content = shown["outputs"][output]["content"].as_str();
        content.expect("a digest").to_owned()
    };
    // View 0 is the same, however many there are.
    for output in ["classifier", "predictions", "metrics"] {
        assert_eq!(content("three_1", output), content("first_1", output));
    }
    assert_ne!(
        content("three_2", "classifier"),
        content("first_2", "classifier")
    );
    // The test digits were encoded as they are, and no training digit was.
    let shown = sandbox.run(&["show", "features", "--json"]).succeeded();
    assert_eq!(shown.json()["outputs"]["embeddings"]["rows"], 20);
    let shown = sandbox.run(&["show", "three_2", "--json"]).succeeded();
    assert_eq!(shown.json()["outputs"]["predictions"]["rows"], 20);
}

#[test]
fn a_probe_over_views_refuses_what_does_not_belong_to_it() {
    let refusal = |stage: &str| {
        let sandbox = Sandbox::with(&format!("{PIPELINE}{stage}"));
        sandbox.run(&["run", "wrong", "--quiet"]).refusal()
    };
    let cases = [
        probe("wrong", SEEN, 1).replace("method: sgd", "method: lbfgs"),
        probe("wrong", ", views: views", 1),
        probe("wrong", ", view_features: seen", 1),
        probe("wrong", ", views: views, view_features: seen_first", 1),
        probe("wrong", ", views: views, view_features: features", 1),
        probe("wrong", ", views: views, view_features: other", 1),
        probe("wrong", ", views: views, view_features: head", 1),
        probe("wrong", ", views: of_test, view_features: seen_of_test", 1),
        probe("wrong", SEEN, 1).replace("epochs: 1", "momentum: 1"),
        probe("wrong", SEEN, 1).replace("epochs: 1", "decay_epochs: [80, 60]"),
        probe("wrong", SEEN, 1).replace("epochs: 1", "decay_factor: 0"),
    ];
    let refusals: Vec<String> = cases.iter().map(|stage| refusal(stage)).collect();
    assert_snapshot!(refusals.join("\n"), @r"
    error: pipeline.yaml: stage `wrong`: key `params.method`: expected `sgd` with the input `view_features`, since another view is seen in each epoch, got `lbfgs`
    hint: add `method: sgd`, or leave out `views` and `view_features`
    exit code 2
    error: pipeline.yaml: stage `wrong`: key `inputs.view_features`: expected the input `view_features` beside `views`, got none
    hint: `views` is a stage of kind `augment`, `view_features` the `encode` stage on it
    exit code 2
    error: pipeline.yaml: stage `wrong`: key `inputs.views`: expected the input `views` beside `view_features`, got none
    hint: `views` is a stage of kind `augment`, `view_features` the `encode` stage on it
    exit code 2
    error: pipeline.yaml: stage `wrong`: input `view_features`: expected embeddings of the views of stage `views`, got `seen_first`'s, which were made of other views
    hint: connect the `views` that were encoded
    exit code 1
    error: pipeline.yaml: stage `wrong`: input `view_features`: expected embeddings of the views of stage `views`, got `features`'s, which were made of plain images
    hint: connect the `views` that were encoded
    exit code 1
    error: pipeline.yaml: stage `wrong`: input `view_features`: expected features of the network that stage `features` has, got another network's from stage `other`
    hint: give both stages the same `network`
    exit code 1
    error: pipeline.yaml: stage `wrong`: input `view_features`: expected the network's output that stage `features` has, got another output from stage `head`
    hint: give both stages the same `embedding`
    exit code 1
    error: pipeline.yaml: stage `wrong`: input `views`: image 54 of split `train` has no view
    hint: let `augment` draw views of the split that is learned from: `split: train`
    exit code 1
    error: pipeline.yaml: stage `wrong`: key `params.sgd.momentum`: expected at least 0 and below 1, got 1
    hint: SEED uses 0.9
    exit code 2
    error: pipeline.yaml: stage `wrong`: key `params.sgd.decay_epochs`: falls at epochs [80, 60], expected ascending ones
    hint: 60 and 80 of 100, and 0.1, are usual
    exit code 2
    error: pipeline.yaml: stage `wrong`: key `params.sgd.decay_factor`: factor 0, expected above 0 and at most 1
    hint: 60 and 80 of 100, and 0.1, are usual
    exit code 2
    ");
}
