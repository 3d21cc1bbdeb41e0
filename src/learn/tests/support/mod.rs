//! What golden tests share: the fixtures' folder, and the formula weights of
//! `tests/fixtures/README.md`.
//!
//! Every test binary compiles this file and none uses all of it.
#![allow(dead_code, reason = "each test binary uses a part")]

#[path = "../../../../tests/requirements.rs"]
pub mod requirements;

#[path = "../../testing/formula.rs"]
pub mod formula;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use seedpipe_learn::architecture::Architecture;
use seedpipe_learn::network::Network;
use seedpipe_learn::tensors::from_slice_f32;
use seedpipe_learn::{checkpoint_file, tch};
use tch::{Device, Kind, Tensor};

/// `SEEDPIPE_FIXTURES`, or the committed copy.
pub fn fixtures() -> PathBuf {
    match std::env::var_os("SEEDPIPE_FIXTURES") {
        Some(folder) => PathBuf::from(folder),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures"),
    }
}

/// `NAME` in the fixtures' folder.
pub fn json(name: &str) -> serde_json::Value {
    let path = fixtures().join(name);
    serde_json::from_str(&fs_err::read_to_string(&path).unwrap()).unwrap()
}

/// All tensors of `NAME.safetensors` in the fixtures' folder.
pub fn tensors(name: &str) -> BTreeMap<String, Tensor> {
    checkpoint_file::read(&fixtures().join(format!("{name}.safetensors")))
        .unwrap()
        .tensors
}

/// The formula weight of that name: f32, or the integer 0 for `num_batches_tracked`.
pub fn formula(name: &str, shape: &[i64], salt: u64) -> Tensor {
    let values: Vec<f32> = formula::weights(name, shape, salt)
        .map(|value| value as f32)
        .collect();
    let tensor = from_slice_f32(shape, &values);
    if name.ends_with("num_batches_tracked") {
        return tensor.to_kind(Kind::Int64);
    }
    tensor
}

/// A network with formula weights.
pub fn formula_network(architecture: &Architecture, salt: u64) -> Network {
    let specs = architecture.graph().unwrap().state();
    let weights = specs
        .iter()
        .map(|spec| (spec.name.clone(), formula(&spec.name, &spec.shape, salt)))
        .collect();
    Network::with_weights(architecture, weights, Device::Cpu).unwrap()
}

/// The formula's images of shape `[B, C, H, W]`.
pub fn formula_image(shape: &[i64], salt: u64) -> Tensor {
    let sides: Vec<String> = shape.iter().map(i64::to_string).collect();
    let units = formula::units(&format!("input.{}", sides.join("x")), shape, salt);
    let values: Vec<f32> = units.map(|unit| unit as f32).collect();
    from_slice_f32(shape, &values)
}

/// Norm of the difference of two tensors relative to the norm of the second.
pub fn relative_difference(got: &Tensor, expected: &Tensor) -> f64 {
    let (got, expected) = (got.to_kind(Kind::Double), expected.to_kind(Kind::Double));
    ((&got - &expected).norm() / expected.norm()).double_value(&[])
}
