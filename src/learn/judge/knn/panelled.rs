//! The search by panels: every product of a query and a row of the bank is compared while it lies
//! in a register.

use tch::Tensor;

use super::nearest::{NearestRows, Neighbour};
use super::{BANK_BLOCK, QUERY_BLOCK, padded};
use crate::torch::panels::{Avx2, LANES, Lanes, Panel, ROWS, above};
use crate::torch::products::values;

/// Rows of the bank that all panels of a block of queries meet before the next ones fill no more: a
/// part of the second-level cache.
const BYTES: usize = 128 * 1024;

/// The nearest rows of a block of queries, which begins at `start`: as [`super::search`] in f32.
pub(super) fn search(
    avx2: Avx2,
    queries: &Tensor,
    start: i64,
    blocks: &[Tensor],
    rows: usize,
    most: usize,
) -> Vec<Vec<Neighbour>> {
    let count = QUERY_BLOCK.min(queries.size()[0] - start);
    let queries = padded(queries, start, count).contiguous(); // [count, D]
    let width = queries.size()[1] as usize;
    let mut panels: Vec<(Panel, Lanes, Vec<NearestRows<f32>>)> = values::<f32>(&queries)
        .chunks(LANES * width)
        .map(|rows| {
            // A lane without a query takes nothing.
            let mut thresholds = Lanes([f32::INFINITY; LANES]);
            let lanes = rows.len() / width;
            thresholds.0[..lanes].fill(f32::NEG_INFINITY);
            let nearest = (0..lanes).map(|_| NearestRows::new(most)).collect();
            (Panel::of(rows, width), thresholds, nearest)
        })
        .collect();
    let step = (BYTES / (size_of::<f32>() * width)).clamp(1, ROWS);
    for (index, block) in blocks.iter().enumerate() {
        let first = index * BANK_BLOCK as usize;
        let valid = (rows - first).min(BANK_BLOCK as usize);
        let block = &values::<f32>(block)[..valid * width];
        for (part, rows) in block.chunks(step * width).enumerate() {
            let first = first + part * step;
            for (panel, thresholds, nearest) in &mut panels {
                above(
                    avx2,
                    rows,
                    panel,
                    thresholds,
                    &mut |row, lane, similarity| nearest[lane].push(similarity, first + row),
                );
            }
        }
    }
    let nearest = panels.into_iter().flat_map(|(_, _, nearest)| nearest);
    nearest.map(NearestRows::finish).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::judge::knn::{Bank, search as by_blocks};
    use crate::torch::one_thread::with_one_thread;
    use crate::torch::random::normal;
    use proptest::prelude::*;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};

    #[test]
    fn it_finds_the_rows_that_products_of_blocks_find() {
        let Some(avx2) = Avx2::of_this_machine() else {
            println!("not run: this processor has no AVX2 or no FMA");
            return;
        };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (rows, queries, width, most) in [(1, 1, 1, 1), (2500, 300, 33, 20), (40, 17, 512, 60)] {
            let bank = Bank::new(
                &normal(&[rows, width], &mut rng),
                &vec![0; rows as usize],
                1,
            );
            let queries = normal(&[queries, width], &mut rng);
            let most = most.min(rows as usize);
            for start in (0..queries.size()[0]).step_by(QUERY_BLOCK as usize) {
                let rows = rows as usize;
                let (got, expected) = with_one_thread(|| {
                    (
                        search(avx2, &queries, start, bank.blocks(), rows, most),
                        by_blocks::<f32>(&queries, start, bank.blocks(), rows, most),
                    )
                });
                assert_eq!(got.len(), expected.len());
                for (got, expected) in got.iter().zip(&expected) {
                    assert_eq!(got.len(), most);
                    for (got, expected) in got.iter().zip(expected) {
                        assert!((got.similarity - expected.similarity).abs() < 1e-6);
                        let is_tie = got.row != expected.row;
                        assert!(
                            !is_tie || width == 1 || most == rows,
                            "{} {}",
                            got.row,
                            expected.row
                        );
                    }
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn neighbours_are_those_of_a_full_sort(key in 0u64..1000, rows in 1usize..60, k in 1usize..70) {
            let Some(avx2) = Avx2::of_this_machine() else {
                return Ok(());
            };
            let mut rng = ChaCha8Rng::seed_from_u64(key);
            // Few distinct directions: many equal similarities.
            let features = (normal(&[rows as i64, 3], &mut rng) * 1.5).round() + 0.25;
            let query = normal(&[1, 3], &mut rng);
            let bank = Bank::new(&features, &vec![0; rows], 1);
            let found = search(avx2, &query, 0, bank.blocks(), rows, k.min(rows)).remove(0);
            let got: Vec<u32> = found.iter().map(|candidate| candidate.row).collect();
            let query = padded(&query, 0, 1);
            let all: Vec<f32> = values::<f32>(&bank.blocks()[0])
                .chunks_exact(3)
                .map(|row| row.iter().zip(values::<f32>(&query)).fold(0.0, |sum: f32, (a, b)| a.mul_add(*b, sum)))
                .collect();
            let mut order: Vec<u32> = (0..rows as u32).collect();
            order.sort_by(|&a, &b| all[b as usize].total_cmp(&all[a as usize]).then(a.cmp(&b)));
            order.truncate(k);
            prop_assert_eq!(got, order);
        }
    }

    #[test]
    fn equal_similarities_go_to_the_earlier_row() {
        let Some(avx2) = Avx2::of_this_machine() else {
            println!("not run: this processor has no AVX2 or no FMA");
            return;
        };
        // Rows in four directions; the query is the second one.
        let rows: Vec<f32> = (0..2100)
            .flat_map(|row| match row % 4 {
                0 => [1.0, 0.0],
                1 => [0.0, 2.0],
                2 => [-1.0, 0.0],
                _ => [0.0, -3.0],
            })
            .collect();
        let bank = Bank::new(&Tensor::from_slice(&rows).reshape([2100, 2]), &[0; 2100], 1);
        let query = Tensor::from_slice(&[0.0f32, 5.0]).reshape([1, 2]);
        let found = search(avx2, &query, 0, bank.blocks(), 2100, 3).remove(0);
        let found: Vec<u32> = found.iter().map(|candidate| candidate.row).collect();
        assert_eq!(found, [1, 5, 9]);
    }
}
