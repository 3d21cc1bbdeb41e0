//! Stochastic gradient descent as PyTorch's `torch.optim.SGD`: momentum without dampening, weight decay added to
//! the gradient, optionally Nesterov's look-ahead.
//!
//! ```text
//! g ← gradient + weight_decay · p      v ← g at the first step, else momentum · v + g
//! p ← p − lr · v                       (Nesterov: p ← p − lr · (g + momentum · v))
//! ```
//!
//! Every operation is elementwise: equal inputs give equal bits, whatever the number of threads.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};
use thiserror::Error;

use crate::optimiser::OptionError;

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
}

impl Default for SgdOptions {
    fn default() -> Self {
        Self {
            momentum: 0.9,
            weight_decay: 1e-4,
            nesterov: false,
        }
    }
}

impl SgdOptions {
    pub fn validate(&self) -> Result<(), OptionError> {
        if !(0.0..1.0).contains(&self.momentum) {
            return Err(OptionError {
                key: "momentum",
                expected: "at least 0 and below 1",
                got: self.momentum,
                hint: "SEED uses 0.9",
            });
        }
        if !(self.weight_decay >= 0.0 && self.weight_decay.is_finite()) {
            return Err(OptionError {
                key: "weight_decay",
                expected: "at least 0",
                got: self.weight_decay,
                hint: "SEED uses 1e-4",
            });
        }
        Ok(())
    }
}

/// Momentum buffers that don't fit the parameters.
#[derive(Debug, Error)]
pub enum SgdError {
    #[error("momentum buffers do not fit the network: missing {missing:?}, left over {extra:?}")]
    Names {
        missing: Vec<String>,
        extra: Vec<String>,
    },
    #[error("momentum buffer `{name}` has shape {got:?}, expected {expected:?}")]
    Shape {
        name: String,
        expected: Vec<i64>,
        got: Vec<i64>,
    },
}

/// The optimiser: parameters that it changes in place, and their momentum buffers.
#[derive(Debug)]
pub struct Sgd {
    slots: Vec<Slot>,
    options: SgdOptions,
}

#[derive(Debug)]
struct Slot {
    name: String,
    parameter: Tensor,
    /// v; absent before the parameter's first step
    velocity: Option<Tensor>,
}

impl Sgd {
    /// An optimiser of leaf tensors that require gradients.
    pub fn new(parameters: Vec<(String, Tensor)>, options: SgdOptions) -> Self {
        let slots = parameters
            .into_iter()
            .map(|(name, parameter)| Slot {
                name,
                parameter,
                velocity: None,
            })
            .collect();
        Self { slots, options }
    }

    /// Sets all gradients to zero; to be called before `backward`.
    pub fn zero_grad(&mut self) {
        for slot in &mut self.slots {
            slot.parameter.zero_grad();
        }
    }

    /// One step against the gradients; parameters without one are left alone.
    pub fn step(&mut self, learning_rate: f64) {
        let gradients: Vec<Tensor> = self
            .slots
            .iter()
            .map(|slot| slot.parameter.grad())
            .collect();
        self.step_with(&gradients, learning_rate);
    }

    /// One step against the given gradients, one per parameter in the order of [`Sgd::new`]; undefined ones are skipped.
    pub(crate) fn step_with(&mut self, gradients: &[Tensor], learning_rate: f64) {
        assert_eq!(
            gradients.len(),
            self.slots.len(),
            "BUG: one gradient per parameter"
        );
        no_grad(|| {
            let mut numbers: Option<Numbers> = None;
            for (slot, gradient) in self.slots.iter_mut().zip(gradients) {
                if gradient.defined() {
                    let numbers = match numbers.take() {
                        Some(known) if known.fit(&slot.parameter) => numbers.insert(known),
                        _ => numbers.insert(Numbers::new(
                            &slot.parameter,
                            learning_rate,
                            self.options,
                        )),
                    };
                    slot.step(gradient, numbers, self.options);
                }
            }
        });
    }

    /// The buffers that exist, live: none before the first step.
    pub fn momentum_buffers(&self) -> Vec<(String, Tensor)> {
        self.slots
            .iter()
            .filter_map(|slot| Some((slot.name.clone(), slot.velocity.as_ref()?.shallow_clone())))
            .collect()
    }

