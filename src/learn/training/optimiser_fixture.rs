//! Golden values of tests/reference/optimisers.py (tests only).

use std::collections::BTreeMap;

use serde_json::Value;
use tch::Tensor;

pub(crate) fn json() -> Value {
    serde_json::from_str(include_str!("../testdata/optimisers.json")).unwrap()
}

pub(crate) fn tensors() -> BTreeMap<String, Tensor> {
    let path = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/testdata/optimisers.safetensors"
    );
    Tensor::read_safetensors(path)
        .unwrap()
        .into_iter()
        .collect()
}
