//! The optimum of a linear classifier: multinomial logistic regression, solved in f64 by L-BFGS.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use super::{Fit, LinearClassifier, ProbeError, check};
use crate::lbfgs::{LbfgsOptions, minimise};
use crate::one_thread::with_one_thread;

/// Rows per matrix product when the full loss is computed.
const TRAINING_BLOCK: i64 = 8192;
/// Multinomial logistic regression by L-BFGS on features standardised to mean 0 and variance 1.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct LbfgsProbe {
    /// The loss is the mean cross-entropy plus this times the sum of squared weights (of standardised features; not of biases)
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

/// The optimum of `mean cross-entropy + l2 · |weight|²` over standardised features, in f64.
///
/// The standardisation is folded into the classifier, so that it takes raw features.
///
/// # Shapes
/// - `features`: `[N, D]` f32 on the CPU; `labels`: N values of 0..classes
pub fn fit_lbfgs(
    features: &Tensor,
    labels: &[i64],
    classes: usize,
    options: &LbfgsProbe,
) -> Result<Fit, ProbeError> {
    check(features, labels, classes)?;
    with_one_thread(|| {
        no_grad(|| {
            let problem = Regression::new(features, labels, classes, options.l2);
            let options = LbfgsOptions {
                gradient_tolerance: options.gradient_tolerance,
                max_iterations: options.max_iterations,
                ..LbfgsOptions::default()
            };
            let start = vec![0.0; classes * (problem.dimension as usize + 1)];
            let minimum = minimise(|point| problem.loss(point), start, options);
            let (weight, bias) = problem.split(&minimum.point);
            let penalty = (&weight * &weight).sum(Kind::Double).double_value(&[]) * problem.l2;
            Ok(Fit {
                classifier: problem.fold(&weight, &bias),
                train_loss: minimum.value - penalty,
                iterations: minimum.iterations,
                converged: minimum.converged,
            })
        })
    })
}

/// Standardised features in blocks, and the regularised loss on them.
struct Regression {
    /// `[block, D]` f64 and `[block, 1]` i64
    blocks: Vec<(Tensor, Tensor)>,
    mean: Tensor,
    deviation: Tensor,
    samples: f64,
    dimension: i64,
    classes: i64,
    l2: f64,
}

impl Regression {
    fn new(features: &Tensor, labels: &[i64], classes: usize, l2: f64) -> Self {
        let (rows, dimension) = (features.size()[0], features.size()[1]);
        let block = |start: i64| {
            features
                .narrow(0, start, TRAINING_BLOCK.min(rows - start))
                .to_kind(Kind::Double)
        };
        let starts = || (0..rows).step_by(TRAINING_BLOCK as usize);
        let zeros = || Tensor::zeros([dimension], (Kind::Double, Device::Cpu));
        let sum = starts().fold(zeros(), |sum, start| {
            sum + block(start).sum_dim_intlist(0, false, None)
        });
        let mean = sum / rows as f64;
        let squares = starts().fold(zeros(), |sum, start| {
            let centred = block(start) - &mean;
            sum + (&centred * &centred).sum_dim_intlist(0, false, None)
        });
        let deviation = (squares / rows as f64).sqrt();
        // A feature that is constant up to rounding tells nothing: leave it at zero instead of blowing it up.
        let constant = deviation.le_tensor(&(mean.abs() * 1e-6 + 1e-30));
        let deviation = deviation.masked_fill(&constant, f64::INFINITY);
        let labels = Tensor::from_slice(labels).reshape([-1, 1]);
        let blocks = starts()
            .map(|start| {
                let standardised = (block(start) - &mean) / &deviation; // [block, D]
                let length = standardised.size()[0];
                (standardised, labels.narrow(0, start, length))
            })
            .collect();
        Self {
            blocks,
            mean,
            deviation,
            samples: rows as f64,
            dimension,
            classes: classes as i64,
            l2,
        }
    }

