//! How tensors begin: PyTorch's distributions, drawn by us from a generator keyed by the tensor's
//! name.
//!
//! One tensor's values depend on its own generator and shape alone, so that adding a head redraws
//! nothing else.

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use tch::{Device, Kind, Tensor};

use crate::graph::{Initial, Role, TensorSpec};
use crate::torch::one_thread::with_one_thread;
use crate::torch::random;
use crate::torch::tensors;

/// The first values of some tensors, each with its own generator, drawn side by side: a large
/// network has hundreds of millions of them.
pub(crate) fn all_first_values(keyed: Vec<(&TensorSpec, ChaCha8Rng)>) -> Vec<Tensor> {
    let draw = |(spec, generator): (&TensorSpec, ChaCha8Rng)| {
        with_one_thread(|| first_values(spec, generator))
    };
    keyed.into_par_iter().map(draw).collect()
}

/// The first values of a tensor, on the CPU.
pub(crate) fn first_values(spec: &TensorSpec, mut generator: ChaCha8Rng) -> Tensor {
    let constant = |value: f64| Tensor::full(&spec.shape[..], value, (Kind::Float, Device::Cpu));
    match spec.role {
        Role::Scale | Role::RunningVariance => constant(1.0),
        Role::Shift | Role::NoShift | Role::RunningMean | Role::Unread => constant(0.0),
        Role::BatchesTracked => Tensor::zeros(&spec.shape[..], (Kind::Int64, Device::Cpu)),
        Role::Bias { fan_in } => {
            let bound = 1.0 / (fan_in as f64).sqrt();
            uniform(spec, &mut generator, bound)
        }
        Role::Weight { initial } => {
            let fan_in = spec.shape[1..].iter().product::<i64>() as f64;
            let area = spec.shape.iter().skip(2).product::<i64>() as f64;
            let fan_out = spec.shape[0] as f64 * area;
            let mut normal =
                |fan: f64| random::normal(&spec.shape, &mut generator) * (2.0 / fan).sqrt();
            match initial {
                Initial::KaimingNormalFanOut => normal(fan_out),
                Initial::KaimingNormalFanIn => normal(fan_in),
                Initial::Normal { deviation } => {
                    random::normal(&spec.shape, &mut generator) * deviation
                }
                Initial::Uniform => uniform(spec, &mut generator, 1.0 / fan_in.sqrt()),
                Initial::UniformFanOut => uniform(spec, &mut generator, 1.0 / fan_out.sqrt()),
                Initial::Constant(value) => constant(value),
            }
        }
    }
}

/// Values within ±`bound`.
fn uniform(spec: &TensorSpec, generator: &mut ChaCha8Rng, bound: f64) -> Tensor {
    let count = spec.shape.iter().product::<i64>();
    let values: Vec<f32> = (0..count)
        .map(|_| ((2.0 * random::unit(generator) - 1.0) * bound) as f32)
        .collect();
    tensors::from_slice_f32(&spec.shape, &values)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    fn draw(shape: &[i64], role: Role) -> Vec<f32> {
        let spec = TensorSpec {
            name: "w".to_owned(),
            shape: shape.to_vec(),
            kind: Kind::Float,
            role,
        };
        tensors::to_vec_f32(&first_values(&spec, ChaCha8Rng::seed_from_u64(7)))
    }

    fn moments(values: &[f32]) -> (f64, f64) {
        let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / values.len() as f64;
        let variance = values
            .iter()
            .map(|value| (f64::from(*value) - mean).powi(2))
            .sum::<f64>()
            / values.len() as f64;
        (mean, variance)
    }

    #[test]
    fn drawn_side_by_side_they_are_what_each_draws_alone() {
        let network = crate::architecture::Architecture::named("resnet18");
        let specs = network.graph().unwrap().state();
        let keyed = || {
            let rng = |number: usize| ChaCha8Rng::seed_from_u64(number as u64);
            specs
                .iter()
                .enumerate()
                .map(move |(number, spec)| (spec, rng(number)))
        };
        let alone: Vec<Tensor> = keyed().map(|(spec, rng)| first_values(spec, rng)).collect();
        assert_eq!(all_first_values(keyed().collect()), alone);
    }

    #[test]
    fn distributions_have_their_mean_variance_and_bounds() {
        let close = |got: f64, expected: f64| (got / expected - 1.0).abs() < 0.03;
        let (mean, variance) = moments(&draw(
            &[64, 32, 3, 3],
            Role::Weight {
                initial: Initial::KaimingNormalFanOut,
            },
        ));
        assert!(
            mean.abs() < 1e-3 && close(variance, 2.0 / (64.0 * 9.0)),
            "{mean} {variance}"
        );
        let (mean, variance) = moments(&draw(
            &[64, 32, 3, 3],
            Role::Weight {
                initial: Initial::KaimingNormalFanIn,
            },
        ));
        assert!(
            mean.abs() < 1e-3 && close(variance, 2.0 / (32.0 * 9.0)),
            "{mean} {variance}"
        );
        let values = draw(
            &[100, 100],
            Role::Weight {
                initial: Initial::Uniform,
            },
        );
        assert!(values.iter().all(|value| value.abs() <= 0.1));
        assert!(close(moments(&values).1, 0.01 / 3.0));
        assert!(
            draw(&[500], Role::Bias { fan_in: 25 })
                .iter()
                .all(|value| value.abs() <= 0.2)
        );
        assert_eq!(draw(&[2], Role::Scale), [1.0, 1.0]);
        assert_eq!(draw(&[2], Role::RunningMean), [0.0, 0.0]);
    }
}
