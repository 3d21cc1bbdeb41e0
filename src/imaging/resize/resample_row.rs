//! The horizontal pass of resizing over one row in floats: interleaved RGB in, three planes out.
//!
//! Four outputs go through one vector of AVX-512 where the processor has it, each with its red,
//! green, blue and a lane that is thrown away: compilers don't find that by themselves. Every
//! output's products are added in the same order, so that both ways give the same bits.

use crate::instructions::Instructions;
#[cfg(target_arch = "x86_64")]
use crate::instructions::Level;
use crate::resize::resample::to_unit_range;

/// Outputs that are made together.
pub(crate) const TOGETHER: usize = 4;

/// The weights of a row: output `i` is the sum over `taps` pixels from `first[i]` on.
pub(crate) struct RowWeights<'weights> {
    pub first: &'weights [u32],
    /// `[outputs, taps]`
    pub values: &'weights [f32],
    /// `[outputs / TOGETHER, taps, TOGETHER, 4]`: each weight four times, see [`spread`].
    #[cfg_attr(
        not(target_arch = "x86_64"),
        allow(dead_code, reason = "AVX2 alone reads it")
    )]
    pub spread: &'weights [f32],
    pub taps: usize,
    /// The pixel of the crop that the line begins with.
    pub left: usize,
}

/// The weights of whole groups of outputs as vectors.
pub(crate) fn spread(values: &[f32], taps: usize, spread: &mut Vec<f32>) {
    spread.clear();
    for group in values.chunks_exact(TOGETHER * taps) {
        for tap in 0..taps {
            for output in 0..TOGETHER {
                spread.extend_from_slice(&[group[output * taps + tap]; 4]);
            }
        }
    }
}

/// Values of 0–1.
///
/// # Shapes
/// - `line`: `[pixels, 3]` and one value more, which is not looked at
/// - `output`: red, green and blue, `[outputs]` each
#[inline(always)]
pub(crate) fn shrink(
    instructions: Instructions,
    line: &[f32],
    weights: &RowWeights,
    output: [&mut [f32]; 3],
) {
    match instructions.level() {
        // SAFETY: the processor has AVX-512, which is all that the function asks for.
        #[cfg(target_arch = "x86_64")]
        Level::Avx512 => unsafe { shrink_avx512(line, weights, output) },
        _ => shrink_portable(line, weights, 0, output),
    }
}

/// The outputs from `start` on.
#[inline(always)]
fn shrink_portable(
    line: &[f32],
    weights: &RowWeights,
    start: usize,
    [red, green, blue]: [&mut [f32]; 3],
) {
    let taps = weights.taps;
    for index in start..weights.first.len() {
        let pixels = &line[(weights.first[index] as usize - weights.left) * 3..][..3 * taps];
        let weights = &weights.values[index * taps..][..taps];
        let mut sums = [0.0f32; 3];
        for (pixel, weight) in pixels.chunks_exact(3).zip(weights) {
            for channel in 0..3 {
                sums[channel] += weight * pixel[channel];
            }
        }
        red[index] = to_unit_range(sums[0]);
        green[index] = to_unit_range(sums[1]);
        blue[index] = to_unit_range(sums[2]);
    }
}

/// Where the pixels of each output of a group begin; each is followed by three values for every tap
/// and one more.
#[cfg(target_arch = "x86_64")]
#[inline(always)]
fn begins(line: &[f32], weights: &RowWeights, group: usize) -> [*const f32; TOGETHER] {
    let firsts = &weights.first[TOGETHER * group..][..TOGETHER];
    let mut begins = [line.as_ptr(); TOGETHER];
    for (begin, &first) in begins.iter_mut().zip(firsts) {
        *begin = line[(first as usize - weights.left) * 3..][..3 * weights.taps + 1].as_ptr();
    }
    begins
}

/// [`shrink_portable`] by one vector for four outputs.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn shrink_avx512(line: &[f32], weights: &RowWeights, [red, green, blue]: [&mut [f32]; 3]) {
    use std::arch::x86_64::*;

    const LANES: usize = 4 * TOGETHER;
    let taps = weights.taps;
    let by_channel = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    let groups = weights.spread.chunks_exact(LANES * taps).enumerate();
    let mut done = 0;
    for (group, spread) in groups {
        let pixels = begins(line, weights, group);
        let outputs = TOGETHER * group..TOGETHER * (group + 1);
        let places = [
            &mut red[outputs.clone()],
            &mut green[outputs.clone()],
            &mut blue[outputs.clone()],
        ];
        let mut sums = _mm512_setzero_ps();
        for tap in 0..taps {
            // SAFETY: `begins` has checked 3 · taps + 1 values of each output, and `spread` has
            // LANES · taps.
            let (values, weight) = unsafe {
                let values = _mm512_castps128_ps512(_mm_loadu_ps(pixels[0].add(3 * tap)));
                let values = _mm512_insertf32x4::<1>(values, _mm_loadu_ps(pixels[1].add(3 * tap)));
                let values = _mm512_insertf32x4::<2>(values, _mm_loadu_ps(pixels[2].add(3 * tap)));
                let values = _mm512_insertf32x4::<3>(values, _mm_loadu_ps(pixels[3].add(3 * tap)));
                (values, _mm512_loadu_ps(spread.as_ptr().add(LANES * tap)))
            };
            sums = _mm512_add_ps(sums, _mm512_mul_ps(weight, values));
        }
        let sums = _mm512_min_ps(
            _mm512_max_ps(sums, _mm512_setzero_ps()),
            _mm512_set1_ps(1.0),
        );
        let sums = _mm512_permutexvar_ps(by_channel, sums);
        let [red, green, blue] = places;
        // SAFETY: four values each.
        unsafe {
            _mm_storeu_ps(red.as_mut_ptr(), _mm512_castps512_ps128(sums));
            _mm_storeu_ps(green.as_mut_ptr(), _mm512_extractf32x4_ps::<1>(sums));
            _mm_storeu_ps(blue.as_mut_ptr(), _mm512_extractf32x4_ps::<2>(sums));
        }
        done = outputs.end;
    }
    shrink_portable(line, weights, done, [red, green, blue]);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_give_the_bits_of_single_values() {
        for (outputs, taps) in [(1, 1), (4, 1), (7, 2), (16, 3), (29, 4), (32, 5), (50, 11)] {
            let first: Vec<u32> = (0..outputs).map(|index| 5 + index * 3 / 2).collect();
            let pixels = (outputs * 3 / 2) as usize + taps;
            let noise = |index: usize| ((index * 7919 + 13) % 1009) as f32 / 700.0 - 0.2;
            let line: Vec<f32> = (0..3 * pixels + 1).map(noise).collect();
            let values: Vec<f32> = (0..outputs as usize * taps)
                .map(|index| noise(index + 77) / taps as f32)
                .collect();
            let mut vectors = Vec::new();
            spread(&values, taps, &mut vectors);
            let weights = RowWeights {
                first: &first,
                values: &values,
                spread: &vectors,
                taps,
                left: 5,
            };
            let run = |instructions: Instructions| {
                let mut planes = vec![f32::NAN; 3 * outputs as usize];
                let (red, rest) = planes.split_at_mut(outputs as usize);
                let (green, blue) = rest.split_at_mut(outputs as usize);
                shrink(instructions, &line, &weights, [red, green, blue]);
                planes
            };
            let expected = run(Instructions::PORTABLE);
            assert!(expected.iter().all(|value| (0.0..=1.0).contains(value)));
            for instructions in Instructions::available() {
                assert_eq!(run(instructions), expected, "{instructions}");
            }
        }
    }
}
