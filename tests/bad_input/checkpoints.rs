//! A teacher's checkpoint that doesn't fit, or that is a program.

use std::path::Path;

use insta::assert_snapshot;
use serde_json::{Map, json};

use crate::sandbox::{REPOSITORY, Sandbox};

fn pipeline(checkpoint: &str) -> String {
    format!(
        "\
stages:
  images: {{kind: ingest, params: {{source: digits.parquet, take: {{train: 4}}}}}}
  teacher: {{kind: encode, inputs: {{images: images}}, params: {{checkpoint: {checkpoint}, network: {{name: cifar_resnet8}}}}}}
"
    )
}

/// A safetensors file of zeros.
fn safetensors(tensors: &[(&str, &[usize])]) -> Vec<u8> {
    let mut header = Map::new();
    let mut end = 0;
    for (name, shape) in tensors {
        let start = end;
        end += 4 * shape.iter().product::<usize>();
        header.insert(
            (*name).to_owned(),
            json!({"dtype": "F32", "shape": shape, "data_offsets": [start, end]}),
        );
    }
    let header = serde_json::Value::Object(header).to_string();
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.bytes());
    file.resize(file.len() + end, 0);
    file
}

/// Runs up to the teacher, which must fail; only the images may be published.
fn refused(sandbox: &Sandbox) -> String {
    sandbox.run(&["run", "images", "--quiet"]).succeeded();
    let before = sandbox.cache_entries("artifacts");
    let finished = sandbox.run(&["run", "--quiet"]).exited_with(1);
    assert_eq!(sandbox.cache_entries("artifacts"), before);
    assert_eq!(sandbox.cache_entries("drafts"), [""; 0]);
    finished.refusal()
}

