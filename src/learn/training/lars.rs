//! Layer-wise adaptive rate scaling (arXiv 1708.03888) as SwAV trains with it
//! (`apex.parallel.LARC`, `clip=False`, around SGD): each tensor's direction, weight decay
//! included, is given a length in proportion to the tensor's own.
//!
//! ```text
//! r ← trust · |p| / (|gradient| + weight_decay · |p| + 1e-8)      1 where |p| or |gradient| is 0, and then nothing decays
//! g ← r · (gradient + weight_decay · p)                           and on as SGD: v ← momentum · v + g, p ← p − lr · v
//! ```
//!
//! The defaults leave biases and norms out, as SimCLR, BYOL and solo-learn do; SwAV takes all
//! tensors alike.

use schemars::JsonSchema;
use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::training::optimiser::{
    Remembered, Slot, unless_kept, unless_not_negative, unless_positive,
};
use crate::training::parameters::Scalars;
use crate::training::sgd::Descent;

/// The velocity v, under the parameter's own name.
pub(crate) const MEMORY: &[Remembered] = &[Remembered::Alike("")];

/// Keeps the ratio's divisor off 0.
const EPSILON: f64 = 1e-8;

/// Numbers of LARS apart from the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LarsOptions {
    /// Share of the last step's direction that is kept, 0 to below 1
    pub momentum: f64,
    /// L2 penalty: this times the weight is added to each gradient
    pub weight_decay: f64,
    /// Nesterov's look-ahead
    pub nesterov: bool,
    /// Length of a tensor's direction as a share of its own length
    pub trust: f64,
    /// Whether tensors of one dimension are given such a length as well: biases, and the scales and
    /// shifts of norms
    pub adapt_biases_and_norms: bool,
    /// Whether tensors of one dimension decay as well
    pub decay_biases_and_norms: bool,
}

impl Default for LarsOptions {
    fn default() -> Self {
        Self {
            momentum: 0.9,
            weight_decay: 1e-6,
            nesterov: false,
            trust: 0.001,
            adapt_biases_and_norms: false,
            decay_biases_and_norms: false,
        }
    }
}

impl LarsOptions {
    pub(crate) fn validate(&self) -> Result<(), Refusal> {
        unless_kept("momentum", self.momentum, "SwAV uses 0.9")?;
        unless_not_negative("weight_decay", self.weight_decay, "SwAV uses 1e-6")?;
        unless_positive("trust", self.trust, "SwAV uses 0.001")
    }

    pub(crate) fn step(
        &self,
        slot: &mut Slot,
        gradient: &Tensor,
        learning_rate: f64,
        scalars: &mut Scalars,
    ) {
        let parameter = slot.parameter.tensor.detach();
        let one_dimension = slot.parameter.is_bias_or_norm();
        let weight_decay = if one_dimension && !self.decay_biases_and_norms {
            0.0
        } else {
            self.weight_decay
        };
        let direction = if one_dimension && !self.adapt_biases_and_norms {
            gradient.addcmul(&parameter, &scalars.beside(&parameter, weight_decay))
        } else {
            self.adapted(&parameter, gradient, weight_decay)
        };
        Descent {
            momentum: self.momentum,
            nesterov: self.nesterov,
            learning_rate,
        }
        .step(slot, parameter, &direction, scalars);
    }

    /// The direction with its length. The norms stay on their device: nothing waits for a GPU.
    fn adapted(&self, parameter: &Tensor, gradient: &Tensor, weight_decay: f64) -> Tensor {
        let (own, theirs) = (parameter.norm(), gradient.norm());
        let counts = own.not_equal(0).logical_and(&theirs.not_equal(0));
        let ratio = &own * self.trust / (&own * weight_decay + &theirs + EPSILON);
        let ratio = ratio.where_self(&counts, &ratio.ones_like());
        let decay = counts.to_kind(parameter.kind()) * weight_decay;
        gradient.addcmul(parameter, &decay).g_mul_(&ratio)
    }
}
