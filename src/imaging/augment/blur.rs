//! Gaussian blur: both directions of a true Gaussian of radius ceil(4 sigma), edges replicated.

use crate::instructions::Instructions;
#[cfg(target_arch = "x86_64")]
use crate::instructions::Level;
use crate::resize::resample::to_unit_range;

/// Buffers of blurring, reused from view to view.
#[derive(Debug, Default)]
pub(crate) struct BlurScratch {
    /// Weights of the distances 0, 1 … radius.
    kernel: Vec<f32>,
    /// A row with its ends repeated to either side.
    padded: Vec<f32>,
    /// A plane blurred along its rows.
    rows: Vec<f32>,
}

/// Blurs three planes of `size` × `size` in place.
///
/// # Shapes
/// - `planes`: `[3, size, size]`
#[inline(always)]
pub(crate) fn blur(
    instructions: Instructions,
    planes: &mut [f32],
    size: usize,
    sigma: f32,
    scratch: &mut BlurScratch,
) {
    let BlurScratch {
        kernel,
        padded,
        rows,
    } = scratch;
    fill_kernel(kernel, sigma);
    let radius = kernel.len() - 1;
    rows.resize(size * size, 0.0);
    padded.resize(size + 2 * radius, 0.0);
    for plane in planes.chunks_exact_mut(size * size) {
        for (row, output) in plane.chunks_exact(size).zip(rows.chunks_exact_mut(size)) {
            padded[..radius].fill(row[0]);
            padded[radius..radius + size].copy_from_slice(row);
            padded[radius + size..].fill(row[size - 1]);
            let shifted = |start: usize| &padded[start..start + size];
            symmetric_sum(instructions, output, kernel, |distance| {
                (shifted(radius - distance), shifted(radius + distance))
            });
        }
        for (y, output) in plane.chunks_exact_mut(size).enumerate() {
            let row = |y: usize| &rows[y * size..(y + 1) * size];
            symmetric_sum(instructions, output, kernel, |distance| {
                (
                    row(y.saturating_sub(distance)),
                    row((y + distance).min(size - 1)),
                )
            });
        }
    }
}

/// The Gaussian's weights from the centre outwards; both sides together sum to 1.
fn fill_kernel(kernel: &mut Vec<f32>, sigma: f32) {
    let sigma = f64::from(sigma);
    let radius = (4.0 * sigma).ceil() as usize;
    let weight = |distance: usize| (-0.5 * (distance as f64 / sigma).powi(2)).exp();
    let side: f64 = (1..=radius).map(weight).sum();
    let sum = 1.0 + 2.0 * side;
    kernel.clear();
    kernel.extend((0..=radius).map(|distance| (weight(distance) / sum) as f32));
}

/// `output` = the sum over distances of the kernel times both values at that distance, the centre
/// once. `values(distance)` are the values that lie before and after, as long as `output`.
#[inline(always)]
fn symmetric_sum<'values>(
    instructions: Instructions,
    output: &mut [f32],
    kernel: &[f32],
    values: impl Fn(usize) -> (&'values [f32], &'values [f32]),
) {
    let done = match instructions.level() {
        // A quarter of a row of a view of 224 pixels, then less.
        // SAFETY: the processor has AVX2, which is all that the function asks for.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe {
            let done = symmetric_vectors::<7>(output, 0, kernel, &values);
            let done = symmetric_vectors::<4>(output, done, kernel, &values);
            symmetric_vectors::<1>(output, done, kernel, &values)
        },
        // Half a row: seven vectors of AVX-512.
        _ => {
            let done = symmetric_chunks::<112>(output, 0, kernel, &values);
            let done = symmetric_chunks::<32>(output, done, kernel, &values);
            symmetric_chunks::<8>(output, done, kernel, &values)
        }
    };
    symmetric_chunks::<1>(output, done, kernel, &values);
}

