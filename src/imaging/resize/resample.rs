//! Antialiased resizing of a crop, computing only the window that is wanted.
//!
//! Weights are those of Pillow and of torchvision's `antialias=True`: the filter widens with the
//! shrinking factor, samples lie at pixel centres, the support ends at the crop's edge, and each
//! output's weights sum to 1. The vertical pass comes first: it reads 8-bit rows once in order and
//! leaves one float row, which the horizontal pass turns into one row of each plane; by AVX2 eight
//! rows go together (`resample_beside.rs`). Nothing is rounded between. Filters that round as
//! Pillow does are in `pillow.rs`.

use crate::instructions::Instructions;
#[cfg(target_arch = "x86_64")]
use crate::instructions::Level;
use crate::resize::part::Pixels;
#[cfg(target_arch = "x86_64")]
use crate::resize::resample_beside::{BESIDE, Beside, SourceRows, shrink_beside};
use crate::resize::resample_row::{self, RowWeights, shrink};
use crate::{Filter, View};

/// One direction of a view's crop, in the pixels that were decoded.
#[derive(Debug)]
pub(crate) struct Span {
    /// The first pixel that the crop touches, counted from the first that was decoded: negative
    /// when nothing of the window lies there.
    origin: i64,
    /// Where in that pixel the crop begins, 0 to below 1; other than 0 only in a scaled image.
    pub begin: f64,
    /// The crop's length in pixels.
    pub length: f64,
    /// Pixels that the crop touches.
    pub pixels: u32,
}

impl Span {
    /// Across and down.
    pub fn of(image: &Pixels, view: &View) -> [Span; 2] {
        let crop = view.crop;
        let step = i64::from(image.step);
        let span = |start: u32, length: u32, corner: i64| {
            let from = i64::from(start) - corner;
            let origin = from.div_euclid(step);
            let inside = from.rem_euclid(step);
            Span {
                origin,
                begin: inside as f64 / step as f64,
                length: f64::from(length) / step as f64,
                pixels: ((inside + i64::from(length) + step - 1) / step) as u32,
            }
        };
        [
            span(crop.x, crop.width, image.corner[0]),
            span(crop.y, crop.height, image.corner[1]),
        ]
    }

    /// Whether the crop's pixels are the resized crop's, one for one.
    pub fn is_as_long_as(&self, output: u32) -> bool {
        self.begin == 0.0 && self.length == f64::from(output)
    }

    /// The decoded pixel that is the crop's pixel `index`.
    #[inline(always)]
    pub fn place(&self, index: usize) -> usize {
        (self.origin + index as i64) as usize
    }
}

/// The weights of one direction: output `i` is the sum over `taps` inputs from `first[i]` on.
#[derive(Debug, Default)]
pub(crate) struct ResampleWeights {
    /// First input of each output, within the crop.
    first: Vec<u32>,
    /// `taps` weights for each output.
    values: Vec<f32>,
    taps: usize,
}

impl ResampleWeights {
    /// Weights of the outputs `start..start + count`, when `span` becomes `output` pixels; each
    /// weight times `scale`.
    #[inline(always)]
    fn fill(
        &mut self,
        filter: Filter,
        span: &Span,
        output: u32,
        start: u32,
        count: u32,
        scale: f64,
    ) {
        let input = span.pixels;
        let ratio = span.length / f64::from(output);
        let widened = ratio.max(1.0);
        let support = radius(filter) * widened;
        let bounds = |index: u32| {
            let centre = span.begin + (f64::from(index) + 0.5) * ratio;
            let first = ((centre - support + 0.5).floor().max(0.0) as u32).min(input - 1);
            let end = ((centre + support + 0.5).floor() as u32).clamp(first + 1, input);
            (centre, first, end)
        };

        // Pixels at the edge of the support have weight 0 when nothing is shrunk: a resize to the
        // same size has one tap.
        let same = span.is_as_long_as(output);
        let longest = (start..start + count)
            .map(|index| {
                let (_, first, end) = bounds(index);
                (end - first) as usize
            })
            .max();
        self.taps = if same { 1 } else { longest.unwrap_or(1) };
        self.first.clear();
        self.values.clear();
        if same {
            self.first.extend(start..start + count);
            self.values.resize(count as usize, scale as f32);
            return;
        }

        for index in start..start + count {
            let (centre, first, end) = bounds(index);
            let weight = |pixel: u32| kernel(filter, (f64::from(pixel) - centre + 0.5) / widened);
            let sum: f64 = (first..end).map(weight).sum();
            // All outputs have equally many taps; where fewer count, the others lie before and
            // weigh 0.
            let shifted = first.min(input - self.taps as u32);
            self.first.push(shifted);
            let from = self.values.len();
            self.values.resize(from + self.taps, 0.0);
            for pixel in first..end {
                let slot = from + (pixel - shifted) as usize;
                self.values[slot] = (weight(pixel) / sum * scale) as f32;
            }
        }
    }