    /// Takes over a checkpoint's buffers (copied): those of all parameters, or none at all.
    pub fn load_momentum_buffers(
        &mut self,
        mut buffers: BTreeMap<String, Tensor>,
    ) -> Result<(), SgdError> {
        if buffers.is_empty() {
            self.slots.iter_mut().for_each(|slot| slot.velocity = None);
            return Ok(());
        }
        let missing: Vec<String> = self
            .slots
            .iter()
            .map(|slot| slot.name.clone())
            .filter(|name| !buffers.contains_key(name))
            .collect();
        let mut found = Vec::with_capacity(self.slots.len());
        for slot in &self.slots {
            let Some(buffer) = buffers.remove(&slot.name) else {
                continue;
            };
            if buffer.size() != slot.parameter.size() {
                let (expected, got) = (slot.parameter.size(), buffer.size());
                return Err(SgdError::Shape {
                    name: slot.name.clone(),
                    expected,
                    got,
                });
            }
            found.push(buffer);
        }
        if !missing.is_empty() || !buffers.is_empty() {
            return Err(SgdError::Names {
                missing,
                extra: buffers.into_keys().collect(),
            });
        }
        no_grad(|| {
            for (slot, buffer) in self.slots.iter_mut().zip(found) {
                let mut velocity = slot.parameter.detach().zeros_like();
                velocity.copy_(&buffer);
                slot.velocity = Some(velocity);
            }
        });
        Ok(())
    }
}

/// Factors as tensors beside the parameters: one pass multiplies and adds, and a step moves them to a GPU once.
struct Numbers {
    kind: Kind,
    device: Device,
    /// minus the learning rate
    against: Tensor,
    decay: Tensor,
    momentum: Tensor,
}

impl Numbers {
    fn new(parameter: &Tensor, learning_rate: f64, options: SgdOptions) -> Self {
        let (kind, device) = (parameter.kind(), parameter.device());
        let scalar = |value: f64| Tensor::from(value).to_kind(kind).to_device(device);
        Self {
            kind,
            device,
            against: scalar(-learning_rate),
            decay: scalar(options.weight_decay),
            momentum: scalar(options.momentum),
        }
    }

    fn fit(&self, parameter: &Tensor) -> bool {
        (self.kind, self.device) == (parameter.kind(), parameter.device())
    }
}

impl Slot {
    fn step(&mut self, gradient: &Tensor, numbers: &Numbers, options: SgdOptions) {
        let SgdOptions {
            momentum,
            weight_decay,
            nesterov,
        } = options;
        let mut parameter = self.parameter.detach();
        let decayed = if weight_decay == 0.0 {
            gradient.detach()
        } else {
            gradient.addcmul(&parameter, &numbers.decay)
        };
        let against = &numbers.against;
        if momentum == 0.0 {
            let _ = parameter.addcmul_(&decayed, against);
            return;
        }
        let velocity = match self.velocity.take() {
            None => decayed.copy(),
            Some(mut velocity) => {
                let _ = velocity.g_mul_scalar_(momentum).g_add_(&decayed);
                velocity
            }
        };
        if nesterov {
            let ahead = decayed.addcmul(&velocity, &numbers.momentum);
            let _ = parameter.addcmul_(&ahead, against);
        } else {
            let _ = parameter.addcmul_(&velocity, against);
        }
        self.velocity = Some(velocity);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A parameter p = (1, −2) under the loss sum(3 p): its gradient is 3 everywhere.
    fn constant_gradient(options: SgdOptions) -> (Tensor, Sgd, impl Fn(&Tensor)) {
        let parameter = Tensor::from_slice(&[1.0f64, -2.0]).set_requires_grad(true);
        let sgd = Sgd::new(vec![("p".into(), parameter.shallow_clone())], options);
        (parameter, sgd, |parameter: &Tensor| {
            (parameter * 3.0).sum(None::<Kind>).backward()
        })
    }

    fn values(tensor: &Tensor) -> Vec<f64> {
        Vec::try_from(tensor.detach().to_kind(Kind::Double)).unwrap()
    }

    fn assert_values(tensor: &Tensor, expected: &[f64]) {
        let got = values(tensor);
        assert!(
            got.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-14),
            "{got:?} {expected:?}"
        );
    }

