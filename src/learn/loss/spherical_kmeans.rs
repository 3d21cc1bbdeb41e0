//! K-means on the unit sphere (Dhillon and Modha, 2001): rows are told apart by their cosine,
//! centroids are the directions of their rows' sums. It begins as k-means++ does (Arthur and
//! Vassilvitskii, 2007): each next centroid is a row drawn with weight 1 − its greatest cosine so
//! far.
//!
//! The generator's key and the rows decide every bit: products are computed in pieces of fixed size
//! on one thread of libtorch each, sums in the order of the rows in f64, on the CPU.

use rand_chacha::ChaCha8Rng;
use rayon::prelude::*;
use seedpipe_base::Refusal;
use tch::{Device, Kind, Tensor, no_grad};

use crate::torch::one_thread::with_one_thread;
use crate::torch::random::unit;
use crate::torch::tensors::{from_slice_f32, to_vec_f32};

/// Rows of a task.
const PIECE: i64 = 4096;

/// Centroids of `clusters` clusters, after at most so many rounds; fewer when no row moves any
/// more.
///
/// A cluster that loses all of its rows, or whose rows have no direction together, begins anew at the
/// row that is farthest from its centroid.
///
/// # Shapes
/// - `rows`: `[N, D]`, rows of length 1
/// - returns `[clusters, D]` f32 on the CPU, rows of length 1
pub fn fit(
    rows: &Tensor,
    clusters: usize,
    rounds: u32,
    rng: &mut ChaCha8Rng,
) -> Result<Tensor, Refusal> {
    let size = rows.size();
    let (count, width) = (size[0] as usize, size[1] as usize);
    if clusters == 0 || clusters > count {
        return Err(Refusal::failure(format!(
            "expected 1 to {count} clusters of {count} rows, got {clusters}"
        ))
        .hint("lower their number"));
    }
    let rows = no_grad(|| {
        rows.to_device(Device::Cpu)
            .to_kind(Kind::Float)
            .contiguous()
    });
    let values = to_vec_f32(&rows);
    let row = |index: usize| &values[index * width..(index + 1) * width];
    let mut centroids: Vec<f32> = Vec::with_capacity(clusters * width);
    for index in start(&rows, clusters, rng) {
        centroids.extend(row(index));
    }
    let mut labels: Vec<i64> = Vec::new();
    for _ in 0..rounds {
        let (found, cosines) = nearest(
            &rows,
            &from_slice_f32(&[clusters as i64, width as i64], &centroids),
        );
        if found == labels {
            break;
        }
        let mut sums = vec![0f64; clusters * width];
        for (index, &label) in found.iter().enumerate() {
            let label = label as usize;
            for (sum, value) in sums[label * width..].iter_mut().zip(row(index)) {
                *sum += f64::from(*value);
            }
        }
        let mut farthest = farthest_first(&cosines);
        for (cluster, sum) in sums.chunks_exact(width).enumerate() {
            let centroid = &mut centroids[cluster * width..(cluster + 1) * width];
            let length = sum.iter().map(|value| value * value).sum::<f64>().sqrt();
            if length > 0.0 {
                for (value, sum) in centroid.iter_mut().zip(sum) {
                    *value = (sum / length) as f32;
                }
            } else if let Some(index) = farthest.next() {
                centroid.copy_from_slice(row(index));
            }
        }
        labels = found;
    }
    Ok(from_slice_f32(&[clusters as i64, width as i64], &centroids))
}

/// Each row's nearest centroid, and its cosine to it.
pub fn nearest(rows: &Tensor, centroids: &Tensor) -> (Vec<i64>, Vec<f32>) {
    let count = rows.size()[0];
    let pieces: Vec<(Tensor, Tensor)> = (0..count)
        .step_by(PIECE as usize)
        .map(|first| {
            let piece = rows.narrow(0, first, PIECE.min(count - first));
            (piece, centroids.shallow_clone())
        })
        .collect();
    let found: Vec<(Vec<i64>, Vec<f32>)> = pieces
        .into_par_iter()
        .map(|(rows, centroids)| {
            with_one_thread(|| {
                no_grad(|| {
                    let (cosines, labels) = rows.matmul(&centroids.tr()).max_dim(1, false);
                    let mut indices = vec![0i64; labels.numel()];
                    labels.copy_data(&mut indices, labels.numel());
                    (indices, to_vec_f32(&cosines))
                })
            })
        })
        .collect();
    let (labels, cosines): (Vec<_>, Vec<_>) = found.into_iter().unzip();
    (labels.concat(), cosines.concat())
}

/// Rows to begin with, by k-means++.
fn start(rows: &Tensor, clusters: usize, rng: &mut ChaCha8Rng) -> Vec<usize> {
    let count = rows.size()[0] as usize;
    let mut chosen = Vec::with_capacity(clusters);
    let mut taken = vec![false; count];
    let mut distances = vec![f64::INFINITY; count];
    // Below `count`, as a share below 1 of a whole number is when rounded.
    let mut next = (unit(rng) * count as f64) as usize;
    loop {
        chosen.push(next);
        taken[next] = true;
        if chosen.len() == clusters {
            return chosen;
        }
        let (_, cosines) = nearest(rows, &rows.narrow(0, next as i64, 1));
        for ((distance, cosine), taken) in distances.iter_mut().zip(cosines).zip(&taken) {
            let own = if *taken {
                0.0
            } else {
                (1.0 - f64::from(cosine)).max(0.0)
            };
            *distance = distance.min(own);
        }
        next = drawn(&distances, unit(rng)).unwrap_or_else(|| {
            // Only copies of what is chosen are left.
            taken
                .iter()
                .position(|taken| !taken)
                .expect("BUG: more clusters than rows")
        });
    }
}

