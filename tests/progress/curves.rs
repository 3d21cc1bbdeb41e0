//! Event files for TensorBoard, read back by TensorBoard itself.

use std::collections::BTreeMap;

use super::read_back::{Curves, curves};
use crate::sandbox::{Sandbox, contents};

/// Two trainings with a checkpoint every 2 of their 10 steps, and a fine-tuning that is judged.
const PIPELINE: &str = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 40, test: 20}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 12, views_per_image: 2}}
  teacher:
    kind: pretrain
    inputs: {images: images, views: views}
    params: {network: {name: cifar_resnet8, width: 0.25}, queue: 32, training: {epochs: 2, batch: 8, checkpoint_steps: 2}}
  targets: {kind: encode, inputs: {images: images, views: views, weights: teacher}, params: {batch: 16}}
  student:
    kind: distill
    matrix: {temperature: {param: temperature_student, values: {fixed: 0.2, moving: {from: 0.1, to: 0.3, epochs: 2}}}}
    inputs: {images: images, views: views, targets: targets}
    params: {network: {name: cifar_resnet8, width: 0.25}, queue: 32, training: {epochs: 2, batch: 8, checkpoint_steps: 2}}
  tuned:
    kind: finetune
    inputs: {images: images, views: views, weights: teacher}
    params: {training: {epochs: 2, batch: 8, checkpoint_steps: 2, evaluate: {}}}
";

fn folders(sandbox: &Sandbox) -> Vec<String> {
    let root = sandbox.path(".seedpipe/tensorboard");
    let mut found = Vec::new();
    for stage in fs_err::read_dir(&root).unwrap() {
        for recipe in fs_err::read_dir(stage.unwrap().path()).unwrap() {
            let path = recipe.unwrap().path();
            found.push(path.strip_prefix(&root).unwrap().display().to_string());
        }
    }
    found.sort();
    found
}

/// `metrics/v1` of a stage: tag → (step, value).
fn metrics(sandbox: &Sandbox, stage: &str) -> Curves {
    let target = format!("{stage}.metrics");
    let rows = sandbox
        .run(&["show", &target, "-n", "10000", "--json"])
        .succeeded()
        .json();
    let mut curves: Curves = BTreeMap::new();
    for row in rows["outputs"]["metrics"]["first"].as_array().unwrap() {
        let text = |key: &str| row[key].as_str().unwrap().to_owned();
        let point = (
            row["step"].as_u64().unwrap(),
            row["value"].as_f64().unwrap(),
        );
        let tag = format!("{}/{}", text("split"), text("name"));
        curves.entry(tag).or_default().push(point);
    }
    curves
}

/// What TensorBoard read is what the stage's metrics say, in f32.
fn compare(read: &Curves, metrics: &Curves, stage: &str) {
    let mut compared = 0;
    for (tag, points) in read {
        if tag.starts_with("step/") {
            continue;
        }
        let expected = metrics
            .get(tag)
            .unwrap_or_else(|| panic!("{stage}: no metric {tag}"));
        assert_eq!(points.len(), expected.len(), "{stage} {tag}: {points:?}");
        for ((step, value), (expected_step, expected)) in points.iter().zip(expected) {
            assert_eq!(step, expected_step, "{stage} {tag}");
            assert_eq!(*value as f32, *expected as f32, "{stage} {tag}");
            compared += 1;
        }
    }
    assert!(compared >= 4, "{stage}: {read:?}");
}

