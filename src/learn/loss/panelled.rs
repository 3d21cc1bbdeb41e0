//! The softmax over a queue by panels, for processors with AVX2 and no AVX-512: sixteen rows of the
//! batch go through a block of the queue at once, and what one step makes of them lies in the
//! first-level cache for the next.
//!
//! Sums have a fixed order, block by block and candidate by candidate, so that a row's bits depend
//! on the row and the queue alone: neither on the threads nor on its neighbours.

use std::arch::x86_64::*;

use rayon::prelude::*;
use tch::Tensor;

use super::candidates::Softmax;
use crate::torch::panels::{
    Avx2, GROUP, LANES, Lanes, Panel, add_columns, add_rows, begins, load, nothing, store,
};
use crate::torch::products::values;

/// Rows of the batch that are one task.
const TASK: usize = 128;
/// Candidates of a block: their similarities to a panel fill a quarter of a first-level cache.
const CANDIDATES: usize = 126;
/// A block of the queue fills no more of the second-level cache.
const BYTES: usize = 160 * 1024;

/// Logits count as nothing that are this far below the greatest: a million such weights sum to
/// 4e-12. At a teacher's temperature of 0.01 most of a queue is that faint, and a block of nothing
/// else is not weighed.
const FAINTEST: f32 = -40.0;

/// As `candidates::softmax` in f32.
pub(super) fn softmax(
    avx2: Avx2,
    rows: &Tensor,
    own: &Tensor,
    queue: &Tensor,
    temperature: f64,
) -> Softmax {
    let [rows, own, queue] = [rows, own, queue].map(|tensor| tensor.detach().contiguous());
    let (batch, width) = (rows.size()[0], rows.size()[1]);
    let task = TASK * width as usize;
    let queue = values::<f32>(&queue);
    let parts: Vec<_> = values::<f32>(&rows)
        .par_chunks(task)
        .zip(values::<f32>(&own).par_chunks(task))
        .map(|(rows, own)| stream(avx2, rows, own, queue, width as usize, temperature))
        .collect();
    let (log_sums, means): (Vec<_>, Vec<_>) = parts.into_iter().unzip();
    let joined =
        |parts: Vec<Vec<f32>>, width| Tensor::from_slice(&parts.concat()).reshape([batch, width]);
    Softmax {
        log_sum: joined(log_sums, 1),
        mean: joined(means, width),
    }
}

/// The state of sixteen rows between blocks.
struct RowStates {
    panel: Panel,
    /// The greatest similarity so far.
    maximum: Lanes,
    /// Of the weights, each relative to the greatest.
    sum: Lanes,
    /// Weighed candidates, `[D to a multiple of GROUP]`.
    weighed: Vec<Lanes>,
}

impl RowStates {
    /// Each row with its own candidate alone.
    fn new(rows: &[f32], own: &[f32], width: usize) -> RowStates {
        let mut weighed = Panel::of(own, width).values().to_vec();
        weighed.resize(width.next_multiple_of(GROUP), Lanes::ZERO);
        // A lane without a row finds everything too faint.
        let mut maximum = Lanes([f32::MAX; LANES]);
        let pairs = rows.chunks_exact(width).zip(own.chunks_exact(width));
        for (maximum, (row, own)) in maximum.0.iter_mut().zip(pairs) {
            *maximum = row
                .iter()
                .zip(own)
                .fold(0.0, |sum, (a, b)| a.mul_add(*b, sum));
        }
        RowStates {
            panel: Panel::of(rows, width),
            maximum,
            sum: Lanes([1.0; LANES]),
            weighed,
        }
    }
}

/// Rows of the queue one after the other, the stride an odd number of cache lines, so that the same
/// place of many rows lies in different sets of a cache.
struct QueueBlock {
    values: Vec<f32>,
    stride: usize,
    count: usize,
}

impl QueueBlock {
    const LINE: usize = 16;

    fn new(width: usize) -> QueueBlock {
        let stride = (width.div_ceil(Self::LINE) | 1) * Self::LINE;
        let fit = BYTES / (size_of::<f32>() * stride) / GROUP * GROUP;
        let most = fit.clamp(GROUP, CANDIDATES);
        // Groups of dimensions reach behind the last one.
        QueueBlock {
            values: vec![0.0; most * stride + GROUP],
            stride,
            count: most,
        }
    }

