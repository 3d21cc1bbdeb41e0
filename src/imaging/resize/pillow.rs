//! Pillow's resizing, bit for bit: what networks that were published with PIL images have seen.
//!
//! `ImagingResample` of Pillow's Resample.c for 8-bit RGB: weights in f64, normalised, then rounded
//! to 22 bits behind the point; the horizontal pass first, rounded to 8 bits, then the vertical
//! pass, rounded to 8 bits. As in `resample.rs` only the window that is wanted is computed, which
//! changes none of its pixels.

use crate::instructions::Instructions;
use crate::resize::part::Pixels;
use crate::resize::pillow_row::{PADDING, PillowRowWeights, shrink};
use crate::resize::resample::{Span, kernel, radius};
use crate::{Filter, View};

/// Bits of a weight behind the point: 8 of 32 are the pixel's, 2 are for sums that reach beyond it.
pub(crate) const PRECISION_BITS: u32 = 32 - 8 - 2;

/// The weights of one direction: output `i` is the sum over `taps` inputs from `first[i]` on.
#[derive(Debug, Default)]
struct PillowWeights {
    /// First input of each output, within the crop.
    first: Vec<u32>,
    /// `taps` weights for each output.
    values: Vec<i32>,
    /// An even number, where need be by a weight of 0 at the end.
    taps: usize,
    /// Of one output, before they are normalised.
    raw: Vec<f64>,
}

impl PillowWeights {
    /// Weights of the outputs `start..start + count`, when `span` becomes `output` pixels.
    fn fill(&mut self, filter: Filter, span: &Span, output: u32, start: u32, count: u32) {
        self.first.clear();
        self.values.clear();
        let input = span.pixels;
        if span.is_as_long_as(output) {
            self.taps = 2;
            self.first.extend(start..start + count);
            let whole = [1 << PRECISION_BITS, 0];
            self.values.extend((0..count).flat_map(|_| whole));
            return;
        }
        let ratio = span.length / f64::from(output);
        let widened = ratio.max(1.0);
        let support = radius(filter) * widened;
        let bounds = |index: u32| {
            let centre = span.begin + (f64::from(index) + 0.5) * ratio;
            // Casts cut off towards 0, as C's do.
            let first = ((centre - support + 0.5).max(0.0) as u32).min(input - 1);
            let end = ((centre + support + 0.5) as u32).clamp(first + 1, input);
            (centre, first, end)
        };
        let lengths = (start..start + count).map(|index| {
            let (_, first, end) = bounds(index);
            (end - first) as usize
        });
        let longest = lengths.max().unwrap_or(1);
        self.taps = longest.next_multiple_of(2);
        let narrowed = 1.0 / widened;
        for index in start..start + count {
            let (centre, first, end) = bounds(index);
            let weights = (first..end)
                .map(|pixel| kernel(filter, (f64::from(pixel) - centre + 0.5) * narrowed));
            self.raw.clear();
            self.raw.extend(weights);
            let sum: f64 = self.raw.iter().sum();
            // All outputs have equally many taps; where fewer count, the others lie before and
            // weigh 0.
            let shifted = first.min(input - longest as u32);
            self.first.push(shifted);
            let from = self.values.len();
            self.values.resize(from + self.taps, 0);
            let places = &mut self.values[from + (first - shifted) as usize..];
            for (place, weight) in places.iter_mut().zip(&self.raw) {
                let weight = if sum == 0.0 { *weight } else { weight / sum };
                *place = to_fixed_point(weight);
            }
        }
    }

    /// The inputs that any output weighs: from, to, of as many as there are.
    fn span(&self, input: u32) -> (usize, usize) {
        let least = self.first.first().copied().unwrap_or(0) as usize;
        let greatest = self.first.last().copied().unwrap_or(0) as usize;
        (least, (greatest + self.taps).min(input as usize))
    }
}

/// Rounded half away from 0.
fn to_fixed_point(weight: f64) -> i32 {
    let half = if weight < 0.0 { -0.5 } else { 0.5 };
    (half + weight * f64::from(1 << PRECISION_BITS)) as i32
}

/// A sum of weighed pixels begins here, so that cutting off rounds.
pub(crate) const HALF: i32 = 1 << (PRECISION_BITS - 1);

#[inline(always)]
pub(crate) fn to_8_bits(sum: i32) -> u8 {
    (sum >> PRECISION_BITS).clamp(0, 255) as u8
}

