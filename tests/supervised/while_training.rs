//! `training.evaluate`: the accuracy while a network is trained, against the stages that judge it
//! afterwards.

use super::figure;
use crate::sandbox::Sandbox;

/// Digits, and networks that learn from them with and without looks at their accuracy. `knn` sees
/// the features as they were, in f32.
const PIPELINE: &str = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 120, test: 60}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 16, views_per_image: 2}}
  teacher:
    kind: pretrain
    matrix: {looks: {param: training.evaluate, values: {none: null, often: {}, seldom: {every: 2, images: 30, bank: 50}}}}
    inputs: {images: images, views: views}
    params: {network: {name: cifar_resnet8, width: 0.25}, queue: 32, training: {epochs: 3, batch: 16, threads: 1}}
  targets: {kind: encode, inputs: {images: images, views: views, weights: 'teacher[looks=none]'}}
  student:
    kind: distill
    inputs: {images: images, views: views, targets: targets}
    params: {network: {name: cifar_resnet8, width: 0.25}, queue: 32, training: {epochs: 3, batch: 16, threads: 1, average: {decay: 0.5}, evaluate: {every: 5}}}
  tuned:
    kind: finetune
    inputs: {images: images, views: views, weights: student}
    params: {training: {epochs: 3, batch: 16, threads: 1, evaluate: {every: 2}}}
  teacher_features: {kind: encode, inputs: {images: images, weights: 'teacher[looks=often]'}, params: {embedding: features, store: f32}}
  student_features: {kind: encode, inputs: {images: images, weights: student}, params: {embedding: features, store: f32}}
  teacher_knn: {kind: knn, inputs: {images: images, features: teacher_features}}
  student_knn: {kind: knn, inputs: {images: images, features: student_features}}
";

/// Steps and values of a metric.
fn curve(sandbox: &Sandbox, stage: &str, name: &str) -> Vec<(u64, f64)> {
    let target = format!("{stage}.metrics");
    let shown = sandbox
        .run(&["show", &target, "-n", "10000", "--json"])
        .succeeded()
        .json();
    let rows = shown["outputs"]["metrics"]["first"].as_array().unwrap();
    rows.iter()
        .filter(|row| row["name"] == name && row["split"] == "test")
        .map(|row| {
            (
                row["step"].as_u64().unwrap(),
                row["value"].as_f64().unwrap(),
            )
        })
        .collect()
}

#[test]
fn the_last_look_agrees_with_the_stages_that_judge_and_no_weight_changes() {
    let sandbox = Sandbox::with(PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    let weights = |stage: &str| {
        let shown = sandbox.run(&["show", stage, "--json"]).succeeded().json();
        let content = shown["outputs"]["weights"]["content"].as_str();
        content.expect("a digest").to_owned()
    };
    for looked in ["teacher[looks=often]", "teacher[looks=seldom]"] {
        assert_eq!(weights(looked), weights("teacher[looks=none]"), "{looked}");
    }
    let of = |stage: &str, name: &str| curve(&sandbox, stage, name);
    let steps = |curve: &[(u64, f64)]| curve.iter().map(|(step, _)| *step).collect::<Vec<_>>();
    const KNN: &str = "running_knn_top1";
    assert!(of("teacher[looks=none]", KNN).is_empty());
    assert_eq!(steps(&of("teacher[looks=seldom]", KNN)), [14, 21]);
    let often = of("teacher[looks=often]", KNN);
    assert_eq!(steps(&often), [7, 14, 21]);
    assert_eq!(
        often[2].1,
        figure(&sandbox, "teacher_knn", "test", "knn_top1")
    );
    // Of the average, since that is what was kept.
    let student = of("student", KNN);
    assert_eq!(steps(&student), [21]);
    assert_eq!(
        student[0].1,
        figure(&sandbox, "student_knn", "test", "knn_top1")
    );
    let tuned = of("tuned", "running_top1");
    assert_eq!(steps(&tuned), [14, 21]);
    assert_eq!(tuned[1].1, figure(&sandbox, "tuned", "test", "top1"));
}

#[test]
fn images_without_labels_cannot_be_looked_at() {
    let unlabelled = PIPELINE.replace("label_column: label, ", "");
    let sandbox = Sandbox::with(&unlabelled);
    let finished = sandbox.run(&["run", "--quiet", "teacher[looks=often]"]);
    let stderr = finished.exited_with(1).stderr;
    assert!(
        stderr.contains(
            "stage `teacher[looks=often]`: key `training.evaluate`: accuracy needs labels"
        ) && stderr.contains("hint: give `ingest` a `label_column`"),
        "{stderr}"
    );
}

#[test]
fn a_curve_is_of_the_images_to_choose_by_where_there_are_some_unless_it_is_told_otherwise() {
    let sandbox = Sandbox::with(
        "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, hash_split: {val: 0.3}, take: {train: 80, val: 40, test: 30}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 16, views_per_image: 2}}
  teacher:
    kind: pretrain
    matrix: {looks: {param: training.evaluate, values: {usual: {}, judging: {split: test}}}}
    inputs: {images: images, views: views}
    params: {network: {name: cifar_resnet8, width: 0.25}, queue: 32, training: {epochs: 2, batch: 16, threads: 1}}
  features: {kind: encode, inputs: {images: images, weights: 'teacher[looks=usual]'}, params: {embedding: features, store: f32}}
  knn: {kind: knn, inputs: {images: images, features: features}, matrix: {test_split: [val, test]}}
  chosen: {kind: report, inputs: {metrics: ['teacher[looks=usual].metrics']}, params: {path: chosen.html}}
  judged: {kind: report, inputs: {metrics: ['teacher[looks=judging].metrics', knn]}, params: {path: judged.html}}
",
    );
    sandbox.run(&["run", "--quiet"]).succeeded();
    for (looks, split) in [("usual", "val"), ("judging", "test")] {
        let stage = format!("teacher[looks={looks}]");
        assert_eq!(
            figure(&sandbox, &stage, split, "running_knn_top1"),
            figure(
                &sandbox,
                &format!("knn[test_split={split}]"),
                split,
                "knn_top1"
            )
        );
    }
    let figures = sandbox.run(&["metrics", "teacher", "--csv"]).succeeded();
    assert_eq!(figures.stdout.matches("running_knn_top1").count(), 2);
    let table = sandbox.run(&["metrics"]).succeeded().stdout;
    for (page, warns) in [("chosen.html", false), ("judged.html", true)] {
        let page = fs_err::read_to_string(sandbox.path(page)).unwrap();
        assert!(page.contains("while training"), "{page}");
        assert_eq!(page.contains("are of the images that judge"), warns);
    }
    let heading = table.lines().next().unwrap();
    assert!(heading.contains("kNN top-1, val"), "{heading}");
    assert_eq!(heading.matches("kNN top-1").count(), 2, "{heading}");
}
