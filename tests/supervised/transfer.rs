//! A network made of one set of images, judged and trained on another.

use super::figure;
use crate::sandbox::{REPOSITORY, Sandbox};

/// A student of coloured photographs, and digits that it never saw: gray, smaller, with labels of
/// their own.
const TRANSFER: &str = "\
stages:
  photos: {kind: ingest, params: {source: photos}}
  photo_views: {kind: augment, inputs: {images: photos}, params: {recipe: mocov2, size: 32, views_per_image: 8, split: all}}
  targets: {kind: encode, inputs: {images: photos, views: photo_views}, params: {network: {name: cifar_resnet8, width: 0.5}}}
  student:
    kind: distill
    inputs: {images: photos, views: photo_views, targets: targets}
    params: {network: {name: cifar_resnet8, width: 0.25}, queue: 16, training: {epochs: 2, batch: 4, threads: 1}}
  digits: {kind: ingest, params: {source: digits.parquet, label_column: label, split_column: split, take: {train: 60, test: 20}}}
  digit_views: {kind: augment, inputs: {images: digits}, params: {recipe: custom, size: 32, views_per_image: 1}}
  features: {kind: encode, inputs: {images: digits, weights: student}}
  neighbours: {kind: knn, inputs: {images: digits, features: features}, params: {k: [5], retrieval: true}}
  probe: {kind: probe, inputs: {images: digits, features: features}}
  tuned: {kind: finetune, inputs: {images: digits, views: digit_views, weights: student}, params: {training: {epochs: 1, batch: 16, threads: 1}}}
";

#[test]
fn a_student_of_coloured_photographs_is_judged_and_tuned_on_gray_digits() {
    let sandbox = Sandbox::with(TRANSFER);
    for name in [
        "rgb.png",
        "gray.jpg",
        "cmyk.jpg",
        "lossy.webp",
        "gray.bmp",
        "animated.gif",
    ] {
        let photo = format!("{REPOSITORY}/src/imaging/testdata/images/{name}");
        sandbox.write(&format!("photos/{name}"), fs_err::read(photo).unwrap());
    }
    sandbox.run(&["run", "--quiet"]).succeeded();
    for (stage, name) in [
        ("neighbours", "knn_top1"),
        ("neighbours", "retrieval_map"),
        ("probe", "linear_top1"),
        ("tuned", "top1"),
    ] {
        let value = figure(&sandbox, stage, "test", name);
        assert!((0.0..=1.0).contains(&value), "{stage} {name}: {value}");
    }
    // Better than a guess among ten: gray digits come through resizing and as three equal channels.
    assert!(figure(&sandbox, "probe", "test", "linear_top1") >= 0.3);
}
