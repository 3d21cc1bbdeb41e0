//! How far two networks see the same images alike, without labels: neighbours in common (the mutual
//! k-NN alignment of Huh et al., 2024, arXiv 2405.07987), Spearman's rank correlation of
//! similarities, and adjusted mutual information of clusters (Vinh et al., 2010). Plain arithmetic in
//! a fixed order.

use rand_chacha::ChaCha8Rng;
use seedpipe_base::Refusal;
use tch::Tensor;

use crate::judge::bootstrap::{Interval, Statistic, intervals};
use crate::judge::knn::Bank;
use crate::loss::seed::normalise;
use crate::loss::spherical_kmeans;
use crate::torch::random::below;
use crate::torch::tensors::to_vec_f32;

/// Rounds of k-means at most, and how often it begins anew: the tightest clusters are taken.
const ROUNDS: u32 = 50;
const STARTS: u64 = 5;

/// How many of its `k` nearest rows each row has in common under both networks, itself left out.
///
/// # Shapes
/// - `one`, `other`: `[N, D]` each of its own D, any length, of the same rows; N above k
pub fn common_neighbours(one: &Tensor, other: &Tensor, k: usize) -> Vec<u32> {
    let nearest = |features: &Tensor| {
        let rows = features.size()[0] as usize;
        // A row may come after its copies.
        let found = Bank::new(features, &vec![0; rows], 1).nearest_rows(features, k + 1);
        let others = found.into_iter().enumerate().map(|(own, mut nearest)| {
            nearest.retain(|&row| row as usize != own);
            nearest.truncate(k);
            nearest.sort_unstable();
            nearest
        });
        others.collect::<Vec<_>>()
    };
    let pairs = nearest(one).into_iter().zip(nearest(other));
    pairs
        .map(|(one, other)| {
            let common = one.iter().filter(|row| other.binary_search(row).is_ok());
            common.count() as u32
        })
        .collect()
}

/// Pairs of different rows: all where they are at most `most`, else so many drawn.
pub fn pairs(rows: u32, most: usize, rng: &mut ChaCha8Rng) -> Vec<[u32; 2]> {
    let all = u64::from(rows) * u64::from(rows.saturating_sub(1)) / 2;
    if all <= most as u64 {
        let of = |row: u32| (row + 1..rows).map(move |other| [row, other]);
        return (0..rows).flat_map(of).collect();
    }
    let drawn = (0..most).map(|_| {
        let (row, other) = (below(rows, rng), below(rows - 1, rng));
        [row, other + u32::from(other >= row)]
    });
    drawn.collect()
}

/// The cosine of each pair; 0 where a row has no direction.
///
/// # Shapes
/// - `features`: `[N, D]`
pub fn cosines(features: &Tensor, pairs: &[[u32; 2]]) -> Vec<f64> {
    let width = features.size()[1] as usize;
    let values = to_vec_f32(features);
    let row = |row: u32| &values[row as usize * width..][..width];
    let product = |one: &[f32], other: &[f32]| -> f64 {
        let products = one.iter().zip(other);
        products.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum()
    };
    let squares: Vec<f64> = values
        .chunks_exact(width)
        .map(|row| product(row, row))
        .collect();
    let cosine = |&[one, other]: &[u32; 2]| {
        let square = squares[one as usize] * squares[other as usize];
        if square > 0.0 {
            product(row(one), row(other)) / square.sqrt()
        } else {
            0.0
        }
    };
    pairs.iter().map(cosine).collect()
}

/// Spearman's rank correlation of what two networks say of pairs, equal values sharing their mean
/// rank, and its 95 % interval by bootstrap over the rows that the pairs are of, at the ranks among
/// all. `None` where one of them says the same of all.
pub fn rank_correlation(
    pairs: &[[u32; 2]],
    rows: usize,
    one: &[f64],
    other: &[f64],
    rng: &ChaCha8Rng,
) -> Option<(f64, Interval)> {
    let (one, other) = (ranks(one), ranks(other));
    let value = correlation(&one, &other, |_| 1.0)?;
    let resampled: Statistic = Box::new(|times| {
        let weight = |pair: usize| {
            let [row, other] = pairs[pair];
            f64::from(times[row as usize]) * f64::from(times[other as usize])
        };
        correlation(&one, &other, weight).unwrap_or(value)
    });
    Some((value, intervals(rows, &[resampled], rng)[0]))
}

/// Ranks from 1; equal values share the mean of theirs.
fn ranks(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|&left, &right| values[left].total_cmp(&values[right]));
    let mut ranks = vec![0.0; values.len()];
    let mut first = 0;
    for equal in order.chunk_by(|&left, &right| values[left] == values[right]) {
        let mean = first as f64 + (equal.len() + 1) as f64 / 2.0;
        for &index in equal {
            ranks[index] = mean;
        }
        first += equal.len();
    }
    ranks
}

