//! Minimisation of smooth functions by L-BFGS (Nocedal and Wright, Numerical Optimization,
//! algorithms 7.4, 3.5 and 3.6): two-loop recursion, line search to the strong Wolfe conditions.
//!
//! Plain f64 vectors and sequential sums: equal functions give equal bits.

use std::collections::VecDeque;

/// When to stop, and how much to remember.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LbfgsOptions {
    /// converged when no component of the gradient is larger
    pub gradient_tolerance: f64,
    pub max_iterations: u32,
    /// pairs of steps and gradient changes kept
    pub history: usize,
}

impl Default for LbfgsOptions {
    fn default() -> Self {
        Self {
            gradient_tolerance: 1e-6,
            max_iterations: 1000,
            history: 10,
        }
    }
}

/// Where the search ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Minimum {
    pub point: Vec<f64>,
    pub value: f64,
    /// largest component of the gradient, absolute
    pub gradient: f64,
    pub iterations: u32,
    /// whether the tolerance was reached (else: the iterations ran out, or no lower point was
    /// found)
    pub converged: bool,
}

/// A point with the function's value and gradient there.
#[derive(Clone)]
struct LinePoint {
    point: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
}

/// A sample on the line that is searched.
#[derive(Clone)]
struct Trial {
    step: f64,
    sample: LinePoint,
    /// derivative along the line
    slope: f64,
}

const SUFFICIENT_DECREASE: f64 = 1e-4;
const CURVATURE: f64 = 0.9;
const MAX_TRIALS: u32 = 30;

/// A gradient times an estimate of the Hessian's inverse, symmetric and positive.
pub type Precondition<'a> = &'a dyn Fn(&[f64]) -> Vec<f64>;

/// Minimises `function` (point → value and gradient) from `start`.
///
/// The recursion's first estimate is `precondition` (algorithm 7.4's H0), of any scale but the
/// first step's.
pub fn minimise(
    mut function: impl FnMut(&[f64]) -> (f64, Vec<f64>),
    precondition: Precondition,
    start: Vec<f64>,
    options: LbfgsOptions,
) -> Minimum {
    let mut evaluate = |point: Vec<f64>| {
        let (value, gradient) = function(&point);
        assert_eq!(
            gradient.len(),
            point.len(),
            "BUG: a gradient of another length"
        );
        LinePoint {
            point,
            value,
            gradient,
        }
    };
    let mut current = evaluate(start);
    let mut history: VecDeque<Pair> = VecDeque::new();
    let mut iterations = 0;
    while largest(&current.gradient) > options.gradient_tolerance
        && iterations < options.max_iterations
    {
        let direction = descent(&current.gradient, &history, precondition);
        let Some(next) = search(&mut evaluate, &current, &direction) else {
            if history.is_empty() {
                break;
            }
            history.clear(); // the curvature has gone stale: try the steepest descent before giving up
            continue;
        };
        iterations += 1;
        if let Some(pair) = Pair::between(&current, &next) {
            history.push_front(pair);
            history.truncate(options.history);
        }
        current = next;
    }
    let gradient = largest(&current.gradient);
    Minimum {
        point: current.point,
        value: current.value,
        gradient,
        iterations,
        converged: gradient <= options.gradient_tolerance,
    }
}

/// A step s and the change y of the gradient over it.
struct Pair {
    step: Vec<f64>,
    change: Vec<f64>,
    /// 1 / (y · s)
    inverse: f64,
}

impl Pair {
    /// None when the curvature y · s is not safely positive.
    fn between(from: &LinePoint, to: &LinePoint) -> Option<Self> {
        let step = difference(&to.point, &from.point);
        let change = difference(&to.gradient, &from.gradient);
        let curvature = dot(&step, &change);
        (curvature > f64::EPSILON * length(&step) * length(&change)).then(|| Self {
            step,
            change,
            inverse: 1.0 / curvature,
        })
    }
}

