//! `export`, `network`, `embed` and `predict` as a user calls them; files are loaded by Python
//! where `SEEDPIPE_PYTHON` names one.

mod cards;
mod files;
mod inspecting;
mod looking;
mod published;
mod refusals;
mod stored;

use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::sandbox::{Finished, Sandbox, WHOLE_PIPELINE};

/// A student that torchvision has too, with a classifier and exports of its own.
fn pipeline() -> String {
    let student = "network: {name: resnet18, stem: cifar}\n      queue: 64\n      training: {epochs: 1, batch: 16}";
    let narrow = "network: {name: cifar_resnet8, width: 0.25}\n      queue: 64\n      training: {epochs: 2, batch: 16}";
    assert!(WHOLE_PIPELINE.contains(narrow));
    WHOLE_PIPELINE.replace(narrow, student)
        + "  shipped: {kind: export, inputs: {weights: student, classifier: probe.classifier, images: images}, params: {format: onnx}}\n"
}

/// One run for all tests of this module; what they write has names of their own.
static RUN: LazyLock<Sandbox> = LazyLock::new(|| {
    let sandbox = Sandbox::with(&pipeline());
    sandbox.run(&["run"]).succeeded();
    sandbox
});

/// Runs Python in the sandbox to a good end.
pub fn run_python(sandbox: &Sandbox, python: &str, arguments: &[&str]) -> Finished {
    let mut command = Command::new(python);
    command.args(arguments).current_dir(sandbox.path(""));
    sandbox.finish(&mut command).succeeded()
}

/// A safetensors file with the same tensors and nothing said of them.
fn without_metadata(bytes: &[u8]) -> Vec<u8> {
    with_header(bytes, |header| {
        header.as_object_mut().unwrap().remove("__metadata__");
    })
}

/// A safetensors file with the same tensors and another header.
fn with_header(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    change(&mut header);
    let header = header.to_string();
    let mut changed = (header.len() as u64).to_le_bytes().to_vec();
    changed.extend(header.as_bytes());
    changed.extend(&bytes[8 + length..]);
    changed
}