    /// The point's weight `[C, D]` and bias `[C]`.
    fn split(&self, point: &[f64]) -> (Tensor, Tensor) {
        let (weight, bias) = point.split_at((self.classes * self.dimension) as usize);
        (
            Tensor::from_slice(weight).reshape([self.classes, self.dimension]),
            Tensor::from_slice(bias),
        )
    }

    /// The regularised loss and its gradient.
    fn loss(&self, point: &[f64]) -> (f64, Vec<f64>) {
        let (weight, bias) = self.split(point);
        let transposed = weight.tr();
        let mut loss = 0.0;
        let mut weight_gradient = weight.zeros_like();
        let mut bias_gradient = bias.zeros_like();
        for (features, labels) in &self.blocks {
            let logits = bias.addmm(features, &transposed); // [block, C]
            let log_probability = logits.log_softmax(1, None::<Kind>); // [block, C]
            let own = log_probability.gather(1, labels, false); // [block, 1]
            loss -= own.sum(Kind::Double).double_value(&[]);
            let mut residual = log_probability.exp();
            let _ = residual.scatter_add_(1, labels, &(own.ones_like() * -1.0));
            let _ = weight_gradient.g_add_(&residual.tr().matmul(features));
            let _ = bias_gradient.g_add_(&residual.sum_dim_intlist(0, false, None));
        }
        let penalty = (&weight * &weight).sum(Kind::Double).double_value(&[]) * self.l2;
        let weight_gradient = weight_gradient / self.samples + &weight * (2.0 * self.l2);
        let gradient = Tensor::cat(
            &[weight_gradient.reshape([-1]), bias_gradient / self.samples],
            0,
        );
        (loss / self.samples + penalty, vector(&gradient))
    }

    /// The classifier of raw features: (x − mean) / deviation · w + b = x · (w / deviation) + (b − mean · w / deviation).
    fn fold(&self, weight: &Tensor, bias: &Tensor) -> LinearClassifier {
        let weight = weight / &self.deviation; // [C, D]
        let bias = bias - weight.matmul(&self.mean); // [C]
        LinearClassifier {
            weight: weight.to_kind(Kind::Float),
            bias: bias.to_kind(Kind::Float),
        }
    }
}

fn vector(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor).expect("BUG: a flat f64 tensor is a vector")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::probe::tests::clouds;
    use crate::random::normal;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    #[test]
    fn the_optimum_of_one_feature_counted_by_hand() {
        // Feature ±1, each with one sample of the other class in four: without penalty the odds are 3 to 1.
        let features =
            Tensor::from_slice(&[1.0f32, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0]).reshape([8, 1]);
        let labels = [1, 1, 1, 0, 0, 0, 0, 1];
        let options = LbfgsProbe {
            l2: 0.0,
            gradient_tolerance: 1e-10,
            ..LbfgsProbe::default()
        };
        let fit = fit_lbfgs(&features, &labels, 2, &options).unwrap();
        assert!(fit.converged);
        let logits = fit
            .classifier
            .logits(&Tensor::from_slice(&[1.0f32]).reshape([1, 1]));
        let odds = logits.double_value(&[0, 1]) - logits.double_value(&[0, 0]);
        assert!((odds - 3f64.ln()).abs() < 1e-6, "{odds}");
        let entropy = -(0.75 * 0.75f64.ln() + 0.25 * 0.25f64.ln());
        assert!((fit.train_loss - entropy).abs() < 1e-9);
    }

    #[test]
    fn the_gradient_is_the_losses_slope() {
        let (features, labels) = clouds(200, 5, 3, 1);
        let problem = Regression::new(&features, &labels, 3, 0.01);
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let point: Vec<f64> = Vec::try_from(normal(&[18], &mut rng).to_kind(Kind::Double)).unwrap();
        let (_, gradient) = problem.loss(&point);
        for (place, component) in gradient.iter().enumerate() {
            let moved = |by: f64| {
                let mut point = point.clone();
                point[place] += by;
                problem.loss(&point).0
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
