//! The page of the kind `report` and that of `seedpipe report`: what they hold, what they refuse,
//! and what a browser makes of them.

mod browser;
mod page;

use std::sync::LazyLock;

use crate::sandbox::Sandbox;

/// A teacher, a student and an untrained network on 300 digits, measured in every way.
const PIPELINE: &str = "\
stages:
  images: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 200, test: 100}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: mocov2, size: 16, views_per_image: 3}}
  teacher:
    kind: pretrain
    inputs: {images: images, views: views}
    params:
      network: {name: cifar_resnet8, width: 0.5}
      queue: 80
      training: {epochs: 2, batch: 20}
  targets: {kind: encode, inputs: {images: images, views: views, weights: teacher}, params: {batch: 32}}
  student:
    kind: distill
    inputs: {images: images, views: views, targets: targets}
    params:
      network: {name: cifar_resnet8, width: 0.25}
      queue: 80
      training: {epochs: 3, batch: 20}
  teacher_features: {kind: encode, inputs: {images: images, weights: teacher}, params: {embedding: features, batch: 32}}
  student_features: {kind: encode, inputs: {images: images, weights: student}, params: {embedding: features, batch: 32}}
  untrained: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet8, width: 0.25}, preprocessing: {size: 16, crop_ratio: 1.0}}}
  teacher_probe: {kind: probe, inputs: {images: images, features: teacher_features}}
  student_probe: {kind: probe, inputs: {images: images, features: student_features}}
  untrained_probe: {kind: probe, inputs: {images: images, features: untrained}}
  student_knn: {kind: knn, inputs: {images: images, features: student_features}, params: {k: [5]}}
  tuned: {kind: finetune, inputs: {images: images, views: views, weights: student}, params: {label_fraction: 0.5, training: {epochs: 3, batch: 20}}}
  report:
    kind: report
    inputs:
      metrics: [teacher.metrics, student.metrics, teacher_probe, student_probe, untrained_probe, student_knn, tuned]
      images: images
      views: views
      predictions: [student_probe, tuned]
      features: [teacher_features, student_features]
    params: {title: Small digits, path: report.html}
";

/// The pipeline, run once for all tests that only read it.
static RAN: LazyLock<Sandbox> = LazyLock::new(|| {
    let sandbox = Sandbox::with(PIPELINE);
    sandbox.run(&["run", "--quiet"]).succeeded();
    sandbox
});

/// The page of `seedpipe report` with these arguments, written to `name`.
fn reported(sandbox: &Sandbox, name: &str, arguments: &[&str]) -> String {
    let mut all = vec!["report", "-o", name];
    all.extend(arguments);
    let told = sandbox.run(&all).succeeded().stdout;
    assert!(told.starts_with(&format!("wrote `{name}`, ")), "{told}");
    fs_err::read_to_string(sandbox.path(name)).unwrap()
}
