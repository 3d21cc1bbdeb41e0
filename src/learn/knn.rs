//! Exact k-nearest-neighbour classification by cosine similarity, the evaluation that trains nothing.
//!
//! Neighbours are found block by block with matrix products of one fixed shape on one thread, so that the
//! similarity of a pair depends neither on how many queries or rows there are nor on the number of threads.
//! Equal similarities go to the earlier row, equal votes to the lower class.

use std::cmp::Ordering;

use rayon::prelude::*;
use tch::{Device, Kind, Tensor, no_grad};

use crate::loss::seed::normalise;
use crate::one_thread::with_one_thread;

pub(crate) const QUERY_BLOCK: i64 = 256;
pub(crate) const BANK_BLOCK: i64 = 4096;
/// Classes kept in a [`Ranking`].
const RANKED: usize = 5;

/// Features with known labels, normalised and cut into blocks.
#[derive(Debug)]
pub struct Bank {
    /// `[D, BANK_BLOCK]` each, the last padded with zeros
    blocks: Vec<Tensor>,
    labels: Vec<u32>,
    classes: usize,
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

/// The classes with most votes, best first; equal votes go to the lower class.
#[derive(Clone, Debug, PartialEq)]
pub struct Ranking {
    /// at most 5
    pub classes: Vec<u32>,
    /// each one's share of all votes, 0–1
    pub shares: Vec<f64>,
}

/// A row of the bank and its similarity to a query.
#[derive(Clone, Copy)]
struct Candidate {
    similarity: f64,
    row: u32,
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
                .map(|start| padded(features, start, BANK_BLOCK).tr().contiguous())
                .collect()
        });
        Self {
            blocks,
            labels,
            classes,
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
        let nearest = match self.kind {
            Kind::Double => self.nearest::<f64>(queries, most),
            _ => self.nearest::<f32>(queries, most),
        };
        let ballot = Ballot {
            labels: &self.labels,
            classes: self.classes,
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

    /// The `most` nearest rows of each query, nearest first.
    fn nearest<T>(&self, queries: &Tensor, most: usize) -> Vec<Vec<Candidate>>
    where
        T: tch::kind::Element + Copy + PartialOrd + Into<f64> + Default + Send + Sync,
    {
        let count = queries.size()[0];
        let queries = queries.to_kind(self.kind).to_device(self.device);
        let mut similarities = vec![T::default(); (QUERY_BLOCK * BANK_BLOCK) as usize];
        let mut found = Vec::with_capacity(count as usize);
        for start in (0..count).step_by(QUERY_BLOCK as usize) {
            let rows = no_grad(|| padded(&queries, start, QUERY_BLOCK)); // [QUERY_BLOCK, D]
            let mut nearest: Vec<Nearest> = (start..count.min(start + QUERY_BLOCK))
                .map(|_| Nearest::new(most))
                .collect();
            for (index, block) in self.blocks.iter().enumerate() {
                let product = with_one_thread(|| no_grad(|| rows.matmul(block))); // [QUERY_BLOCK, BANK_BLOCK]
                product
                    .to_device(Device::Cpu)
                    .copy_data(&mut similarities, product.numel());
                let first = index * BANK_BLOCK as usize;
                let valid = (self.labels.len() - first).min(BANK_BLOCK as usize);
                nearest
                    .par_iter_mut()
                    .zip(similarities.par_chunks(BANK_BLOCK as usize))
                    .for_each(|(nearest, row)| nearest.offer(&row[..valid], first));
            }
            found.extend(nearest.into_iter().map(Nearest::finish));
        }
        found
    }
}

/// Who votes for what.
struct Ballot<'a> {
    labels: &'a [u32],
    classes: usize,
}

impl Ballot<'_> {
    /// Votes are relative to the nearest row's, so that no temperature overflows.
    fn weighted(&self, found: &[Candidate], temperature: f64) -> Ranking {
        let highest = found.first().map_or(0.0, |candidate| candidate.similarity);
        self.count(found, |similarity| {
            ((similarity - highest) / temperature).exp()
        })
    }

    fn count(&self, found: &[Candidate], weight: impl Fn(f64) -> f64) -> Ranking {
        let mut votes = vec![0.0f64; self.classes];
        for candidate in found {
            votes[self.labels[candidate.row as usize] as usize] += weight(candidate.similarity);
        }
        let total: f64 = votes.iter().sum();
        let mut classes: Vec<u32> = (0..self.classes as u32).collect();
        let order = |&a: &u32, &b: &u32| {
            votes[b as usize]
                .total_cmp(&votes[a as usize])
                .then(a.cmp(&b))
        };
        if classes.len() > RANKED {
            classes.select_nth_unstable_by(RANKED - 1, order);
            classes.truncate(RANKED);
        }
        classes.sort_unstable_by(order);
        let share = |&class: &u32| {
            if total > 0.0 {
                votes[class as usize] / total
            } else {
                0.0
            }
        };
        let shares = classes.iter().map(share).collect();
        Ranking { classes, shares }
    }
}

