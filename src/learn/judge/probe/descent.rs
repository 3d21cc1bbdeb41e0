//! MoCo's and SEED's linear classifier (`main_lincls.py`): SGD with a large rate that falls twice, on
//! raw features, of another view of each image in each epoch where there are views.

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

/// The standard deviation of the first weights.
const INITIAL_DEVIATION: f64 = 0.01;

/// SGD on the raw features, the rate falling twice: the defaults are those of MoCo's and SEED's
/// `main_lincls.py`.
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

impl SgdProbe {
    /// Whether it can be followed, but for the counts.
    pub fn validate(&self) -> Result<(), Refusal> {
        OptimiserOptions::Sgd(self.descent()).validate()?;
        let key = match self.decay_epochs.is_sorted_by(|a, b| a < b) {
            true => "decay_factor",
            false => "decay_epochs",
        };
        let schedule = self.schedule().validate(self.epochs);
        schedule.map_err(|refusal| {
            refusal
                .key(key)
                .hint("60 and 80 of 100, and 0.1, are usual")
        })
    }

    fn descent(&self) -> SgdOptions {
        SgdOptions {
            momentum: self.momentum,
            weight_decay: self.weight_decay,
            nesterov: false,
            decay_biases_and_norms: true,
        }
    }

    fn schedule(&self) -> Schedule {
        Schedule::Steps {
            epochs: self.decay_epochs.clone(),
            factor: self.decay_factor,
            warmup_epochs: 0.0,
            per: Per::Epoch,
        }
    }
}

/// The classifier after all epochs. Weights start normal with deviation 0.01, biases at 0; `rng`
/// decides them and the samples' order in every epoch.
///
/// `on_epoch` is told each epoch and its mean loss; `Break` ends the training with an error.
///
/// # Shapes
/// - `features`: of an epoch, `[N, D]` f32 on the CPU; the same samples in each
/// - `labels`: N values of 0..classes
pub fn fit_sgd(
    features: &mut dyn FnMut(u32) -> Result<Tensor, Refusal>,
    labels: &[i64],
    classes: usize,
    options: &SgdProbe,
    rng: &mut ChaCha8Rng,
    on_epoch: &mut dyn FnMut(u32, f64) -> ControlFlow<()>,
) -> Result<Fit, Refusal> {
    let first = features(0)?;
    let classifier = LinearClassifier {
        weight: normal(&[classes as i64, first.size()[1]], rng) * INITIAL_DEVIATION,
        bias: Tensor::zeros([classes as i64], (Kind::Float, Device::Cpu)),
    };
    let mut first = Some(first);
    let mut features = |epoch| first.take().map_or_else(|| features(epoch), Ok);
    let mut order = || permutation(labels.len(), rng);
    descend(
        classifier,
        &mut features,
        labels,
        options,
        &mut order,
        on_epoch,
    )
}