#[test]
fn missing_and_misshapen_tensors_are_counted_and_the_first_named() {
    let sandbox = Sandbox::with(&pipeline("teacher.safetensors"));
    let tensors: &[(&str, &[usize])] = &[
        ("conv1.weight", &[16, 3, 3, 3]),
        ("bn1.weight", &[8]),
        ("surprise.weight", &[2]),
        ("surprise.bias", &[2]),
    ];
    sandbox.write("teacher.safetensors", safetensors(tensors));
    assert_snapshot!(refused(&sandbox), @r"
    error: pipeline.yaml: stage `teacher`: key `params.checkpoint`: `./teacher.safetensors` (nearest layout: safetensors, plain names): tensors don't match the network: 33 missing, 1 of another shape
      missing     bn1.bias
      missing     bn1.running_mean
      missing     bn1.running_var
      … 30 more
      shape       bn1.weight: expected [16], got [8]
    hint: check that the file is of a `cifar_resnet8`: it holds 2 of its 42 tensors; `seedpipe network inspect` says what it may be
    exit code 1
    ");
}

#[test]
fn code_in_a_pickle_is_not_executed() {
    for name in [
        "malicious_plain.pkl",
        "malicious_legacy.pt",
        "malicious_zip.pt",
    ] {
        let sandbox = Sandbox::with(&pipeline("teacher.pth"));
        fs_err::copy(
            format!("{REPOSITORY}/src/learn/testdata/{name}"),
            sandbox.path("teacher.pth"),
        )
        .unwrap();
        let message = refused(&sandbox);
        assert!(!Path::new("/tmp/seedpipe-pickle-was-executed").exists());
        insta::allow_duplicates! {
            assert_snapshot!(message, @r"
            error: pipeline.yaml: stage `teacher`: key `params.checkpoint`: `./teacher.pth`: the pickle asks for `posix.system`; expected tensors and containers alone, and nothing was executed
            hint: if you trust where it comes from, load it in Python and write it again with `safetensors.torch.save_file(state_dict, …)`
            exit code 1
            ");
        }
    }
}

fn script_pipeline(size: u32) -> String {
    format!(
        "\
stages:
  images: {{kind: ingest, params: {{source: digits.parquet, take: {{train: 4}}}}}}
  teacher: {{kind: encode, inputs: {{images: images}}, params: {{torchscript: teacher.pt, preprocessing: {{size: {size}}}}}}}
"
    )
}

#[test]
fn a_torchscript_file_is_a_teacher_and_a_text_is_none() {
    let sandbox = Sandbox::with(&script_pipeline(32));
    sandbox.write("teacher.pt", "a text that is no program\n");
    let message = refused(&sandbox);
    assert!(
        message.starts_with(
            "error: pipeline.yaml: stage `teacher`: key `params.torchscript`: `./teacher.pt`: libtorch does not load it as TorchScript: "
        ),
        "{message}"
    );
    assert!(message.contains("\nhint: write it in Python"), "{message}");
    fs_err::copy(
        format!("{REPOSITORY}/src/learn/testdata/layouts/backbone.torchscript.pt"),
        sandbox.path("teacher.pt"),
    )
    .unwrap();
    sandbox.run(&["run", "--quiet"]).succeeded();
    let both = script_pipeline(32).replace(
        "torchscript: teacher.pt",
        "torchscript: teacher.pt, network: {name: resnet18}",
    );
    sandbox.write("pipeline.yaml", both);
    let message = sandbox.run(&["run", "--quiet"]).exited_with(2).refusal();
    assert!(
        message.contains("key `params.torchscript`: expected one network"),
        "{message}"
    );
}

#[test]
fn a_checkpoint_that_is_none() {
    let sandbox = Sandbox::with(&pipeline("teacher.pth"));
    sandbox.write("teacher.pth", "a text that is no checkpoint\n");
    assert_snapshot!(refused(&sandbox), @r"
    error: pipeline.yaml: stage `teacher`: key `params.checkpoint`: `./teacher.pth`: not a checkpoint that is known: it begins with `a text that is n`
    hint: expected safetensors, or a file written by `torch.save`
    exit code 1
    ");
}

#[test]
fn a_truncated_safetensors() {
    let sandbox = Sandbox::with(&pipeline("teacher.safetensors"));
    let whole = safetensors(&[("conv1.weight", &[16, 3, 3, 3])]);
    sandbox.write("teacher.safetensors", &whole[..whole.len() / 2]);
    assert_snapshot!(refused(&sandbox), @r"
    error: pipeline.yaml: stage `teacher`: key `params.checkpoint`: `./teacher.safetensors`: not valid safetensors: incomplete metadata, file not fully covered
    hint: the file is damaged or cut short; fetch it again
    exit code 1
    ");
}

#[test]
fn an_index_without_one_of_its_files() {
    let sandbox = Sandbox::with(&pipeline("model.safetensors.index.json"));
    let index = "model.safetensors.index.json";
    let first = "model-00001-of-00002.safetensors";
    for name in [index, first] {
        let from = format!("{REPOSITORY}/src/learn/testdata/layouts/{name}");
        fs_err::copy(from, sandbox.path(name)).unwrap();
    }
    assert_snapshot!(refused(&sandbox), @r"
    error: pipeline.yaml: stage `teacher`: key `params.checkpoint`: `./model.safetensors.index.json`: 1 of the index's 2 files are not beside it: model-00002-of-00002.safetensors
    hint: fetch all of them into the index's folder
    exit code 1
    ");
}

#[test]
fn a_layout_that_is_not_known() {
    let sandbox = Sandbox::with(&pipeline("teacher.safetensors"));
    sandbox.write("teacher.safetensors", safetensors(&[("a.weight", &[3, 4])]));
    let message = refused(&sandbox);
    let lines: Vec<&str> = message.lines().collect();
    let place = "error: pipeline.yaml: stage `teacher`: key `params.checkpoint`: `./teacher.safetensors` (safetensors, no known layout): ";
    assert!(lines[0].starts_with(place), "{message}");
    assert_eq!(lines[1], "  missing     conv1.weight");
    assert_eq!(lines[lines.len() - 3], "  unexpected  a.weight");
    assert_eq!(
        lines[lines.len() - 2],
        "hint: `seedpipe network inspect ./teacher.safetensors` says what it may be"
    );
}

#[test]
fn a_safetensors_cut_within_its_header() {
    let sandbox = Sandbox::with(&pipeline("teacher.safetensors"));
    let whole = safetensors(&[("conv1.weight", &[16, 3, 3, 3])]);
    sandbox.write("teacher.safetensors", &whole[..40]);
    assert_snapshot!(refused(&sandbox), @r"
    error: pipeline.yaml: stage `teacher`: key `params.checkpoint`: `./teacher.safetensors`: safetensors whose header ends after the file
    hint: the file is damaged or cut short; fetch it again
    exit code 1
    ");
}