    /// The inputs that any output reads: from, to.
    fn span(&self) -> (usize, usize) {
        let least = self.first.first().copied().unwrap_or(0) as usize;
        let greatest = self.first.last().copied().unwrap_or(0) as usize;
        (least, greatest + self.taps)
    }
}

/// Half the filter's width in pixels.
pub(crate) fn radius(filter: Filter) -> f64 {
    match filter {
        Filter::Bilinear | Filter::PillowBilinear => 1.0,
        Filter::Bicubic | Filter::PillowBicubic => 2.0,
    }
}

/// The filter's weight at a distance in pixels, to the last bit as Pillow computes it.
pub(crate) fn kernel(filter: Filter, distance: f64) -> f64 {
    let x = distance.abs();
    match filter {
        Filter::Bilinear | Filter::PillowBilinear => (1.0 - x).max(0.0),
        Filter::Bicubic | Filter::PillowBicubic if x < 1.0 => (1.5 * x - 2.5) * x * x + 1.0,
        Filter::Bicubic | Filter::PillowBicubic if x < 2.0 => {
            ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
        }
        Filter::Bicubic | Filter::PillowBicubic => 0.0,
    }
}

/// Buffers of resizing, reused from view to view.
#[derive(Debug, Default)]
pub(crate) struct ResampleScratch {
    columns: ResampleWeights,
    rows: ResampleWeights,
    /// The columns' weights as vectors.
    spread: Vec<f32>,
    /// One vertically weighed row of interleaved RGB, and one value more.
    line: Vec<f32>,
    /// Eight such rows side by side.
    #[cfg(target_arch = "x86_64")]
    beside: Vec<Beside>,
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
    scratch: &mut ResampleScratch,
    planes: &mut [f32],
) {
    let ResampleScratch {
        columns,
        rows,
        spread,
        line,
        #[cfg(target_arch = "x86_64")]
        beside,
    } = scratch;
    let [across, down] = Span::of(image, view);
    let [resized_width, resized_height] = view.resize;
    let [x, y] = view.window;
    columns.fill(view.filter, &across, resized_width, x, view.size, 1.0);
    resample_row::spread(&columns.values, columns.taps, spread);
    let to_unit = 1.0 / 255.0;
    rows.fill(view.filter, &down, resized_height, y, view.size, to_unit);

    let size = view.size as usize;
    let (left, right) = columns.span();
    let samples = (right - left) * 3;
    let stride = image.part.width as usize * 3;
    let column = across.place(left) * 3;
    let row_weights = RowWeights {
        first: &columns.first,
        values: &columns.values,
        spread,
        taps: columns.taps,
        left,
    };
    let pixels = &image.part.pixels[..];
    let place = |row: u32| column + down.place(row as usize) * stride;
    let (red, rest) = planes.split_at_mut(size * size);
    let (green, blue) = rest.split_at_mut(size * size);

    #[cfg(target_arch = "x86_64")]
    if instructions.level() == Level::Avx2 {
        let outputs = red
            .chunks_mut(BESIDE * size)
            .zip(green.chunks_mut(BESIDE * size))
            .zip(blue.chunks_mut(BESIDE * size));
        let weighed = rows
            .first
            .chunks(BESIDE)
            .zip(rows.values.chunks(BESIDE * rows.taps));
        for (((red, green), blue), (firsts, weights)) in outputs.zip(weighed) {
            // Where there are fewer rows, the first stands for those that are missing.
            let mut places = [place(firsts[0]); BESIDE];
            for (place_of, &first) in places.iter_mut().zip(firsts) {
                *place_of = place(first);
            }
            let source = SourceRows {
                pixels,
                stride,
                samples,
                places,
                weights,
                taps: rows.taps,
            };
            // SAFETY: the processor has AVX2, which is all that the function asks for.
            unsafe { shrink_beside(&source, &row_weights, beside, [red, green, blue]) };
        }
        return;
    }

    line.clear();
    line.resize(samples + 1, 0.0);
    let outputs = red
        .chunks_exact_mut(size)
        .zip(green.chunks_exact_mut(size))
        .zip(blue.chunks_exact_mut(size));
    let weighed = rows.first.iter().zip(rows.values.chunks_exact(rows.taps));
    for (((red, green), blue), (&first, weights)) in outputs.zip(weighed) {
        let start = place(first);
        let source = |tap: usize| &pixels[start + tap * stride..][..samples];
        vertical(&mut line[..samples], weights, source);
        shrink(instructions, line, &row_weights, [red, green, blue]);
    }
}

