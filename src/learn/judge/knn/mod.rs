//! Exact k-nearest-neighbour classification by cosine similarity, the evaluation that trains
//! nothing.
//!
//! Neighbours are found block by block with matrix products of one fixed shape on one thread, or by
//! `panels`, so that the similarity of a pair depends neither on how many queries or rows there are
//! nor on the number of threads. Equal similarities go to the earlier row, equal votes to the class
//! whose rows are nearer.

mod ballot;
mod nearest;
#[cfg(target_arch = "x86_64")]
mod panelled;

use rayon::prelude::*;
use tch::{Device, Kind, Tensor, no_grad};

use crate::loss::seed::normalise;
use crate::torch::one_thread::with_one_thread;
#[cfg(target_arch = "x86_64")]
use crate::torch::panels::{Avx2, suit_panels};
use crate::torch::products::{times_transposed, values};
use ballot::Ballot;
use nearest::{NearestRows, Neighbour, Similarity};

pub use ballot::{Ranking, accuracy};

pub(crate) const QUERY_BLOCK: i64 = 256;
/// A block's similarities to a block of queries, 1 MiB, stay in a core's cache until they were
/// looked through.
pub(crate) const BANK_BLOCK: i64 = 1024;

/// Features with known labels, normalised and cut into blocks.
#[derive(Debug)]
pub struct Bank {
    /// `[BANK_BLOCK, D]` each, the last padded with zeros
    blocks: Vec<Tensor>,
    labels: Vec<u32>,
    kind: Kind,
    device: Device,
}

/// The votes of the k nearest rows, for each query.
#[derive(Clone, Debug, PartialEq)]
pub struct Neighbours {
    pub k: usize,
    /// votes of exp(similarity / temperature)
    pub weighted: Vec<Ranking>,
    /// one vote each
    pub majority: Vec<Ranking>,
}

impl Bank {
    /// # Shapes
    /// - `features`: `[N, D]` f32 or f64, any length, N at least 1
    /// - `labels`: N values of 0..classes
    pub fn new(features: &Tensor, labels: &[i64], classes: usize) -> Self {
        let rows = features.size()[0];
        assert!(
            rows > 0 && rows as usize == labels.len(),
            "BUG: {rows} rows of features, {} labels",
            labels.len()
        );
        let labels = labels
            .iter()
            .map(|&label| match u32::try_from(label) {
                Ok(label) if (label as usize) < classes => label,
                _ => panic!("BUG: label {label} of {classes} classes"),
            })
            .collect();
        let blocks = no_grad(|| {
            (0..rows)
                .step_by(BANK_BLOCK as usize)
                .map(|start| padded(features, start, BANK_BLOCK))
                .collect()
        });
        Self {
            blocks,
            labels,
            kind: features.kind(),
            device: features.device(),
        }
    }

    /// Class of each row.
    pub(crate) fn labels(&self) -> &[u32] {
        &self.labels
    }

    /// The features, of length 1, as said there.
    pub(crate) fn blocks(&self) -> &[Tensor] {
        &self.blocks
    }

    /// Classifies each query by its `k` nearest rows, for every k of `ks`; a k above N takes all N.
    ///
    /// `temperature` divides the similarity in the weighted votes (0.07 in the literature).
    ///
    /// # Shapes
    /// - `queries`: `[M, D]` of the bank's kind, any length
    /// - returns one [`Neighbours`] of M rankings per k
    pub fn classify(&self, queries: &Tensor, ks: &[usize], temperature: f64) -> Vec<Neighbours> {
        let possible = temperature > 0.0 && !ks.is_empty() && ks.iter().all(|&k| k > 0);
        assert!(
            possible,
            "BUG: temperature {temperature}, k {ks:?}; expected both above 0"
        );
        let most = ks.iter().copied().max().unwrap_or(0).min(self.labels.len());
        let nearest = self.nearest(queries, most);
        let ballot = Ballot {
            labels: &self.labels,
        };
        ks.iter()
            .map(|&k| {
                let (weighted, majority) = nearest
                    .par_iter()
                    .map(|found| {
                        let found = &found[..k.min(found.len())];
                        (
                            ballot.weighted(found, temperature),
                            ballot.count(found, |_| 1.0),
                        )
                    })
                    .unzip();
                Neighbours {
                    k,
                    weighted,
                    majority,
                }
            })
            .collect()
    }

