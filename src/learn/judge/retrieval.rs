//! Image retrieval by cosine similarity: each query ranks a whole bank, and what has its label is
//! what was sought.
//!
//! Queries are taken a block at a time, as many as keep the block's ranking within a fixed memory
//! whatever the bank's size; blocks run side by side, each on one thread of libtorch. Rows of equal
//! similarity are one step of the ranking, whatever their order in the bank: what can't be told
//! apart isn't found before the rest of it.

use rayon::prelude::*;
use tch::{Device, Kind, Tensor, no_grad};

use crate::judge::knn::{BANK_BLOCK, Bank, QUERY_BLOCK, padded};
use crate::torch::one_thread::with_one_thread;
use crate::torch::products::times_transposed;

/// Bytes of one block's ranking: 8 for each pair of query and row of the bank.
const RANKING_BYTES: usize = 32 << 20;

/// Means over the queries whose label the bank holds, as fractions.
#[derive(Clone, Debug, PartialEq)]
pub struct Retrieval {
    /// The mean of the queries' average precision: over the rows that were sought, the share of
    /// sought ones among those up to each (`sklearn.metrics.average_precision_score`).
    pub mean_average_precision: f64,
    /// For each k, the share of queries with at least one sought row among the k first (recall at k
    /// as in metric learning, e.g. arXiv 2003.08505, not the share of all sought rows).
    pub recall: Vec<f64>,
    /// Queries that were counted.
    pub queries: usize,
}

/// What one query found.
struct QueryResult {
    average_precision: f64,
    /// Rank of the first sought row, from 0: behind all that is as near and not sought.
    first: usize,
}

/// Ranks the bank for each query. `None` when the bank holds no query's label.
///
/// # Shapes
/// - `queries`: `[M, D]` f32, any length; `labels`: M values
/// - `ks`: numbers of first rows, each at least 1
pub fn retrieval(bank: &Bank, queries: &Tensor, labels: &[i64], ks: &[usize]) -> Option<Retrieval> {
    let rows = bank.labels().len();
    assert_eq!(
        queries.size()[0] as usize,
        labels.len(),
        "BUG: one label per query"
    );
    assert!(ks.iter().all(|&k| k > 0), "BUG: k of 0");
    let block = (RANKING_BYTES / (8 * rows)).clamp(1, QUERY_BLOCK as usize);
    // Tensors can't be shared among threads, but each may own its handles.
    let blocks: Vec<(usize, Tensor, Vec<Tensor>)> = (0..labels.len())
        .step_by(block)
        .map(|start| {
            let blocks = bank.blocks();
            let queries = queries
                .to_kind(blocks[0].kind())
                .to_device(blocks[0].device());
            let rows = no_grad(|| padded(&queries, start as i64, block as i64));
            let bank = blocks.iter().map(Tensor::shallow_clone).collect();
            (start, rows, bank)
        })
        .collect();
    let of_rows = bank.labels();
    let found: Vec<QueryResult> = blocks
        .into_par_iter()
        .flat_map_iter(|(start, rows, blocks)| {
            let labels = &labels[start..labels.len().min(start + block)];
            let keys = keys(&rows, &blocks, of_rows, labels);
            keys.into_iter().filter_map(found)
        })
        .collect();
    if found.is_empty() {
        return None;
    }
    let count = found.len() as f64;
    let precisions = found.iter().map(|query| query.average_precision);
    let mut precisions: Vec<f64> = precisions.collect();
    precisions.sort_unstable_by(f64::total_cmp); // one sum, whatever the queries' order
    let recall = |&k: &usize| found.iter().filter(|query| query.first < k).count() as f64 / count;
    Some(Retrieval {
        mean_average_precision: precisions.iter().sum::<f64>() / count,
        recall: ks.iter().map(recall).collect(),
        queries: found.len(),
    })
}

/// For each query a key of every row of the bank: the smaller, the nearer; the lowest bit says
/// whether the row is sought.
fn keys(queries: &Tensor, blocks: &[Tensor], bank: &[u32], labels: &[i64]) -> Vec<Vec<u64>> {
    let mut keys: Vec<Vec<u64>> = labels
        .iter()
        .map(|_| Vec::with_capacity(bank.len()))
        .collect();
    let width = BANK_BLOCK as usize;
    let mut similarities = vec![0f32; queries.size()[0] as usize * width];
    for (index, block) in blocks.iter().enumerate() {
        let product = with_one_thread(|| no_grad(|| times_transposed(queries, block))); // [block, BANK_BLOCK]
        product
            .to_kind(Kind::Float)
            .to_device(Device::Cpu)
            .copy_data(&mut similarities, product.numel());
        let first = index * width;
        let rows = &bank[first..bank.len().min(first + width)];
        for ((keys, row), &label) in keys
            .iter_mut()
            .zip(similarities.chunks_exact(width))
            .zip(labels)
        {
            keys.extend(rows.iter().zip(row).map(|(&of_row, &similarity)| {
                u64::from(descending(similarity)) << 1 | u64::from(i64::from(of_row) == label)
            }));
        }
    }
    keys
}

