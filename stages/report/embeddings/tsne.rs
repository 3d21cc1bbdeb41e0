//! t-SNE (van der Maaten and Hinton 2008): places in the plane that keep each point's neighbours.
//!
//! Attraction between each point and its nearest neighbours, as in the Barnes-Hut form (van der
//! Maaten 2014); repulsion exactly, over all pairs, which for the few thousand points of a page is
//! as fast. Begins at the principal components (Kobak and Berens 2019), so that nothing is drawn at
//! random and equal vectors give an equal map, whatever the threads.

use rayon::prelude::*;

/// Effective number of neighbours.
const PERPLEXITY: f64 = 30.0;
/// Steps with exaggerated attraction, and all of them.
const EARLY: usize = 150;
const STEPS: usize = 500;
const EXAGGERATION: f32 = 12.0;
/// Sums that run side by side, of which the compiler makes vectors.
const LANES: usize = 16;

/// Similarities in the space of the vectors: for each point its neighbours, symmetric, all of them
/// with the sum 1.
struct Affinities {
    /// `[N]` of lists of (neighbour, share), neighbours ascending.
    rows: Vec<Vec<(usize, f32)>>,
}

/// The map: `[N]`, centred.
///
/// # Shapes
/// - `values`: `[N, dimension]`, row-major
/// - `start`: `[N]`, only its directions count
pub fn tsne(values: &[f32], dimension: usize, start: &[[f64; 2]]) -> Vec<[f64; 2]> {
    let count = start.len();
    if count < 3 {
        return start.to_vec();
    }
    let affinities = Affinities::of(values, dimension, PERPLEXITY);
    let mut places = first_places(start);
    let mut speed = vec![[0.0f32; 2]; count];
    let mut gains = vec![[1.0f32; 2]; count];
    // As scikit-learn's `learning_rate="auto"`.
    let rate = (count as f32 / EXAGGERATION / 4.0).max(50.0);
    for step in 0..STEPS {
        let (exaggeration, momentum) = match step < EARLY {
            true => (EXAGGERATION, 0.5),
            false => (1.0, 0.8),
        };
        let gradient = gradient(&affinities, &places, exaggeration);
        for index in 0..count {
            for axis in 0..2 {
                let (slope, gain) = (gradient[index][axis], &mut gains[index][axis]);
                let speed = &mut speed[index][axis];
                *gain = if (slope > 0.0) == (*speed > 0.0) {
                    (*gain * 0.8).max(0.01)
                } else {
                    *gain + 0.2
                };
                *speed = momentum * *speed - rate * *gain * slope;
                places[index][axis] += *speed;
            }
        }
        centre(&mut places);
    }
    places
        .into_iter()
        .map(|place| place.map(f64::from))
        .collect()
}

/// The principal components, made small: 1e-4 along the first.
fn first_places(start: &[[f64; 2]]) -> Vec<[f32; 2]> {
    let spread = start.iter().map(|place| place[0] * place[0]).sum::<f64>() / start.len() as f64;
    let factor = 1e-4 / spread.sqrt().max(1e-30);
    // Equal points are set apart by less than anything else, so that they don't stay on one
    // another.
    let places = start.iter().enumerate().map(|(index, place)| {
        let aside = 1e-9 * (index as f64 + 1.0);
        [
            (place[0] * factor + aside) as f32,
            (place[1] * factor - aside) as f32,
        ]
    });
    places.collect()
}

fn centre(places: &mut [[f32; 2]]) {
    for axis in 0..2 {
        let mean = places
            .iter()
            .map(|place| f64::from(place[axis]))
            .sum::<f64>()
            / places.len() as f64;
        places
            .iter_mut()
            .for_each(|place| place[axis] -= mean as f32);
    }
}

impl Affinities {
    /// Of rows `[N, dimension]`.
    fn of(values: &[f32], dimension: usize, perplexity: f64) -> Affinities {
        let count = values.len() / dimension;
        let perplexity = perplexity.min((count - 1) as f64 / 3.0).max(1.0);
        let neighbours = ((3.0 * perplexity) as usize + 1).min(count - 1);
        let row = |index: usize| &values[index * dimension..][..dimension];
        let nearest: Vec<Vec<(usize, f64)>> = (0..count)
            .into_par_iter()
            .map(|index| {
                let mut all: Vec<(usize, f64)> = (0..count)
                    .filter(|&other| other != index)
                    .map(|other| (other, f64::from(squared_distance(row(index), row(other)))))
                    .collect();
                let by_distance = |left: &(usize, f64), right: &(usize, f64)| {
                    left.1.total_cmp(&right.1).then(left.0.cmp(&right.0))
                };
                if neighbours < all.len() {
                    all.select_nth_unstable_by(neighbours - 1, by_distance);
                    all.truncate(neighbours);
                }
                all.sort_by(by_distance);
                shares(&all, perplexity)
            })
            .collect();
        let mut rows: Vec<Vec<(usize, f64)>> = vec![Vec::new(); count];
        for (index, neighbours) in nearest.iter().enumerate() {
            for &(other, share) in neighbours {
                rows[index].push((other, share));
                rows[other].push((index, share));
            }
        }
        let rows = rows.into_iter().map(|row| merged(row, count)).collect();
        Affinities { rows }
    }
}

