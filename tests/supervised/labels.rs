//! A class is called by its label wherever it leaves, whatever output of the network it has.

use serde_json::json;

use crate::export::run_python;
use crate::requirements::python;
use crate::sandbox::Sandbox;

const PIPELINE: &str = "\
stages:
  images: {kind: ingest, params: {source: data.parquet, label_column: label, label_name_column: name, hash_split: {test: 0.25}}}
  views: {kind: augment, inputs: {images: images}, params: {recipe: custom, size: 16, views_per_image: 2}}
  tuned: {kind: finetune, inputs: {images: images, views: views}, params: {network: {name: cifar_resnet8, width: 0.25}, training: {epochs: 1, batch: 8, threads: 1}}}
";

/// Digits 0, 1 and 2 with the labels 20, 0 and 10.
const DATA: &str = "
import pyarrow.parquet as pq
rows = [row for row in pq.read_table('digits.parquet').to_pylist() if row['label'] < 3][:60]
import pyarrow as pa
pq.write_table(pa.table({
    'image': [row['image'] for row in rows],
    'label': [(row['label'] + 2) % 3 * 10 for row in rows],
    'name': [['c', 'a', 'b'][row['label']] for row in rows],
}), 'data.parquet')
";

#[test]
fn predictions_say_labels_and_outputs_are_called_so() {
    let Some(python) = python("pyarrow.parquet") else {
        return;
    };
    let sandbox = Sandbox::with(PIPELINE);
    let digits = std::path::Path::new(crate::sandbox::REPOSITORY).join("data/digits.parquet");
    fs_err::copy(digits, sandbox.path("digits.parquet")).unwrap();
    run_python(&sandbox, &python, &["-c", DATA]);
    sandbox.run(&["run", "--quiet", "tuned"]).succeeded();
    let image = image::GrayImage::new(28, 28);
    image.save(sandbox.path("new.png")).unwrap();
    let best = |network: &str| {
        let lines = sandbox.run(&["predict", network, "new.png"]).succeeded();
        lines.json_lines()[0]["best"].as_array().unwrap().clone()
    };
    let of_stage = best("tuned");
    assert_eq!(of_stage.len(), 3);
    for class in &of_stage {
        let label = class["class"].as_i64().unwrap();
        let name = ["a", "b", "c"][usize::try_from(label / 10).unwrap()];
        assert_eq!((label % 10, &class["name"]), (0, &json!(name)));
    }
    for format in ["safetensors", "onnx", "torchscript"] {
        let file = format!("tuned.{format}");
        let arguments = ["export", "tuned", "--format", format, "-o", &file];
        sandbox.run(&arguments).succeeded();
        let card = fs_err::read_to_string(sandbox.path(&format!("{file}.md"))).unwrap();
        assert!(card.contains("| labels and names of the classes, by output | 0 a, 10 b, 20 c |"));
    }
    assert_eq!(best("tuned.safetensors"), of_stage);

    // What says nothing of classes has outputs alone.
    let program = "
import json, safetensors.numpy as s
from safetensors import safe_open
with safe_open('tuned.safetensors', 'numpy') as file:
    metadata = file.metadata()
    tensors = {name: file.get_tensor(name) for name in file.keys()}
assert json.loads(metadata['labels']) == [0, 10, 20]
s.save_file(tensors, 'bare.safetensors', {key: metadata[key] for key in ['architecture', 'preprocessing']})";
    if crate::requirements::python("safetensors").is_some() {
        run_python(&sandbox, &python, &["-c", program]);
        let bare = best("bare.safetensors");
        assert_eq!(
            bare[0]["output"].as_i64().unwrap() * 10,
            of_stage[0]["class"]
        );
        assert!(bare[0].get("class").is_none());
    }
    let arguments = ["predict", "tuned", "new.png", "-o", "seen.parquet"];
    sandbox.run(&arguments).succeeded();
    let program = "
import pyarrow.parquet as pq
row = pq.read_table('seen.parquet').to_pylist()[0]
assert sorted(row['classes']) == [0, 10, 20], row
assert [{0: 'a', 10: 'b', 20: 'c'}[label] for label in row['classes']] == row['names'], row";
    run_python(&sandbox, &python, &["-c", program]);
}
