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
fn missing_extra_and_misshapen_tensors_are_all_listed() {
    let sandbox = Sandbox::with(&pipeline("teacher.safetensors"));
    let tensors: &[(&str, &[usize])] = &[
        ("conv1.weight", &[16, 3, 3, 3]),
        ("bn1.weight", &[8]),
        ("surprise.weight", &[2]),
        ("surprise.bias", &[2]),
    ];
    sandbox.write("teacher.safetensors", safetensors(tensors));
    assert_snapshot!(refused(&sandbox), @"");
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
            assert_snapshot!(message, @"");
        }
    }
}

#[test]
fn a_checkpoint_that_is_none() {
    let sandbox = Sandbox::with(&pipeline("teacher.pth"));
    sandbox.write("teacher.pth", "a text that is no checkpoint\n");
    assert_snapshot!(refused(&sandbox), @"");
}

#[test]
fn a_truncated_safetensors() {
    let sandbox = Sandbox::with(&pipeline("teacher.safetensors"));
    let whole = safetensors(&[("conv1.weight", &[16, 3, 3, 3])]);
    sandbox.write("teacher.safetensors", &whole[..whole.len() / 2]);
    assert_snapshot!(refused(&sandbox), @"");
}