/// [`symmetric_chunks`] of `VECTORS` times eight outputs. Compilers leave the sums of their lanes
/// in memory.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
#[inline]
fn symmetric_vectors<'values, const VECTORS: usize>(
    output: &mut [f32],
    start: usize,
    kernel: &[f32],
    values: &impl Fn(usize) -> (&'values [f32], &'values [f32]),
) -> usize {
    use std::arch::x86_64::*;

    let lanes = 8 * VECTORS;
    let mut start = start;
    while start + lanes <= output.len() {
        let (centre, _) = values(0);
        let centre = centre[start..start + lanes].as_ptr();
        let weight = _mm256_set1_ps(kernel[0]);
        let mut sums = [_mm256_setzero_ps(); VECTORS];
        for (vector, sum) in sums.iter_mut().enumerate() {
            // SAFETY: `lanes` values.
            *sum = _mm256_mul_ps(weight, unsafe { _mm256_loadu_ps(centre.add(8 * vector)) });
        }
        for (distance, weight) in kernel.iter().enumerate().skip(1) {
            let (before, after) = values(distance);
            let before = before[start..start + lanes].as_ptr();
            let after = after[start..start + lanes].as_ptr();
            let weight = _mm256_set1_ps(*weight);
            for (vector, sum) in sums.iter_mut().enumerate() {
                // SAFETY: `lanes` values each.
                let both = unsafe {
                    let before = _mm256_loadu_ps(before.add(8 * vector));
                    _mm256_add_ps(before, _mm256_loadu_ps(after.add(8 * vector)))
                };
                *sum = _mm256_add_ps(*sum, _mm256_mul_ps(weight, both));
            }
        }
        let output = output[start..start + lanes].as_mut_ptr();
        for (vector, sum) in sums.into_iter().enumerate() {
            let sum = _mm256_max_ps(sum, _mm256_setzero_ps());
            let sum = _mm256_min_ps(sum, _mm256_set1_ps(1.0));
            // SAFETY: `lanes` values.
            unsafe { _mm256_storeu_ps(output.add(8 * vector), sum) };
        }
        start += lanes;
    }
    start
}

/// As many outputs from `start` on as fill groups of `LANES`, which stay in registers over all
/// distances. Returns where it ended.
#[inline(always)]
fn symmetric_chunks<'values, const LANES: usize>(
    output: &mut [f32],
    start: usize,
    kernel: &[f32],
    values: &impl Fn(usize) -> (&'values [f32], &'values [f32]),
) -> usize {
    let mut start = start;
    while start + LANES <= output.len() {
        let (centre, _) = values(0);
        let centre = &centre[start..start + LANES];
        // Loops, not `map` and `from_fn`: those are left uninlined here, and so compiled for the
        // narrowest processor.
        let mut sums = [0.0; LANES];
        for lane in 0..LANES {
            sums[lane] = kernel[0] * centre[lane];
        }
        for (distance, weight) in kernel.iter().enumerate().skip(1) {
            let (before, after) = values(distance);
            let before = &before[start..start + LANES];
            let after = &after[start..start + LANES];
            for lane in 0..LANES {
                sums[lane] += weight * (before[lane] + after[lane]);
            }
        }
        for (value, sum) in output[start..start + LANES].iter_mut().zip(sums) {
            *value = to_unit_range(sum);
        }
        start += LANES;
    }
    start
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_reaches_four_sigma_and_sums_to_one() {
        let mut kernel = Vec::new();
        for (sigma, radius) in [(0.1, 1), (1.0, 4), (2.0, 8), (1.3, 6)] {
            fill_kernel(&mut kernel, sigma);
            assert_eq!(kernel.len(), radius + 1);
            let sum = kernel[0] + 2.0 * kernel[1..].iter().sum::<f32>();
            assert!((sum - 1.0).abs() < 1e-6);
        }
        fill_kernel(&mut kernel, f32::MIN_POSITIVE);
        assert_eq!(kernel, [1.0, 0.0]);
    }

    #[test]
    fn a_point_becomes_the_product_of_two_kernels() {
        for size in [9, 33, 45] {
            let mut planes = vec![0.0; 3 * size * size];
            let centre = size / 2;
            planes[centre * size + centre] = 1.0;
            let mut scratch = BlurScratch::default();
            blur(Instructions::widest(), &mut planes, size, 1.0, &mut scratch);
            for (dx, dy) in [(0, 0), (1, 0), (2, 3), (4, 4)] {
                let expected = scratch.kernel[dx] * scratch.kernel[dy];
                for index in [
                    (centre + dy) * size + centre + dx,
                    (centre - dy) * size + centre - dx,
                ] {
                    assert!((planes[index] - expected).abs() < 1e-7);
                }
            }
            assert!(planes[size * size..].iter().all(|value| *value == 0.0));
        }
    }

    #[test]
    fn a_plain_view_stays_plain_to_its_edges() {
        let mut planes = vec![0.25; 3 * 5 * 5];
        let mut scratch = BlurScratch::default();
        blur(Instructions::widest(), &mut planes, 5, 2.0, &mut scratch);
        assert!(planes.iter().all(|value| (value - 0.25).abs() < 1e-6));
    }
}
