//! Adam with decoupled weight decay (arXiv 1711.05101) as PyTorch's `torch.optim.AdamW`.
//!
//! ```text
//! p ← p − lr · weight_decay · p
//! m ← m + (1 − beta1) · (g − m)             v ← v + (1 − beta2) · (g² − v)
//! p ← p − lr · (m / (1 − beta1ⁿ)) / (sqrt(v / (1 − beta2ⁿ)) + epsilon)      n: steps of this parameter
//! ```
//!
//! Every operation is elementwise: equal inputs give equal bits, whatever the number of threads.

use schemars::JsonSchema;
use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::training::optimiser::{
    Remembered, Slot, unless_kept, unless_not_negative, unless_positive,
};
use crate::training::parameters::Scalars;

/// m, v and n.
pub(crate) const MEMORY: &[Remembered] = &[
    Remembered::Alike(".exp_avg"),
    Remembered::Alike(".exp_avg_sq"),
    Remembered::Count(".step"),
];

/// Numbers of AdamW apart from the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AdamWOptions {
    /// Shares of the gradients' mean and of their squares' mean that a step keeps, each 0 to below
    /// 1
    pub betas: [f64; 2],
    /// Added to the divisor
    pub epsilon: f64,
    /// Share of the weight that a step takes away, times the learning rate
    pub weight_decay: f64,
    /// Whether tensors of one dimension decay as well: biases, and the scales and shifts of norms;
    /// default: yes
    pub decay_biases_and_norms: bool,
}

impl Default for AdamWOptions {
    fn default() -> Self {
        Self {
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            weight_decay: 0.01,
            decay_biases_and_norms: true,
        }
    }
}

impl AdamWOptions {
    pub(crate) fn validate(&self) -> Result<(), Refusal> {
        for beta in self.betas {
            unless_kept("betas", beta, "PyTorch uses 0.9 and 0.999")?;
        }
        unless_positive("epsilon", self.epsilon, "PyTorch uses 1e-8")?;
        unless_not_negative("weight_decay", self.weight_decay, "PyTorch uses 0.01")
    }

    pub(crate) fn step(
        &self,
        slot: &mut Slot,
        gradient: &Tensor,
        learning_rate: f64,
        scalars: &mut Scalars,
    ) {
        let mut parameter = slot.parameter.tensor.detach();
        if slot.memory.is_empty() {
            let count = Tensor::zeros([], (Kind::Int64, Device::Cpu));
            slot.memory = vec![parameter.zeros_like(), parameter.zeros_like(), count];
        }
        let [mean, square, count] = &mut slot.memory[..] else {
            panic!("BUG: AdamW remembers three tensors of a parameter");
        };
        let _ = count.g_add_scalar_(1);
        let _ = mean.lerp_(gradient, 1.0 - self.betas[0]);
        let _ = square.lerp_(&gradient.square(), 1.0 - self.betas[1]);
        if learning_rate == 0.0 {
            return;
        }
        let decays = self.decay_biases_and_norms || !slot.parameter.is_bias_or_norm();
        if self.weight_decay != 0.0 && decays {
            let _ = parameter.g_mul_scalar_(1.0 - learning_rate * self.weight_decay);
        }
        // PyTorch's step m · rate / (sqrt(v) / root + epsilon), with the rate drawn into the
        // divisor: one pass less.
        let steps = count.int64_value(&[]).min(i64::from(i32::MAX)) as i32;
        let [first, second] = self.betas.map(|beta| 1.0 - beta.powi(steps));
        let (rate, root) = (learning_rate / first, second.sqrt());
        let against = scalars.beside(&parameter, -1.0 / (rate * root));
        let divisor = scalars
            .beside(&parameter, -self.epsilon / rate)
            .addcmul(&square.sqrt(), &against);
        let _ = parameter.addcdiv_(mean, &divisor);
    }
}
