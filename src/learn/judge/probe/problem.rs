//! The loss of multinomial logistic regression on standardised features, and its gradient.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor, no_grad};

use super::LinearClassifier;
use crate::torch::one_thread::with_one_thread;
use crate::torch::products::times_transposed;

/// Rows per matrix product: 2 MiB of 512 features.
const BLOCK: i64 = 1024;
/// Pieces of work that run side by side. Their number is fixed, and their sums are added in order:
/// threads change no bit.
const TASKS: usize = 16;

/// Standardised features in blocks, and the regularised loss on them.
pub(super) struct Problem {
    blocks: Vec<FeatureBlock>,
    mean: Tensor,
    deviation: Tensor,
    pub samples: f64,
    pub dimension: i64,
    pub classes: i64,
    pub l2: f64,
}

struct FeatureBlock {
    /// `[block, D]` f32
    features: Tensor,
    /// `[block, 1]` i64
    labels: Tensor,
}

/// What blocks add to the loss and its gradient.
struct GradientSums {
    loss: f64,
    /// `[C, D]` f64
    weight: Tensor,
    /// `[C]` f64
    bias: Tensor,
}

impl Problem {
    /// Features have mean 0 and variance 1 after this; what is constant up to rounding is 0.
    pub fn new(features: &Tensor, labels: &[i64], classes: usize, l2: f64) -> Self {
        let (rows, dimension) = (features.size()[0], features.size()[1]);
        let block = |start: i64| {
            features
                .narrow(0, start, BLOCK.min(rows - start))
                .to_kind(Kind::Double)
        };
        let starts = || (0..rows).step_by(BLOCK as usize);
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
        // A feature that is constant up to rounding tells nothing: leave it at zero instead of
        // blowing it up.
        let constant = deviation.le_tensor(&(mean.abs() * 1e-6 + 1e-30));
        let deviation = deviation.masked_fill(&constant, f64::INFINITY);
        let labels = Tensor::from_slice(labels).reshape([-1, 1]);
        let blocks = starts()
            .map(|start| {
                let features = ((block(start) - &mean) / &deviation).to_kind(Kind::Float);
                let labels = labels.narrow(0, start, features.size()[0]);
                FeatureBlock { features, labels }
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

    /// Every `stride`-th block of features, `[block, D]` f32, so that there are about as many rows
    /// as told.
    pub fn sample(&self, rows: i64) -> impl Iterator<Item = &Tensor> {
        let wanted = (rows as usize).div_ceil(BLOCK as usize).max(1);
        let stride = (self.blocks.len() / wanted).max(1);
        self.blocks
            .iter()
            .step_by(stride)
            .map(|block| &block.features)
    }

    /// The point's weight `[C, D]` and bias `[C]`.
    pub fn split(&self, point: &[f64]) -> (Tensor, Tensor) {
        let (weight, bias) = point.split_at((self.classes * self.dimension) as usize);
        (
            Tensor::from_slice(weight).reshape([self.classes, self.dimension]),
            Tensor::from_slice(bias),
        )
    }

    /// The regularised loss and its gradient; products in `kind`, sums of blocks in f64.
    pub fn loss(&self, point: &[f64], kind: Kind) -> (f64, Vec<f64>) {
        let (weight, bias) = self.split(point);
        let of_task = self.blocks.len().div_ceil(TASKS);
        // Tensors can't be shared among threads, but each may own its handles.
        let tasks: Vec<(Vec<FeatureBlock>, Tensor, Tensor)> = self
            .blocks
            .chunks(of_task)
            .map(|blocks| {
                let blocks = blocks.iter().map(FeatureBlock::handle).collect();
                (blocks, weight.to_kind(kind), bias.to_kind(kind))
            })
            .collect();
        let parts: Vec<GradientSums> = tasks
            .into_par_iter()
            .map(|(blocks, weight, bias)| {
                with_one_thread(|| no_grad(|| sums(&blocks, &weight, &bias)))
            })
            .collect();
        let loss: f64 = parts.iter().map(|part| part.loss).sum();
        let mut weight_gradient = weight.zeros_like();
        let mut bias_gradient = bias.zeros_like();
        for part in &parts {
            let _ = weight_gradient.g_add_(&part.weight);
            let _ = bias_gradient.g_add_(&part.bias);
        }
        let penalty = (&weight * &weight).sum(Kind::Double).double_value(&[]) * self.l2;
        let weight_gradient = weight_gradient / self.samples + &weight * (2.0 * self.l2);
        let bias_gradient = bias_gradient / self.samples;
        (
            loss / self.samples + penalty,
            joined(&weight_gradient, &bias_gradient),
        )
    }

    /// The classifier of raw features: (x − mean) / deviation · w + b = x · (w / deviation) + (b −
    /// mean · w / deviation).
    pub fn fold(&self, weight: &Tensor, bias: &Tensor) -> LinearClassifier {
        let weight = weight / &self.deviation; // [C, D]
        let bias = bias - weight.matmul(&self.mean); // [C]
        LinearClassifier {
            weight: weight.to_kind(Kind::Float),
            bias: bias.to_kind(Kind::Float),
        }
    }
}

impl FeatureBlock {
    fn handle(&self) -> Self {
        Self {
            features: self.features.shallow_clone(),
            labels: self.labels.shallow_clone(),
        }
    }
}

fn sums(blocks: &[FeatureBlock], weight: &Tensor, bias: &Tensor) -> GradientSums {
    let mut sums = GradientSums {
        loss: 0.0,
        weight: weight.to_kind(Kind::Double).zeros_like(),
        bias: bias.to_kind(Kind::Double).zeros_like(),
    };
    for FeatureBlock { features, labels } in blocks {
        let features = features.to_kind(weight.kind());
        let logits = times_transposed(&features, weight) + bias; // [block, C]
        let log_probability = logits.log_softmax(1, None::<Kind>); // [block, C]
        let own = log_probability.gather(1, labels, false); // [block, 1]
        sums.loss -= own.sum(Kind::Double).double_value(&[]);
        let mut residual = log_probability.exp();
        let _ = residual.scatter_add_(1, labels, &(own.ones_like() * -1.0));
        let gradient = times_transposed(&residual.tr().contiguous(), &features.tr()); // [C, D]
        let _ = sums.weight.g_add_(&gradient);
        let _ = sums
            .bias
            .g_add_(&residual.sum_dim_intlist(0, false, Kind::Double));
    }
    sums
}

/// A weight and a bias as one point.
pub(super) fn joined(weight: &Tensor, bias: &Tensor) -> Vec<f64> {
    Vec::try_from(Tensor::cat(&[&weight.reshape([-1]), bias], 0))
        .expect("BUG: a flat f64 tensor is a vector")
}
