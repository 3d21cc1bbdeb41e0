//! Linear classifiers on frozen features, the standard measure of a representation: by L-BFGS to
//! the optimum, or by SGD as papers of self-supervised learning have it.
//!
//! Both run on cached features on the CPU, on one thread, keyed by the caller's generator: equal
//! features give equal bits on any number of threads.

mod curvature;
mod descent;
mod problem;
mod regression;

use seedpipe_base::Refusal;
use tch::{Device, Kind, Tensor, no_grad};

use crate::torch::one_thread::with_one_thread;

pub use descent::{SgdProbe, fit_sgd};
pub use regression::{LbfgsProbe, fit_lbfgs};

/// Rows per matrix product when logits are computed.
const BLOCK: i64 = 256;

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
    /// mean cross-entropy on the training samples: at the optimum (L-BFGS), over the last epoch
    /// (SGD)
    pub train_loss: f64,
    /// of L-BFGS, or epochs of SGD
    pub iterations: u32,
    /// whether L-BFGS reached its tolerance; always true of SGD
    pub converged: bool,
}

impl LinearClassifier {
    /// Of features that are logits already.
    pub fn identity(classes: usize) -> LinearClassifier {
        let options = (Kind::Float, Device::Cpu);
        LinearClassifier {
            weight: Tensor::eye(classes as i64, options),
            bias: Tensor::zeros([classes as i64], options),
        }
    }

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

fn check(features: &Tensor, labels: &[i64], classes: usize) -> Result<(), Refusal> {
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
        return Err(Refusal::failure("no samples to train a classifier on"));
    }
    let impossible = |label: i64| usize::try_from(label).map_or(true, |label| label >= classes);
    if let Some((sample, &label)) = labels
        .iter()
        .enumerate()
        .find(|&(_, &label)| impossible(label))
    {
        return Err(Refusal::failure(format!(
            "sample {sample} has label {label}, expected 0 to below {classes}"
        )));
    }
    if features.isfinite().all().int64_value(&[]) == 0 {
        return Err(Refusal::failure(
            "features hold a value that is no finite number",
        ));
    }
    Ok(())
}

#[cfg(test)]
pub(in crate::judge::probe) mod tests {
    use std::ops::ControlFlow;

    use super::*;
    use crate::torch::random::normal;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    /// Classes round random centres, overlapping.
    pub(in crate::judge::probe) fn clouds(
        samples: i64,
        dimension: i64,
        classes: i64,
        key: u64,
    ) -> (Tensor, Vec<i64>) {
        let mut rng = ChaCha8Rng::seed_from_u64(key);
        let centres = normal(&[classes, dimension], &mut rng);
        let labels: Vec<i64> = (0..samples).map(|sample| sample % classes).collect();
        let features = centres.index_select(0, &Tensor::from_slice(&labels))
            + normal(&[samples, dimension], &mut rng) * 2.0;
        (features * 0.3 + 1.0, labels)
    }

    #[test]
    fn threads_and_batching_change_no_bit() {
        let (features, labels) = clouds(3000, 40, 5, 7);
        let before = tch::get_num_threads();
        let run = |threads| {
            tch::set_num_threads(threads);
            let optimum = fit_lbfgs(&features, &labels, 5, &LbfgsProbe::default())
                .unwrap()
                .classifier;
            let options = SgdProbe {
                epochs: 3,
                learning_rate: 0.1,
                ..SgdProbe::default()
            };
            let mut rng = ChaCha8Rng::seed_from_u64(8);
            let mut same = |_| Ok(features.shallow_clone());
            let sgd = fit_sgd(&mut same, &labels, 5, &options, &mut rng, &mut |_, _| {
                ControlFlow::Continue(())
            });
            let sgd = sgd.unwrap().classifier;
            let logits = optimum.logits(&features);
            assert_eq!(
                optimum.logits(&features.narrow(0, 256, 3)),
                logits.narrow(0, 256, 3)
            );
            [optimum.weight, optimum.bias, sgd.weight, sgd.bias, logits]
        };
        let (one, two) = (run(1), run(2));
        assert_eq!(tch::get_num_threads(), 2);
        tch::set_num_threads(before);
        assert_eq!(one, two);
    }

    #[test]
    fn what_cannot_be_fitted_is_refused() {
        let (features, labels) = clouds(10, 3, 2, 9);
        let lbfgs = |features: &Tensor, labels: &[i64]| {
            let fitted = fit_lbfgs(features, labels, 2, &LbfgsProbe::default());
            fitted.unwrap_err().to_string()
        };
        assert_eq!(
            lbfgs(&features.narrow(0, 0, 0), &[]),
            "no samples to train a classifier on"
        );
        assert_eq!(
            lbfgs(&features.narrow(0, 0, 2), &[0, 2]),
            "sample 1 has label 2, expected 0 to below 2"
        );
        assert_eq!(
            lbfgs(&(&features / 0.0), &labels),
            "features hold a value that is no finite number"
        );
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let mut same = |_| Ok(features.shallow_clone());
        let stopped = fit_sgd(
            &mut same,
            &labels,
            2,
            &SgdProbe::default(),
            &mut rng,
            &mut |_, _| ControlFlow::Break(()),
        );
        assert_eq!(stopped.unwrap_err().to_string(), "stopped");
        let wild = SgdProbe {
            learning_rate: 1e38,
            ..SgdProbe::default()
        };
        let diverged = fit_sgd(&mut same, &labels, 2, &wild, &mut rng, &mut |_, _| {
            ControlFlow::Continue(())
        });
        let message = diverged.unwrap_err().to_string();
        assert!(
            message.starts_with("the loss left the finite numbers in epoch "),
            "{message}"
        );
    }
}