    #[test]
    fn momentum_and_weight_decay_counted_by_hand() {
        let (parameter, mut sgd, backward) = constant_gradient(SgdOptions {
            momentum: 0.5,
            weight_decay: 0.1,
            nesterov: false,
        });
        backward(&parameter);
        sgd.step(0.1);
        // g = (3.1, 2.8) = v; p = (1 − 0.31, −2 − 0.28)
        assert_values(&parameter, &[0.69, -2.28]);
        sgd.zero_grad();
        backward(&parameter);
        sgd.step(0.1);
        // g = (3.069, 2.772); v = (4.619, 4.172)
        assert_values(&parameter, &[0.2281, -2.6972]);
        assert_values(&sgd.momentum_buffers()[0].1, &[4.619, 4.172]);
    }

    #[test]
    fn nesterov_looks_ahead() {
        let (parameter, mut sgd, backward) = constant_gradient(SgdOptions {
            momentum: 0.5,
            weight_decay: 0.0,
            nesterov: true,
        });
        backward(&parameter);
        sgd.step(0.1);
        // v = 3; step 3 + 0.5 · 3
        assert_values(&parameter, &[0.55, -2.45]);
        sgd.zero_grad();
        backward(&parameter);
        sgd.step(0.1);
        // v = 4.5; step 3 + 2.25
        assert_values(&parameter, &[0.025, -2.975]);
    }

    #[test]
    fn without_momentum_there_is_no_buffer() {
        let (parameter, mut sgd, backward) = constant_gradient(SgdOptions {
            momentum: 0.0,
            weight_decay: 0.0,
            nesterov: false,
        });
        backward(&parameter);
        sgd.step(1.0);
        assert_values(&parameter, &[-2.0, -5.0]);
        assert!(sgd.momentum_buffers().is_empty());
    }

    #[test]
    fn a_parameter_without_gradient_is_left_alone() {
        let (parameter, mut sgd, _) = constant_gradient(SgdOptions::default());
        sgd.step(1.0);
        assert_values(&parameter, &[1.0, -2.0]);
        assert!(sgd.momentum_buffers().is_empty());
    }

    #[test]
    fn loaded_buffers_continue_bit_for_bit() {
        let start = |seed: u64| {
            let mut rng =
                <rand_chacha::ChaCha8Rng as rand_chacha::rand_core::SeedableRng>::seed_from_u64(
                    seed,
                );
            crate::random::normal(&[50], &mut rng)
        };
        let step = |parameter: &Tensor, sgd: &mut Sgd| {
            sgd.zero_grad();
            parameter.pow_tensor_scalar(4).sum(None::<Kind>).backward();
            sgd.step(0.01);
        };
        let straight = start(1).set_requires_grad(true);
        let mut sgd = Sgd::new(
            vec![("w".into(), straight.shallow_clone())],
            SgdOptions::default(),
        );
        (0..3).for_each(|_| step(&straight, &mut sgd));
        let resumed = straight.detach().copy().set_requires_grad(true);
        let mut other = Sgd::new(
            vec![("w".into(), resumed.shallow_clone())],
            SgdOptions::default(),
        );
        other
            .load_momentum_buffers(sgd.momentum_buffers().into_iter().collect())
            .unwrap();
        (0..3).for_each(|_| step(&straight, &mut sgd));
        (0..3).for_each(|_| step(&resumed, &mut other));
        assert_eq!(straight, resumed);
    }

    #[test]
    fn buffers_of_another_network_are_refused() {
        let (_, mut sgd, _) = constant_gradient(SgdOptions::default());
        let zeros = |length: i64| Tensor::zeros([length], (Kind::Double, Device::Cpu));
        let mut load = |name: &str, length| {
            sgd.load_momentum_buffers(BTreeMap::from([(name.into(), zeros(length))]))
        };
        let message = load("q", 2).unwrap_err().to_string();
        assert_eq!(
            message,
            r#"momentum buffers do not fit the network: missing ["p"], left over ["q"]"#
        );
        let message = load("p", 3).unwrap_err().to_string();
        assert_eq!(message, "momentum buffer `p` has shape [3], expected [2]");
        load("p", 2).unwrap();
    }
}
