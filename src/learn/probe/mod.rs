//! Linear classifiers on frozen features, the standard measure of a representation: by L-BFGS to the optimum, or by
//! the paper's SGD protocol.
//!
//! Both run on cached features on the CPU, on one thread, keyed by the caller's generator: equal features give equal
//! bits on any number of threads.

use std::ops::ControlFlow;

use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};
use thiserror::Error;

use crate::lbfgs::{LbfgsOptions, minimise};
use crate::one_thread::with_one_thread;
use crate::random::{normal, permutation};
use crate::schedule::{Length, Schedule};
use crate::sgd::{Sgd, SgdOptions};

/// Rows per matrix product when logits are computed.
const BLOCK: i64 = 256;
/// Why no classifier was found.
#[derive(Debug, Error, PartialEq)]
pub enum ProbeError {
    #[error("no samples to train a classifier on")]
    Empty,
    #[error("sample {sample} has label {label}, expected 0 to below {classes}")]
    Label {
        sample: usize,
        label: i64,
        classes: usize,
    },
    #[error("features hold a value that is no finite number")]
    NotFinite,
    #[error(
        "the loss left the finite numbers in epoch {epoch}\nhint: lower the probe's learning rate"
    )]
    Diverged { epoch: u32 },
    #[error("stopped")]
    Stopped,
}

/// logits = features · weightᵀ + bias
#[derive(Debug)]
pub struct LinearClassifier {
    /// `[C, D]` f32
    pub weight: Tensor,
    /// `[C]` f32
    pub bias: Tensor,
}

/// A trained classifier and how it was reached.
#[derive(Debug)]
pub struct Fit {
    /// of raw features
    pub classifier: LinearClassifier,
    /// mean cross-entropy on the training samples: at the optimum (L-BFGS), over the last epoch (SGD)
    pub train_loss: f64,
    /// of L-BFGS, or epochs of SGD
    pub iterations: u32,
    /// whether L-BFGS reached its tolerance; always true of SGD
    pub converged: bool,
}

impl LinearClassifier {
    /// Logits; a row's bits depend on that row alone.
    ///
    /// # Shapes
    /// - `features`: `[N, D]` f32 on the CPU; returns `[N, C]`
    pub fn logits(&self, features: &Tensor) -> Tensor {
        let (weight, rows) = (self.weight.tr(), features.size()[0]);
        let classes = self.bias.size()[0];
        let logits = Tensor::empty([rows, classes], (Kind::Float, Device::Cpu));
        with_one_thread(|| {
            no_grad(|| {
                for start in (0..rows).step_by(BLOCK as usize) {
                    let valid = BLOCK.min(rows - start);
                    let block =
                        features
                            .narrow(0, start, valid)
                            .constant_pad_nd([0, 0, 0, BLOCK - valid]);
                    let block = self.bias.addmm(&block, &weight); // [BLOCK, C]
                    logits
                        .narrow(0, start, valid)
                        .copy_(&block.narrow(0, 0, valid));
                }
            });
        });
        logits
    }
}

fn check(features: &Tensor, labels: &[i64], classes: usize) -> Result<(), ProbeError> {
    assert!(
        features.dim() == 2
            && features.size()[0] as usize == labels.len()
            && features.kind() == Kind::Float,
        "BUG: features of shape {:?} and kind {:?} for {} labels",
        features.size(),
        features.kind(),
        labels.len()
    );
    if labels.is_empty() {
        return Err(ProbeError::Empty);
    }
    let impossible = |label: i64| usize::try_from(label).map_or(true, |label| label >= classes);
    if let Some((sample, &label)) = labels
        .iter()
        .enumerate()
        .find(|&(_, &label)| impossible(label))
    {
        return Err(ProbeError::Label {
            sample,
            label,
            classes,
        });
    }
    if features.isfinite().all().int64_value(&[]) == 0 {
        return Err(ProbeError::NotFinite);
    }
    Ok(())
}