/// Entries of equal neighbours added, halved and shared among all points. Rounded to f32, so that
/// the last bits of `exp`, which are the C library's, don't lead the map elsewhere.
fn merged(mut row: Vec<(usize, f64)>, count: usize) -> Vec<(usize, f32)> {
    row.sort_by_key(|(other, _)| *other);
    let mut merged: Vec<(usize, f64)> = Vec::with_capacity(row.len());
    for (other, share) in row {
        match merged.last_mut() {
            Some(last) if last.0 == other => last.1 += share,
            _ => merged.push((other, share)),
        }
    }
    let of_all = 2.0 * count as f64;
    merged
        .into_iter()
        .map(|(other, share)| (other, (share / of_all) as f32))
        .collect()
}

/// Gaussian shares of a point's neighbours, of a width that gives them the perplexity. Halving, as
/// in the paper.
fn shares(neighbours: &[(usize, f64)], perplexity: f64) -> Vec<(usize, f64)> {
    let wanted = perplexity.ln();
    let least = neighbours.first().map_or(0.0, |(_, distance)| *distance);
    let (mut low, mut high, mut precision) = (0.0, f64::INFINITY, 1.0);
    let mut weights = Vec::new();
    for _ in 0..100 {
        // Distances from the least one on: the shares are the same, and none of them underflows.
        weights = neighbours
            .iter()
            .map(|(_, distance)| (-(distance - least) * precision).exp())
            .collect::<Vec<f64>>();
        let sum: f64 = weights.iter().sum();
        let mean: f64 = weights
            .iter()
            .zip(neighbours)
            .map(|(weight, (_, distance))| weight * (distance - least))
            .sum::<f64>()
            / sum;
        let entropy = sum.ln() + precision * mean;
        if (entropy - wanted).abs() < 1e-5 {
            break;
        }
        if entropy > wanted {
            low = precision;
            precision = if high.is_finite() {
                (low + high) / 2.0
            } else {
                precision * 2.0
            };
        } else {
            high = precision;
            precision = (low + high) / 2.0;
        }
    }
    let sum: f64 = weights.iter().sum();
    neighbours
        .iter()
        .zip(&weights)
        .map(|((other, _), weight)| (*other, weight / sum))
        .collect()
}

fn squared_distance(left: &[f32], right: &[f32]) -> f32 {
    let mut sums = [0.0f32; LANES];
    let (left_chunks, left_rest) = left.as_chunks::<LANES>();
    let (right_chunks, right_rest) = right.as_chunks::<LANES>();
    for (left, right) in left_chunks.iter().zip(right_chunks) {
        for lane in 0..LANES {
            let difference = left[lane] - right[lane];
            sums[lane] += difference * difference;
        }
    }
    let rest: f32 = left_rest
        .iter()
        .zip(right_rest)
        .map(|(left, right)| (left - right) * (left - right))
        .sum();
    sums.iter().sum::<f32>() + rest
}

/// The gradient of Kullback and Leibler's divergence (equation 5 of the paper): `[N]`.
fn gradient(affinities: &Affinities, places: &[[f32; 2]], exaggeration: f32) -> Vec<[f32; 2]> {
    let (xs, ys): (Vec<f32>, Vec<f32>) = places.iter().map(|place| (place[0], place[1])).unzip();
    // Of each point: the sum of 1 / (1 + d²), and of its square times the way to the other.
    let repulsion: Vec<(f64, [f32; 2])> = places
        .par_iter()
        .map(|place| repulsion(*place, &xs, &ys))
        .collect();
    // Every point is once its own neighbour at distance 0.
    let normaliser: f64 = repulsion.iter().map(|(sum, _)| sum - 1.0).sum();
    let factor = (1.0 / normaliser.max(1e-12)) as f32;
    places
        .par_iter()
        .zip(&affinities.rows)
        .zip(&repulsion)
        .map(|((place, row), (_, away))| {
            let mut toward = [0.0f32; 2];
            for &(other, share) in row {
                let (across, up) = (place[0] - xs[other], place[1] - ys[other]);
                let weight = share / (1.0 + across * across + up * up);
                toward[0] += weight * across;
                toward[1] += weight * up;
            }
            [
                4.0 * (exaggeration * toward[0] - factor * away[0]),
                4.0 * (exaggeration * toward[1] - factor * away[1]),
            ]
        })
        .collect()
}

fn repulsion(place: [f32; 2], xs: &[f32], ys: &[f32]) -> (f64, [f32; 2]) {
    let mut sums = [0.0f32; LANES];
    let mut across = [0.0f32; LANES];
    let mut up = [0.0f32; LANES];
    let (x_chunks, x_rest) = xs.as_chunks::<LANES>();
    let (y_chunks, y_rest) = ys.as_chunks::<LANES>();
    for (xs, ys) in x_chunks.iter().zip(y_chunks) {
        for lane in 0..LANES {
            let (dx, dy) = (place[0] - xs[lane], place[1] - ys[lane]);
            let weight = 1.0 / (1.0 + dx * dx + dy * dy);
            sums[lane] += weight;
            across[lane] += weight * weight * dx;
            up[lane] += weight * weight * dy;
        }
    }
    let mut sum: f64 = sums.iter().map(|sum| f64::from(*sum)).sum();
    let mut away = [across.iter().sum::<f32>(), up.iter().sum::<f32>()];
    for (x, y) in x_rest.iter().zip(y_rest) {
        let (dx, dy) = (place[0] - x, place[1] - y);
        let weight = 1.0 / (1.0 + dx * dx + dy * dy);
        sum += f64::from(weight);
        away[0] += weight * weight * dx;
        away[1] += weight * weight * dy;
    }
    (sum, away)
}

#[cfg(test)]
#[path = "tsne_tests.rs"]
mod tests;
