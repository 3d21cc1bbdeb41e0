//! safetensors: a JSON header with names, dtypes, shapes and offsets, then the bytes.

use std::collections::BTreeMap;

use safetensors::tensor::SafeTensors;
use seedpipe_base::Refusal;
use tch::Tensor;

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