    fn fill(&mut self, rows: &[f32], width: usize) {
        self.count = rows.len() / width;
        let places = self.values.chunks_exact_mut(self.stride);
        for (place, row) in places.zip(rows.chunks_exact(width)) {
            place[..width].copy_from_slice(row);
        }
    }
}

/// log_sum of each row, and all means.
fn stream(
    avx2: Avx2,
    rows: &[f32],
    own: &[f32],
    queue: &[f32],
    width: usize,
    temperature: f64,
) -> (Vec<f32>, Vec<f32>) {
    let mut panels: Vec<RowStates> = rows
        .chunks(LANES * width)
        .zip(own.chunks(LANES * width))
        .map(|(rows, own)| RowStates::new(rows, own, width))
        .collect();
    let mut block = QueueBlock::new(width);
    let mut weights = vec![Lanes::ZERO; block.count + GROUP];
    let inverse = (1.0 / temperature) as f32;
    for part in queue.chunks(block.count * width) {
        block.fill(part, width);
        for rows in &mut panels {
            let Avx2 { .. } = avx2;
            // SAFETY: an `Avx2` exists only where the processor has all that the function asks for.
            unsafe { add(rows, &block, &mut weights, inverse) };
        }
    }
    let count = rows.len() / width;
    let (mut log_sums, mut means) = (Vec::with_capacity(count), Vec::with_capacity(rows.len()));
    for row in 0..count {
        let (rows, lane) = (&panels[row / LANES], row % LANES);
        let sum = rows.sum.0[lane];
        let maximum = f64::from(rows.maximum.0[lane]);
        log_sums.push((maximum / temperature + f64::from(sum).ln()) as f32);
        let weighed = rows.weighed[..width].iter();
        means.extend(weighed.map(|weighed| weighed.0[lane] / sum));
    }
    (log_sums, means)
}

/// Adds the block's candidates.
#[target_feature(enable = "avx2,fma")]
fn add(rows: &mut RowStates, block: &QueueBlock, weights: &mut [Lanes], inverse: f32) {
    let QueueBlock {
        ref values,
        stride,
        count,
    } = *block;
    for start in (0..count).step_by(GROUP) {
        let group = begins(values, stride, count, start);
        // SAFETY: this function asks for both instruction sets; a row of the block has at least as
        // many numbers as the panel.
        let sums = unsafe { add_rows(nothing(), group, rows.panel.values()) };
        for (weights, sums) in weights[start..start + GROUP].iter_mut().zip(sums) {
            store(weights, sums);
        }
    }
    let weights = &mut weights[..count];

    let mut greatest = load(&weights[0]);
    let mut is_nan = _mm256_setzero_ps();
    for weights in &*weights {
        for (greatest, similarity) in greatest.iter_mut().zip(load(weights)) {
            *greatest = _mm256_max_ps(*greatest, similarity);
            let here = _mm256_cmp_ps::<_CMP_UNORD_Q>(similarity, similarity);
            is_nan = _mm256_or_ps(is_nan, here);
        }
    }
    let inverse = _mm256_set1_ps(inverse);
    let before = load(&rows.maximum);
    let mut maximum = before;
    // What is not a number must reach the loss.
    let mut counts = is_nan;
    for half in 0..2 {
        let logit = _mm256_mul_ps(_mm256_sub_ps(greatest[half], before[half]), inverse);
        counts = _mm256_or_ps(counts, is_seen(logit));
        maximum[half] = _mm256_max_ps(before[half], greatest[half]);
    }
    if _mm256_movemask_ps(counts) == 0 {
        return;
    }

    let mut sum = [_mm256_setzero_ps(); 2];
    for weights in &mut *weights {
        let mut values = load(weights);
        for half in 0..2 {
            let logit = _mm256_mul_ps(_mm256_sub_ps(values[half], maximum[half]), inverse);
            values[half] = exponential(logit);
            sum[half] = _mm256_add_ps(sum[half], values[half]);
        }
        store(weights, values);
    }
    let mut shrink = before;
    for half in 0..2 {
        let logit = _mm256_mul_ps(_mm256_sub_ps(before[half], maximum[half]), inverse);
        shrink[half] = exponential(logit);
    }
    let mut total = load(&rows.sum);
    for half in 0..2 {
        total[half] = _mm256_fmadd_ps(total[half], shrink[half], sum[half]);
    }
    store(&mut rows.sum, total);
    store(&mut rows.maximum, maximum);

    let groups = rows.weighed.chunks_exact_mut(GROUP).enumerate();
    for (index, weighed) in groups {
        let dimensions = values[index * GROUP..].as_ptr();
        // SAFETY: both instruction sets; a block has GROUP numbers behind its last row.
        let sums = unsafe { add_columns(nothing(), dimensions, stride, weights) };
        for (weighed, sums) in weighed.iter_mut().zip(sums) {
            let mut values = load(weighed);
            for half in 0..2 {
                values[half] = _mm256_fmadd_ps(values[half], shrink[half], sums[half]);
            }
            store(weighed, values);
        }
    }
}

