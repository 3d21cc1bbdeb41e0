//! How tensors begin: PyTorch's distributions, drawn by us from a generator keyed by the tensor's name.
//!
//! One tensor's values depend on its own generator and shape alone, so that adding a head redraws nothing else.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use tch::{Device, Kind, Tensor};

use crate::graph::{Initial, Role, TensorSpec};
use crate::tensors;

/// The first values of a tensor, on the CPU.
pub(crate) fn first_values(spec: &TensorSpec, mut generator: ChaCha8Rng) -> Tensor {
    let count = spec.shape.iter().product::<i64>() as usize;
    let constant = |value: f64| Tensor::full(&spec.shape[..], value, (Kind::Float, Device::Cpu));
    match spec.role {
        Role::Scale | Role::RunningVariance => constant(1.0),
        Role::Shift | Role::RunningMean => constant(0.0),
        Role::BatchesTracked => Tensor::zeros(&spec.shape[..], (Kind::Int64, Device::Cpu)),
        Role::Bias { fan_in } => {
            let bound = 1.0 / (fan_in as f64).sqrt();
            tensors::from_slice_f32(&spec.shape, &uniform(&mut generator, count, bound))
        }
        Role::Weight { initial } => {
            let fan_in = spec.shape[1..].iter().product::<i64>() as f64;
            let fan_out = spec.shape[0] as f64 * spec.shape[2..].iter().product::<i64>() as f64;
            let values = match initial {
                Initial::KaimingNormalFanOut => normal(&mut generator, count, (2.0 / fan_out).sqrt()),
                Initial::KaimingNormalFanIn => normal(&mut generator, count, (2.0 / fan_in).sqrt()),
                Initial::Uniform => uniform(&mut generator, count, 1.0 / fan_in.sqrt()),
            };
            tensors::from_slice_f32(&spec.shape, &values)
        }
    }
}

/// In [0, 1), with 53 random bits.
fn unit(generator: &mut ChaCha8Rng) -> f64 {
    (generator.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// `count` values within ±`bound`.
fn uniform(generator: &mut ChaCha8Rng, count: usize, bound: f64) -> Vec<f32> {
    (0..count).map(|_| ((2.0 * unit(generator) - 1.0) * bound) as f32).collect()
}

/// `count` normal values of that standard deviation (Box–Muller, both halves used).
fn normal(generator: &mut ChaCha8Rng, count: usize, deviation: f64) -> Vec<f32> {
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let radius = (-2.0 * (1.0 - unit(generator)).ln()).sqrt() * deviation;
        let (sine, cosine) = (std::f64::consts::TAU * unit(generator)).sin_cos();
        values.push((radius * cosine) as f32);
        values.push((radius * sine) as f32);
    }
    values.truncate(count);
    values
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    fn draw(shape: &[i64], role: Role) -> Vec<f32> {
        let spec = TensorSpec { name: "w".to_owned(), shape: shape.to_vec(), kind: Kind::Float, role };
        tensors::to_vec_f32(&first_values(&spec, ChaCha8Rng::seed_from_u64(7)))
    }

    fn moments(values: &[f32]) -> (f64, f64) {
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        let variance = values.iter().map(|value| (f64::from(*value) - mean).powi(2)).sum::<f64>() / values.len() as f64;
        (mean, variance)
    }

    #[test]
    fn distributions_have_their_mean_variance_and_bounds() {
        let close = |got: f64, expected: f64| (got / expected - 1.0).abs() < 0.03;
        let (mean, variance) = moments(&draw(&[64, 32, 3, 3], Role::Weight { initial: Initial::KaimingNormalFanOut }));
        assert!(mean.abs() < 1e-3 && close(variance, 2.0 / (64.0 * 9.0)), "{mean} {variance}");
        let (mean, variance) = moments(&draw(&[64, 32, 3, 3], Role::Weight { initial: Initial::KaimingNormalFanIn }));
        assert!(mean.abs() < 1e-3 && close(variance, 2.0 / (32.0 * 9.0)), "{mean} {variance}");
        let values = draw(&[100, 100], Role::Weight { initial: Initial::Uniform });
        assert!(values.iter().all(|value| value.abs() <= 0.1));
        assert!(close(moments(&values).1, 0.01 / 3.0));
        assert!(draw(&[500], Role::Bias { fan_in: 25 }).iter().all(|value| value.abs() <= 0.2));
        assert_eq!(draw(&[2], Role::Scale), [1.0, 1.0]);
        assert_eq!(draw(&[2], Role::RunningMean), [0.0, 0.0]);
    }
}