/// Pearson's correlation of weighted values.
fn correlation(one: &[f64], other: &[f64], weight: impl Fn(usize) -> f64) -> Option<f64> {
    let (mut all, mut means) = (0.0, [0.0; 2]);
    for (index, (a, b)) in one.iter().zip(other).enumerate() {
        let weight = weight(index);
        all += weight;
        means[0] += weight * a;
        means[1] += weight * b;
    }
    let means = means.map(|sum| sum / all);
    let (mut product, mut squares) = (0.0, [0.0; 2]);
    for (index, (a, b)) in one.iter().zip(other).enumerate() {
        let (weight, a, b) = (weight(index), a - means[0], b - means[1]);
        product += weight * a * b;
        squares[0] += weight * a * a;
        squares[1] += weight * b * b;
    }
    let scale = (squares[0] * squares[1]).sqrt();
    (scale > 0.0).then(|| (product / scale).clamp(-1.0, 1.0))
}

/// The cluster of each row: the tightest of several k-means on the unit sphere.
///
/// # Shapes
/// - `features`: `[N, D]`, any length
pub fn clusters(features: &Tensor, count: usize, rng: &ChaCha8Rng) -> Result<Vec<usize>, Refusal> {
    let rows = normalise(features);
    let mut best: Option<(f64, Vec<usize>)> = None;
    for start in 0..STARTS {
        let mut rng = rng.clone();
        rng.set_stream(start);
        let centroids = spherical_kmeans::fit(&rows, count, ROUNDS, &mut rng)?;
        let (labels, cosines) = spherical_kmeans::nearest(&rows, &centroids);
        let tightness = cosines.iter().map(|cosine| f64::from(*cosine)).sum();
        if best.as_ref().is_none_or(|(most, _)| tightness > *most) {
            let labels = labels.iter().map(|&label| label as usize);
            best = Some((tightness, labels.collect()));
        }
    }
    Ok(best.map_or_else(Vec::new, |(_, labels)| labels))
}

/// Adjusted mutual information of two ways to cut the same rows into clusters, by the mean of their
/// entropies: 1 for the same clusters, about 0 by chance.
pub fn adjusted_mutual_information(one: &[usize], other: &[usize]) -> f64 {
    let rows = one.len();
    let table = Contingency::of(one, other);
    let [one_entropy, other_entropy] = [&table.one, &table.other].map(|sizes| entropy(sizes, rows));
    let counts =
        [&table.one, &table.other].map(|sizes| sizes.iter().filter(|size| **size > 0).count());
    // Nothing is left to find where all rows are one cluster, or each is its own.
    if counts == [1; 2] || counts == [rows; 2] {
        return 1.0;
    }
    let expected = table.expected(rows);
    let most = (one_entropy + other_entropy) / 2.0 - expected;
    (table.information(rows) - expected) / most
}

/// How many rows are in each pair of clusters, and in each cluster.
struct Contingency {
    both: Vec<Vec<usize>>,
    one: Vec<usize>,
    other: Vec<usize>,
}

impl Contingency {
    fn of(one: &[usize], other: &[usize]) -> Contingency {
        let count = |labels: &[usize]| labels.iter().max().map_or(0, |most| most + 1);
        let mut table = Contingency {
            both: vec![vec![0; count(other)]; count(one)],
            one: vec![0; count(one)],
            other: vec![0; count(other)],
        };
        for (&one, &other) in one.iter().zip(other) {
            table.both[one][other] += 1;
            table.one[one] += 1;
            table.other[other] += 1;
        }
        table
    }

    fn information(&self, rows: usize) -> f64 {
        let mut sum = 0.0;
        for (both, &one) in self.both.iter().zip(&self.one) {
            for (&both, &other) in both.iter().zip(&self.other) {
                if both > 0 {
                    let share = both as f64 / rows as f64;
                    let chance = (one as f64) * (other as f64);
                    sum += share * (rows as f64 * both as f64 / chance).ln();
                }
            }
        }
        sum
    }

    /// The information of clusters of these sizes by chance: over every possible number in common,
    /// weighted hypergeometrically.
    fn expected(&self, rows: usize) -> f64 {
        let mut factorial = vec![0.0; rows + 1];
        for number in 1..=rows {
            factorial[number] = factorial[number - 1] + (number as f64).ln();
        }
        let mut sum = 0.0;
        for &one in &self.one {
            for &other in &self.other {
                let chance = (one as f64) * (other as f64);
                for both in (one + other).saturating_sub(rows).max(1)..=one.min(other) {
                    let ways = factorial[one]
                        + factorial[other]
                        + factorial[rows - one]
                        + factorial[rows - other]
                        - factorial[rows]
                        - factorial[both]
                        - factorial[one - both]
                        - factorial[other - both]
                        - factorial[rows + both - one - other];
                    let share = both as f64 / rows as f64;
                    sum += share * (rows as f64 * both as f64 / chance).ln() * ways.exp();
                }
            }
        }
        sum
    }
}