/// Buffers of resizing, reused from view to view.
#[derive(Debug, Default)]
pub(crate) struct PillowScratch {
    columns: PillowWeights,
    rows: PillowWeights,
    /// A source row of interleaved RGB, and [`PADDING`] values more.
    source: Vec<u8>,
    /// After the horizontal pass, every row that the vertical pass reads: `[rows, 3, size]`.
    middle: Vec<u8>,
    /// Sums of one output row: `[3, size]`.
    sums: Vec<i32>,
}

/// Writes the view's window, before its operations, as three planes of `size` × `size` values of
/// 0–1.
///
/// # Shapes
/// - `planes`: `[3, size, size]`
#[inline(always)]
pub(crate) fn resample(
    instructions: Instructions,
    image: &Pixels,
    view: &View,
    scratch: &mut PillowScratch,
    planes: &mut [f32],
) {
    let PillowScratch {
        columns,
        rows,
        source,
        middle,
        sums,
    } = scratch;
    let [across, down] = Span::of(image, view);
    let [width, height] = view.resize;
    let [x, y] = view.window;
    columns.fill(view.filter, &across, width, x, view.size);
    rows.fill(view.filter, &down, height, y, view.size);

    let size = view.size as usize;
    let (top, bottom) = rows.span(down.pixels);
    let length = 3 * size;
    middle.resize((bottom - top) * length, 0);
    let (left, right) = columns.span(across.pixels);
    let stride = image.part.width as usize * 3;
    let corner = down.place(top) * stride + across.place(left) * 3;
    let weights = PillowRowWeights {
        first: &columns.first,
        values: &columns.values,
        taps: columns.taps,
        left,
    };
    let samples = 3 * (right - left);
    source.resize(samples + PADDING, 0);
    for (index, output) in middle.chunks_exact_mut(length).enumerate() {
        let start = corner + index * stride;
        source[..samples].copy_from_slice(&image.part.pixels[start..start + samples]);
        shrink(instructions, source, &weights, output);
    }

    sums.resize(length, 0);
    let weighed = rows.first.iter().zip(rows.values.chunks_exact(rows.taps));
    for (y, (&first, weights)) in weighed.enumerate() {
        let first = first as usize - top;
        // A weight of 0 at the end may lie behind the last row.
        let weights = &weights[..weights.len().min(bottom - top - first)];
        vertical(sums, weights, |tap| {
            &middle[(first + tap) * length..][..length]
        });
        for (plane, sums) in planes
            .chunks_exact_mut(size * size)
            .zip(sums.chunks_exact(size))
        {
            for (value, &sum) in plane[y * size..][..size].iter_mut().zip(sums) {
                *value = f32::from(to_8_bits(sum)) * (1.0 / 255.0);
            }
        }
    }
}

/// The weighed sum of 8-bit rows.
#[inline(always)]
fn vertical<'rows>(sums: &mut [i32], weights: &[i32], source: impl Fn(usize) -> &'rows [u8]) {
    let mut tap = 0;
    while tap < weights.len() {
        tap += match weights.len() - tap {
            1 => add_rows::<1>(sums, weights, tap, &source),
            2 => add_rows::<2>(sums, weights, tap, &source),
            3 => add_rows::<3>(sums, weights, tap, &source),
            _ => add_rows::<4>(sums, weights, tap, &source),
        };
    }
}

/// Adds `ROWS` weighed rows from `tap` on to the sums, which begin with the first. Returns `ROWS`.
#[inline(always)]
fn add_rows<'rows, const ROWS: usize>(
    sums: &mut [i32],
    weights: &[i32],
    tap: usize,
    source: &impl Fn(usize) -> &'rows [u8],
) -> usize {
    let length = sums.len();
    let weights: [i32; ROWS] = std::array::from_fn(|row| weights[tap + row]);
    let rows: [&[u8]; ROWS] = std::array::from_fn(|row| &source(tap + row)[..length]);
    let weighed = |index: usize| {
        let mut sum = 0;
        for row in 0..ROWS {
            sum += weights[row] * i32::from(rows[row][index]);
        }
        sum
    };
    if tap == 0 {
        for (index, sum) in sums.iter_mut().enumerate() {
            *sum = HALF + weighed(index);
        }
    } else {
        for (index, sum) in sums.iter_mut().enumerate() {
            *sum += weighed(index);
        }
    }
    ROWS
}

#[cfg(test)]
#[path = "pillow_tests.rs"]
mod tests;
