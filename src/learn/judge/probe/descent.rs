//! The paper's protocol for a linear classifier: SGD with a large rate that falls twice, on raw
//! features.

use std::ops::ControlFlow;

use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use super::{Fit, LinearClassifier, check};
use crate::torch::one_thread::with_one_thread;
use crate::torch::random::{normal, permutation};
use crate::training::optimiser::{Optimiser, OptimiserOptions};
use crate::training::schedule::{Length, Per, Schedule};
use crate::training::sgd::SgdOptions;

/// The standard deviation of the SGD protocol's first weights.
const INITIAL_DEVIATION: f64 = 0.01;

/// The paper's protocol: SGD on the raw features, the rate falling twice.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SgdProbe {
    /// Learning rate at the start (30 for ResNets)
    pub learning_rate: f64,
    /// Momentum, 0 to below 1
    pub momentum: f64,
    /// Weight decay
    pub weight_decay: f64,
    /// Samples per step; the last step of an epoch takes what is left
    pub batch: usize,
    /// Passes over the samples
    pub epochs: u32,
    /// Epochs at which the rate falls
    pub decay_epochs: Vec<u32>,
    /// What the rate is multiplied by then
    pub decay_factor: f64,
}

impl Default for SgdProbe {
    fn default() -> Self {
        Self {
            learning_rate: 30.0,
            momentum: 0.9,
            weight_decay: 0.0,
            batch: 256,
            epochs: 100,
            decay_epochs: vec![60, 80],
            decay_factor: 0.1,
        }
    }
}

/// The paper's SGD protocol on cached features: weights start normal with deviation 0.01, biases at
/// 0; `rng` decides them and the samples' order in every epoch.
///
/// `on_epoch` is told each epoch and its mean loss; `Break` ends the training with an error.
///
/// # Shapes
/// - `features`: `[N, D]` f32 on the CPU; `labels`: N values of 0..classes
pub fn fit_sgd(
    features: &Tensor,
    labels: &[i64],
    classes: usize,
    options: &SgdProbe,
    rng: &mut ChaCha8Rng,
    on_epoch: &mut dyn FnMut(u32, f64) -> ControlFlow<()>,
) -> Result<Fit, Refusal> {
    check(features, labels, classes)?;
    assert!(
        options.batch > 0 && options.epochs > 0,
        "BUG: a batch and epochs above 0 are expected"
    );
    let samples = labels.len();
    let schedule = Schedule::Steps {
        epochs: options.decay_epochs.clone(),
        factor: options.decay_factor,
        warmup_epochs: 0.0,
        per: Per::Step,
    };
    let length = Length {
        epochs: options.epochs,
        steps_per_epoch: 1,
    };
    let labels = Tensor::from_slice(labels);
    let weight = normal(&[classes as i64, features.size()[1]], rng) * INITIAL_DEVIATION;
    let bias = Tensor::zeros([classes as i64], (Kind::Float, Device::Cpu));
    let descent = SgdOptions {
        momentum: options.momentum,
        weight_decay: options.weight_decay,
        nesterov: false,
        ..SgdOptions::default()
    };
    let parameters = [
        ("weight".to_owned(), weight.shallow_clone()),
        ("bias".to_owned(), bias.shallow_clone()),
    ];
    let mut sgd = Optimiser::new(parameters, &OptimiserOptions::Sgd(descent));
    let mut train_loss = 0.0;
    with_one_thread(|| {
        no_grad(|| {
            for epoch in 0..options.epochs {
                let rate =
                    schedule.learning_rate(options.learning_rate, 1.0, u64::from(epoch), length);
                let order: Vec<i64> = permutation(samples, rng)
                    .into_iter()
                    .map(i64::from)
                    .collect();
                let mut sum = 0.0;
                for batch in order.chunks(options.batch) {
                    let picked = Tensor::from_slice(batch);
                    let (x, y) = (
                        features.index_select(0, &picked),
                        labels.index_select(0, &picked).unsqueeze(1),
                    );
                    let log_probability = bias.addmm(&x, &weight.tr()).log_softmax(1, None::<Kind>); // [batch, C]
                    let own = log_probability.gather(1, &y, false); // [batch, 1]
                    sum -= own.sum(Kind::Double).double_value(&[]);
                    let mut residual = log_probability.exp();
                    let _ = residual.scatter_add_(1, &y, &(own.ones_like() * -1.0));
                    let residual = residual / batch.len() as f64; // [batch, C], the loss's gradient by the logits
                    sgd.step_with(
                        &[
                            residual.tr().matmul(&x),
                            residual.sum_dim_intlist(0, false, None),
                        ],
                        rate,
                    );
                }
                train_loss = sum / samples as f64;
                if !train_loss.is_finite() {
                    return Err(Refusal::failure(format!(
                        "the loss left the finite numbers in epoch {epoch}"
                    ))
                    .hint("lower the probe's learning rate"));
                }
                if on_epoch(epoch, train_loss).is_break() {
                    return Err(Refusal::failure("stopped"));
                }
            }
            Ok(())
        })
    })?;
    Ok(Fit {
        classifier: LinearClassifier { weight, bias },
        train_loss,
        iterations: options.epochs,
        converged: true,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::metrics::evaluate;
    use crate::judge::probe::tests::clouds;
    use crate::judge::probe::{LbfgsProbe, fit_lbfgs};
    use rand_chacha::rand_core::SeedableRng;

    #[test]
    fn sgd_comes_close_to_the_optimum() {
        let (features, labels) = clouds(2000, 8, 4, 5);
        let options = LbfgsProbe {
            l2: 0.0,
            ..LbfgsProbe::default()
        };
        let best = fit_lbfgs(&features, &labels, 4, &options).unwrap();
        let options = SgdProbe {
            learning_rate: 0.5,
            ..SgdProbe::default()
        };
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        let mut epochs = 0;
        let fit = fit_sgd(&features, &labels, 4, &options, &mut rng, &mut |_, _| {
            epochs += 1;
            ControlFlow::Continue(())
        })
        .unwrap();
        assert_eq!(epochs, 100);
        assert!(fit.train_loss > best.train_loss && fit.train_loss < best.train_loss + 0.01);
        let accuracy =
            |fit: &Fit| evaluate(&fit.classifier.logits(&features), &labels, &[0, 1, 2, 3]).top1;
        assert!((accuracy(&fit) - accuracy(&best)).abs() < 0.01);
    }
}
