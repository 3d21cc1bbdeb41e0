//! The horizontal pass of Pillow's resizing over one row: interleaved RGB in, three planes out.
//!
//! Two pixels go through one AVX2 vector where the processor has it: compilers don't find that by
//! themselves, and the pass reads every row of the image. Whole numbers are summed, so that both
//! ways give the same bits.

use crate::instructions::{Instructions, Level};
#[cfg(target_arch = "x86_64")]
use crate::resize::pillow::PRECISION_BITS;
use crate::resize::pillow::{HALF, to_8_bits};

/// Values that a source row must have behind its last pixel, since 16 are read at once.
pub(crate) const PADDING: usize = 32;

/// The weights of a row: output `i` is the sum over `taps` pixels from `first[i]` on; `taps` is
/// even.
pub(crate) struct PillowRowWeights<'weights> {
    pub first: &'weights [u32],
    pub values: &'weights [i32],
    pub taps: usize,
    /// The pixel of the crop that the source row begins with.
    pub left: usize,
}

/// # Shapes
/// - `source`: `[pixels, 3]` and [`PADDING`] values more
/// - `output`: `[3, outputs]`
#[inline(always)]
pub(crate) fn shrink(
    instructions: Instructions,
    source: &[u8],
    weights: &PillowRowWeights,
    output: &mut [u8],
) {
    match instructions.level() {
        Level::Portable => shrink_portable(source, weights, output),
        // SAFETY: the processor has AVX2, which is all that the function asks for.
        #[cfg(target_arch = "x86_64")]
        Level::Avx2 | Level::Avx512 => unsafe { shrink_avx2(source, weights, output) },
    }
}

/// Each output's place in its plane, the values from its first pixel on, and its weights.
fn outputs<'row>(
    source: &'row [u8],
    weights: &'row PillowRowWeights,
) -> impl Iterator<Item = (usize, &'row [u8], &'row [i32])> {
    let values = weights.values.chunks_exact(weights.taps);
    let weighed = weights.first.iter().zip(values).enumerate();
    weighed.map(|(x, (&first, values))| {
        let from = 3 * (first as usize - weights.left);
        (x, &source[from..][..3 * weights.taps + 16], values)
    })
}

fn shrink_portable(source: &[u8], weights: &PillowRowWeights, output: &mut [u8]) {
    let size = weights.first.len();
    for (x, pixels, values) in outputs(source, weights) {
        let mut sums = [HALF; 3];
        for (pixel, weight) in pixels.chunks_exact(3).zip(values) {
            for (sum, &value) in sums.iter_mut().zip(pixel) {
                *sum += weight * i32::from(value);
            }
        }
        for (channel, sum) in sums.into_iter().enumerate() {
            output[channel * size + x] = to_8_bits(sum);
        }
    }
}

/// [`shrink_portable`] by two pixels at a time: each in a half of a vector, its channels in three
/// of four lanes.
#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn shrink_avx2(source: &[u8], weights: &PillowRowWeights, output: &mut [u8]) {
    use std::arch::x86_64::*;

    let size = weights.first.len();
    // From 16 values, the first pixel's channels as 32-bit lanes, and the second's.
    const NONE: i8 = -1;
    #[rustfmt::skip]
    let spread = _mm256_setr_epi8(
        0, NONE, NONE, NONE, 1, NONE, NONE, NONE, 2, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
        3, NONE, NONE, NONE, 4, NONE, NONE, NONE, 5, NONE, NONE, NONE, NONE, NONE, NONE, NONE,
    );
    for (x, pixels, values) in outputs(source, weights) {
        let mut sums = _mm256_setr_epi32(HALF, HALF, HALF, 0, 0, 0, 0, 0);
        for (pair, values) in values.chunks_exact(2).enumerate() {
            let bytes: &[u8; 16] = pixels[6 * pair..][..16]
                .try_into()
                .expect("BUG: sixteen of sixteen values");
            // SAFETY: reads the sixteen bytes.
            let bytes = unsafe { _mm_loadu_si128(bytes.as_ptr().cast()) };
            let lanes = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(bytes), spread);
            let [first, second] = [values[0], values[1]].map(|weight| _mm_set1_epi32(weight));
            let product = _mm256_mullo_epi32(lanes, _mm256_set_m128i(second, first));
            sums = _mm256_add_epi32(sums, product);
        }
        let halves = [
            _mm256_castsi256_si128(sums),
            _mm256_extracti128_si256::<1>(sums),
        ];
        let sums = _mm_add_epi32(halves[0], halves[1]);
        let levels = _mm_srai_epi32::<{ PRECISION_BITS as i32 }>(sums);
        // Packing clamps: to 16 bits with sign, then to 0–255.
        let words = _mm_packs_epi32(levels, levels);
        let [red, green, blue, _] = _mm_cvtsi128_si32(_mm_packus_epi16(words, words)).to_le_bytes();
        output[x] = red;
        output[size + x] = green;
        output[2 * size + x] = blue;
    }
}
