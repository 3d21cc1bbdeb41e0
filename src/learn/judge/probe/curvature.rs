//! The Hessian of multinomial logistic regression where the search begins, which makes L-BFGS blind
//! to how features are correlated.
//!
//! At zero all classes are equally likely, so that the Hessian of the weights is
//! `(I − 11ᵀ/C)/C ⊗ XᵀX/N + 2 l2 I`: the same matrix for each class, on the changes that sum to
//! zero over the classes, which all gradients of the cross-entropy are. Features are standardised,
//! so biases stand alone. XᵀX is taken of a sample of the rows: any positive estimate leads to the
//! same optimum.

use tch::{Device, Kind, Tensor};

use super::problem::{Problem, joined};
use crate::torch::products::times_transposed;

/// Rows that XᵀX is taken of, at least, and for each feature.
const ROWS: i64 = 8192;
const ROWS_OF_FEATURE: i64 = 4;
/// Directions in which features vary less than this share of their mean variance are taken to vary
/// as much: a sample says little about them.
const LEAST_SHARE: f64 = 1e-3;

pub(super) struct Curvature {
    /// `[D, D]` f64, symmetric
    inverse: Tensor,
    /// of one bias
    bias: f64,
}

impl Curvature {
    pub fn at_start(problem: &Problem) -> Self {
        let dimension = problem.dimension;
        let options = (Kind::Double, Device::Cpu);
        let mut products = Tensor::zeros([dimension, dimension], options);
        let mut rows = 0;
        for features in problem.sample(ROWS.max(ROWS_OF_FEATURE * dimension)) {
            let transposed = features.tr();
            let _ = products.g_add_(&times_transposed(&transposed.contiguous(), &transposed));
            rows += features.size()[0];
        }
        let of_class = 1.0 / problem.classes as f64;
        let hessian = products * (of_class / rows as f64)
            + Tensor::eye(dimension, options) * (2.0 * problem.l2 + LEAST_SHARE * of_class);
        // Symmetric by construction but for rounding.
        let hessian = (&hessian + hessian.tr()) / 2.0;
        Self {
            inverse: hessian.linalg_cholesky(false).cholesky_inverse(false),
            bias: of_class,
        }
    }

    /// A gradient over the curvature.
    pub fn solve(&self, problem: &Problem, gradient: &[f64]) -> Vec<f64> {
        let (weight, bias) = problem.split(gradient);
        joined(&weight.matmul(&self.inverse), &(bias / self.bias))
    }
}
