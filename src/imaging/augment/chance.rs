//! Draws from a generator, of 64 bits each.

use rand_chacha::rand_core::Rng;

/// True with the given probability.
pub(crate) fn happens<R: Rng + ?Sized>(random: &mut R, probability: f64) -> bool {
    unit(random) < probability
}

/// Uniform in least..greatest.
pub(crate) fn uniform<R: Rng + ?Sized>(random: &mut R, least: f64, greatest: f64) -> f64 {
    least + (greatest - least) * unit(random)
}

/// Uniform in 0..1, of 53 bits.
fn unit<R: Rng + ?Sized>(random: &mut R) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Uniform in the whole numbers below `bound`, but for a bias of less than 2^-32.
pub(crate) fn below<R: Rng + ?Sized>(random: &mut R, bound: u32) -> u32 {
    ((u128::from(random.next_u64()) * u128::from(bound)) >> 64) as u32
}