    /// The `k` nearest rows of each query, nearest first; all where the bank has fewer.
    ///
    /// # Shapes
    /// - `queries`: `[M, D]`, any length
    pub fn nearest_rows(&self, queries: &Tensor, k: usize) -> Vec<Vec<u32>> {
        let found = self.nearest(queries, k.min(self.labels.len()));
        found
            .into_iter()
            .map(|found| found.iter().map(|candidate| candidate.row).collect())
            .collect()
    }

    /// The `most` nearest rows of each query, nearest first.
    fn nearest(&self, queries: &Tensor, most: usize) -> Vec<Vec<Neighbour>> {
        match self.kind {
            Kind::Double => self.nearest_of::<f64>(queries, most),
            _ => self.nearest_of::<f32>(queries, most),
        }
    }

    fn nearest_of<T: Similarity>(&self, queries: &Tensor, most: usize) -> Vec<Vec<Neighbour>> {
        let count = queries.size()[0];
        let queries = queries.to_kind(self.kind).to_device(self.device);
        // Tensors can't be shared among threads, but each may own its handles.
        let tasks = (0..count).step_by(QUERY_BLOCK as usize).map(|start| {
            let blocks: Vec<Tensor> = self.blocks.iter().map(Tensor::shallow_clone).collect();
            (queries.shallow_clone(), start, blocks)
        });
        let rows = self.labels.len();
        let task = |(queries, start, blocks): (Tensor, i64, Vec<Tensor>)| {
            #[cfg(target_arch = "x86_64")]
            if let Some(panels) = Avx2::chosen().filter(|_| suit_panels(&queries, &[])) {
                let find = || panelled::search(panels, &queries, start, &blocks, rows, most);
                return with_one_thread(|| no_grad(find));
            }
            with_one_thread(|| no_grad(|| search::<T>(&queries, start, &blocks, rows, most)))
        };
        if self.device.is_cuda() {
            return tasks.flat_map(task).collect();
        }
        let tasks: Vec<_> = tasks.collect();
        tasks.into_par_iter().flat_map_iter(task).collect()
    }
}

/// The nearest rows of a block of queries, which begins at `start`.
fn search<T: Similarity>(
    queries: &Tensor,
    start: i64,
    blocks: &[Tensor],
    rows: usize,
    most: usize,
) -> Vec<Vec<Neighbour>> {
    let count = QUERY_BLOCK.min(queries.size()[0] - start);
    let queries = padded(queries, start, QUERY_BLOCK); // [QUERY_BLOCK, D]
    let mut nearest: Vec<NearestRows<T>> = (0..count).map(|_| NearestRows::new(most)).collect();
    let width = BANK_BLOCK as usize;
    for (index, block) in blocks.iter().enumerate() {
        let product = times_transposed(&queries, block).to_device(Device::Cpu); // [QUERY_BLOCK, BANK_BLOCK]
        let first = index * width;
        let valid = (rows - first).min(width);
        let similarities = values::<T>(&product).chunks_exact(width);
        for (nearest, row) in nearest.iter_mut().zip(similarities) {
            nearest.offer(&row[..valid], first);
        }
    }
    nearest.into_iter().map(NearestRows::finish).collect()
}

