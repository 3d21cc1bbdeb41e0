//! The tensors that an optimiser moves, each with its share of the learning rate, and the scalars
//! that a step needs beside them.

use tch::{Device, Kind, Tensor};

/// A leaf that is learned.
#[derive(Debug)]
pub struct Parameter {
    pub name: String,
    pub tensor: Tensor,
    /// What the learning rate is multiplied by for this tensor; 0: frozen.
    pub learning_rate_factor: f64,
}

impl Parameter {
    /// Biases, and scales and shifts of norms: what has at most one dimension.
    pub(crate) fn is_bias_or_norm(&self) -> bool {
        self.tensor.dim() <= 1
    }
}

impl From<(String, Tensor)> for Parameter {
    /// One that follows the whole learning rate.
    fn from((name, tensor): (String, Tensor)) -> Self {
        Self {
            name,
            tensor,
            learning_rate_factor: 1.0,
        }
    }
}

/// Numbers as tensors beside the parameters: with them one pass multiplies and adds, and each moves
/// to a GPU once a step.
#[derive(Default)]
pub(crate) struct Scalars(Vec<(u64, Kind, Device, Tensor)>);

impl Scalars {
    /// `value` in the kind and on the device of `tensor`, without dimensions.
    pub(crate) fn beside(&mut self, tensor: &Tensor, value: f64) -> Tensor {
        let key = (value.to_bits(), tensor.kind(), tensor.device());
        let known = self
            .0
            .iter()
            .find(|(bits, kind, device, _)| (*bits, *kind, *device) == key);
        if let Some((.., scalar)) = known {
            return scalar.shallow_clone();
        }
        let scalar = Tensor::from(value).to_kind(key.1).to_device(key.2);
        self.0.push((key.0, key.1, key.2, scalar.shallow_clone()));
        scalar
    }
}