/// The weighted sum of 8-bit rows.
#[inline(always)]
fn vertical<'image>(line: &mut [f32], weights: &[f32], source: impl Fn(usize) -> &'image [u8]) {
    let mut tap = 0;
    while tap < weights.len() {
        tap += match weights.len() - tap {
            1 => add_rows::<1>(line, weights, tap, &source),
            2 => add_rows::<2>(line, weights, tap, &source),
            3 => add_rows::<3>(line, weights, tap, &source),
            _ => add_rows::<4>(line, weights, tap, &source),
        };
    }
}

/// Adds `ROWS` weighed rows from `tap` on to the line, or sets it when they are the first. Returns
/// `ROWS`.
#[inline(always)]
fn add_rows<'image, const ROWS: usize>(
    line: &mut [f32],
    weights: &[f32],
    tap: usize,
    source: &impl Fn(usize) -> &'image [u8],
) -> usize {
    let length = line.len();
    let weights: [f32; ROWS] = std::array::from_fn(|row| weights[tap + row]);
    let rows: [&[u8]; ROWS] = std::array::from_fn(|row| &source(tap + row)[..length]);
    let weighed = |index: usize| {
        let mut sum = weights[0] * f32::from(rows[0][index]);
        for row in 1..ROWS {
            sum += weights[row] * f32::from(rows[row][index]);
        }
        sum
    };
    if tap == 0 {
        for (index, value) in line.iter_mut().enumerate() {
            *value = weighed(index);
        }
    } else {
        for (index, value) in line.iter_mut().enumerate() {
            *value += weighed(index);
        }
    }
    ROWS
}

/// Clamps to 0–1 a value that is not NaN: two instructions, where `f32::clamp` asks for NaN first.
#[inline(always)]
pub(crate) fn to_unit_range(value: f32) -> f32 {
    let value = if value > 0.0 { value } else { 0.0 };
    if value < 1.0 { value } else { 1.0 }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn whole(pixels: u32) -> Span {
        Span {
            origin: 0,
            begin: 0.0,
            length: f64::from(pixels),
            pixels,
        }
    }

    fn weights(filter: Filter, input: u32, output: u32) -> ResampleWeights {
        let mut weights = ResampleWeights::default();
        weights.fill(filter, &whole(input), output, 0, output, 1.0);
        weights
    }

    #[test]
    fn weights_of_an_output_sum_to_one() {
        for filter in [Filter::Bilinear, Filter::Bicubic] {
            for (input, output) in [(1, 1), (1, 7), (7, 1), (400, 224), (33, 32), (5, 5), (2, 9)] {
                let weights = weights(filter, input, output);
                for values in weights.values.chunks_exact(weights.taps) {
                    let sum: f32 = values.iter().sum();
                    assert!(
                        (sum - 1.0).abs() < 1e-6,
                        "{filter} {input} to {output}: {sum}"
                    );
                }
                assert!(weights.span().1 <= input as usize);
            }
        }
    }

    #[test]
    fn halving_takes_the_triangle_of_twice_the_width() {
        let weights = weights(Filter::Bilinear, 8, 4);
        assert_eq!(weights.taps, 4);
        assert_eq!(weights.first, [0, 1, 3, 4]);
        let second = &weights.values[4..8];
        for (value, expected) in second.iter().zip([0.125, 0.375, 0.375, 0.125]) {
            assert!((value - expected).abs() < 1e-6);
        }
    }

    #[test]
    fn a_window_weighs_as_that_part_of_the_whole() {
        let all = weights(Filter::Bicubic, 50, 20);
        let mut window = ResampleWeights::default();
        window.fill(Filter::Bicubic, &whole(50), 20, 6, 8, 1.0);
        let dense = |weights: &ResampleWeights, output: usize| {
            let mut row = [0.0; 50];
            for tap in 0..weights.taps {
                row[weights.first[output] as usize + tap] =
                    weights.values[output * weights.taps + tap];
            }
            row
        };
        for output in 0..8 {
            assert_eq!(dense(&window, output), dense(&all, output + 6));
        }
    }
}
