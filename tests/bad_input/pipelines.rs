//! Mistakes in pipeline.yaml and on the command line: refused before anything runs.

use insta::assert_snapshot;

use super::{refused, refused_at_once};
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
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml: stage `views`: key `params.view_per_image`: unknown key of kind `augment`
    hint: did you mean `views_per_image`?
    exit code 2
    ");
}

#[test]
fn an_unknown_key_of_the_pipeline() {
    let sandbox = Sandbox::with(&format!("sede: 3\n{LIGHT_PIPELINE}"));
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml: key `sede`: unknown key
    hint: did you mean `seed`?
    exit code 2
    ");
}

#[test]
fn an_unknown_kind() {
    let sandbox = whole_with("kind: distill", "kind: distil");
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml: stage `student`: key `kind`: expected the name of a kind, got `distil`, which is unknown
    hint: did you mean `distill`?
    exit code 2
    ");
}

#[test]
fn a_cycle() {
    let sandbox = whole_with(
        "inputs: {images: images, views: views, targets: targets}",
        "inputs: {images: images, views: views, targets: features}",
    );
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml: stage `student`: key `inputs`: expected stages without a cycle, got one: `student` needs `features` needs `student`
    hint: remove one of these inputs
    exit code 2
    ");
}

#[test]
fn a_missing_input() {
    let sandbox = whole_with(
        "inputs: {images: images, views: views, targets: targets}",
        "inputs: {images: images, views: views}",
    );
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml: stage `student`: key `inputs.targets`: missing input, expected `embeddings/v1`
    hint: add `targets: STAGE` under `inputs:`; `targets`, `features` would do
    exit code 2
    ");
}

#[test]
fn an_input_that_names_no_stage() {
    let sandbox = whole_with("targets: targets}", "targets: target}");
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml: stage `student`: key `inputs.targets`: expected the name of a stage, got `target`, which is unknown
    hint: did you mean `targets`?
    exit code 2
    ");
}

#[test]
fn an_input_of_the_wrong_artifact_kind() {
    let sandbox = whole_with("targets: targets}", "targets: images}");
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml: stage `student`: key `inputs.targets`: holds `images/v1`, expected `embeddings/v1`
    hint: `targets`, `features` would do
    exit code 2
    ");
}

#[test]
fn a_stage_that_is_there_twice() {
    let sandbox = Sandbox::with(&format!(
        "{LIGHT_PIPELINE}  views: {{kind: augment, inputs: {{images: images}}, params: {{recipe: eval}}}}\n"
    ));
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml:2: stage `views`: expected one stage of that name, got two
    hint: rename one of them
    exit code 2
    ");
}

#[test]
fn a_queue_smaller_than_a_batch() {
    let sandbox = whole_with(
        "training: {epochs: 2, batch: 16}",
        "training: {epochs: 2, batch: 128}",
    );
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml: stage `student`: key `params.queue`: expected a multiple of the batch of 128, got 64
    hint: e.g. 128
    exit code 2
    ");
}

#[test]
fn a_temperature_of_0() {
    let sandbox = whole_with("training: {epochs: 2, batch: 16}", "temperature_student: 0");
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml: stage `student`: key `params.temperature_student`: expected a number from 0.000001 to 1000000, got 0
    hint: SEED uses 0.2
    exit code 2
    ");
}

#[test]
fn no_views() {
    let sandbox = whole_with("views_per_image: 2", "views_per_image: 0");
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml: stage `views`: key `params.views_per_image`: expected 1 to 65535, got 0
    hint: one view for each epoch of training, or fewer, which training cycles through
    exit code 2
    ");
}

#[test]
fn a_value_of_another_type() {
    let sandbox = whole_with("views_per_image: 2", "views_per_image: two");
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r#"
    error: pipeline.yaml: stage `views`: key `params.views_per_image`: expected a whole number from 0, got the text "two"
    hint: `seedpipe schema` has what each key may be
    exit code 2
    "#);
}

#[test]
fn what_is_nearly_right_is_told_how_to_write_it() {
    let told = |value: &str| {
        let sandbox = whole_with("views_per_image: 2", &format!("views_per_image: {value}"));
        let said = refused_at_once(&sandbox, &["run"]);
        let said = said.split_once("`params.views_per_image`: ").unwrap().1;
        said.split("\nexit").next().unwrap().to_owned()
    };
    for (value, expected) in [
        (
            "2.0",
            "expected a whole number from 0, got 2.0\nhint: write 2",
        ),
        (
            "\"2\"",
            "expected a whole number from 0, got the text \"2\"\nhint: write 2, without quotes",
        ),
        (
            "02",
            "expected a whole number from 0, got the text \"02\"\nhint: write 2",
        ),
        (
            "yes",
            "expected a whole number from 0, got the text \"yes\"\nhint: `seedpipe schema` has what each key may be",
        ),
    ] {
        assert_eq!(told(value), expected, "{value}");
    }
    let sandbox = Sandbox::with("stages:\n\timages: {kind: ingest}\n");
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml:2: expected spaces before the text, got a tab
    hint: indent with spaces: YAML takes no tabs there
    exit code 2
    ");
}

