//! Tensors to and from plain bytes, as `weights/v1` and checkpoint files store them: dtype name,
//! shape, little-endian row-major data. Dtype names are safetensors' own.

use std::collections::BTreeMap;

use seedpipe_base::Refusal;
use tch::{Device, Kind, Tensor};

use crate::torch::shim;

#[cfg(target_endian = "big")]
compile_error!("tensors are stored little-endian and copied as they lie in memory");

const DTYPES: [(&str, Kind); 10] = [
    ("F64", Kind::Double),
    ("F32", Kind::Float),
    ("F16", Kind::Half),
    ("BF16", Kind::BFloat16),
    ("I64", Kind::Int64),
    ("I32", Kind::Int),
    ("I16", Kind::Int16),
    ("I8", Kind::Int8),
    ("U8", Kind::Uint8),
    ("BOOL", Kind::Bool),
];

/// The kind that a dtype name stands for.
pub fn kind(dtype: &str) -> Result<Kind, Refusal> {
    DTYPES
        .iter()
        .find(|(name, _)| *name == dtype)
        .map(|(_, kind)| *kind)
        .ok_or_else(|| {
            let names = DTYPES.map(|(name, _)| name).join(", ");
            Refusal::failure(format!(
                "dtype `{dtype}` is unknown, expected one of {names}"
            ))
        })
}

/// The dtype name of a kind.
///
/// # Panics
/// On complex, quantised and 8-bit float kinds, which no network here holds.
pub fn dtype(kind: Kind) -> &'static str {
    DTYPES
        .iter()
        .find(|(_, candidate)| *candidate == kind)
        .map(|(name, _)| *name)
        .unwrap_or_else(|| panic!("BUG: tensors of {kind:?} are never stored"))
}

/// Whether another tensor uses this one's memory, such as a view of it or what a backward pass
/// keeps.
pub fn is_shared(tensor: &Tensor) -> bool {
    shim::storage_users(tensor) > 1
}

/// The tensor in memory that a GPU reads by itself, without the processor; as it is where there is
/// no GPU or such memory is short.
pub fn pinned(tensor: Tensor) -> Tensor {
    shim::pin_memory(&tensor).unwrap_or(tensor)
}

/// Whether no number is infinite or NaN; so of every tensor of integers.
pub fn is_finite(tensor: &Tensor) -> bool {
    !tensor.is_floating_point() || bool::try_from(tensor.isfinite().all()).unwrap_or(false)
}

/// The first tensor, by name, that [`is_finite`] is not true of.
pub fn first_not_finite(tensors: &BTreeMap<String, Tensor>) -> Option<&str> {
    let mut named = tensors.iter();
    let found = named.find(|(_, tensor)| !is_finite(tensor));
    found.map(|(name, _)| name.as_str())
}

/// The numbers of a row-major f32 tensor on the CPU, to be written in place.
///
/// # Panics
/// When it is another kind of tensor, or another tensor uses its memory.
pub fn as_mut_slice_f32(tensor: &mut Tensor) -> &mut [f32] {
    let is_plain =
        tensor.kind() == Kind::Float && tensor.device() == Device::Cpu && tensor.is_contiguous();
    assert!(is_plain, "BUG: written in place: {tensor:?}");
    assert!(!is_shared(tensor), "BUG: a tensor in use is written");
    // SAFETY: the memory holds `numel` numbers in a row, no other tensor uses it, and `tensor` is
    // borrowed for as long as the slice.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast(), tensor.numel()) }
}

/// Dtype name, shape and little-endian row-major bytes, whatever device and memory layout the
/// tensor has.
pub fn to_bytes(tensor: &Tensor) -> (&'static str, Vec<i64>, Vec<u8>) {
    let kind = tensor.kind();
    let tensor = row_major(&tensor.detach().to_device(Device::Cpu));
    let count = tensor.numel();
    let mut bytes = vec![0; count * kind.elt_size_in_bytes()];
    tensor.copy_data_u8(&mut bytes, count);
    (dtype(kind), tensor.size(), bytes)
}

