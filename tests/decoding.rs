//! `decode: fast` of a stage: photographs are decoded as small as their views allow, which is part
//! of the recipe and changes features little.

use std::path::PathBuf;

use seedpipe_artifact::EmbeddingsReader;
use serde_json::Value;

use crate::sandbox::Sandbox;

const PIPELINE: &str = "\
stages:
  images: {kind: ingest, params: {source: photographs}}
  exact: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet20}, preprocessing: {size: 32}, store: f32}}
  fast: {kind: encode, inputs: {images: images}, params: {network: {name: cifar_resnet20}, preprocessing: {size: 32}, store: f32, decode: fast}}
";

fn embeddings(sandbox: &Sandbox, line: &Value) -> Vec<f32> {
    let text = |key: &str| line[key].as_str().unwrap();
    let folder = sandbox.path(&format!(
        ".seedpipe/v1/artifacts/{}/{}",
        text("fingerprint"),
        &text("content")[..16]
    ));
    let mut parts: Vec<PathBuf> = fs_err::read_dir(folder.join("embeddings"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    parts.sort();
    let reader = EmbeddingsReader::open(&parts).unwrap();
    reader.read(0..reader.rows()).unwrap().values
}

#[test]
fn fast_decoding_is_another_recipe_and_gives_nearly_the_same_features() {
    let sandbox = Sandbox::with(PIPELINE);
    let photograph = fs_err::read("src/imaging/testdata/images/photo.jpg").unwrap();
    sandbox.write("photographs/photograph.jpg", photograph);
    let lines = sandbox.run_json(&[]);
    let of = |stage: &str| lines.iter().find(|line| line["stage"] == stage).unwrap();
    let (exact, fast) = (of("exact"), of("fast"));
    assert_ne!(exact["fingerprint"], fast["fingerprint"]);
    let (exact, fast) = (embeddings(&sandbox, exact), embeddings(&sandbox, fast));
    assert_ne!(exact, fast, "the photograph was not decoded smaller");
    let product = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f32>();
    let cosine = product(&exact, &fast) / (product(&exact, &exact) * product(&fast, &fast)).sqrt();
    assert!(cosine > 0.99, "cosine {cosine}");
}
