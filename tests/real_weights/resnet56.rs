//! ResNet-56 on test images of CIFAR-10 (`ingest`, `encode`, `probe` with the network's own
//! classifier) against PyTorch: the classes in tests/fixtures/resnet56_cifar10.json are what
//! tests/reference/resnet56_cifar10.py saw.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use seedpipe_artifact::{ImagesReader, PredictionsReader};
use serde::Deserialize;
use serde_json::Value;

use crate::requirements::{missing, shared};
use crate::sandbox::{REPOSITORY, Sandbox};

/// PyTorch rounds elsewhere: an image whose two best classes are nearly equal may fall on the other
/// side.
const OTHERWISE: usize = 1;

/// Of one class, PyTorch's view of some images.
#[derive(Deserialize)]
struct Class {
    images: Vec<String>,
    seen: Vec<i32>,
}

/// The test images in the folder that `SEEDPIPE_CIFAR10` names, or where `make cifar10-images` puts
/// them.
fn test_images() -> Option<PathBuf> {
    let named = std::env::var_os("SEEDPIPE_CIFAR10").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| Path::new(REPOSITORY).join("data/raw/cifar10"));
    let images = folder.join("test");
    if images.is_dir() {
        return Some(images);
    }
    missing(
        &format!("CIFAR-10: `{}`", images.display()),
        "make cifar10-images",
    );
    None
}

/// The only part of a stage's output.
fn part(sandbox: &Sandbox, stage: &Value, output: &str) -> PathBuf {
    let [fingerprint, content] = ["fingerprint", "content"].map(|key| stage[key].as_str().unwrap());
    sandbox.path(&format!(
        ".seedpipe/v1/artifacts/{fingerprint}/{}/{output}/part-00000.parquet",
        &content[..16]
    ))
}

#[test]
fn resnet_56_sees_in_cifar_10_what_it_sees_in_pytorch() {
    let checkpoint = shared("data/teachers/resnet56-cifar10.safetensors");
    let (Some(checkpoint), Some(images)) = (checkpoint, test_images()) else {
        return;
    };
    let fixture = Path::new(REPOSITORY).join("tests/fixtures/resnet56_cifar10.json");
    let expected: BTreeMap<String, Class> =
        serde_json::from_slice(&fs_err::read(fixture).unwrap()).unwrap();
    let sandbox = Sandbox::with(&format!(
        "\
stages:
  images: {{kind: ingest, params: {{source: cifar10}}}}
  logits:
    kind: encode
    inputs: {{images: images}}
    params: {{checkpoint: {}, network: {{name: cifar_resnet56, classes: 10}}, embedding: logits, store: f32}}
  own: {{kind: probe, inputs: {{images: images, features: logits}}, params: {{method: logits}}}}
",
        checkpoint.display()
    ));
    let mut seen_in_pytorch = BTreeMap::new();
    let mut right = 0;
    for (label, (name, class)) in (0..).zip(&expected) {
        for (image, seen) in class.images.iter().zip(&class.seen) {
            let bytes = fs_err::read(images.join(name).join(image)).unwrap();
            sandbox.write(&format!("cifar10/test/{name}/{image}"), bytes);
            seen_in_pytorch.insert(format!("test/{name}/{image}"), *seen);
            right += usize::from(*seen == label);
        }
    }
    assert_eq!(seen_in_pytorch.len(), 1_000);

    let stages = sandbox.run_json(&[]);
    let images = ImagesReader::open(&[part(&sandbox, &stages[0], "images")]).unwrap();
    let predictions = PredictionsReader::open(&[part(&sandbox, &stages[2], "predictions")])
        .unwrap()
        .read_all()
        .unwrap();
    assert_eq!(predictions.len(), seen_in_pytorch.len());
    let otherwise = predictions
        .iter()
        .filter(|row| {
            let source = images.source(images.row_of(row.image_id).unwrap()).unwrap();
            row.classes[0] != seen_in_pytorch[&source]
        })
        .count();
    assert!(otherwise <= OTHERWISE, "{otherwise} images seen otherwise");

    let correct = predictions
        .iter()
        .filter(|row| row.label == Some(row.classes[0]))
        .count();
    assert!(correct.abs_diff(right) <= OTHERWISE);
    let top1 = correct as f64 / predictions.len() as f64;
    let metrics = sandbox.run(&["metrics", "--json"]).succeeded().json();
    let measured = metrics
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["split"] == "test" && row["name"] == "top1")
        .unwrap();
    assert_eq!(measured["value"], top1);
}