/// Bits that order as the similarities do, the greatest first.
fn descending(similarity: f32) -> u32 {
    // Both zeros are one; what is no number comes last.
    let bits = match similarity {
        nan if nan.is_nan() => return u32::MAX,
        0.0 => 0,
        other => other.to_bits(),
    };
    let ascending = match bits >> 31 {
        0 => bits | 1 << 31,
        _ => !bits,
    };
    !ascending
}

/// `None` when no row is sought.
fn found(mut keys: Vec<u64>) -> Option<QueryResult> {
    keys.sort_unstable();
    let mut first = None;
    let (mut rank, mut hits, mut sum) = (0usize, 0u64, 0.0);
    for equal in keys.chunk_by(|left, right| left >> 1 == right >> 1) {
        let sought = equal.iter().filter(|key| *key & 1 == 1).count();
        if sought > 0 {
            first.get_or_insert(rank + equal.len() - sought);
            hits += sought as u64;
            sum += sought as f64 * hits as f64 / (rank + equal.len()) as f64;
        }
        rank += equal.len();
    }
    Some(QueryResult {
        average_precision: sum / hits as f64,
        first: first?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::golden::assert_close;
    use crate::torch::random::normal;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use serde_json::Value;

    #[test]
    fn golden_retrieval() {
        let text = include_str!("../testdata/reference_evaluation.json");
        let reference: Value = serde_json::from_str(text).unwrap();
        let cases = reference["retrieval"].as_array().unwrap();
        assert!(cases.len() >= 2);
        for case in cases {
            let matrix = |name: &str| {
                let rows: Vec<Vec<f32>> = serde_json::from_value(case[name].clone()).unwrap();
                Tensor::from_slice(&rows.concat()).reshape([rows.len() as i64, -1])
            };
            let labels =
                |name: &str| -> Vec<i64> { serde_json::from_value(case[name].clone()).unwrap() };
            let ks: Vec<usize> = serde_json::from_value(case["k"].clone()).unwrap();
            let classes = case["classes"].as_u64().unwrap() as usize;
            let bank = Bank::new(&matrix("bank"), &labels("bank_labels"), classes);
            let found = retrieval(&bank, &matrix("queries"), &labels("query_labels"), &ks).unwrap();
            let expected: Vec<f64> = serde_json::from_value(case["recall"].clone()).unwrap();
            let precision = case["mean_average_precision"].as_f64().unwrap();
            assert_close("precision", found.mean_average_precision, precision, 1e-12);
            for (got, expected) in found.recall.iter().zip(&expected) {
                assert_close("recall", *got, *expected, 1e-12);
            }
            assert_eq!(found.queries as u64, case["counted"].as_u64().unwrap());
        }
    }

    #[test]
    fn ranks_counted_by_hand() {
        // Similarities of the query (1, 0) to the rows: 1, 0.8, 0.8, 0, −1.
        let rows = [2.0f32, 0.0, 0.8, 0.6, 0.8, -0.6, 0.0, 5.0, -1.0, 0.0];
        let bank = Bank::new(
            &Tensor::from_slice(&rows).reshape([5, 2]),
            &[0, 1, 0, 1, 2],
            4,
        );
        let queries = Tensor::from_slice(&[7.0f32, 0.0, 7.0, 0.0, 7.0, 0.0]).reshape([3, 2]);
        let found = retrieval(&bank, &queries, &[1, 2, 3], &[1, 2, 5]).unwrap();
        // Label 1 is one of the two at ranks 2 and 3, and at rank 4; label 2 at rank 5; label 3 is
        // not there.
        assert_eq!(found.queries, 2);
        assert_eq!(found.recall, [0.0, 0.0, 1.0]);
        let expected = ((1.0 / 3.0 + 2.0 / 4.0) / 2.0 + 1.0 / 5.0) / 2.0;
        assert!((found.mean_average_precision - expected).abs() < 1e-12);
        assert_eq!(retrieval(&bank, &queries.narrow(0, 0, 1), &[3], &[1]), None);
    }

    /// `sklearn.metrics.average_precision_score([1, 0, 1, 0, 1], [3, 3, 2, 1, 1])` of scikit-learn
    /// 1.9, and a network that says the same of every image.
    #[test]
    fn equal_similarities_are_one_step() {
        let of = |ranked: &[(u64, bool)]| {
            let keys = ranked
                .iter()
                .map(|&(key, sought)| key << 1 | u64::from(sought));
            found(keys.collect()).unwrap()
        };
        let one = of(&[(1, true), (1, false), (2, true), (3, false), (3, true)]);
        let expected = (1.0 / 2.0 + 2.0 / 3.0 + 3.0 / 5.0) / 3.0;
        assert!((one.average_precision - expected).abs() < 1e-12);
        assert_eq!(one.first, 1);
        let constant = of(&[(1, true), (1, true), (1, false), (1, false)]);
        assert_eq!((constant.average_precision, constant.first), (0.5, 2));
    }

    #[test]
    fn neither_the_order_of_the_bank_nor_the_labels_numbers_change_a_figure() {
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        // Few directions: many equal similarities.
        let features = (normal(&[90, 2], &mut rng) * 1.5).round() + 0.25;
        let queries = (normal(&[40, 2], &mut rng) * 1.5).round() + 0.25;
        let labels: Vec<i64> = (0..90).map(|row| row * 7 % 11 % 4).collect();
        let sought: Vec<i64> = (0..40).map(|query| query % 4).collect();
        let found = |order: &[i64], number: [i64; 4]| {
            let of = |labels: &[i64]| {
                labels
                    .iter()
                    .map(|&l| number[l as usize])
                    .collect::<Vec<_>>()
            };
            let bank = features.index_select(0, &Tensor::from_slice(order));
            let of_bank: Vec<i64> = order.iter().map(|&row| labels[row as usize]).collect();
            let bank = Bank::new(&bank, &of(&of_bank), 4);
            retrieval(&bank, &queries, &of(&sought), &[1, 5, 10]).unwrap()
        };
        let order: Vec<i64> = (0..90).collect();
        let turned: Vec<i64> = order.iter().map(|row| (row * 37 + 11) % 90).collect();
        assert_eq!(found(&order, [0, 1, 2, 3]), found(&turned, [2, 0, 3, 1]));
    }

    #[test]
    fn several_blocks_rank_as_a_full_sort_on_any_number_of_threads() {
        let mut rng = ChaCha8Rng::seed_from_u64(4);
        let rows = BANK_BLOCK + 700;
        let (features, queries) = (normal(&[rows, 5], &mut rng), normal(&[300, 5], &mut rng));
        let labels: Vec<i64> = (0..rows).map(|row| row * 7 % 13 % 4).collect();
        let sought: Vec<i64> = (0..300).map(|query| query % 4).collect();
        let bank = Bank::new(&features, &labels, 4);
        let found = retrieval(&bank, &queries, &sought, &[1, 10]).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(3);
        let (bank_again, queries_again) = (features.copy(), queries.copy());
        let (labels_again, sought_again) = (labels.clone(), sought.clone());
        let again = pool.build().unwrap().install(move || {
            let bank = Bank::new(&bank_again, &labels_again, 4);
            retrieval(&bank, &queries_again, &sought_again, &[1, 10])
        });
        assert_eq!(again, Some(found.clone()));

        let unit = |rows: &Tensor| crate::loss::seed::normalise(&rows.to_kind(Kind::Double));
        let similarities = unit(&queries).matmul(&unit(&features).tr());
        let mut sum = 0.0;
        for (query, &label) in sought.iter().enumerate() {
            let row: Vec<f64> = Vec::try_from(similarities.get(query as i64)).unwrap();
            let mut order: Vec<usize> = (0..row.len()).collect();
            order.sort_by(|&a, &b| row[b].total_cmp(&row[a]));
            let (mut hits, mut precision) = (0.0, 0.0);
            for (rank, &place) in order.iter().enumerate() {
                if labels[place] == label {
                    hits += 1.0;
                    precision += hits / (rank + 1) as f64;
                }
            }
            sum += precision / hits;
        }
        // In f32 two neighbours may change places.
        assert!((found.mean_average_precision - sum / 300.0).abs() < 1e-6);
    }

    #[test]
    fn bits_order_as_similarities() {
        let ordered = [f32::INFINITY, 1.0, 1e-30, 0.0, -1e-30, -1.0, f32::NAN];
        for two in ordered.windows(2) {
            assert!(descending(two[0]) < descending(two[1]), "{two:?}");
        }
        assert_eq!(descending(0.0), descending(-0.0));
    }
}
