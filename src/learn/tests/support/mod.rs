//! What golden tests share: the fixtures' folder, and the formula weights of `tests/fixtures/README.md`.
//!
//! Every test binary compiles this file and none uses all of it.
#![allow(dead_code, reason = "each test binary uses a part")]

#[path = "../../../../tests/requirements.rs"]
pub mod requirements;

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

pub fn crc32(text: &str) -> u32 {
    !text.bytes().fold(!0_u32, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            if crc & 1 == 1 {
                crc >> 1 ^ 0xEDB8_8320
            } else {
                crc >> 1
            }
        })
    })
}

fn splitmix64(number: u64) -> u64 {
    let mut z = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ z >> 31
}

/// A tensor of `value(u(i))`, with `u(i)` of the fixtures' README, within [-1, 1).
fn filled(name: &str, shape: &[i64], salt: u64, value: impl Fn(f64) -> f64 + Sync) -> Tensor {
    let first = (u64::from(crc32(name)) << 32).wrapping_add(salt << 24);
    let count = shape.iter().product::<i64>() as u64;
    let unit = |index| (splitmix64(first.wrapping_add(index)) >> 11) as f64 / (1_u64 << 53) as f64;
    let values: Vec<f32> = (0..count)
        .into_par_iter()
        .map(|index| value(2.0 * unit(index) - 1.0) as f32)
        .collect();
    from_slice_f32(shape, &values)
}

/// The formula weight of that name: f32, or the integer 0 for `num_batches_tracked`.
pub fn formula(name: &str, shape: &[i64], salt: u64) -> Tensor {
    match name.rsplit('.').next().unwrap() {
        "num_batches_tracked" => Tensor::zeros(shape, (Kind::Int64, Device::Cpu)),
        "running_var" => filled(name, shape, salt, |u| 1.0 + 0.3 * u),
        "running_mean" => filled(name, shape, salt, |u| 0.1 * u),
        "bias" => filled(name, shape, salt, |u| 0.05 * u),
        _ if shape.len() == 1 => filled(name, shape, salt, |u| 1.0 + 0.1 * u),
        _ => {
            let bound = (6.0 / shape[1..].iter().product::<i64>() as f64).sqrt();
            filled(name, shape, salt, |u| u * bound)
        }
    }
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
    filled(&format!("input.{}", sides.join("x")), shape, salt, |u| u)
}

/// Norm of the difference of two tensors relative to the norm of the second.
pub fn relative_difference(got: &Tensor, expected: &Tensor) -> f64 {
    let (got, expected) = (got.to_kind(Kind::Double), expected.to_kind(Kind::Double));
    ((&got - &expected).norm() / expected.norm()).double_value(&[])
}