fn entropy(sizes: &[usize], rows: usize) -> f64 {
    let shares = sizes.iter().filter(|size| **size > 0);
    shares
        .map(|&size| {
            let share = size as f64 / rows as f64;
            -share * share.ln()
        })
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::torch::random::normal;
    use rand_chacha::rand_core::SeedableRng;
    use serde_json::Value;

    fn reference() -> Value {
        serde_json::from_str(include_str!("../testdata/reference_agreement.json")).unwrap()
    }

    fn of<T: serde::de::DeserializeOwned>(value: &Value) -> T {
        serde_json::from_value(value.clone()).unwrap()
    }

    fn features(value: &Value) -> Tensor {
        let rows: Vec<Vec<f32>> = of(value);
        Tensor::from_slice2(&rows)
    }

    fn key(key: u64) -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(key)
    }

    #[test]
    fn neighbours_and_ranks_are_those_of_scikit_learn_and_scipy() {
        let golden = reference();
        let (teacher, student) = (features(&golden["teacher"]), features(&golden["student"]));
        let expected: Vec<u32> = of(&golden["common"]);
        let k = golden["k"].as_u64().unwrap() as usize;
        assert_eq!(common_neighbours(&teacher, &student, k), expected);
        let rows = expected.len() as u32;
        let all = pairs(rows, usize::MAX, &mut key(0));
        assert_eq!(all.len() as u32, rows * (rows - 1) / 2);
        let [one, other] = [&teacher, &student].map(|features| cosines(features, &all));
        let found = rank_correlation(&all, rows as usize, &one, &other, &key(1));
        let (value, Interval { low, high }) = found.unwrap();
        assert!(
            (value - golden["correlation"].as_f64().unwrap()).abs() < 1e-9,
            "{value}"
        );
        assert!(
            low < value && value < high && high - low < 0.5,
            "{low} to {high}"
        );
        for case in golden["correlations"].as_array().unwrap() {
            let [one, other] = ["one", "other"].map(|side| ranks(&of::<Vec<f64>>(&case[side])));
            let found = correlation(&one, &other, |_| 1.0).unwrap();
            assert!(
                (found - case["correlation"].as_f64().unwrap()).abs() < 1e-12,
                "{found}"
            );
        }
    }

    #[test]
    fn information_is_that_of_scikit_learn() {
        for case in reference()["mutual_information"].as_array().unwrap() {
            let [one, other] = ["one", "other"].map(|side| of::<Vec<usize>>(&case[side]));
            let found = adjusted_mutual_information(&one, &other);
            let expected = case["information"].as_f64().unwrap();
            assert!((found - expected).abs() < 1e-9, "{found}, not {expected}");
        }
    }

    #[test]
    fn a_row_is_no_neighbour_of_its_own_and_copies_change_nothing_of_that() {
        let copies = Tensor::from_slice2(&[[1f32, 0.0], [1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]);
        assert_eq!(common_neighbours(&copies, &copies, 2), [2, 2, 2, 2]);
        let same = normal(&[40, 3], &mut key(2));
        assert_eq!(common_neighbours(&same, &(&same * 3.0), 5), [5; 40]);
    }

    #[test]
    fn what_sees_all_alike_has_no_order_and_no_clusters() {
        let dead = Tensor::zeros([30, 4], (tch::Kind::Float, tch::Device::Cpu));
        let alive = normal(&[30, 4], &mut key(3));
        let drawn = pairs(30, 50, &mut key(4));
        assert!(drawn.len() == 50 && drawn.iter().all(|[one, other]| one != other));
        let [one, other] = [&dead, &alive].map(|features| cosines(features, &drawn));
        assert!(rank_correlation(&drawn, 30, &one, &other, &key(5)).is_none());
        let [one, other] = [&dead, &alive].map(|features| clusters(features, 5, &key(6)).unwrap());
        assert!(adjusted_mutual_information(&one, &other).abs() < 1e-9);
        assert_eq!(adjusted_mutual_information(&other, &other), 1.0);
    }

    #[test]
    fn clusters_that_lie_apart_are_found_again_in_any_space() {
        let labels: Vec<i64> = (0..60).map(|row| row % 3).collect();
        let bundles = |width: i64, seed: u64| {
            let axes = Tensor::eye(width, (tch::Kind::Float, tch::Device::Cpu));
            axes.index_select(0, &Tensor::from_slice(&labels))
                + 0.1 * normal(&[60, width], &mut key(seed))
        };
        let [one, other] =
            [bundles(3, 7), bundles(8, 8)].map(|features| clusters(&features, 3, &key(9)).unwrap());
        assert_eq!(adjusted_mutual_information(&one, &other), 1.0);
    }
}
