//! The optimum of a linear classifier: multinomial logistic regression by L-BFGS.

use schemars::JsonSchema;
use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use super::curvature::Curvature;
use super::problem::Problem;
use super::{Fit, check};
use crate::judge::lbfgs::{LbfgsOptions, minimise};
use crate::torch::one_thread::with_one_thread;

/// Multinomial logistic regression by L-BFGS on features standardised to mean 0 and variance 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LbfgsProbe {
    /// The loss is the mean cross-entropy plus this times the sum of squared weights (of
    /// standardised features; not of biases)
    pub l2: f64,
    /// Converged when no component of the loss's gradient is larger
    pub gradient_tolerance: f64,
    /// Iterations at most
    pub max_iterations: u32,
}

impl Default for LbfgsProbe {
    fn default() -> Self {
        Self {
            l2: 1e-4,
            gradient_tolerance: 1e-6,
            max_iterations: 1000,
        }
    }
}

/// The optimum of `mean cross-entropy + l2 · |weight|²` over standardised features.
///
/// Products are computed in f32 until that leads no further, then in f64 to the tolerance: each
/// starts where the other ended, and whether it converged is said by f64. The standardisation is
/// folded into the classifier, so that it takes raw features.
///
/// # Shapes
/// - `features`: `[N, D]` f32 on the CPU; `labels`: N values of 0..classes
pub fn fit_lbfgs(
    features: &Tensor,
    labels: &[i64],
    classes: usize,
    options: &LbfgsProbe,
) -> Result<Fit, Refusal> {
    check(features, labels, classes)?;
    with_one_thread(|| {
        no_grad(|| {
            let problem = Problem::new(features, labels, classes, options.l2);
            let curvature = Curvature::at_start(&problem);
            let precondition = |gradient: &[f64]| curvature.solve(&problem, gradient);
            let mut iterations = 0;
            let mut descend = |start, kind| {
                let options = LbfgsOptions {
                    gradient_tolerance: options.gradient_tolerance,
                    max_iterations: options.max_iterations - iterations,
                    ..LbfgsOptions::default()
                };
                let loss = |point: &[f64]| problem.loss(point, kind);
                let minimum = minimise(loss, &precondition, start, options);
                iterations += minimum.iterations;
                minimum
            };
            let start = vec![0.0; classes * (problem.dimension as usize + 1)];
            let near = descend(start, Kind::Float);
            let minimum = descend(near.point, Kind::Double);
            let (weight, bias) = problem.split(&minimum.point);
            let penalty = (&weight * &weight).sum(Kind::Double).double_value(&[]) * problem.l2;
            Ok(Fit {
                classifier: problem.fold(&weight, &bias),
                train_loss: minimum.value - penalty,
                iterations,
                converged: minimum.converged,
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::probe::tests::clouds;
    use crate::torch::random::normal;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use tch::Device;

    #[test]
    fn the_optimum_of_one_feature_counted_by_hand() {
        // Feature ±1, each with one sample of the other class in four: without penalty the odds are
        // 3 to 1. With it their logarithm z is twice each weight's size, and the loss' derivative,
        // 1 / (1 + e⁻ᶻ) − 3/4 + l2 · z, is 0 at 2 to 1 for this l2.
        let features =
            Tensor::from_slice(&[1.0f32, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0]).reshape([8, 1]);
        let labels = [1, 1, 1, 0, 0, 0, 0, 1];
        for (l2, expected) in [(0.0, 3f64), (1.0 / (12.0 * 2f64.ln()), 2.0)] {
            let options = LbfgsProbe {
                l2,
                gradient_tolerance: 1e-10,
                ..LbfgsProbe::default()
            };
            let fit = fit_lbfgs(&features, &labels, 2, &options).unwrap();
            assert!(fit.converged);
            let logits = fit
                .classifier
                .logits(&Tensor::from_slice(&[1.0f32]).reshape([1, 1]));
            let odds = logits.double_value(&[0, 1]) - logits.double_value(&[0, 0]);
            assert!((odds - expected.ln()).abs() < 1e-6, "{odds}");
            let share = expected / (1.0 + expected);
            let entropy = -(0.75 * share.ln() + 0.25 * (1.0 - share).ln());
            assert!((fit.train_loss - entropy).abs() < 1e-9);
        }
    }

    #[test]
    fn it_ends_by_its_tolerance_or_its_iterations() {
        let (features, labels) = clouds(200, 5, 3, 1);
        let ended = |gradient_tolerance, max_iterations| {
            let options = LbfgsProbe {
                gradient_tolerance,
                max_iterations,
                ..LbfgsProbe::default()
            };
            let fit = fit_lbfgs(&features, &labels, 3, &options).unwrap();
            (fit.iterations, fit.converged)
        };
        assert_eq!(ended(1e3, 1000), (0, true));
        assert_eq!(ended(1e-6, 2), (2, false));
    }

    #[test]
    fn the_gradient_is_the_losses_slope() {
        let (features, labels) = clouds(200, 5, 3, 1);
        let problem = Problem::new(&features, &labels, 3, 0.01);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let point: Vec<f64> = Vec::try_from(normal(&[18], &mut rng).to_kind(Kind::Double)).unwrap();
        let (_, gradient) = problem.loss(&point, Kind::Double);
        for (place, component) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut point = point.clone();
                point[place] += by;
                problem.loss(&point, Kind::Double).0
            };
            let slope = (moved(1e-5) - moved(-1e-5)) / 2e-5;
            assert!((slope - component).abs() < 1e-8, "{slope} {component}");
        }
    }

    #[test]
    fn the_classifier_of_raw_features_is_the_standardised_one() {
        let (features, labels) = clouds(500, 6, 4, 3);
        // Stretching and shifting features changes what standardisation undoes.
        let stretched =
            &features * Tensor::from_slice(&[100.0f32, 1.0, 0.01, 1.0, 3.0, 7.0]) + 20.0;
        let fit = |features: &Tensor| {
            let classifier = fit_lbfgs(features, &labels, 4, &LbfgsProbe::default())
                .unwrap()
                .classifier;
            classifier.logits(features)
        };
        assert!(
            (fit(&features) - fit(&stretched))
                .abs()
                .max()
                .double_value(&[])
                < 2e-3
        );
    }

    #[test]
    fn a_constant_feature_gets_no_weight() {
        let (features, labels) = clouds(100, 3, 2, 4);
        let constant = Tensor::full([100, 1], 0.1, (Kind::Float, Device::Cpu));
        let fit = fit_lbfgs(
            &Tensor::cat(&[features, constant], 1),
            &labels,
            2,
            &LbfgsProbe::default(),
        )
        .unwrap();
        assert_eq!(
            fit.classifier
                .weight
                .narrow(1, 3, 1)
                .abs()
                .max()
                .double_value(&[]),
            0.0
        );
        assert!(fit.converged && fit.classifier.bias.isfinite().all().int64_value(&[]) == 1);
    }
}
