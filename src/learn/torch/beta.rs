//! Keyed draws from the symmetric Beta distribution, mixup's weights.

use rand_chacha::ChaCha8Rng;

use crate::torch::random::unit;

/// A number of (0, 1), or an end of it by rounding, with density proportional to x^(alpha − 1) · (1
/// − x)^(alpha − 1).
///
/// The share of one of two Gamma(alpha) numbers, taken as logarithms so that a small alpha gives 0
/// or 1 and never 0 / 0.
///
/// # Panics
/// When alpha is not above 0.
pub fn symmetric_beta(alpha: f64, rng: &mut ChaCha8Rng) -> f64 {
    assert!(
        alpha > 0.0 && alpha.is_finite(),
        "BUG: Beta({alpha}, {alpha})"
    );
    let (one, other) = (log_gamma_draw(alpha, rng), log_gamma_draw(alpha, rng));
    1.0 / (1.0 + (other - one).exp())
}

/// The logarithm of a Gamma(shape, 1) number, by Marsaglia and Tsang's method (ACM TOMS 26(3),
/// 2000); below 1 a draw of shape + 1 times U^(1 / shape), as they advise.
fn log_gamma_draw(shape: f64, rng: &mut ChaCha8Rng) -> f64 {
    if shape < 1.0 {
        let above = log_gamma_draw(shape + 1.0, rng);
        return above + positive_unit(rng).ln() / shape;
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let normal =
            (-2.0 * positive_unit(rng).ln()).sqrt() * (std::f64::consts::TAU * unit(rng)).cos();
        let cube = (1.0 + c * normal).powi(3);
        let accept = positive_unit(rng).ln();
        if cube > 0.0 && accept < 0.5 * normal * normal + d * (1.0 - cube + cube.ln()) {
            return d.ln() + cube.ln();
        }
    }
}

/// A uniform number of (0, 1].
fn positive_unit(rng: &mut ChaCha8Rng) -> f64 {
    1.0 - unit(rng)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    fn draws(alpha: f64) -> Vec<f64> {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut draws: Vec<f64> = (0..20_000)
            .map(|_| symmetric_beta(alpha, &mut rng))
            .collect();
        draws.sort_by(f64::total_cmp);
        draws
    }

    #[test]
    fn draws_are_spread_as_the_distribution_says() {
        // Shares below 0.1 and 0.25, from scipy.stats.beta(alpha, alpha).cdf; the others by
        // symmetry.
        let known = [
            (0.2, 0.336_689_78, 0.414_055_52),
            (0.5, 0.204_832_765, 0.333_333_333),
            (1.0, 0.1, 0.25),
            (4.0, 0.002_728, 0.070_556_640_625),
        ];
        for (alpha, below_tenth, below_quarter) in known {
            let draws = draws(alpha);
            let share = |bound: f64| draws.partition_point(|&draw| draw < bound) as f64 / 20_000.0;
            for (bound, expected) in [
                (0.1, below_tenth),
                (0.25, below_quarter),
                (0.5, 0.5),
                (0.75, 1.0 - below_quarter),
                (0.9, 1.0 - below_tenth),
            ] {
                // Four standard deviations.
                let bound_off = 4.0 * (expected * (1.0 - expected) / 20_000f64).sqrt();
                let off = (share(bound) - expected).abs();
                assert!(off <= bound_off, "Beta({alpha}): {off} at {bound}");
            }
        }
    }

    #[test]
    fn any_alpha_gives_a_number_from_0_to_1() {
        let mut rng = ChaCha8Rng::seed_from_u64(6);
        for alpha in [1e-6, 1e-3, 0.1, 1.0, 50.0, 1e6] {
            for _ in 0..500 {
                let draw = symmetric_beta(alpha, &mut rng);
                assert!((0.0..=1.0).contains(&draw), "{draw} of Beta({alpha})");
            }
        }
    }
}
