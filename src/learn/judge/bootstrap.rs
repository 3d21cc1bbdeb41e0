//! How sure an accuracy is: percentile bootstrap over the test images (Efron, 1979). Plain
//! counting, exact on every machine.

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;

use crate::torch::random::below;

/// Resamples that an interval is taken from.
pub(crate) const RESAMPLES: u64 = 1_000;

/// Between these shares of the resamples lies an interval of 95 %.
const ENDS: [f64; 2] = [0.025, 0.975];

/// A 95 % interval, as fractions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Interval {
    pub low: f64,
    pub high: f64,
}

/// A figure of a resample, by how often each sample is in it.
pub type Statistic<'a> = Box<dyn Fn(&[u32]) -> f64 + Sync + 'a>;

/// The share of the samples that are right.
pub fn share(right: Vec<bool>) -> Statistic<'static> {
    Box::new(move |times| {
        let counted = right.iter().zip(times);
        let sum: u64 = counted
            .map(|(&right, &times)| u64::from(right) * u64::from(times))
            .sum();
        sum as f64 / right.len() as f64
    })
}

/// 95 % intervals, one for each statistic of the same samples: all from the same 1,000 resamples,
/// so that they may be compared.
///
/// Resample r takes as many samples as there are, with replacement, from stream r of the generator:
/// neither the number of threads nor that of the statistics changes a bit. Memory: 4 bytes a sample
/// and thread.
///
/// - `samples`: how many, at least 1
pub fn intervals(samples: usize, statistics: &[Statistic], rng: &ChaCha8Rng) -> Vec<Interval> {
    let bound = u32::try_from(samples).expect("BUG: more than 2^32 samples");
    assert!(bound > 0, "BUG: an interval of no samples");
    let figures: Vec<Vec<f64>> = (0..RESAMPLES)
        .into_par_iter()
        .map_init(
            || vec![0u32; samples],
            |times, resample| {
                times.fill(0);
                let mut rng = rng.clone();
                rng.set_stream(resample);
                for _ in 0..samples {
                    times[below(bound, &mut rng) as usize] += 1;
                }
                statistics.iter().map(|figure| figure(times)).collect()
            },
        )
        .collect();
    (0..statistics.len())
        .map(|one| percentiles(figures.iter().map(|resample| resample[one]).collect()))
        .collect()
}

/// The interval's ends among the resamples' shares, interpolated as by `numpy.percentile`.
fn percentiles(mut shares: Vec<f64>) -> Interval {
    shares.sort_unstable_by(f64::total_cmp);
    let [low, high] = ENDS.map(|end| {
        let place = end * (shares.len() - 1) as f64;
        let (below, above) = (place.floor() as usize, place.ceil() as usize);
        shares[below] + (shares[above] - shares[below]) * (place - place.floor())
    });
    Interval { low, high }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;
    use serde_json::Value;

    fn reference() -> Value {
        let text = include_str!("../testdata/reference_evaluation.json");
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_ends_are_numpys_percentiles() {
        let case = &reference()["percentiles"];
        let shares: Vec<f64> = serde_json::from_value(case["shares"].clone()).unwrap();
        let interval = percentiles(shares);
        assert_eq!(interval.low, case["low"].as_f64().unwrap());
        assert_eq!(interval.high, case["high"].as_f64().unwrap());
    }

    #[test]
    fn intervals_are_scipys_up_to_the_chance_of_the_resamples() {
        let reference = reference();
        let cases = reference["bootstrap"].as_array().unwrap();
        assert!(!cases.is_empty());
        for case in cases {
            let number = |name: &str| case[name].as_u64().unwrap() as usize;
            let end = |name: &str| case[name].as_f64().unwrap();
            let (samples, right) = (number("samples"), number("right"));
            let is_right = (0..samples).map(|sample| sample < right).collect();
            let rng = ChaCha8Rng::seed_from_u64(11);
            let found = intervals(samples, &[share(is_right)], &rng)[0];
            // The 2.5th percentile of 1,000 resamples has a standard deviation of about 0.084 of
            // the mean's.
            let share = right as f64 / samples as f64;
            let deviation = (share * (1.0 - share) / samples as f64).sqrt();
            for (got, expected) in [(found.low, end("low")), (found.high, end("high"))] {
                let off = (got - expected).abs();
                assert!(
                    off <= 0.35 * deviation,
                    "{right} of {samples}: off by {off}"
                );
            }
        }
    }

    #[test]
    fn threads_and_other_statistics_change_no_bit() {
        let every = |every: usize| share((0..500).map(|sample| sample % every == 0).collect());
        let rng = ChaCha8Rng::seed_from_u64(3);
        let on = |threads: usize, statistics: Vec<Statistic>| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            let pool = pool.build().unwrap();
            pool.install(|| intervals(500, &statistics, &rng))
        };
        let both = on(3, vec![every(2), every(3)]);
        assert_eq!(on(1, vec![every(3)]), both[1..]);
        assert_eq!(intervals(1, &[], &rng), []);
    }

    #[test]
    fn what_is_always_right_is_surely_so() {
        let rng = ChaCha8Rng::seed_from_u64(0);
        let sure = intervals(7, &[share(vec![true; 7])], &rng)[0];
        assert_eq!((sure.low, sure.high), (1.0, 1.0));
    }
}