#[test]
fn tensorboard_reads_the_numbers_of_the_metrics() {
    let sandbox = Sandbox::with(PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    let names = folders(&sandbox);
    assert_eq!(names.len(), 4, "{names:?}");
    let Some(read) = curves(&sandbox.path(".seedpipe/tensorboard")) else {
        return;
    };
    assert_eq!(
        read.keys().collect::<Vec<_>>(),
        names.iter().collect::<Vec<_>>()
    );
    for (run, curves) in &read {
        let stage = run.rsplit_once('/').unwrap().0;
        compare(curves, &metrics(&sandbox, stage), stage);
        assert!(curves["train/loss"].len() == 2 && curves["train/learning_rate"].len() == 2);
        assert!(!curves["step/loss"].is_empty(), "{curves:?}");
        assert_eq!(
            stage == "student[temperature=moving]",
            curves.contains_key("train/temperature_student")
        );
        assert_eq!(
            stage == "tuned",
            curves.contains_key("test/top1"),
            "{curves:?}"
        );
        let looks = curves.get("test/running_top1").map(Vec::len);
        assert_eq!(looks, (stage == "tuned").then_some(2), "{curves:?}");
    }
}

#[test]
fn a_training_that_is_killed_and_goes_on_has_every_step_once() {
    let sandbox = Sandbox::with(PIPELINE);
    for step in [7, 2] {
        let mut command = sandbox.command(&["run", "--quiet", "teacher"]);
        command.env("SEEDPIPE_FAULT", format!("training.step:{step}=kill"));
        assert_eq!(sandbox.finish(&mut command).code, None);
    }
    sandbox.run(&["run", "--quiet", "teacher"]).succeeded();
    let folder = sandbox.path(".seedpipe/tensorboard");
    let files = fs_err::read_dir(folder.join(&folders(&sandbox)[0]))
        .unwrap()
        .count();
    assert!(files >= 2, "{files} files");
    let Some(read) = curves(&folder) else { return };
    let teacher = read.values().next().unwrap();
    compare(teacher, &metrics(&sandbox, "teacher"), "teacher");
    for (tag, points) in teacher {
        let steps: Vec<u64> = points.iter().map(|(step, _)| *step).collect();
        assert!(
            steps.is_sorted_by(|left, right| left < right),
            "{tag}: {steps:?}"
        );
    }
}

#[test]
fn curves_are_outside_every_digest_and_where_they_cannot_be_written_the_training_goes_on() {
    let sandbox = Sandbox::with(PIPELINE);
    let expected = contents(&sandbox.run_json(&["teacher"]));
    let other = Sandbox::with(PIPELINE);
    other.write(".seedpipe/tensorboard", "a file where the folder belongs");
    let run = other.run(&["run", "teacher"]).succeeded();
    let warnings = run
        .stderr
        .matches("its curves are no longer written for TensorBoard")
        .count();
    assert_eq!(warnings, 1, "{}", run.stderr);
    assert_eq!(contents(&other.run_json(&["teacher"])), expected);
}

#[test]
fn curves_go_with_the_artifact_that_they_are_of() {
    let sandbox = Sandbox::with(PIPELINE);
    let shorter = "teacher.training.epochs=1";
    let run = ["run", "--quiet", "teacher", "--set", shorter];
    sandbox.run(&run).succeeded();
    let old = folders(&sandbox);
    sandbox.run(&["run", "--quiet", "teacher"]).succeeded();
    let both = folders(&sandbox);
    assert_eq!((old.len(), both.len()), (1, 2));
    // Young ones stay.
    sandbox.run(&["gc"]).succeeded();
    assert_eq!(folders(&sandbox), both);
    let told = sandbox.run(&["gc", "--grace", "0", "--dry-run", "--json"]);
    let told = told.succeeded().json();
    let items = told["items"].as_array().unwrap().iter();
    let curves: Vec<_> = items.filter(|item| item["what"] == "curves").collect();
    assert_eq!(curves.len(), 1, "{told}");
    assert_eq!(curves[0]["name"], old[0]);
    assert_eq!(folders(&sandbox), both);
    sandbox.run(&["gc", "--grace", "0"]).succeeded();
    let left = folders(&sandbox);
    assert!(left.len() == 1 && left != old, "{left:?}");
}

#[test]
fn tensorboard_reads_the_golden_file_that_the_writer_is_held_against() {
    let sandbox = Sandbox::empty();
    let golden = format!(
        "{}/tests/fixtures/events.tfevents",
        crate::sandbox::REPOSITORY
    );
    sandbox.write(
        "logs/golden/events.out.tfevents.1",
        fs_err::read(golden).unwrap(),
    );
    let Some(read) = curves(&sandbox.path("logs")) else {
        return;
    };
    let rates = &read["golden"]["train/learning_rate"];
    assert_eq!(
        rates.iter().map(|(step, _)| *step).collect::<Vec<_>>(),
        [129, 300_000_000_000]
    );
}
