//! The last step of rendering to `[size, size, 3]`: three planes' rows, normalised, mirrored where
//! asked, pixel by pixel.
//!
//! Sixteen pixels go through AVX-512's permutations where the processor has them, eight through
//! AVX2's; the values are computed alike.

use crate::instructions::{Instructions, Level};

/// One row.
///
/// # Shapes
/// - `planes`: red, green and blue, `[size]` each
/// - `out`: `[size, 3]`: `(value - mean) * reciprocal` by channel
#[inline(always)]
pub(crate) fn interleave(
    instructions: Instructions,
    planes: [&[f32]; 3],
    flipped: bool,
    mean: [f32; 3],
    reciprocal: [f32; 3],
    out: &mut [f32],
) {
    match instructions.level() {
        Level::Portable => interleave_portable(planes, flipped, mean, reciprocal, 0, out),
        // SAFETY: the processor has AVX2, which is all that the function asks for.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 => unsafe { interleave_avx2(planes, flipped, mean, reciprocal, out) },
        // SAFETY: the processor has AVX-512, which is all that the function asks for.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { interleave_avx512(planes, flipped, mean, reciprocal, out) },
    }
}

/// The pixels from `start` on.
#[inline(always)]
fn interleave_portable(
    planes: [&[f32]; 3],
    flipped: bool,
    mean: [f32; 3],
    reciprocal: [f32; 3],
    start: usize,
    out: &mut [f32],
) {
    let size = out.len() / 3;
    for channel in 0..3 {
        let plane = &planes[channel][..size];
        let places = out.chunks_exact_mut(3).enumerate().skip(start);
        if flipped {
            for (x, pixel) in places {
                pixel[channel] = (plane[size - 1 - x] - mean[channel]) * reciprocal[channel];
            }
        } else {
            for (x, pixel) in places {
                pixel[channel] = (plane[x] - mean[channel]) * reciprocal[channel];
            }
        }
    }
}

/// [`interleave_portable`] by sixteen pixels.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn interleave_avx512(
    planes: [&[f32]; 3],
    flipped: bool,
    mean: [f32; 3],
    reciprocal: [f32; 3],
    out: &mut [f32],
) {
    use std::arch::x86_64::*;

    const PIXELS: usize = 16;
    let size = out.len() / 3;
    // Of 48 values in order: from which lane of red and green (16 and more: green) a value comes,
    // then, with blue as the second, which lane of what was chosen so far stays.
    let mut from_two = [[0i32; PIXELS]; 3];
    let mut with_blue = [[0i32; PIXELS]; 3];
    for value in 0..3 * PIXELS {
        let (pixel, channel) = ((value / 3) as i32, value % 3);
        let lane = if flipped { 15 - pixel } else { pixel };
        let (vector, place) = (value / PIXELS, value % PIXELS);
        from_two[vector][place] = if channel == 1 { 16 + lane } else { lane };
        with_blue[vector][place] = if channel == 2 {
            16 + lane
        } else {
            place as i32
        };
    }
    // SAFETY: sixteen numbers each.
    let load = |numbers: &[i32; PIXELS]| unsafe { _mm512_loadu_si512(numbers.as_ptr().cast()) };
    let from_two = [load(&from_two[0]), load(&from_two[1]), load(&from_two[2])];
    let with_blue = [
        load(&with_blue[0]),
        load(&with_blue[1]),
        load(&with_blue[2]),
    ];

    let groups = out.chunks_exact_mut(3 * PIXELS).enumerate();
    let mut done = 0;
    for (group, out) in groups {
        let start = PIXELS * group;
        let from = if flipped {
            size - start - PIXELS
        } else {
            start
        };
        let mut channels = [_mm512_setzero_ps(); 3];
        for channel in 0..3 {
            let values = &planes[channel][from..from + PIXELS];
            // SAFETY: sixteen values.
            let values = unsafe { _mm512_loadu_ps(values.as_ptr()) };
            let moved = _mm512_sub_ps(values, _mm512_set1_ps(mean[channel]));
            channels[channel] = _mm512_mul_ps(moved, _mm512_set1_ps(reciprocal[channel]));
        }
        let [red, green, blue] = channels;
        for vector in 0..3 {
            let two = _mm512_permutex2var_ps(red, from_two[vector], green);
            let three = _mm512_permutex2var_ps(two, with_blue[vector], blue);
            let out = &mut out[PIXELS * vector..][..PIXELS];
            // SAFETY: sixteen values.
            unsafe { _mm512_storeu_ps(out.as_mut_ptr(), three) };
        }
        done = start + PIXELS;
    }
    interleave_portable(planes, flipped, mean, reciprocal, done, out);
}

