//! Keyed draws: everything random in this crate comes from a ChaCha8 generator that the caller keys
//! by item and label. libtorch's own generator is never drawn from, so that results don't depend on
//! what ran before.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;
use tch::Tensor;

/// A uniformly random order of `0..count` (Fisher–Yates without bias).
pub fn permutation(count: usize, rng: &mut ChaCha8Rng) -> Vec<u32> {
    let count = u32::try_from(count).expect("BUG: permutation of more than 2^32 items");
    let mut order: Vec<u32> = (0..count).collect();
    for last in (1..count).rev() {
        order.swap(last as usize, below(last + 1, rng) as usize);
    }
    order
}

/// Independent standard normal numbers of the given shape, f32 on the CPU.
///
/// Drawn in f64 by Box and Muller's transform, rounded once.
pub fn normal(shape: &[i64], rng: &mut ChaCha8Rng) -> Tensor {
    let count = usize::try_from(shape.iter().product::<i64>()).expect("BUG: negative shape");
    let mut values = Vec::with_capacity(count + 1);
    while values.len() < count {
        let radius = (-2.0 * (1.0 - unit(rng)).ln()).sqrt();
        let (sine, cosine) = (std::f64::consts::TAU * unit(rng)).sin_cos();
        values.push((radius * cosine) as f32);
        values.push((radius * sine) as f32);
    }
    values.truncate(count);
    Tensor::from_slice(&values).reshape(shape)
}

/// A uniform number of [0, 1) with 53 random bits.
pub(crate) fn unit(rng: &mut ChaCha8Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// A uniform integer below `bound`, by Lemire's multiplication with rejection.
pub(crate) fn below(bound: u32, rng: &mut ChaCha8Rng) -> u32 {
    let threshold = bound.wrapping_neg() % bound;
    loop {
        let product = u64::from(rng.next_u32()) * u64::from(bound);
        if product as u32 >= threshold {
            return (product >> 32) as u32;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;
    use tch::Kind;

    #[test]
    fn a_permutation_holds_every_item_once_and_depends_on_the_key_alone() {
        let draw = |key| permutation(1000, &mut ChaCha8Rng::seed_from_u64(key));
        let mut sorted = draw(1);
        sorted.sort_unstable();
        assert!(
            sorted
                .iter()
                .enumerate()
                .all(|(place, &item)| place == item as usize)
        );
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(permutation(0, &mut ChaCha8Rng::seed_from_u64(0)).is_empty());
    }

    #[test]
    fn all_orders_of_three_items_are_equally_likely() {
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let mut counts = std::collections::BTreeMap::new();
        for _ in 0..6000 {
            *counts.entry(permutation(3, &mut rng)).or_insert(0u32) += 1;
        }
        assert_eq!(counts.len(), 6);
        // The standard deviation of each count is 29.
        assert!(
            counts.values().all(|count| (850..1150).contains(count)),
            "{counts:?}"
        );
    }

    #[test]
    fn normal_numbers_have_mean_zero_and_variance_one() {
        let values = normal(&[3, 33_333], &mut ChaCha8Rng::seed_from_u64(3));
        assert_eq!(values.size(), [3, 33_333]);
        assert_eq!(values.kind(), Kind::Float);
        assert!(values.mean(Kind::Double).double_value(&[]).abs() < 0.015);
        let square = (&values * &values).mean(Kind::Double).double_value(&[]);
        assert!((square - 1.0).abs() < 0.02, "{square}");
        let beyond_two = values
            .abs()
            .gt(2.0)
            .to_kind(Kind::Double)
            .mean(Kind::Double)
            .double_value(&[]);
        assert!((beyond_two - 0.0455).abs() < 0.004, "{beyond_two}");
    }
}