/// The share of queries whose label is among the first `top` classes of its ranking.
pub fn accuracy(rankings: &[Ranking], labels: &[i64], top: usize) -> f64 {
    assert_eq!(rankings.len(), labels.len(), "BUG: one label per ranking");
    assert!(
        (1..=RANKED).contains(&top),
        "BUG: top {top}, expected 1 to {RANKED}"
    );
    let right = rankings
        .iter()
        .zip(labels)
        .filter(|&(ranking, &label)| {
            ranking
                .classes
                .iter()
                .take(top)
                .any(|&class| i64::from(class) == label)
        })
        .count();
    right as f64 / labels.len() as f64
}

/// Rows `start..start + block` of length 1, padded with rows of zeros to `block`.
pub(crate) fn padded(rows: &Tensor, start: i64, block: i64) -> Tensor {
    let valid = block.min(rows.size()[0] - start);
    // The sum of squares of a row is taken on its own, the same in every block.
    normalise(&rows.narrow(0, start, valid)).constant_pad_nd([0, 0, 0, block - valid])
}

/// The best candidates so far of one query; compacted when twice as many as wanted have come together.
struct Nearest {
    most: usize,
    kept: Vec<Candidate>,
    threshold: f64,
}

impl Nearest {
    fn new(most: usize) -> Self {
        Self {
            most,
            kept: Vec::with_capacity(2 * most),
            threshold: f64::NEG_INFINITY,
        }
    }

    /// Rows come in ascending order, so that one equal to the threshold is never better.
    fn offer<T: Copy + Into<f64>>(&mut self, similarities: &[T], first: usize) {
        for (offset, &similarity) in similarities.iter().enumerate() {
            let similarity: f64 = similarity.into();
            if similarity > self.threshold {
                self.kept.push(Candidate {
                    similarity,
                    row: (first + offset) as u32,
                });
                if self.kept.len() == 2 * self.most {
                    self.compact();
                }
            }
        }
    }

    fn compact(&mut self) {
        if self.kept.len() >= self.most {
            self.kept.select_nth_unstable_by(self.most - 1, nearer);
            self.kept.truncate(self.most);
            self.threshold = self.kept[self.most - 1].similarity;
        }
    }

    fn finish(mut self) -> Vec<Candidate> {
        self.compact();
        self.kept.sort_unstable_by(nearer);
        self.kept
    }
}

fn nearer(a: &Candidate, b: &Candidate) -> Ordering {
    b.similarity
        .total_cmp(&a.similarity)
        .then(a.row.cmp(&b.row))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::{Fixture, assert_close};
    use crate::random::normal;
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
            assert_close(
                "majority",
                accuracy(&found.majority, &test, 1),
                fixture.number("majority_top1"),
                1e-12,
            );
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
        assert_eq!(found[0].majority[0].classes, [2, 0, 1]);
        assert_eq!(found[1].majority[0].classes, [1, 2, 0]);
        assert_eq!(found[1].majority[0].shares, [2.0 / 3.0, 1.0 / 3.0, 0.0]);
        // 1 against e^-2 + e^-4
        assert_eq!(found[1].weighted[0].classes, [2, 1, 0]);
        let total = 1.0 + (-2f64).exp() + (-4f64).exp();
        assert!((found[1].weighted[0].shares[0] - 1.0 / total).abs() < 1e-6);
        assert_eq!(found[2].majority[0].shares, [0.5, 0.25, 0.25]);
        assert_eq!(found[2].majority[0].classes, [1, 0, 2]);
        assert_eq!(accuracy(&found[2].majority, &[0], 1), 0.0);
        assert_eq!(accuracy(&found[2].majority, &[0], 2), 1.0);
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
        fn neighbours_are_those_of_a_full_sort(key in 0u64..1000, rows in 1usize..60, k in 1usize..70) {
            let mut rng = ChaCha8Rng::seed_from_u64(key);
            // Few distinct directions: many equal similarities.
            let features = (normal(&[rows as i64, 2], &mut rng) * 1.5).round() + 0.25;
            let query = normal(&[1, 2], &mut rng);
            let bank = Bank::new(&features, &vec![0; rows], 1);
            let got: Vec<u32> = bank.nearest::<f32>(&query, k.min(rows)).remove(0).iter().map(|c| c.row).collect();
            let product = padded(&query, 0, QUERY_BLOCK).matmul(&bank.blocks[0]).get(0);
            let all: Vec<f32> = Vec::try_from(product).unwrap();
            let mut order: Vec<u32> = (0..rows as u32).collect();
            order.sort_by(|&a, &b| all[b as usize].total_cmp(&all[a as usize]).then(a.cmp(&b)));
            order.truncate(k);
            prop_assert_eq!(got, order);
        }
    }
}
