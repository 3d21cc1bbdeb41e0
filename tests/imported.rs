//! `import`: a published file takes the place of a stage's weights, bit for bit, and a student may
//! begin from it.

use seedpipe_artifact::WeightsReader;
use serde_json::Value;

use crate::sandbox::{Sandbox, WHOLE_PIPELINE};

const IMPORTED: &str = "  published:
    kind: import
    params: {checkpoint: published.safetensors, network: {name: cifar_resnet8, width: 0.25}, preprocessing: {size: 16, crop_ratio: 1.0}}
  embedded: {kind: encode, inputs: {images: images, weights: published}, params: {batch: 32}}
  tuned: {kind: finetune, inputs: {images: images, views: views, weights: student}, params: {training: {epochs: 1, batch: 16}}}
  tuned_as_well: {kind: finetune, inputs: {images: images, views: views, weights: published}, params: {training: {epochs: 1, batch: 16}}}
  taught:
    kind: distill
    inputs: {images: images, views: views, targets: targets, weights: published}
    params:
      network: {name: cifar_resnet8, width: 0.25}
      queue: 64
      training: {epochs: 1, batch: 16, learning_rate: 1.0e-30}
";

/// The trained tensors of a stage's weights, by name.
fn tensors(sandbox: &Sandbox, line: &Value) -> Vec<(String, Vec<u8>)> {
    let text = |key: &str| line[key].as_str().unwrap();
    let part = sandbox.path(&format!(
        ".seedpipe/v1/artifacts/{}/{}/weights/part-00000.parquet",
        text("fingerprint"),
        &text("content")[..16]
    ));
    let rows = WeightsReader::open(&[part]).unwrap();
    let rows = rows.read_all().unwrap().into_iter();
    rows.filter(|row| !row.name.contains("running_") && !row.name.contains("num_batches"))
        .map(|row| (row.name, row.data))
        .collect()
}

fn export(sandbox: &Sandbox, stage: &str, file: &str) {
    let arguments = ["export", stage, "--format", "safetensors", "-o", file];
    sandbox.run(&arguments).succeeded();
}

#[test]
fn a_published_network_takes_the_place_of_a_stages_weights() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    sandbox.run(&["run", "student", "--quiet"]).succeeded();
    export(&sandbox, "student", "published.safetensors");
    sandbox.write("pipeline.yaml", WHOLE_PIPELINE.to_owned() + IMPORTED);
    let lines = sandbox.run_json(&[]);
    let of = |stage: &str| lines.iter().find(|line| line["stage"] == stage).unwrap();
    let all = |stage: &str| tensors(&sandbox, of(stage));
    assert!(all("student").len() > 10);
    assert_eq!(all("published"), all("student"));
    assert_eq!(of("embedded")["content"], of("features")["content"]);
    assert_eq!(of("tuned_as_well")["content"], of("tuned")["content"]);
    assert_eq!(all("taught"), all("student"), "it began from other weights");

    export(&sandbox, "published", "again.safetensors");
    let read = |name: &str| fs_err::read(sandbox.path(name)).unwrap();
    assert!(read("again.safetensors") == read("published.safetensors"));
}

#[test]
fn a_student_of_another_architecture_than_its_weights_is_refused() {
    let other = IMPORTED.replace(
        "      network: {name: cifar_resnet8, width: 0.25}",
        "      network: {name: cifar_resnet8, width: 0.5}",
    );
    let sandbox = Sandbox::with(&(WHOLE_PIPELINE.to_owned() + &other));
    sandbox.run(&["run", "student", "--quiet"]).succeeded();
    export(&sandbox, "student", "published.safetensors");
    let refused = sandbox.run(&["run", "taught", "--quiet"]).exited_with(1);
    for part in ["stage `taught`", "input `weights`", "hint: "] {
        assert!(refused.stderr.contains(part), "{}", refused.stderr);
    }
}

#[test]
fn init_joins_a_published_teacher_and_a_student_that_begins_from_a_file() {
    let sandbox = Sandbox::with(WHOLE_PIPELINE);
    sandbox.run(&["run", "student", "--quiet"]).succeeded();
    export(&sandbox, "student", "published.safetensors");
    export(&sandbox, "student", "teacher.safetensors");
    let arguments = [
        "--pipeline",
        "own.yaml",
        "init",
        "--from",
        "digits.parquet",
        "--teacher",
        "teacher.safetensors",
        "--student",
        "published.safetensors",
    ];
    let told = sandbox.run(&arguments).succeeded().stdout;
    let network = "{name: cifar_resnet8, width: 0.25}";
    for part in [
        format!("teacher: `teacher.safetensors` as {network}; "),
        format!("student: {network} from `published.safetensors`, "),
    ] {
        assert!(told.contains(&part), "{part}: {told}");
    }
    let text = fs_err::read_to_string(sandbox.path("own.yaml")).unwrap();
    // The file says how it wants its images, otherwise than its architecture does.
    let preprocessing = "      preprocessing: {crop_ratio: 1, filter: bilinear, ";
    assert_eq!(text.matches(preprocessing).count(), 2, "{text}");
    let changed = [
        "--pipeline",
        "own.yaml",
        "--set",
        "images.take={train: 60, test: 20}",
        "--set",
        "views.views_per_image=1",
        "--set",
        "student.queue=64",
        "--set",
        "student.training.epochs=1",
        "--set",
        "student.training.learning_rate=1.0e-30",
    ];
    let lines = sandbox.run_json(&changed);
    let of = |stage: &str| lines.iter().find(|line| line["stage"] == stage).unwrap();
    let begun = tensors(&sandbox, of("published"));
    assert!(begun.len() > 10);
    assert_eq!(tensors(&sandbox, of("student")), begun);
    assert_eq!(tensors(&sandbox, of("teacher")), begun);
    assert!(lines.iter().any(|line| line["stage"] == "published_probe"));
    let figures = sandbox
        .run(&[&["metrics"][..], &changed].concat())
        .succeeded();
    let figures = figures.stdout + &figures.stderr;
    assert!(
        figures.contains("the published network that it began as"),
        "{figures}"
    );
}