/// Rows `start..start + block` of length 1, padded with rows of zeros to `block`.
pub(crate) fn padded(rows: &Tensor, start: i64, block: i64) -> Tensor {
    let valid = block.min(rows.size()[0] - start);
    // The sum of squares of a row is taken on its own, the same in every block.
    normalise(&rows.narrow(0, start, valid)).constant_pad_nd([0, 0, 0, block - valid])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden::{Fixture, assert_close};
    use crate::torch::random::normal;
    use proptest::prelude::*;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    fn labels(tensor: &Tensor) -> Vec<i64> {
        Vec::try_from(tensor).unwrap()
    }

    #[test]
    fn golden_knn() {
        let fixture = Fixture::load("knn");
        let (k, classes) = (
            fixture.number("k") as usize,
            fixture.number("classes") as usize,
        );
        let (train, test) = (
            labels(&fixture.tensor("train_labels")),
            labels(&fixture.tensor("test_labels")),
        );
        let predictions: Vec<u32> =
            serde_json::from_value(fixture.json["predictions"].clone()).unwrap();
        for kind in [Kind::Double, Kind::Float] {
            let bank = Bank::new(&fixture.tensor("train").to_kind(kind), &train, classes);
            let queries = fixture.tensor("test").to_kind(kind);
            let found = bank
                .classify(&queries, &[k], fixture.number("temperature"))
                .remove(0);
            let got: Vec<u32> = found
                .weighted
                .iter()
                .map(|ranking| ranking.classes[0])
                .collect();
            assert_eq!(got, predictions);
            assert_close(
                "weighted",
                accuracy(&found.weighted, &test, 1),
                fixture.number("top1"),
                1e-12,
            );
            // Equal votes go to the lowest class there.
            let lowest = found.majority.iter().map(|ranking| {
                let best = ranking.classes.iter().zip(&ranking.shares);
                let best = best.filter(|(_, share)| **share == ranking.shares[0]);
                best.map(|(class, _)| i64::from(*class)).min().unwrap()
            });
            let right = lowest.zip(&test).filter(|(best, label)| best == *label);
            let majority = right.count() as f64 / test.len() as f64;
            assert_close("majority", majority, fixture.number("majority_top1"), 1e-12);
            let votes = fixture.tensor("votes");
            let shares = &votes / votes.sum_dim_intlist(1, true, None);
            for (row, ranking) in found.weighted.iter().enumerate() {
                for (&class, &share) in ranking.classes.iter().zip(&ranking.shares) {
                    let expected = shares.double_value(&[row as i64, i64::from(class)]);
                    assert!((share - expected).abs() < 1e-4, "{share} {expected}");
                }
            }
        }
    }

    #[test]
    fn votes_counted_by_hand() {
        // Similarities of the query (1, 0) to the rows: 1, 0.8, 0.6, 0.
        let features =
            Tensor::from_slice(&[2.0f32, 0.0, 0.8, 0.6, 0.6, 0.8, 0.0, 5.0]).reshape([4, 2]);
        let bank = Bank::new(&features, &[2, 1, 1, 0], 3);
        let query = Tensor::from_slice(&[7.0f32, 0.0]).reshape([1, 2]);
        let found = bank.classify(&query, &[1, 3, 100], 0.1);
        assert_eq!(found[0].majority[0].classes, [2]);
        assert_eq!(found[1].majority[0].classes, [1, 2]);
        assert_eq!(found[1].majority[0].shares, [2.0 / 3.0, 1.0 / 3.0]);
        // 1 against e^-2 + e^-4
        assert_eq!(found[1].weighted[0].classes, [2, 1]);
        let total = 1.0 + (-2f64).exp() + (-4f64).exp();
        assert!((found[1].weighted[0].shares[0] - 1.0 / total).abs() < 1e-6);
        assert_eq!(found[2].majority[0].shares, [0.5, 0.25, 0.25]);
        // One vote each for 2, at similarity 1, and for 0, at similarity 0.
        assert_eq!(found[2].majority[0].classes, [1, 2, 0]);
        assert_eq!(accuracy(&found[2].majority, &[0], 2), 0.0);
        assert_eq!(accuracy(&found[2].majority, &[0], 3), 1.0);
        // Of two neighbours, no class that neither has is right, however many there are.
        let two = bank.classify(&query, &[2], 0.1).remove(0);
        assert_eq!(accuracy(&two.weighted, &[0], 5), 0.0);
    }

    #[test]
    fn the_number_of_threads_and_of_rows_changes_no_bit() {
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        let (train, queries) = (normal(&[5000, 33], &mut rng), normal(&[300, 33], &mut rng));
        let labels: Vec<i64> = (0..5000).map(|row| row % 11).collect();
        let classify = |threads: usize, queries: Tensor| {
            let (train, labels) = (train.copy(), labels.clone());
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(move || {
                tch::set_num_threads(threads as i32);
                Bank::new(&train, &labels, 11).classify(&queries, &[10, 200], 0.07)
            })
        };
        let two = classify(2, queries.copy());
        assert_eq!(classify(1, queries.copy()), two);
        let few = classify(2, queries.narrow(0, 0, 3));
        assert_eq!(few[1].weighted, two[1].weighted[..3]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn other_numbers_for_the_same_classes_change_no_figure(
            key in 0u64..1000,
            k in 1usize..20,
            number in Just((0..6).collect::<Vec<i64>>()).prop_shuffle(),
        ) {
            let mut rng = ChaCha8Rng::seed_from_u64(key);
            // Few distinct directions: many equal similarities and equal votes.
            let features = (normal(&[40, 2], &mut rng) * 1.5).round() + 0.25;
            let queries = (normal(&[30, 2], &mut rng) * 1.5).round() + 0.25;
            let of = |count: i64| (0..count).map(|row| row * 7 % 11 % 6).collect::<Vec<i64>>();
            let renumbered = |labels: &[i64]| -> Vec<i64> {
                labels.iter().map(|&label| number[label as usize]).collect()
            };
            let classify = |labels: &[i64]| {
                Bank::new(&features, labels, 6).classify(&queries, &[k], 0.07).remove(0)
            };
            let (one, other) = (classify(&of(40)), classify(&renumbered(&of(40))));
            for (one, other) in [(&one.weighted, &other.weighted), (&one.majority, &other.majority)] {
                for (one, other) in one.iter().zip(other) {
                    let same: Vec<u32> =
                        one.classes.iter().map(|&class| number[class as usize] as u32).collect();
                    prop_assert_eq!((same, &one.shares), (other.classes.clone(), &other.shares));
                }
                for top in [1, 5] {
                    prop_assert_eq!(
                        accuracy(one, &of(30), top),
                        accuracy(other, &renumbered(&of(30)), top)
                    );
                }
            }
        }

        #[test]
        fn neighbours_are_those_of_a_full_sort(key in 0u64..1000, rows in 1usize..60, k in 1usize..70) {
            let mut rng = ChaCha8Rng::seed_from_u64(key);
            // Few distinct directions: many equal similarities.
            let features = (normal(&[rows as i64, 2], &mut rng) * 1.5).round() + 0.25;
            let query = normal(&[1, 2], &mut rng);
            let bank = Bank::new(&features, &vec![0; rows], 1);
            let found = with_one_thread(|| search::<f32>(&query, 0, bank.blocks(), rows, k.min(rows))).remove(0);
            let got: Vec<u32> = found.iter().map(|candidate| candidate.row).collect();
            let product = with_one_thread(|| times_transposed(&padded(&query, 0, QUERY_BLOCK), &bank.blocks[0])).get(0);
            let all: Vec<f32> = Vec::try_from(product).unwrap();
            let mut order: Vec<u32> = (0..rows as u32).collect();
            order.sort_by(|&a, &b| all[b as usize].total_cmp(&all[a as usize]).then(a.cmp(&b)));
            order.truncate(k);
            prop_assert_eq!(got, order);
        }
    }
}
