//! Pairs of embeddings that are nearly the same: all with all, exactly, a block with a block.

use std::ops::Range;

use anyhow::Result;
use seedpipe_base::Refusal;
use seedpipe_engine::{Aside, cancel};
use seedpipe_learn::tensors::{from_slice_f32, to_vec_f32};
use tch::Tensor;

/// Rows that are held while all after them go by, and of those at once: with the product of both,
/// some 200 MB for embeddings of 2,048 values.
const HELD: usize = 8_192;
const AT_ONCE: usize = 4_096;
/// Rows of a product whose pairs are listed at once: of a network that finds all images alike there
/// are as many as there are products.
const LISTED: i64 = 256;
/// What is lost in sums of f32.
const ROUNDING: f32 = 1e-6;

/// Embeddings that are read by row.
pub struct Rows<'a> {
    pub count: usize,
    pub dimension: usize,
    /// `[rows, D]`, row-major.
    pub read: &'a dyn Fn(Range<usize>) -> Result<Vec<f32>>,
}

/// Takes a pair of rows, the first of them first, and their cosine.
pub type PairSink<'a> = &'a mut dyn FnMut([usize; 2], f32);

/// Every pair whose cosine is `bar` or more. Nothing is like an embedding of zeros.
///
/// # Errors
/// Those of reading; when a value is not finite; when the user gives up.
pub fn near_pairs(rows: &Rows, bar: f32, take: PairSink) -> Result<()> {
    let after = |start: usize| (rows.count - start) as u64;
    let total = (0..rows.count).step_by(HELD).map(after).sum();
    let aside = Aside::begin("comparing", "rows", total);
    for start in (0..rows.count).step_by(HELD) {
        let held = units(rows, start..(start + HELD).min(rows.count))?;
        for from in (start..rows.count).step_by(AT_ONCE) {
            cancel::check()?;
            let end = (from + AT_ONCE).min(rows.count);
            let others = units(rows, from..end)?.tr();
            aside.advance((end - from) as u64);
            for first in (0..held.size()[0]).step_by(LISTED as usize) {
                let part = held.narrow(0, first, LISTED.min(held.size()[0] - first));
                let product = part.matmul(&others);
                let found = product.ge(f64::from(bar - ROUNDING)).nonzero();
                let cosines = to_vec_f32(
                    &product.index(&[Some(found.select(1, 0)), Some(found.select(1, 1))]),
                );
                let places: Vec<i64> = Vec::try_from(found.flatten(0, 1))?;
                for (place, cosine) in places.chunks_exact(2).zip(cosines) {
                    let pair = [
                        start + (first + place[0]) as usize,
                        from + place[1] as usize,
                    ];
                    if pair[0] < pair[1] {
                        take(pair, cosine.min(1.0));
                    }
                }
            }
        }
    }
    Ok(())
}

/// Rows of length 1, `[rows, D]`; zeros stay zeros.
fn units(rows: &Rows, range: Range<usize>) -> Result<Tensor> {
    let values = (rows.read)(range.clone())?;
    if let Some(place) = values.iter().position(|value| !value.is_finite()) {
        let row = range.start + place / rows.dimension;
        let got = format!("embedding {row}: expected numbers, got {}", values[place]);
        return Err(Refusal::failure(got).hint("embed the images again").into());
    }
    let values = from_slice_f32(&[range.len() as i64, rows.dimension as i64], &values);
    let length = values.square().sum_dim_intlist(1, true, None).sqrt();
    Ok(values / length.clamp_min(f64::from(f32::MIN_POSITIVE)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::ChaCha8Rng;
    use rand_chacha::rand_core::{Rng, SeedableRng};

    fn found(values: &[f32], dimension: usize, bar: f32) -> Vec<([usize; 2], f32)> {
        let rows = Rows {
            count: values.len() / dimension,
            dimension,
            read: &|rows| Ok(values[rows.start * dimension..rows.end * dimension].to_vec()),
        };
        let mut found = Vec::new();
        near_pairs(&rows, bar, &mut |pair, cosine| found.push((pair, cosine))).unwrap();
        found.sort_by_key(|(pair, _)| *pair);
        found
    }

    #[test]
    fn every_pair_is_found_once_whatever_blocks_it_lies_in() {
        let (count, dimension) = (HELD + AT_ONCE + 300, 6);
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut values: Vec<f32> = (0..count * dimension)
            .map(|_| rng.next_u32() as f32 / u32::MAX as f32 - 0.5)
            .collect();
        // Copies, of other lengths, in the same block, across blocks, and at the ends.
        let copies = [[0, 1], [5, AT_ONCE], [9, HELD + 7], [2, count - 1]];
        for [from, to] in copies {
            for column in 0..dimension {
                values[to * dimension + column] = values[from * dimension + column] * 3.0;
            }
        }
        let mut expected = copies.to_vec();
        expected.sort_unstable();
        let pairs = found(&values, dimension, 1.0);
        assert_eq!(
            pairs.iter().map(|(pair, _)| *pair).collect::<Vec<_>>(),
            expected
        );
        assert!(
            pairs
                .iter()
                .all(|(_, cosine)| *cosine > 1.0 - 2.0 * ROUNDING)
        );
        // Against all cosines of some rows.
        let unit: Vec<Vec<f64>> = values[..300 * dimension]
            .chunks_exact(dimension)
            .map(|row| {
                let length = row
                    .iter()
                    .map(|v| f64::from(*v).powi(2))
                    .sum::<f64>()
                    .sqrt();
                row.iter().map(|v| f64::from(*v) / length).collect()
            })
            .collect();
        let mut slow = Vec::new();
        for (one, row) in unit.iter().enumerate() {
            for (other, with) in unit.iter().enumerate().skip(one + 1) {
                let cosine: f64 = row.iter().zip(with).map(|(a, b)| a * b).sum();
                slow.extend((cosine >= 0.9).then_some([one, other]));
            }
        }
        let fast = found(&values[..300 * dimension], dimension, 0.9);
        assert_eq!(fast.iter().map(|(pair, _)| *pair).collect::<Vec<_>>(), slow);
        assert!(slow.len() > 50, "{}", slow.len());
    }

    #[test]
    fn zeros_are_like_nothing_and_what_is_no_number_is_refused() {
        assert!(found(&[0.0, 0.0, 0.0, 0.0], 2, 0.5).is_empty());
        let rows = Rows {
            count: 2,
            dimension: 2,
            read: &|_| Ok(vec![1.0, 0.0, f32::NAN, 1.0]),
        };
        let error = near_pairs(&rows, 0.5, &mut |_, _| {})
            .unwrap_err()
            .to_string();
        assert!(
            error.starts_with("embedding 1: expected numbers, got NaN"),
            "{error}"
        );
    }
}