/// [`interleave_portable`] by eight pixels.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn interleave_avx2(
    planes: [&[f32]; 3],
    flipped: bool,
    mean: [f32; 3],
    reciprocal: [f32; 3],
    out: &mut [f32],
) {
    use std::arch::x86_64::*;

    const PIXELS: usize = 8;
    let size = out.len() / 3;
    // Of 24 values in order, values l, l + 8 and l + 16 share lane l of three vectors and are of
    // three channels. So one permutation of a channel's pixels serves all three.
    let mut pixel_of_lane = [[0i32; PIXELS]; 3];
    for value in 0..3 * PIXELS {
        let pixel = (value / 3) as i32;
        pixel_of_lane[value % 3][value % PIXELS] = if flipped { 7 - pixel } else { pixel };
    }

    let groups = out.chunks_exact_mut(3 * PIXELS).enumerate();
    let mut done = 0;
    for (group, out) in groups {
        let start = PIXELS * group;
        let from = if flipped {
            size - start - PIXELS
        } else {
            start
        };
        let mut channels = [_mm256_setzero_ps(); 3];
        for channel in 0..3 {
            let values = &planes[channel][from..from + PIXELS];
            // SAFETY: eight values, and eight numbers.
            let (values, lanes) = unsafe {
                let lanes = pixel_of_lane[channel].as_ptr();
                let lanes = _mm256_loadu_si256(lanes.cast());
                (_mm256_loadu_ps(values.as_ptr()), lanes)
            };
            let moved = _mm256_sub_ps(values, _mm256_set1_ps(mean[channel]));
            let scaled = _mm256_mul_ps(moved, _mm256_set1_ps(reciprocal[channel]));
            channels[channel] = _mm256_permutevar8x32_ps(scaled, lanes);
        }
        let [red, green, blue] = channels;
        // The first vector begins with red, the second with blue, the third with green.
        const SECOND: i32 = 0b1001_0010;
        const THIRD: i32 = 0b0010_0100;
        let vectors = [
            _mm256_blend_ps::<THIRD>(_mm256_blend_ps::<SECOND>(red, green), blue),
            _mm256_blend_ps::<THIRD>(_mm256_blend_ps::<SECOND>(blue, red), green),
            _mm256_blend_ps::<THIRD>(_mm256_blend_ps::<SECOND>(green, blue), red),
        ];
        for (values, out) in vectors.into_iter().zip(out.chunks_exact_mut(PIXELS)) {
            // SAFETY: eight values.
            unsafe { _mm256_storeu_ps(out.as_mut_ptr(), values) };
        }
        done = start + PIXELS;
    }
    interleave_portable(planes, flipped, mean, reciprocal, done, out);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pixel_comes_to_its_place_mirrored_or_not() {
        let (mean, reciprocal) = ([0.1, 0.2, 0.3], [2.0, 3.0, 4.0]);
        for size in [1, 7, 8, 15, 16, 33, 224] {
            let plane = |channel: usize| -> Vec<f32> {
                (0..size)
                    .map(|x| (1000 * channel + x) as f32 / 7.0)
                    .collect()
            };
            let planes = [plane(0), plane(1), plane(2)];
            for flipped in [false, true] {
                let mut out = vec![f32::NAN; 3 * size];
                let rows = [&planes[0][..], &planes[1], &planes[2]];
                for instructions in Instructions::available() {
                    out.fill(f32::NAN);
                    interleave(instructions, rows, flipped, mean, reciprocal, &mut out);
                    for (place, value) in out.iter().enumerate() {
                        let (x, channel) = (place / 3, place % 3);
                        let x = if flipped { size - 1 - x } else { x };
                        let expected = (planes[channel][x] - mean[channel]) * reciprocal[channel];
                        assert_eq!(*value, expected, "{place} of {size}, {instructions}");
                    }
                }
            }
        }
    }
}
