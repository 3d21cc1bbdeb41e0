//! Stochastic gradient descent as PyTorch's `torch.optim.SGD`: momentum without dampening, weight
//! decay added to the gradient, optionally Nesterov's look-ahead.
//!
//! ```text
//! g ← gradient + weight_decay · p      v ← g at the first step, else momentum · v + g
//! p ← p − lr · v                       (Nesterov: p ← p − lr · (g + momentum · v))
//! ```
//!
//! Every operation is elementwise: equal inputs give equal bits, whatever the number of threads.

use schemars::JsonSchema;
use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::training::optimiser::{Remembered, Slot, unless_kept, unless_not_negative};
use crate::training::parameters::Scalars;

/// The velocity v, under the parameter's own name.
pub(crate) const MEMORY: &[Remembered] = &[Remembered::Alike("")];

/// Numbers of the descent apart from the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SgdOptions {
    /// Share of the last step's direction that is kept, 0 to below 1
    pub momentum: f64,
    /// L2 penalty: this times the weight is added to each gradient
    pub weight_decay: f64,
    /// Nesterov's look-ahead
    pub nesterov: bool,
    /// Whether tensors of one dimension decay as well: biases, and the scales and shifts of norms;
    /// default: yes
    pub decay_biases_and_norms: bool,
}

impl Default for SgdOptions {
    fn default() -> Self {
        Self {
            momentum: 0.9,
            weight_decay: 1e-4,
            nesterov: false,
            decay_biases_and_norms: true,
        }
    }
}

impl SgdOptions {
    pub(crate) fn validate(&self) -> Result<(), Refusal> {
        unless_kept("momentum", self.momentum, "SEED uses 0.9")?;
        unless_not_negative("weight_decay", self.weight_decay, "SEED uses 1e-4")
    }

    pub(crate) fn step(
        &self,
        slot: &mut Slot,
        gradient: &Tensor,
        learning_rate: f64,
        scalars: &mut Scalars,
    ) {
        let parameter = slot.parameter.tensor.detach();
        let decays = self.decay_biases_and_norms || !slot.parameter.is_bias_or_norm();
        let decayed = if self.weight_decay == 0.0 || !decays {
            gradient.detach()
        } else {
            gradient.addcmul(&parameter, &scalars.beside(&parameter, self.weight_decay))
        };
        Descent {
            momentum: self.momentum,
            nesterov: self.nesterov,
            learning_rate,
        }
        .step(slot, parameter, &decayed, scalars);
    }
}

/// The part of a step that SGD and LARS share: momentum, and the move.
pub(crate) struct Descent {
    pub momentum: f64,
    pub nesterov: bool,
    pub learning_rate: f64,
}

impl Descent {
    /// `slot.memory` is the velocity; `parameter` shares the slot's memory, without its graph.
    pub(crate) fn step(
        &self,
        slot: &mut Slot,
        mut parameter: Tensor,
        direction: &Tensor,
        scalars: &mut Scalars,
    ) {
        let against = scalars.beside(&parameter, -self.learning_rate);
        if self.momentum == 0.0 {
            let _ = parameter.addcmul_(direction, &against);
            return;
        }
        match slot.memory.first_mut() {
            None => slot.memory.push(direction.copy()),
            Some(velocity) => {
                let _ = velocity.g_mul_scalar_(self.momentum).g_add_(direction);
            }
        }
        let velocity = &slot.memory[0];
        if self.nesterov {
            let momentum = scalars.beside(&parameter, self.momentum);
            let ahead = direction.addcmul(velocity, &momentum);
            let _ = parameter.addcmul_(&ahead, &against);
        } else {
            let _ = parameter.addcmul_(velocity, &against);
        }
    }
}