/// - `order`: of the samples, in each epoch anew
fn descend(
    classifier: LinearClassifier,
    features: &mut dyn FnMut(u32) -> Result<Tensor, Refusal>,
    labels: &[i64],
    options: &SgdProbe,
    order: &mut dyn FnMut() -> Vec<u32>,
    on_epoch: &mut dyn FnMut(u32, f64) -> ControlFlow<()>,
) -> Result<Fit, Refusal> {
    assert!(
        options.batch > 0 && options.epochs > 0,
        "BUG: a batch and epochs above 0 are expected"
    );
    let LinearClassifier { weight, bias } = &classifier;
    let classes = bias.size()[0] as usize;
    let schedule = options.schedule();
    let length = Length {
        epochs: options.epochs,
        steps_per_epoch: 1,
    };
    let of_sample = Tensor::from_slice(labels);
    let parameters = [
        ("weight".to_owned(), weight.shallow_clone()),
        ("bias".to_owned(), bias.shallow_clone()),
    ];
    let mut sgd = Optimiser::new(parameters, &OptimiserOptions::Sgd(options.descent()));
    let mut train_loss = 0.0;
    for epoch in 0..options.epochs {
        let features = features(epoch)?;
        check(&features, labels, classes)?;
        let rate = schedule.learning_rate(options.learning_rate, 1.0, u64::from(epoch), length);
        let order: Vec<i64> = order().into_iter().map(i64::from).collect();
        let mut sum = 0.0;
        let mut step = |batch: &[i64]| {
            let picked = Tensor::from_slice(batch);
            let (x, y) = (
                features.index_select(0, &picked),
                of_sample.index_select(0, &picked).unsqueeze(1),
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
        };
        with_one_thread(|| no_grad(|| order.chunks(options.batch).for_each(&mut step)));
        train_loss = sum / labels.len() as f64;
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
    Ok(Fit {
        classifier,
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
    use crate::testing::golden::Fixture;
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
        let mut same = |_| Ok(features.shallow_clone());
        let fit = fit_sgd(&mut same, &labels, 4, &options, &mut rng, &mut |_, _| {
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

    /// Of `main_lincls.py`'s way by torch.optim.SGD (tests/reference/linear_probe.py): weights after
    /// each epoch, over views that come again, steps of the rate, and a batch that is not full.
    #[test]
    fn the_way_is_that_of_pytorch_over_views_and_falling_rates() {
        let golden = Fixture::of_testdata("linear_probe");
        let labels: Vec<i64> = serde_json::from_value(golden.json["labels"].clone()).unwrap();
        let orders: Vec<Vec<u32>> = serde_json::from_value(golden.json["orders"].clone()).unwrap();
        for case in golden.json["cases"].as_array().unwrap() {
            let options: SgdProbe = serde_json::from_value(case["options"].clone()).unwrap();
            options.validate().unwrap();
            let views = case["views"].as_u64().unwrap() as u32;
            let name = case["name"].as_str().unwrap();
            let classifier = LinearClassifier {
                weight: golden.tensor("start"),
                bias: Tensor::zeros([4], (Kind::Float, Device::Cpu)),
            };
            let way = classifier.weight.shallow_clone();
            let mut features = |epoch| Ok(golden.tensor(&format!("view.{}", epoch % views)));
            let mut orders = orders.iter().cloned();
            let fit = descend(
                classifier,
                &mut features,
                &labels,
                &options,
                &mut || orders.next().unwrap(),
                &mut |epoch, loss| {
                    let expected = case["losses"][epoch as usize].as_f64().unwrap();
                    assert!(
                        (loss / expected - 1.0).abs() < 1e-5,
                        "{name} {epoch}: {loss}, {expected}"
                    );
                    golden.assert_gradient(name, &way, &format!("{name}.weight.{epoch}"), 1e-5);
                    ControlFlow::Continue(())
                },
            );
            let bias = fit.unwrap().classifier.bias;
            golden.assert_gradient(name, &bias, &format!("{name}.bias"), 1e-5);
        }
    }

    #[test]
    fn what_no_descent_follows_is_refused_by_its_key() {
        let refused = |options: SgdProbe| options.validate().unwrap_err().key.clone();
        for (key, options) in [
            (
                "momentum",
                SgdProbe {
                    momentum: 1.0,
                    ..SgdProbe::default()
                },
            ),
            (
                "weight_decay",
                SgdProbe {
                    weight_decay: -1.0,
                    ..SgdProbe::default()
                },
            ),
            (
                "decay_epochs",
                SgdProbe {
                    decay_epochs: vec![80, 60],
                    ..SgdProbe::default()
                },
            ),
            (
                "decay_factor",
                SgdProbe {
                    decay_factor: 0.0,
                    ..SgdProbe::default()
                },
            ),
        ] {
            assert_eq!(refused(options).as_deref(), Some(key));
        }
        SgdProbe::default().validate().unwrap();
    }
}