/// The two-loop recursion: minus the inverse Hessian's estimate times the gradient. The newest pair
/// comes first.
fn descent(gradient: &[f64], history: &VecDeque<Pair>, precondition: Precondition) -> Vec<f64> {
    let mut direction: Vec<f64> = gradient.iter().map(|component| -component).collect();
    let mut shares = Vec::with_capacity(history.len());
    for pair in history {
        let share = pair.inverse * dot(&pair.step, &direction);
        add(&mut direction, -share, &pair.change);
        shares.push(share);
    }
    direction = precondition(&direction);
    if let Some(newest) = history.front() {
        let squared = dot(&newest.change, &precondition(&newest.change));
        let scale = 1.0 / (newest.inverse * squared);
        direction
            .iter_mut()
            .for_each(|component| *component *= scale);
    }
    for (pair, share) in history.iter().zip(shares).rev() {
        let correction = pair.inverse * dot(&pair.change, &direction);
        add(&mut direction, share - correction, &pair.step);
    }
    direction
}

/// A lower point along `direction`, by the strong Wolfe conditions where they can be met; none if
/// there is no lower point.
fn search(
    evaluate: &mut impl FnMut(Vec<f64>) -> LinePoint,
    start: &LinePoint,
    direction: &[f64],
) -> Option<LinePoint> {
    let slope = dot(&start.gradient, direction);
    if slope >= 0.0 || !slope.is_finite() {
        return None;
    }
    let mut trial_at = |step: f64| {
        let mut point = start.point.clone();
        add(&mut point, step, direction);
        let sample = evaluate(point);
        let slope = dot(&sample.gradient, direction);
        Trial {
            step,
            sample,
            slope,
        }
    };
    let low_enough = |trial: &Trial| {
        trial.sample.value <= start.value + SUFFICIENT_DECREASE * trial.step * slope
    };
    let flat_enough = |trial: &Trial| trial.slope.abs() <= -CURVATURE * slope;

    // Bracket: grow the step until a minimum lies before it.
    let mut low = Trial {
        step: 0.0,
        sample: start.clone(),
        slope,
    };
    let mut step = 1.0;
    let mut trials = 0;
    let mut high = loop {
        let trial = trial_at(step);
        trials += 1;
        if !low_enough(&trial) || (low.step > 0.0 && trial.sample.value >= low.sample.value) {
            break trial;
        }
        if flat_enough(&trial) || trials == MAX_TRIALS {
            return Some(trial.sample);
        }
        if trial.slope >= 0.0 {
            break std::mem::replace(&mut low, trial);
        }
        step = 2.0 * trial.step;
        low = trial;
    };
    // Zoom: shrink the bracket between the best point and the other end.
    while trials < MAX_TRIALS {
        let trial = trial_at(between(&low, &high));
        trials += 1;
        if !low_enough(&trial) || trial.sample.value >= low.sample.value {
            high = trial;
            continue;
        }
        if flat_enough(&trial) {
            return Some(trial.sample);
        }
        if trial.slope * (high.step - low.step) >= 0.0 {
            high = std::mem::replace(&mut low, trial);
        } else {
            low = trial;
        }
    }
    (low.sample.value < start.value).then_some(low.sample)
}