/// The tensor of [`to_bytes`], on the CPU. Fails on an unknown dtype and when the bytes don't fit
/// the shape.
pub fn from_bytes(dtype: &str, shape: &[i64], bytes: &[u8]) -> Result<Tensor, Refusal> {
    let kind = kind(dtype)?;
    let expected = shape
        .iter()
        .try_fold(1_i64, |count, &length| {
            if length < 0 {
                None
            } else {
                count.checked_mul(length)
            }
        })
        .and_then(|count| count.checked_mul(kind.elt_size_in_bytes() as i64));
    if expected != i64::try_from(bytes.len()).ok() {
        let expected = expected.map_or("too many".to_owned(), |count| count.to_string());
        let got = bytes.len();
        return Err(Refusal::failure(format!(
            "a tensor of dtype {dtype} and shape {shape:?} takes {expected} bytes, got {got}"
        )));
    }
    Ok(Tensor::from_data_size(bytes, shape, kind))
}

/// # Shapes
/// - `values`: as many as the product of `shape`, row-major
/// - returns f32 of that shape on the CPU
pub fn from_slice_f32(shape: &[i64], values: &[f32]) -> Tensor {
    Tensor::from_slice(values).reshape(shape)
}

/// All values as f32, row-major, from any device, kind and memory layout.
pub fn to_vec_f32(tensor: &Tensor) -> Vec<f32> {
    let tensor = row_major(&tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float));
    let count = tensor.numel();
    let mut values = vec![0.0; count];
    tensor.copy_data(&mut values, count);
    values
}

fn row_major(tensor: &Tensor) -> Tensor {
    tensor.contiguous()
}

/// Images or convolution weights `[N, C, H, W]` with the channels innermost in memory; the fast
/// layout of convolutions in bf16.
pub(crate) fn channels_last(tensor: &Tensor) -> Tensor {
    shim::memory_format(tensor, true).unwrap_or_else(|error| {
        panic!(
            "BUG: channels-last of a {:?} tensor: {error}",
            tensor.size()
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_keep_every_value_of_every_dtype_and_layout() {
        for (name, kind) in DTYPES {
            let tensor = (Tensor::arange(24, (Kind::Float, Device::Cpu)) - 3.5)
                .reshape([2, 3, 2, 2])
                .to_kind(kind);
            let (dtype, shape, bytes) = to_bytes(&channels_last(&tensor));
            assert_eq!(dtype, name);
            let back = from_bytes(dtype, &shape, &bytes).unwrap();
            assert_eq!(back.kind(), kind);
            assert!(back.equal(&tensor), "{name}");
        }
    }

    #[test]
    fn lengths_and_dtypes_that_do_not_fit_are_refused() {
        for (dtype, shape, bytes, expected) in [
            ("F32", &[2][..], &[0; 7][..], "takes 8 bytes, got 7"),
            ("F32", &[-1], &[0; 4], "takes too many bytes, got 4"),
            ("F64", &[i64::MAX, 4], &[], "takes too many bytes, got 0"),
            ("F8", &[1], &[0], "dtype `F8` is unknown"),
        ] {
            let message = from_bytes(dtype, shape, bytes).unwrap_err().to_string();
            assert!(message.contains(expected), "{message}");
        }
        assert_eq!(from_bytes("F32", &[0, 3], &[]).unwrap().size(), [0, 3]);
        assert_eq!(
            to_vec_f32(&from_bytes("F32", &[], &1.5_f32.to_le_bytes()).unwrap()),
            [1.5]
        );
    }

    #[test]
    fn memory_is_written_in_place_and_a_view_of_it_is_noticed() {
        let mut buffer = Tensor::zeros([2, 1, 2, 3], (Kind::Float, Device::Cpu));
        as_mut_slice_f32(&mut buffer)[5] = 1.5;
        let pixels = buffer.permute([0, 3, 1, 2]); // [2, 3, 1, 2]
        assert_eq!(pixels.double_value(&[0, 2, 0, 1]), 1.5);
        assert!(is_shared(&buffer));
        drop(pixels);
        assert!(!is_shared(&buffer));
    }

    #[test]
    fn memory_for_a_gpu_is_written_as_any_other_also_where_there_is_none() {
        let mut memory = pinned(Tensor::zeros([2, 3], (Kind::Float, Device::Cpu)));
        as_mut_slice_f32(&mut memory)[4] = 2.5;
        assert_eq!(to_vec_f32(&memory), [0.0, 0.0, 0.0, 0.0, 2.5, 0.0]);
    }

    #[test]
    #[should_panic(expected = "BUG: a tensor in use is written")]
    fn memory_in_use_is_not_written() {
        let mut buffer = Tensor::zeros([3], (Kind::Float, Device::Cpu));
        let _used = buffer.shallow_clone();
        as_mut_slice_f32(&mut buffer);
    }
}
