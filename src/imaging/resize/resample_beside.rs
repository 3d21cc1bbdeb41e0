//! Resizing of eight rows side by side by AVX2, one in each lane.
//!
//! A vector of eight holds two pixels' red, green and blue badly; eight rows' values of one place
//! it holds well, and all rows have the same weights there. Each row is weighed vertically and
//! turned on its edge in registers, by eights of its values. Every sum has the order of
//! `resample.rs`, so its bits are the same.

use std::arch::x86_64::*;

use crate::resize::resample_row::RowWeights;

/// Rows that go together.
pub(crate) const BESIDE: usize = 8;

/// A value of each of them.
#[derive(Debug, Clone, Copy)]
#[repr(align(32))]
pub(crate) struct Beside([f32; BESIDE]);

/// What the rows are made of.
pub(crate) struct SourceRows<'image> {
    pub pixels: &'image [u8],
    /// From a row of pixels to the next.
    pub stride: usize,
    /// Values of a row that are looked at.
    pub samples: usize,
    /// Where each output row's first tap begins.
    pub places: [usize; BESIDE],
    /// `[rows, taps]`: for as many output rows as there are
    pub weights: &'image [f32],
    pub taps: usize,
}

/// Values of 0–1 of up to eight output rows.
///
/// # Shapes
/// - `output`: red, green and blue, `[rows, outputs]` each
#[target_feature(enable = "avx2")]
pub(crate) fn shrink_beside(
    source: &SourceRows,
    columns: &RowWeights,
    beside: &mut Vec<Beside>,
    output: [&mut [f32]; 3],
) {
    beside.resize(source.samples, Beside([0.0; BESIDE]));
    match source.taps {
        1 => weigh::<1>(source, beside),
        2 => weigh::<2>(source, beside),
        3 => weigh::<3>(source, beside),
        4 => weigh::<4>(source, beside),
        _ => weigh::<0>(source, beside),
    }

    let taps = columns.taps;
    let outputs = columns.first.len();
    let [zero, one] = [_mm256_setzero_ps(), _mm256_set1_ps(1.0)];
    let mut planes = output;
    // By channel and output, each of all rows.
    let mut shrunk = [[zero; BESIDE]; 3];
    for start in (0..outputs).step_by(BESIDE) {
        let count = BESIDE.min(outputs - start);
        for (index, first) in columns.first[start..][..count].iter().enumerate() {
            let from = (*first as usize - columns.left) * 3;
            let pixels = &beside[from..][..3 * taps];
            let weights = &columns.values[(start + index) * taps..][..taps];
            let mut sums = [zero; 3];
            for (pixel, weight) in pixels.chunks_exact(3).zip(weights) {
                let weight = _mm256_set1_ps(*weight);
                for channel in 0..3 {
                    // SAFETY: eight values, aligned.
                    let pixel = unsafe { _mm256_load_ps(pixel[channel].0.as_ptr()) };
                    sums[channel] = _mm256_add_ps(sums[channel], _mm256_mul_ps(weight, pixel));
                }
            }
            for channel in 0..3 {
                shrunk[channel][index] = _mm256_min_ps(_mm256_max_ps(sums[channel], zero), one);
            }
        }
        for (shrunk, plane) in shrunk.iter().zip(&mut planes) {
            let values = turned(shrunk);
            for (row, values) in plane.chunks_exact_mut(outputs).zip(values) {
                let row = &mut row[start..start + count];
                if count == BESIDE {
                    // SAFETY: eight values.
                    unsafe { _mm256_storeu_ps(row.as_mut_ptr(), values) };
                } else {
                    let mut eight = Beside([0.0; BESIDE]);
                    // SAFETY: eight values, aligned.
                    unsafe { _mm256_store_ps(eight.0.as_mut_ptr(), values) };
                    row.copy_from_slice(&eight.0[..count]);
                }
            }
        }
    }
}

/// Each row's sum over its taps, side by side. `TAPS` as the source says, or 0 for any number.
#[target_feature(enable = "avx2")]
fn weigh<const TAPS: usize>(source: &SourceRows, beside: &mut [Beside]) {
    let SourceRows {
        pixels,
        stride,
        samples,
        places,
        weights,
        taps,
    } = *source;
    let taps = if TAPS > 0 { TAPS } else { taps };
    let rows = weights.len() / taps;
    let mut row_weights = [weights.as_ptr(); BESIDE];
    let mut row_pixels = [pixels.as_ptr(); BESIDE];
    for row in 0..BESIDE {
        // A row that is missing is computed from anything.
        row_weights[row] = weights[row.min(rows - 1) * taps..][..taps].as_ptr();
        row_pixels[row] = pixels[places[row]..][..(taps - 1) * stride + samples].as_ptr();
    }

    if samples < BESIDE {
        for (index, place) in beside.iter_mut().enumerate() {
            for (row, value) in place.0.iter_mut().enumerate() {
                let weights = &weights[row.min(rows - 1) * taps..][..taps];
                let pixel = |tap: usize| f32::from(pixels[places[row] + tap * stride + index]);
                *value = weighed_one(weights, pixel);
            }
        }
        return;
    }
    let mut start = 0;
    loop {
        let mut values = [_mm256_setzero_ps(); BESIDE];
        for row in 0..BESIDE {
            // SAFETY: `taps` weights, and `samples` pixels for each tap, eight of which begin at
            // `start`.
            values[row] = unsafe {
                weighed::<TAPS>(row_pixels[row].add(start), stride, row_weights[row], taps)
            };
        }
        let places = beside[start..start + BESIDE].iter_mut();
        for (place, values) in places.zip(turned(&values)) {
            // SAFETY: eight values, aligned.
            unsafe { _mm256_store_ps(place.0.as_mut_ptr(), values) };
        }
        if start + BESIDE == samples {
            break;
        }
        // The last eight overlap those before.
        start = (start + BESIDE).min(samples - BESIDE);
    }
}

