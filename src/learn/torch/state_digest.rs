//! What identifies tensors under names, whatever their memory layout and device.

use blake3::Hasher;
use tch::Tensor;

use crate::torch::tensors;

/// BLAKE3 over names, kinds, shapes and data, in the order given.
pub(crate) fn state_digest<'state>(
    state: impl IntoIterator<Item = (&'state str, &'state Tensor)>,
) -> [u8; 32] {
    let mut hasher = Hasher::new();
    for (name, tensor) in state {
        let (dtype, shape, bytes) = tensors::to_bytes(tensor);
        for part in [name.as_bytes(), dtype.as_bytes()] {
            hasher.update(&(part.len() as u64).to_le_bytes());
            hasher.update(part);
        }
        hasher.update(&(shape.len() as u64).to_le_bytes());
        for length in shape {
            hasher.update(&length.to_le_bytes());
        }
        hasher.update(&bytes);
    }
    *hasher.finalize().as_bytes()
}
