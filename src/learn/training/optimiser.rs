//! What moves the weights against their gradients, chosen by name. The rules themselves are in
//! `sgd`, `adamw` and `lars`.
//!
//! Every rule is elementwise, apart from LARS's norms: equal inputs give equal bits. What a rule
//! remembers of earlier steps is in [`Optimiser::buffers`], and a training that takes them over
//! goes on bit for bit.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use crate::torch::shim;
use crate::training::adamw::AdamWOptions;
pub use crate::training::lars::LarsOptions;
pub use crate::training::parameters::Parameter;
use crate::training::parameters::Scalars;
use crate::training::sgd::SgdOptions;

/// The rule of an update and its numbers, apart from the learning rate.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum OptimiserOptions {
    /// Stochastic gradient descent with momentum
    Sgd(SgdOptions),
    /// Adam with weight decay apart from the gradient
    #[serde(rename = "adamw")]
    AdamW(AdamWOptions),
    /// Momentum on gradients whose length follows the weights' own, for large batches
    Lars(LarsOptions),
}

impl Default for OptimiserOptions {
    fn default() -> Self {
        Self::Sgd(SgdOptions::default())
    }
}

// Numbers of an optimiser that cannot be, with what people use.

/// A share of the last step that is kept.
pub(crate) fn unless_kept(key: &str, got: f64, hint: &str) -> Result<(), Refusal> {
    let expected = "at least 0 and below 1";
    unless((0.0..1.0).contains(&got), key, expected, got, hint)
}

pub(crate) fn unless_positive(key: &str, got: f64, hint: &str) -> Result<(), Refusal> {
    unless(got > 0.0 && got.is_finite(), key, "above 0", got, hint)
}

pub(crate) fn unless_not_negative(key: &str, got: f64, hint: &str) -> Result<(), Refusal> {
    unless(got >= 0.0 && got.is_finite(), key, "at least 0", got, hint)
}

fn unless(possible: bool, key: &str, expected: &str, got: f64, hint: &str) -> Result<(), Refusal> {
    if possible {
        return Ok(());
    }
    Err(Refusal::expected(expected, got).key(key).hint(hint))
}

impl OptimiserOptions {
    pub fn validate(&self) -> Result<(), Refusal> {
        match self {
            Self::Sgd(options) => options.validate(),
            Self::AdamW(options) => options.validate(),
            Self::Lars(options) => options.validate(),
        }
    }

    /// Numbers that are remembered of each of a parameter's between steps.
    pub fn remembered(&self) -> usize {
        self.memory().len()
    }

    /// What is remembered of a parameter between steps.
    fn memory(&self) -> &'static [Remembered] {
        match self {
            Self::Sgd(_) => crate::training::sgd::MEMORY,
            Self::AdamW(_) => crate::training::adamw::MEMORY,
            Self::Lars(_) => crate::training::lars::MEMORY,
        }
    }
}