/// The minimum of the cubic through both ends (equation 3.59), kept a tenth of the bracket away from
/// them; the middle where there is none.
fn between(low: &Trial, high: &Trial) -> f64 {
    let width = high.step - low.step;
    let first = low.slope + high.slope
        - 3.0 * (low.sample.value - high.sample.value) / (low.step - high.step);
    // Not a number where the cubic has no minimum; so is the share, then.
    let second = (first * first - low.slope * high.slope)
        .sqrt()
        .copysign(width);
    let step =
        high.step - width * (high.slope + second - first) / (high.slope - low.slope + 2.0 * second);
    let share = (step - low.step) / width;
    if (0.1..=0.9).contains(&share) {
        return step;
    }
    let share = if share.is_finite() {
        share.clamp(0.1, 0.9)
    } else {
        0.5
    };
    low.step + share * width
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

fn length(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

fn largest(vector: &[f64]) -> f64 {
    vector.iter().fold(0.0, |largest, component| {
        // A NaN must not look converged.
        if component.is_nan() {
            f64::INFINITY
        } else {
            component.abs().max(largest)
        }
    })
}

fn add(vector: &mut [f64], factor: f64, other: &[f64]) {
    vector
        .iter_mut()
        .zip(other)
        .for_each(|(component, change)| *component += factor * change);
}

fn difference(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(x, y)| x - y).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The estimate of one who knows nothing of the curvature.
    fn unscaled(gradient: &[f64]) -> Vec<f64> {
        gradient.to_vec()
    }

    fn rosenbrock(point: &[f64]) -> (f64, Vec<f64>) {
        let (x, y) = (point[0], point[1]);
        let value = (1.0 - x).powi(2) + 100.0 * (y - x * x).powi(2);
        (
            value,
            vec![
                -2.0 * (1.0 - x) - 400.0 * x * (y - x * x),
                200.0 * (y - x * x),
            ],
        )
    }

    #[test]
    fn rosenbrocks_valley_is_followed_to_its_end() {
        let options = LbfgsOptions {
            gradient_tolerance: 1e-9,
            ..LbfgsOptions::default()
        };
        let minimum = minimise(rosenbrock, &unscaled, vec![-1.2, 1.0], options);
        assert!(minimum.converged && minimum.iterations < 60, "{minimum:?}");
        assert!(
            minimum.point.iter().all(|x| (x - 1.0).abs() < 1e-8),
            "{minimum:?}"
        );
    }

    #[test]
    fn iterations_run_out_honestly() {
        let options = LbfgsOptions {
            max_iterations: 3,
            ..LbfgsOptions::default()
        };
        let minimum = minimise(rosenbrock, &unscaled, vec![-1.2, 1.0], options);
        assert!(!minimum.converged && minimum.iterations == 3);
        assert!(minimum.value < rosenbrock(&[-1.2, 1.0]).0);
    }

    #[test]
    fn a_start_at_the_minimum_stays() {
        let minimum = minimise(
            rosenbrock,
            &unscaled,
            vec![1.0, 1.0],
            LbfgsOptions::default(),
        );
        assert_eq!(
            (minimum.iterations, minimum.converged, minimum.value),
            (0, true, 0.0)
        );
        // So does one whose gradient is the tolerance.
        let options = LbfgsOptions {
            gradient_tolerance: 1.0,
            ..LbfgsOptions::default()
        };
        let minimum = minimise(|x| (x[0], vec![1.0]), &unscaled, vec![0.0], options);
        assert_eq!((minimum.iterations, minimum.converged), (0, true));
    }

    #[test]
    fn a_function_of_no_numbers_does_not_look_converged() {
        let minimum = minimise(
            |_| (f64::NAN, vec![f64::NAN]),
            &unscaled,
            vec![0.0],
            LbfgsOptions::default(),
        );
        assert!(!minimum.converged);
    }

    #[test]
    fn a_bowl_whose_curvature_is_known_takes_one_step() {
        let scales = [1e-3, 1.0, 1e4];
        let bowl = |point: &[f64]| {
            let value = point
                .iter()
                .zip(scales)
                .map(|(x, s)| 0.5 * s * (x - 3.0).powi(2));
            let gradient = point.iter().zip(scales).map(|(x, s)| s * (x - 3.0));
            (value.sum(), gradient.collect())
        };
        let inverse = |gradient: &[f64]| gradient.iter().zip(scales).map(|(g, s)| g / s).collect();
        let minimum = minimise(bowl, &inverse, vec![0.0; 3], LbfgsOptions::default());
        assert_eq!((minimum.iterations, minimum.converged), (1, true));
        assert!(minimise(bowl, &unscaled, vec![0.0; 3], LbfgsOptions::default()).iterations > 1);
    }

    /// Value and slope at a step.
    type Line<'a> = &'a dyn Fn(f64) -> (f64, f64);

    fn trial(line: Line, step: f64) -> Trial {
        let (value, slope) = line(step);
        let sample = LinePoint {
            point: vec![step],
            value,
            gradient: vec![slope],
        };
        Trial {
            step,
            sample,
            slope,
        }
    }

    /// The step that is found from 0, and how many were tried.
    fn searched(line: Line) -> (Option<f64>, u32) {
        let mut trials = 0;
        let mut evaluate = |point: Vec<f64>| {
            trials += 1;
            trial(line, point[0]).sample
        };
        let found = search(&mut evaluate, &trial(line, 0.0).sample, &[1.0]);
        (found.map(|found| found.point[0]), trials)
    }

    /// The strong Wolfe conditions (Nocedal and Wright, 3.7), with the constants recommended there.
    fn is_by_wolfe(line: Line, step: f64) -> bool {
        let ((start, slope), (value, found)) = (line(0.0), line(step));
        value <= start + 1e-4 * step * slope && found.abs() <= 0.9 * slope.abs()
    }

    fn pair(step: &[f64], change: &[f64]) -> Option<Pair> {
        let at = |point: &[f64], gradient: &[f64]| LinePoint {
            point: point.to_vec(),
            value: 0.0,
            gradient: gradient.to_vec(),
        };
        let nothing = vec![0.0; step.len()];
        Pair::between(&at(&nothing, &nothing), &at(step, change))
    }

    /// The update of the inverse Hessian (Nocedal and Wright, 6.17) by hand, of two pairs.
    #[test]
    fn the_recursion_is_the_product_with_the_updated_inverse() {
        let history = [(&[1.0, 1.0], &[1.0, 3.0]), (&[1.0, 0.0], &[2.0, 1.0])];
        let history = history.map(|(step, change)| pair(step, change).unwrap());
        let precondition = |gradient: &[f64]| vec![gradient[0], 3.0 * gradient[1]];
        let found = descent(&[1.0, 0.0], &history.into(), &precondition);
        let expected = [-481.0 / 448.0, 11.0 / 448.0];
        assert!(
            found
                .iter()
                .zip(expected)
                .all(|(a, b)| (a - b).abs() < 1e-14),
            "{found:?}"
        );
    }

    #[test]
    fn a_pair_is_kept_for_the_angle_between_its_parts_whatever_their_lengths() {
        for length in [1e-20, 1.0, 1e20] {
            assert!(pair(&[length, 0.0], &[1e-20, 1e-10]).is_some());
            assert!(pair(&[length, 0.0], &[1e-20, 1e-2]).is_none());
            assert!(pair(&[length, 0.0], &[-1e-20, 0.0]).is_none());
        }
        assert!(pair(&[0.0, 0.0], &[1.0, 0.0]).is_none());
    }

    #[test]
    fn a_bracket_is_cut_at_the_minimum_of_its_cubic() {
        let cut = |line: Line, low, high| between(&trial(line, low), &trial(line, high));
        // Least at 1, greatest at −1.
        let cubic = |x: f64| (x.powi(3) - 3.0 * x, 3.0 * x * x - 3.0);
        for (low, high, expected) in [
            (0.5, 3.0, 1.0),
            (3.0, 0.5, 1.0),
            (-0.5, 1.5, 1.0),
            (1.5, -2.0, 1.0),
            // A tenth from the near end, if the minimum is nearer, or behind it.
            (0.0, 1.05, 0.945),
            (0.95, 2.95, 1.15),
            (2.95, 0.95, 1.15),
            (2.0, 5.0, 2.3),
            (-0.5, 0.5, 0.4),
        ] {
            let found = cut(&cubic, low, high);
            assert!((found - expected).abs() < 1e-12, "{low}, {high}: {found}");
        }
        // Rises or falls everywhere.
        assert_eq!(cut(&|x| (x.powi(3) + x, 3.0 * x * x + 1.0), 1.0, 4.0), 2.5);
        assert_eq!(cut(&|x| (-x, -1.0), 4.0, 1.0), 2.5);
        assert_eq!(cut(&|x| (1.0 / (x - 4.0), -1.0), 1.0, 4.0), 2.5);
    }

    #[test]
    fn a_step_is_doubled_until_it_ends_where_the_slope_is_nine_tenths() {
        let bowl = |centre: f64| searched(&move |x| (0.5 * (x - centre).powi(2), x - centre));
        // 8 of 9 at once; 10 of 11, then 9; 24 of 25, 23, then 21.
        assert_eq!(bowl(9.0), (Some(1.0), 1));
        assert_eq!(bowl(11.0), (Some(2.0), 2));
        assert_eq!(bowl(25.0), (Some(4.0), 3));
        // What falls for ever is left after thirty trials.
        assert_eq!(searched(&|x| (-x, -1.0)), (Some(2f64.powi(29)), 30));
    }

    #[test]
    fn a_step_that_gains_too_little_is_shortened() {
        // 1e-5 is all there is to gain, and would do for a step of 0.1. A cubic that begins with a
        // slope of −1 and ends at the same value without any is least after a third.
        let line = |x: f64| (1e-5 * (-1e5 * x).exp(), -(-1e5 * x).exp());
        let (found, trials) = searched(&line);
        let step = found.unwrap();
        assert!((step - 1.0 / 27.0).abs() < 1e-5 && trials == 4, "{found:?}");
        assert!(is_by_wolfe(&line, step));
    }

    #[test]
    fn a_valley_is_found_from_behind_it_and_not_left_for_a_deeper_one() {
        // Down from near a summit, and up again before the first step ends.
        for turn in [3.3, 4.0, 4.7, 5.4, 6.1] {
            let wave = |x: f64| ((turn * x + 0.05).cos(), -turn * (turn * x + 0.05).sin());
            let step = searched(&wave).0.unwrap();
            assert!(step < 1.0 && is_by_wolfe(&wave, step), "{turn}: {step}");
        }
        // A slope of almost −1 but for a step up of 1.5 between 1 and 2.
        let stair = |x: f64| {
            let level = (8.0 * (x - 1.5)).tanh();
            (0.75 * level - x, 6.0 * (1.0 - level * level) - 1.0)
        };
        let step = searched(&stair).0.unwrap();
        assert!(step < 1.5 && is_by_wolfe(&stair, step), "{step}");
    }

    #[test]
    fn a_step_is_taken_by_its_slope_where_rounding_hides_its_gain() {
        let found = searched(&|x| (1e16 + 0.5 * (x - 1.0).powi(2), x - 1.0));
        assert_eq!(found, (Some(1.0), 1));
    }

    #[test]
    fn no_step_is_taken_upwards() {
        assert_eq!(searched(&|x| (x, 1.0)), (None, 0));
        assert_eq!(searched(&|x| (-x * x, -2.0 * x)), (None, 0));
        assert_eq!(searched(&|x| (-x, f64::NEG_INFINITY)), (None, 0));
        // A slope that is not the values'.
        assert_eq!(searched(&|x| (x, -1.0)), (None, 30));
    }

    #[test]
    fn a_kink_is_approached_where_the_conditions_cannot_be_met() {
        let kink = |x: f64| ((x - 0.3).abs(), (x - 0.3).signum());
        let (found, trials) = searched(&kink);
        assert!(
            (found.unwrap() - 0.3).abs() < 1e-3 && trials == 30,
            "{found:?}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        /// Of valleys near and far, with one side steeper than the other.
        #[test]
        fn a_step_ends_by_the_strong_wolfe_conditions(
            scale in -3.0f64..3.0, sharp in 0.05f64..1.0, tilt in -0.7f64..0.7,
        ) {
            let centre = 10f64.powf(scale);
            let line = |x: f64| {
                let (x, root) = (x - centre, (x - centre).hypot(sharp * centre));
                (root + tilt * x, x / root + tilt)
            };
            let (found, trials) = searched(&line);
            prop_assert!(found.is_some_and(|step| is_by_wolfe(&line, step)), "{:?}", found);
            prop_assert!(trials < 20, "{}", trials);
        }

        #[test]
        fn ill_conditioned_bowls_are_solved(
            scales in prop::collection::vec(-2.0f64..2.0, 1..12), centre in -5.0f64..5.0,
        ) {
            let bowl = |point: &[f64]| {
                let value = point.iter().zip(&scales).map(|(x, s)| 0.5 * 10f64.powf(*s) * (x - centre).powi(2)).sum();
                (value, point.iter().zip(&scales).map(|(x, s)| 10f64.powf(*s) * (x - centre)).collect())
            };
            let minimum = minimise(bowl, &unscaled, vec![0.0; scales.len()], LbfgsOptions::default());
            prop_assert!(minimum.converged, "{:?}", minimum);
            prop_assert!(minimum.point.iter().all(|x| (x - centre).abs() < 1.1e-4), "{:?}", minimum);
        }
    }
}