#[test]
fn a_network_that_does_not_exist() {
    let sandbox = whole_with(
        "{name: cifar_resnet8, width: 0.25}",
        "{name: cifar_resnet9}",
    );
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml: stage `student`: key `params.network.name`: expected one of cifar_resnet8, cifar_resnet14, cifar_resnet20, cifar_resnet32, cifar_resnet44, cifar_resnet56, cifar_resnet110, resnet18, resnet34, resnet50, resnet101, resnet152, wide_resnet50_2, swav_resnet50w2, swav_resnet50w4, swav_resnet50w5, mobilenet_v2, mobilenet_v3_small, mobilenet_v3_large, efficientnet_b0, efficientnet_b1, efficientnet_b2, efficientnet_b3, efficientnet_lite0, efficientnet_lite1, efficientnet_lite2, vit_t_16, vit_s_16, vit_b_16, vit_b_32, dino_vitt16, dino_vits16, dino_vits8, dino_vitb16, dino_vitb8, dinov2_vitt14, dinov2_vits14, dinov2_vitb14, dinov2_vitt14_reg, dinov2_vits14_reg, dinov2_vitb14_reg, got `cifar_resnet9`
    hint: did you mean `cifar_resnet8`?
    exit code 2
    ");
}

#[test]
fn a_source_that_does_not_exist() {
    let sandbox = Sandbox::with("stages:\n  images: {kind: ingest, params: {source: photos}}\n");
    assert_snapshot!(refused(&sandbox, &["run"], 2), @r"
    error: pipeline.yaml: stage `images`: key `params.source`: source `photos`: expected a file or folder, got nothing there
    hint: correct the path; a relative one starts at the pipeline's folder
    exit code 2
    ");
}

#[test]
fn set_on_an_unknown_stage() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(refused_at_once(&sandbox, &["run", "--set", "view.size=32"]), @r"
    error: --set view.size=32: expected the name of a stage, got `view`, which is unknown
    hint: did you mean `views`?
    exit code 2
    ");
}

#[test]
fn set_on_an_unknown_key() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(refused_at_once(&sandbox, &["run", "--set", "views.sise=32"]), @r"
    error: --set views.sise=32: stage `views`: key `params.sise`: unknown key of kind `augment`
    hint: did you mean `size`?
    exit code 2
    ");
}

#[test]
fn an_unknown_stage_on_the_command_line() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(refused_at_once(&sandbox, &["run", "image"]), @r"
    error: pipeline.yaml: expected the name of a stage, got `image`, which is unknown
    hint: did you mean `images`?
    exit code 2
    ");
}

#[test]
fn only_without_cached_inputs() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(refused_at_once(&sandbox, &["run", "views", "--only"]), @r"
    error: pipeline.yaml: stage `views`: key `inputs.images`: expected `images` in the cache, got nothing there
    hint: run `images` first, or leave `--only` out
    exit code 2
    ");
}

#[test]
fn only_without_a_stage() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(refused_at_once(&sandbox, &["run", "--only"]), @r"
    error: the following required arguments were not provided:
      <STAGE>...

    Usage: seedpipe run --only <STAGE>...

    For more information, try '--help'.
    exit code 2
    ");
}

#[test]
fn two_stages_that_write_one_file() {
    let sandbox = Sandbox::with(&format!(
        "{WHOLE_PIPELINE}  summary: {{kind: report, inputs: {{metrics: [probe.metrics]}}}}\n"
    ));
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml: stage `summary`: key `params.path`: expected a file of its own, got `report.html`, which stage `report` writes
    hint: set `path` of `summary` to another name
    exit code 2
    ");
}

#[test]
fn a_device_that_does_not_exist() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    assert_snapshot!(refused_at_once(&sandbox, &["run", "--device", "gpu"]), @r"
    error: invalid value 'gpu' for '--device <DEVICE>': expected `auto`, `cpu`, `cuda` or `cuda:N`

    For more information, try '--help'.
    exit code 2
    ");
}

#[test]
fn no_pipeline() {
    let sandbox = Sandbox::empty();
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: no `pipeline.yaml` in `[folder]` or any folder above it
    hint: go to the folder that holds one, or name it with `--pipeline PATH`
    exit code 2
    ");
}

#[test]
fn a_pipeline_that_is_no_yaml() {
    let sandbox = Sandbox::with("stages:\n  images: {kind: ingest\n");
    assert_snapshot!(refused_at_once(&sandbox, &["run"]), @r"
    error: pipeline.yaml:3: expected YAML, got something else: did not find expected ',' or '}' at line 3 column 1, while parsing a flow mapping at line 2 column 11
    hint: check the indentation and the quotes around that line
    exit code 2
    ");
}

#[test]
fn vector_instructions_that_are_not_known() {
    let sandbox = Sandbox::with(LIGHT_PIPELINE);
    let mut command = sandbox.command(&["run"]);
    command.env("SEEDPIPE_SIMD", "neon");
    let refused = sandbox.finish(&mut command).exited_with(2);
    assert!(
        refused
            .stderr
            .starts_with("error: SEEDPIPE_SIMD: expected ")
            && refused.stderr.contains(", got `neon`\nhint: unset it"),
        "{}",
        refused.stderr
    );
    assert!(!sandbox.path(".seedpipe").exists());
    command.env(
        "SEEDPIPE_SIMD",
        if cfg!(target_arch = "x86_64") {
            "sse2"
        } else {
            "portable"
        },
    );
    sandbox.finish(&mut command).succeeded();
}
