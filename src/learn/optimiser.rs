//! What moves the weights against their gradients, chosen by name.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::Tensor;

use crate::sgd::{Sgd, SgdError, SgdOptions};

/// The rule of an update and its numbers, apart from the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OptimiserOptions {
    /// Stochastic gradient descent with momentum
    Sgd(SgdOptions),
}

impl Default for OptimiserOptions {
    fn default() -> Self {
        Self::Sgd(SgdOptions::default())
    }
}

/// A number of [`OptimiserOptions`] that cannot be: its key, what is expected, what it is, and what people use.
#[derive(Debug, PartialEq)]
pub struct OptionError {
    pub key: &'static str,
    pub expected: &'static str,
    pub got: f64,
    pub hint: &'static str,
}

impl OptimiserOptions {
    pub fn validate(&self) -> Result<(), OptionError> {
        match self {
            Self::Sgd(options) => options.validate(),
        }
    }
}

/// Parameters with their optimiser's memory of earlier steps.
#[derive(Debug)]
pub enum Optimiser {
    Sgd(Sgd),
}

impl Optimiser {
    /// An optimiser of leaf tensors that require gradients.
    pub fn new(parameters: Vec<(String, Tensor)>, options: &OptimiserOptions) -> Self {
        match options {
            OptimiserOptions::Sgd(options) => Self::Sgd(Sgd::new(parameters, *options)),
        }
    }

    /// Sets all gradients to zero; to be called before `backward`.
    pub fn zero_grad(&mut self) {
        match self {
            Self::Sgd(sgd) => sgd.zero_grad(),
        }
    }

    /// One step against the gradients; parameters without one are left alone.
    pub fn step(&mut self, learning_rate: f64) {
        match self {
            Self::Sgd(sgd) => sgd.step(learning_rate),
        }
    }

    /// The memory of earlier steps, live: none before the first.
    pub fn buffers(&self) -> Vec<(String, Tensor)> {
        match self {
            Self::Sgd(sgd) => sgd.momentum_buffers(),
        }
    }

    /// Takes over a checkpoint's memory (copied): that of all parameters, or none at all.
    pub fn load_buffers(&mut self, buffers: BTreeMap<String, Tensor>) -> Result<(), SgdError> {
        match self {
            Self::Sgd(sgd) => sgd.load_momentum_buffers(buffers),
        }
    }
}