/// A tensor that a rule remembers of a parameter.
pub(crate) enum Remembered {
    /// Of the parameter's shape; what is appended to its name.
    Alike(&'static str),
    /// A number of steps, `[]` i64 on the CPU; what is appended to the name.
    Count(&'static str),
}

/// Parameters, which it changes in place, and what it remembers of earlier steps.
#[derive(Debug)]
pub struct Optimiser {
    slots: Vec<Slot>,
    options: OptimiserOptions,
}

/// A parameter with its memory.
#[derive(Debug)]
pub(crate) struct Slot {
    pub parameter: Parameter,
    /// As [`OptimiserOptions::memory`] lists them; empty before the parameter's first step.
    pub memory: Vec<Tensor>,
}

impl Optimiser {
    /// An optimiser of leaf tensors that require gradients. Those with a learning-rate factor of 0
    /// ask for none any more, and are left alone from then on.
    pub fn new(
        parameters: impl IntoIterator<Item = impl Into<Parameter>>,
        options: &OptimiserOptions,
    ) -> Self {
        let mut slots = Vec::new();
        for parameter in parameters {
            let parameter: Parameter = parameter.into();
            if parameter.learning_rate_factor == 0.0 {
                let _ = parameter.tensor.set_requires_grad(false);
            } else {
                let memory = Vec::new();
                slots.push(Slot { parameter, memory });
            }
        }
        Self {
            slots,
            options: *options,
        }
    }

    /// Sets all gradients to zero; to be called before `backward`.
    pub fn zero_grad(&mut self) {
        for slot in &mut self.slots {
            slot.parameter.tensor.zero_grad();
        }
    }

    /// Length of all gradients together, as `torch.nn.utils.get_total_norm`; infinite or NaN when
    /// one of them is.
    pub fn gradient_norm(&self) -> f64 {
        shim::gradient_norm(&self.tensors())
            .unwrap_or_else(|error| panic!("BUG: the norm of gradients: {error}"))
    }

    /// Multiplies all gradients.
    pub fn scale_gradients(&mut self, factor: f64) {
        shim::scale_gradients(&self.tensors(), factor)
            .unwrap_or_else(|error| panic!("BUG: scaling gradients: {error}"));
    }

    fn tensors(&self) -> Vec<&Tensor> {
        let tensors = self.slots.iter().map(|slot| &slot.parameter.tensor);
        tensors.collect()
    }

    /// One step against the gradients; parameters without one are left alone.
    pub fn step(&mut self, learning_rate: f64) {
        let gradients: Vec<Tensor> = self
            .slots
            .iter()
            .map(|slot| slot.parameter.tensor.grad())
            .collect();
        self.step_with(&gradients, learning_rate);
    }

    /// One step against the given gradients, one per parameter in the order of [`Optimiser::new`];
    /// undefined ones are skipped.
    pub(crate) fn step_with(&mut self, gradients: &[Tensor], learning_rate: f64) {
        assert_eq!(
            gradients.len(),
            self.slots.len(),
            "BUG: one gradient per parameter"
        );
        let mut scalars = Scalars::default();
        no_grad(|| {
            for (slot, gradient) in self.slots.iter_mut().zip(gradients) {
                if !gradient.defined() {
                    continue;
                }
                let rate = learning_rate * slot.parameter.learning_rate_factor;
                match &self.options {
                    OptimiserOptions::Sgd(options) => {
                        options.step(slot, gradient, rate, &mut scalars);
                    }
                    OptimiserOptions::AdamW(options) => {
                        options.step(slot, gradient, rate, &mut scalars);
                    }
                    OptimiserOptions::Lars(options) => {
                        options.step(slot, gradient, rate, &mut scalars);
                    }
                }
            }
        });
    }

    /// The memory of earlier steps, live: none of a parameter before its first.
    pub fn buffers(&self) -> Vec<(String, Tensor)> {
        let mut buffers = Vec::new();
        for slot in &self.slots {
            for (remembered, tensor) in self.options.memory().iter().zip(&slot.memory) {
                let name = remembered.name(&slot.parameter.name);
                buffers.push((name, tensor.shallow_clone()));
            }
        }
        buffers
    }

    /// Takes over a checkpoint's memory (copied). A parameter may have none, as before its first
    /// step, but not a part of it.
    pub fn load_buffers(&mut self, mut buffers: BTreeMap<String, Tensor>) -> Result<(), Refusal> {
        let (mut loaded, mut missing) = (Vec::new(), Vec::new());
        for slot in &self.slots {
            let (mut memory, mut lacks) = (Vec::new(), Vec::new());
            for remembered in self.options.memory() {
                let name = remembered.name(&slot.parameter.name);
                match buffers.remove(&name) {
                    None => lacks.push(name),
                    Some(buffer) => memory.push(remembered.like(&slot.parameter, name, &buffer)?),
                }
            }
            if !memory.is_empty() {
                missing.append(&mut lacks);
            }
            loaded.push(memory);
        }
        if !missing.is_empty() || !buffers.is_empty() {
            let extra: Vec<String> = buffers.into_keys().collect();
            return Err(Refusal::failure(format!(
                "optimiser buffers do not fit the network: missing {missing:?}, left over {extra:?}"
            )));
        }
        for (slot, memory) in self.slots.iter_mut().zip(loaded) {
            slot.memory = memory;
        }
        Ok(())
    }
}

impl Remembered {
    fn name(&self, parameter: &str) -> String {
        match self {
            Self::Alike(suffix) | Self::Count(suffix) => format!("{parameter}{suffix}"),
        }
    }

    /// A copy of a checkpoint's buffer as it lies beside the parameter.
    fn like(
        &self,
        parameter: &Parameter,
        name: String,
        buffer: &Tensor,
    ) -> Result<Tensor, Refusal> {
        let mut copy = match self {
            Self::Alike(_) => parameter.tensor.detach().zeros_like(),
            Self::Count(_) => Tensor::zeros([], (Kind::Int64, Device::Cpu)),
        };
        if buffer.size() != copy.size() {
            let (got, expected) = (buffer.size(), copy.size());
            return Err(Refusal::failure(format!(
                "optimiser buffer `{name}` has shape {got:?}, expected {expected:?}"
            )));
        }
        no_grad(|| copy.copy_(buffer));
        Ok(copy)
    }
}

/// What gradients of this norm are multiplied by to be at most `bound` long, as
/// `torch.nn.utils.clip_grad_norm_` counts it.
pub fn clipping(norm: f64, bound: f64) -> f64 {
    (bound / (norm + 1e-6)).min(1.0)
}

#[cfg(test)]
#[path = "optimiser_tests.rs"]
mod tests;
