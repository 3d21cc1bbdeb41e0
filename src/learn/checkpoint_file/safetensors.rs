//! safetensors: a JSON header with names, dtypes, shapes and offsets, then the bytes.

use std::collections::BTreeMap;

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use seedpipe_base::Refusal;
use tch::{Device, Kind, Tensor};

use super::{damaged, malformed};
use crate::torch::tensors;

/// A header length within the file, then a JSON object.
pub(super) fn is_safetensors(start: &[u8], length: u64) -> bool {
    let Some((header, rest)) = start.split_first_chunk::<8>() else {
        return false;
    };
    u64::from_le_bytes(*header)
        .checked_add(8)
        .is_some_and(|end| end <= length)
        && rest.first() == Some(&b'{')
}

/// Longest header that a reader takes, in bytes.
const LONGEST_HEADER: u64 = 100_000_000;

/// As [`is_safetensors`], but for a header that ends after the file.
pub(super) fn is_cut_short(start: &[u8]) -> bool {
    let Some((header, rest)) = start.split_first_chunk::<8>() else {
        return false;
    };
    u64::from_le_bytes(*header) <= LONGEST_HEADER && rest.starts_with(b"{\"")
}

pub(super) fn read(bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, Refusal> {
    let file = SafeTensors::deserialize(bytes)
        .map_err(|error| damaged(format!("not valid safetensors: {error}")))?;
    let mut found = BTreeMap::new();
    for (name, view) in file.tensors() {
        let shape: Vec<i64> = view
            .shape()
            .iter()
            .map(|&length| i64::try_from(length).unwrap_or(i64::MAX))
            .collect();
        let tensor = tensors::from_bytes(&view.dtype().to_string(), &shape, view.data()).map_err(
            |error| {
                malformed(
                    format!("tensor `{name}`: {error}"),
                    "write the file again with f32, f16 or bf16 tensors",
                )
            },
        )?;
        found.insert(name, tensor);
    }
    Ok(found)
}

fn dtype(kind: Kind) -> Dtype {
    match kind {
        Kind::Double => Dtype::F64,
        Kind::Float => Dtype::F32,
        Kind::Half => Dtype::F16,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Int64 => Dtype::I64,
        Kind::Int => Dtype::I32,
        Kind::Int16 => Dtype::I16,
        Kind::Int8 => Dtype::I8,
        Kind::Uint8 => Dtype::U8,
        Kind::Bool => Dtype::BOOL,
        other => panic!("BUG: tensors of {other:?} are never stored"),
    }
}

pub(super) fn to_bytes(named: &[(String, Tensor)]) -> Result<Vec<u8>, Refusal> {
    let stored: Vec<(&String, Dtype, Vec<usize>, Vec<u8>)> = named
        .iter()
        .map(|(name, tensor)| {
            let (_, shape, bytes) = tensors::to_bytes(&tensor.to_device(Device::Cpu));
            (
                name,
                dtype(tensor.kind()),
                shape.iter().map(|&length| length as usize).collect(),
                bytes,
            )
        })
        .collect();
    let mut views = Vec::with_capacity(stored.len());
    for (name, dtype, shape, bytes) in &stored {
        let view = TensorView::new(*dtype, shape.clone(), bytes).unwrap_or_else(|error| {
            panic!("BUG: tensor `{name}` does not fit its own shape: {error}")
        });
        views.push((name.as_str(), view));
    }
    safetensors::serialize(views, None)
        .map_err(|error| damaged(format!("could not be written: {error}")))
}