/// The index at which a share of all weight is reached; none when there is no weight.
fn drawn(weights: &[f64], share: f64) -> Option<usize> {
    let mut rest = share * weights.iter().sum::<f64>();
    let mut last = None;
    for (index, &weight) in weights
        .iter()
        .enumerate()
        .filter(|(_, weight)| **weight > 0.0)
    {
        last = Some(index);
        if rest < weight {
            break;
        }
        rest -= weight;
    }
    last
}

/// Rows by ascending cosine to their centroid, equal ones in their order.
fn farthest_first(cosines: &[f32]) -> impl Iterator<Item = usize> {
    let mut order: Vec<usize> = (0..cosines.len()).collect();
    order.sort_by(|&left, &right| cosines[left].total_cmp(&cosines[right]));
    order.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::seed::normalise;
    use crate::torch::random::normal;
    use rand_chacha::rand_core::SeedableRng;

    fn key(key: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(key)
    }

    /// 40 rows near each of three axes.
    fn bundles() -> Tensor {
        let axes = Tensor::eye(3, (Kind::Float, Device::Cpu));
        let near =
            |axis: i64, seed| axes.narrow(0, axis, 1) + 0.1 * normal(&[40, 3], &mut key(seed));
        normalise(&Tensor::cat(&[near(0, 1), near(1, 2), near(2, 3)], 0))
    }

    #[test]
    fn bundles_of_rows_are_found_and_the_centroids_are_their_directions() {
        let rows = bundles();
        let centroids = fit(&rows, 3, 50, &mut key(7)).unwrap();
        let (labels, _) = nearest(&rows, &centroids);
        let mut seen: Vec<i64> = labels.chunks(40).map(|bundle| bundle[0]).collect();
        assert!(
            labels
                .chunks(40)
                .all(|bundle| bundle.iter().all(|label| *label == bundle[0]))
        );
        for (bundle, &label) in seen.iter().enumerate() {
            let sum = rows
                .narrow(0, 40 * bundle as i64, 40)
                .sum_dim_intlist(0, true, None);
            let difference = normalise(&sum) - centroids.narrow(0, label, 1);
            assert!(difference.abs().max().double_value(&[]) < 1e-6);
        }
        seen.sort_unstable();
        assert_eq!(seen, [0, 1, 2]);
    }

    #[test]
    fn the_key_decides_every_bit_whatever_the_threads() {
        let rows = normalise(&normal(&[9000, 5], &mut key(4)));
        let fitted = |threads, seed| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            let rows = rows.shallow_clone();
            pool.install(move || fit(&rows, 12, 5, &mut key(seed)).unwrap())
        };
        let first = fitted(1, 1);
        assert_eq!(first, fitted(3, 1));
        assert_ne!(first, fitted(1, 2));
    }

    #[test]
    fn as_many_clusters_as_rows_are_the_rows_and_copies_are_no_trouble() {
        let rows = normalise(&normal(&[6, 4], &mut key(5)));
        let centroids = fit(&rows, 6, 10, &mut key(6)).unwrap();
        let (_, cosines) = nearest(&rows, &centroids);
        assert!(
            cosines.iter().all(|cosine| (cosine - 1.0).abs() < 1e-6),
            "{cosines:?}"
        );
        let copies = rows.narrow(0, 0, 1).expand([5, 4], false).contiguous();
        let centroids = fit(&copies, 3, 10, &mut key(6)).unwrap();
        assert!(
            (centroids - copies.narrow(0, 0, 1))
                .abs()
                .max()
                .double_value(&[])
                < 1e-6
        );
        let opposite = Tensor::from_slice2(&[[0.6f32, 0.8], [-0.6, -0.8]]);
        let centroid = fit(&opposite, 1, 10, &mut key(6)).unwrap();
        let (_, cosines) = nearest(&centroid, &opposite);
        assert!((cosines[0] - 1.0).abs() < 1e-6, "{cosines:?}");
        assert_eq!(
            fit(&rows, 7, 10, &mut key(6)).unwrap_err().to_string(),
            "expected 1 to 6 clusters of 6 rows, got 7\nhint: lower their number"
        );
    }

    #[test]
    fn it_begins_at_any_row_and_goes_on_at_rows_that_differ() {
        let axes = Tensor::eye(3, (Kind::Float, Device::Cpu));
        let rows = axes.index_select(0, &Tensor::from_slice(&[0i64, 0, 1, 0, 2, 0]));
        let begun: Vec<Vec<usize>> = (0..60).map(|at| start(&rows, 3, &mut key(at))).collect();
        assert!((0..6).all(|row| begun.iter().any(|begun| begun[0] == row)));
        for mut begun in begun {
            begun.sort_unstable();
            assert_eq!(begun.iter().filter(|row| [2, 4].contains(*row)).count(), 2);
        }
    }

    /// As `numpy.random.Generator.choice` draws: by `searchsorted(…, side="right")` in the running
    /// sum, here 1, 1, 3, 4.
    #[test]
    fn a_row_is_drawn_by_its_weight() {
        for (share, row) in [
            (0.0, 0),
            (0.24, 0),
            (0.25, 2),
            (0.74, 2),
            (0.75, 3),
            (1.0, 3),
        ] {
            assert_eq!(drawn(&[1.0, 0.0, 2.0, 1.0], share), Some(row), "{share}");
        }
        assert_eq!(drawn(&[0.0, 0.0], 0.5), None);
    }

    #[test]
    fn the_farthest_row_comes_first_and_of_equal_ones_the_earlier() {
        assert!(farthest_first(&[0.5, -1.0, 0.5, 0.1]).eq([1, 3, 0, 2]));
    }
}