/// Whether logits are no fainter than [`FAINTEST`], or not numbers.
#[target_feature(enable = "avx2")]
#[inline]
fn is_seen(logit: __m256) -> __m256 {
    _mm256_cmp_ps::<_CMP_NLT_UQ>(logit, _mm256_set1_ps(FAINTEST))
}

/// e to the power of a logit, which is 0 at most; 0 below [`FAINTEST`]. Cephes' polynomial: off by
/// at most two units in the last place.
#[target_feature(enable = "avx2,fma")]
#[inline]
fn exponential(logit: __m256) -> __m256 {
    const NEAREST: i32 = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
    let is_seen = is_seen(logit);
    // Of two operands the second one passes when one is no number.
    let logit = _mm256_max_ps(_mm256_set1_ps(FAINTEST), logit);
    // logit = whole · ln 2 + rest, ln 2 in two parts.
    let whole = _mm256_mul_ps(logit, _mm256_set1_ps(std::f32::consts::LOG2_E));
    let whole = _mm256_round_ps::<NEAREST>(whole);
    let rest = _mm256_fnmadd_ps(whole, _mm256_set1_ps(0.693_359_4), logit);
    let rest = _mm256_fnmadd_ps(whole, _mm256_set1_ps(-2.121_944_4e-4), rest);
    let mut power = _mm256_set1_ps(1.987_569_1e-4);
    for coefficient in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        power = _mm256_fmadd_ps(power, rest, _mm256_set1_ps(coefficient));
    }
    let square = _mm256_mul_ps(rest, rest);
    let power = _mm256_fmadd_ps(power, square, rest);
    let power = _mm256_add_ps(power, _mm256_set1_ps(1.0));
    let exponent = _mm256_slli_epi32::<23>(_mm256_cvtps_epi32(whole));
    let scaled = _mm256_add_epi32(_mm256_castps_si256(power), exponent);
    _mm256_and_ps(_mm256_castsi256_ps(scaled), is_seen)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::loss::seed::normalise;
    use crate::torch::random::normal;
    use rand_chacha::{ChaCha8Rng, rand_core::SeedableRng};
    use tch::Kind;

    /// `None` where the processor lacks it.
    fn avx2() -> Option<Avx2> {
        let found = Avx2::of_this_machine();
        if found.is_none() {
            println!("not run: this processor has no AVX2 or no FMA");
        }
        found
    }

    #[test]
    fn it_is_the_softmax_in_f64_up_to_f32s_rounding() {
        let Some(avx2) = avx2() else { return };
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        for (batch, length, width) in [
            (1, 0, 1),
            (1, 1, 1),
            (5, 7, 3),
            (16, 252, 6),
            (33, 600, 40),
            (130, 1000, 128),
            (3, 300, 700),
        ] {
            let mut unit = |rows| normalise(&normal(&[rows, width], &mut rng));
            let (rows, own, queue) = (unit(batch), unit(batch), unit(length));
            for temperature in [1e-4, 0.01, 0.2, 1.0] {
                let got = softmax(avx2, &rows, &own, &queue, temperature);
                let [rows, own, queue] =
                    [&rows, &own, &queue].map(|tensor| tensor.to_kind(Kind::Double));
                let own_logit = (&rows * &own).sum_dim_intlist(1, true, None) / temperature;
                let logits = Tensor::cat(&[own_logit, rows.matmul(&queue.tr()) / temperature], 1);
                let log_sum = logits.logsumexp(1, true);
                let weights = logits.softmax(1, None);
                let mean =
                    weights.narrow(1, 0, 1) * &own + weights.narrow(1, 1, length).matmul(&queue);
                let place = format!(
                    "{batch} rows, {length} candidates, {width} wide, temperature {temperature}"
                );
                assert_eq!(got.log_sum.size(), [batch, 1]);
                let scale: Tensor = 1.0 + log_sum.abs();
                let error = ((got.log_sum - &log_sum) / scale).abs().max();
                assert!(error.double_value(&[]) < 1e-6, "{place}: {error}");
                // A similarity is off by 1e-7, its logit by that over the temperature.
                let error = (got.mean - mean).abs().max().double_value(&[]);
                assert!(error < 1e-6 + 4e-7 / temperature, "{place}: {error}");
            }
        }
    }

    #[test]
    fn faint_blocks_change_nothing_and_a_later_greater_one_counts() {
        let Some(avx2) = avx2() else { return };
        // One candidate among many opposite ones, in the first block or in a later one.
        let row = Tensor::from_slice(&[1.0f32, 0.0]).reshape([1, 2]);
        let own = Tensor::from_slice(&[0.0f32, 1.0]).reshape([1, 2]);
        for place in [0, 600] {
            let mut candidates = vec![[-1.0f32, 0.0]; 1000];
            candidates[place] = [0.8, 0.6];
            let queue = Tensor::from_slice(candidates.as_flattened()).reshape([1000, 2]);
            let softmax = softmax(avx2, &row, &own, &queue, 0.01);
            let mean: Vec<f32> = Vec::try_from(softmax.mean.reshape(-1)).unwrap();
            assert_eq!(mean, [0.8, 0.6]);
            assert_eq!(softmax.log_sum.double_value(&[0, 0]) as f32, 0.8f32 / 0.01);
        }
    }

    #[test]
    fn a_rows_bits_depend_neither_on_its_neighbours_nor_on_threads() {
        let Some(avx2) = avx2() else { return };
        let mut rng = ChaCha8Rng::seed_from_u64(2);
        let mut unit = |rows| normalise(&normal(&[rows, 40], &mut rng));
        let (rows, own, queue) = (unit(150), unit(150), unit(3000));
        let whole = softmax(avx2, &rows, &own, &queue, 0.05);
        let moved = [&rows, &own].map(|tensor| tensor.roll([5], [0]));
        let moved = softmax(avx2, &moved[0], &moved[1], &queue, 0.05);
        assert_eq!(whole.mean.roll([5], [0]), moved.mean);
        assert_eq!(whole.log_sum.roll([5], [0]), moved.log_sum);
        let alone = rayon::ThreadPoolBuilder::new()
            .num_threads(1)
            .build()
            .unwrap();
        let [rows, own, queue] = [rows, own, queue].map(|tensor| tensor.copy());
        let one = alone.install(move || softmax(avx2, &rows, &own, &queue, 0.05).mean);
        assert_eq!(one, whole.mean);
    }

    #[test]
    fn what_is_no_number_reaches_the_loss() {
        let Some(avx2) = avx2() else { return };
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut unit = |rows| normalise(&normal(&[rows, 4], &mut rng));
        let (rows, own, queue) = (unit(3), unit(3), unit(700));
        let mut row = queue.get(500);
        let _ = row.fill_(f64::NAN);
        let softmax = softmax(avx2, &rows, &own, &queue, 0.01);
        for tensor in [softmax.log_sum, softmax.mean] {
            assert_eq!(tensor.isnan().all().int64_value(&[]), 1);
        }
    }

    #[test]
    fn the_exponential_is_right_to_two_units_in_the_last_place() {
        let Some(_) = avx2() else { return };
        for index in 0..100_000 {
            let logits = Lanes(std::array::from_fn(|lane| {
                -((index * 16 + lane) as f32) * 2.6e-5
            }));
            // SAFETY: the processor has both instruction sets.
            let powers = unsafe { powers(&logits) };
            for (logit, power) in logits.0.into_iter().zip(powers.0) {
                let exact = f64::from(logit).exp();
                let expected = if logit < FAINTEST { 0.0 } else { exact };
                let unit = f64::from(f32::EPSILON) * exact;
                assert!(
                    (f64::from(power) - expected).abs() <= 2.0 * unit,
                    "{logit}: {power}"
                );
            }
        }
    }

    #[target_feature(enable = "avx2,fma")]
    fn powers(logits: &Lanes) -> Lanes {
        let [low, high] = load(logits);
        let mut powers = Lanes::ZERO;
        store(&mut powers, [exponential(low), exponential(high)]);
        powers
    }
}