/// The weighed sum of eight values of each tap: of four taps in order, then of the next four, and
/// so on.
///
/// # Safety
/// Eight pixels can be read for each tap, `stride` apart.
#[target_feature(enable = "avx2")]
#[inline]
unsafe fn weighed<const TAPS: usize>(
    pixels: *const u8,
    stride: usize,
    weights: *const f32,
    taps: usize,
) -> __m256 {
    let taps = if TAPS > 0 { TAPS } else { taps };
    let mut sum = _mm256_setzero_ps();
    let mut tap = 0;
    while tap < taps {
        let mut four = _mm256_setzero_ps();
        for index in tap..taps.min(tap + 4) {
            // SAFETY: as the caller promises.
            let (values, weight) = unsafe {
                let eight = _mm_loadl_epi64(pixels.add(index * stride).cast());
                (
                    _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(eight)),
                    *weights.add(index),
                )
            };
            let product = _mm256_mul_ps(_mm256_set1_ps(weight), values);
            four = if index == tap {
                product
            } else {
                _mm256_add_ps(four, product)
            };
        }
        sum = if tap == 0 {
            four
        } else {
            _mm256_add_ps(sum, four)
        };
        tap += 4;
    }
    sum
}

/// [`weighed`] of one value.
fn weighed_one(weights: &[f32], pixel: impl Fn(usize) -> f32) -> f32 {
    let mut sum = 0.0;
    for (group, weights) in weights.chunks(4).enumerate() {
        let products = weights
            .iter()
            .enumerate()
            .map(|(tap, weight)| weight * pixel(4 * group + tap));
        let four = products.reduce(|sum, product| sum + product).unwrap_or(0.0);
        sum = if group == 0 { four } else { sum + four };
    }
    sum
}

/// Columns as rows.
#[target_feature(enable = "avx2")]
#[inline]
fn turned(rows: &[__m256; BESIDE]) -> [__m256; BESIDE] {
    let mut pairs = *rows;
    for pair in 0..4 {
        pairs[2 * pair] = _mm256_unpacklo_ps(rows[2 * pair], rows[2 * pair + 1]);
        pairs[2 * pair + 1] = _mm256_unpackhi_ps(rows[2 * pair], rows[2 * pair + 1]);
    }
    let mut fours = pairs;
    for four in [0, 4] {
        let (a, b, c, d) = (
            pairs[four],
            pairs[four + 1],
            pairs[four + 2],
            pairs[four + 3],
        );
        fours[four] = _mm256_shuffle_ps::<0b01_00_01_00>(a, c);
        fours[four + 1] = _mm256_shuffle_ps::<0b11_10_11_10>(a, c);
        fours[four + 2] = _mm256_shuffle_ps::<0b01_00_01_00>(b, d);
        fours[four + 3] = _mm256_shuffle_ps::<0b11_10_11_10>(b, d);
    }
    let mut columns = fours;
    for index in 0..4 {
        columns[index] = _mm256_permute2f128_ps::<0x20>(fours[index], fours[index + 4]);
        columns[index + 4] = _mm256_permute2f128_ps::<0x31>(fours[index], fours[index + 4]);
    }
    columns
}

#[cfg(test)]
mod tests {
    use crate::instructions::Instructions;
    use crate::{CropBox, Filter, Layout, RgbImage, Scratch, View, render};

    #[test]
    fn views_of_any_size_have_the_bits_of_one_row_at_a_time() {
        let Ok(avx2) = Instructions::named("avx2") else {
            println!("not run: avx2, which this processor lacks");
            return;
        };
        let pixels = (0..61 * 53 * 3).map(|index| (index * 7919 % 251) as u8);
        let image = RgbImage::new(61, 53, pixels.collect());
        let mut scratches = [Instructions::PORTABLE, avx2].map(Scratch::with);
        for (width, height) in [(1, 1), (2, 50), (3, 3), (8, 9), (17, 40), (50, 2), (60, 53)] {
            for size in [1, 3, 7, 8, 9, 16, 33, 70] {
                for filter in [Filter::Bilinear, Filter::Bicubic] {
                    let view = View {
                        crop: CropBox {
                            x: 1,
                            y: 0,
                            width,
                            height,
                        },
                        filter,
                        ..View::identity(size)
                    };
                    let view = View {
                        resize: [size, size],
                        ..view
                    };
                    let [portable, beside] = scratches.each_mut().map(|scratch| {
                        let mut out = vec![f32::NAN; 3 * (size * size) as usize];
                        render(&image, &view, scratch, &mut out, Layout::Chw, None).unwrap();
                        out
                    });
                    assert!(portable == beside, "{width} × {height} to {size}, {filter}");
                }
            }
        }
    }
}
