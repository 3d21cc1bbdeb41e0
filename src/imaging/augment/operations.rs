//! The operations of a view: the numbers that decide how they are drawn, the draw, and their
//! arithmetic on planes of 0–1, which is that of torchvision's float operations.

use rand_chacha::rand_core::Rng;
use seedpipe_base::{Filter, MAXIMAL_SIGMA, Operation, Refusal};

use crate::augment::blur::{BlurScratch, blur};
use crate::augment::chance::{below, happens, uniform};
use crate::augment::crop::Crop;
use crate::augment::numbers::{Number, policy};
use crate::instructions::Instructions;
use crate::resize::resample::to_unit_range;

// A new number goes last and is written `unless_neutral`.
policy! {
    /// Strength of brightness changes.
    brightness: f64 = 0.0, always, 0.0..=1e6;
    /// Strength of contrast changes.
    contrast: f64 = 0.0, always, 0.0..=1e6;
    /// Strength of saturation changes.
    saturation: f64 = 0.0, always, 0.0..=1e6;
    /// Strength of hue changes, at most 0.5.
    hue: f64 = 0.0, always, 0.0..=0.5;
    /// The chance of all four changes.
    jitter_probability: f64 = 1.0, always, 0.0..=1.0;
    /// The chance of a gray view.
    grayscale_probability: f64 = 0.0, always, 0.0..=1.0;
    /// Whether grayscale comes before jitter.
    grayscale_first: bool = false, always;
    /// Least and greatest standard deviation of the blur, in pixels.
    blur_sigma: [f64; 2] = [0.1, 2.0], always, 0.0..=f64::from(MAXIMAL_SIGMA);
    /// The chance of a blur.
    blur_probability: f64 = 0.0, always, 0.0..=1.0;
    /// The chance of a mirrored view.
    flip_probability: f64 = 0.0, always, 0.0..=1.0;
}

impl Policy {
    /// Draws in a fixed order: (grayscale when it comes first) jitter, grayscale, blur, flip. What
    /// came later takes nothing from the generator while it is off, so that other draws stay as
    /// they were.
    pub(crate) fn draw_operations<R: Rng + ?Sized>(
        &self,
        random: &mut R,
        operations: &mut Vec<Operation>,
    ) {
        if self.grayscale_first && happens(random, self.grayscale_probability) {
            operations.push(Operation::Grayscale);
        }
        if happens(random, self.jitter_probability) {
            self.push_jitter(random, operations);
        }
        if !self.grayscale_first && happens(random, self.grayscale_probability) {
            operations.push(Operation::Grayscale);
        }
        if happens(random, self.blur_probability) {
            let [least, greatest] = self.blur_sigma;
            operations.push(Operation::Blur(uniform(random, least, greatest) as f32));
        }
        if happens(random, self.flip_probability) {
            operations.push(Operation::Flip);
        }
    }

    /// Brightness, contrast, saturation and hue in a random order, those of strength 0 left out.
    fn push_jitter<R: Rng + ?Sized>(&self, random: &mut R, operations: &mut Vec<Operation>) {
        let mut order = [0, 1, 2, 3];
        for last in (1..order.len()).rev() {
            order.swap(last, below(random, last as u32 + 1) as usize);
        }
        let drawn = [
            (
                self.brightness,
                Operation::Brightness(factor(random, self.brightness)),
            ),
            (
                self.contrast,
                Operation::Contrast(factor(random, self.contrast)),
            ),
            (
                self.saturation,
                Operation::Saturation(factor(random, self.saturation)),
            ),
            (
                self.hue,
                Operation::Hue(uniform(random, -self.hue, self.hue) as f32),
            ),
        ];
        operations.extend(
            order
                .into_iter()
                .map(|index| drawn[index])
                .filter(|(strength, _)| *strength > 0.0)
                .map(|(_, operation)| operation),
        );
    }
}

/// Uniform in max(0, 1 − strength)..1 + strength.
fn factor<R: Rng + ?Sized>(random: &mut R, strength: f64) -> f32 {
    uniform(random, (1.0 - strength).max(0.0), 1.0 + strength) as f32
}

/// Pixels that are worked on together; three planes of them fit the first-level cache.
const TILE: usize = 1024;

/// Partial sums of the mean.
const LANES: usize = 16;

/// Operations that do not work on each pixel by itself (contrast does, once the mean is known).
macro_rules! on_planes {
    () => {
        Operation::Blur(_) | Operation::Flip
    };
}

/// Applies the operations in order. Returns whether the view is to be mirrored yet: it stays
/// mirrored whatever else is done to it, so mirroring waits for the writing.
///
/// # Shapes
/// - `planes`: `[3, size, size]`
#[inline(always)]
pub(crate) fn apply(
    instructions: Instructions,
    planes: &mut [f32],
    size: usize,
    operations: &[Operation],
    scratch: &mut BlurScratch,
) -> bool {
    let mut flipped = false;
    let mut rest = operations;
    while let [first, others @ ..] = rest {
        match *first {
            Operation::Flip => flipped = !flipped,
            Operation::Blur(sigma) => blur(instructions, planes, size, sigma, scratch),
            _ => {
                let end = rest.iter().position(|next| matches!(next, on_planes!()));
                let (run, after) = rest.split_at(end.unwrap_or(rest.len()));
                jitter(planes, run);
                rest = after;
                continue;
            }
        }
        rest = others;
    }
    flipped
}

/// Applies `operations`, none of them `on_planes`, in order: in one sweep of small tiles; only
/// contrast, which needs the mean of the whole gray view, begins a new one. Sums are taken in a
/// fixed order, so results never depend on the machine's vector width.
///
/// # Shapes
/// - `planes`: `[3, pixels]`
#[inline(always)]
fn jitter(planes: &mut [f32], operations: &[Operation]) {
    let pixels = planes.len() / 3;
    let (red, rest) = planes.split_at_mut(pixels);
    let (green, blue) = rest.split_at_mut(pixels);
    let mut start = 0;
    let mut mean = if matches!(operations.first(), Some(Operation::Contrast(_))) {
        sweep(red, green, blue, &[], 0.0, true)
    } else {
        0.0
    };
    while start < operations.len() {
        let end = operations[start + 1..]
            .iter()
            .position(|operation| matches!(operation, Operation::Contrast(_)))
            .map_or(operations.len(), |next| start + 1 + next);
        let contrast_follows = end < operations.len();
        mean = sweep(
            red,
            green,
            blue,
            &operations[start..end],
            mean,
            contrast_follows,
        );
        start = end;
    }
}

/// Applies `operations` tile by tile, and returns the mean of the gray values afterwards if it is
/// wanted.
#[inline(always)]
fn sweep(
    red: &mut [f32],
    green: &mut [f32],
    blue: &mut [f32],
    operations: &[Operation],
    mean: f32,
    mean_wanted: bool,
) -> f32 {
    let mut total = 0.0;
    let tiles = red
        .chunks_mut(TILE)
        .zip(green.chunks_mut(TILE))
        .zip(blue.chunks_mut(TILE));
    for ((red, green), blue) in tiles {
        for operation in operations {
            match *operation {
                Operation::Brightness(factor) => {
                    each(red, green, blue, |r, g, b| {
                        let changed = |value: f32| to_unit_range(factor * value);
                        [changed(r), changed(g), changed(b)]
                    });
                }
                Operation::Contrast(factor) => {
                    let rest = (1.0 - factor) * mean;
                    each(red, green, blue, |r, g, b| {
                        let changed = |value: f32| to_unit_range(factor * value + rest);
                        [changed(r), changed(g), changed(b)]
                    });
                }
                Operation::Saturation(factor) => {
                    each(red, green, blue, |r, g, b| {
                        let rest = (1.0 - factor) * gray(r, g, b);
                        let changed = |value: f32| to_unit_range(factor * value + rest);
                        [changed(r), changed(g), changed(b)]
                    });
                }
                Operation::Hue(turn) => {
                    let sixths = turn * 6.0;
                    each(red, green, blue, |r, g, b| turn_hue(r, g, b, sixths));
                }
                Operation::Grayscale => {
                    each(red, green, blue, |r, g, b| {
                        [to_unit_range(gray(r, g, b)); 3]
                    });
                }
                on_planes!() => {
                    panic!(
                        "BUG: `{}` is no operation on single pixels",
                        operation.name()
                    )
                }
            }
        }
        if mean_wanted {
            total += gray_sum(red, green, blue);
        }
    }
    (total / red.len() as f64) as f32
}

/// Replaces every pixel by `operation` of it.
#[inline(always)]
fn each(
    red: &mut [f32],
    green: &mut [f32],
    blue: &mut [f32],
    operation: impl Fn(f32, f32, f32) -> [f32; 3],
) {
    for ((red, green), blue) in red.iter_mut().zip(green).zip(blue) {
        [*red, *green, *blue] = operation(*red, *green, *blue);
    }
}

/// torchvision's gray: ITU-R 601 luma to four digits.
#[inline(always)]
fn gray(red: f32, green: f32, blue: f32) -> f32 {
    0.2989 * red + 0.587 * green + 0.114 * blue
}

/// The sum of the gray values of a tile.
#[inline(always)]
fn gray_sum(red: &[f32], green: &[f32], blue: &[f32]) -> f64 {
    let mut sums = [0.0f32; LANES];
    let whole = red.len() / LANES * LANES;
    let chunks = red[..whole]
        .chunks_exact(LANES)
        .zip(green[..whole].chunks_exact(LANES))
        .zip(blue[..whole].chunks_exact(LANES));
    for ((red, green), blue) in chunks {
        for lane in 0..LANES {
            sums[lane] += gray(red[lane], green[lane], blue[lane]);
        }
    }
    let rest = (whole..red.len()).map(|index| gray(red[index], green[index], blue[index]));
    sums.into_iter().chain(rest).map(f64::from).sum()
}

/// Turns a pixel's hue by `sixths` of a sixth turn, −3 to 3.
///
/// In hue, saturation, value each channel is `v − c · clamp(min(k, 4 − k), 0, 1)` with chroma c =
/// max − min and k the channel's place (5, 3, 1) plus the hue in sixths, modulo 6; so no way back
/// through six cases is needed.
#[inline(always)]
fn turn_hue(red: f32, green: f32, blue: f32, sixths: f32) -> [f32; 3] {
    let value = greater(greater(red, green), blue);
    let chroma = value - lesser(lesser(red, green), blue);
    let reciprocal = 1.0 / if chroma > 0.0 { chroma } else { 1.0 };
    let of_red = (green - blue) * reciprocal;
    let of_green = 2.0 + (blue - red) * reciprocal;
    let of_blue = 4.0 + (red - green) * reciprocal;
    let not_red = if value == green { of_green } else { of_blue };
    let hue = if value == red { of_red } else { not_red };

    // −1..5 for the pixel and −3..3 for the turn; each channel adds its own place, and 6 keeps all
    // of it above 0.
    let turned = hue + sixths;
    let channel = |place: f32| {
        let place: f32 = turned + place + 6.0;
        let place = less_where_possible(place, 12.0);
        let place = less_where_possible(place, 6.0);
        let weight = to_unit_range(lesser(place, 4.0 - place));
        // From 0 to 1 as it is: rounding takes chroma no further than value, and weight no further
        // than 1.
        value - chroma * weight
    };
    [channel(5.0), channel(3.0), channel(1.0)]
}

/// `value - amount` where that is 0 or more, else `value`, which is itself 0 or more: below 0 a
/// number's bits are greater than those of any above.
#[inline(always)]
fn less_where_possible(value: f32, amount: f32) -> f32 {
    f32::from_bits(value.to_bits().min((value - amount).to_bits()))
}

/// The greater of two numbers, neither of them NaN: one instruction, where `f32::max` asks for NaN
/// first.
#[inline(always)]
fn greater(one: f32, other: f32) -> f32 {
    if one > other { one } else { other }
}

/// The lesser of two numbers, neither of them NaN.
#[inline(always)]
fn lesser(one: f32, other: f32) -> f32 {
    if one < other { one } else { other }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(pixels: &[[f32; 3]], operations: &[Operation]) -> Vec<[f32; 3]> {
        let mut planes: Vec<f32> = (0..3)
            .flat_map(|channel| pixels.iter().map(move |pixel| pixel[channel]))
            .collect();
        jitter(&mut planes, operations);
        let count = pixels.len();
        (0..count)
            .map(|index| {
                [
                    planes[index],
                    planes[count + index],
                    planes[2 * count + index],
                ]
            })
            .collect()
    }

    fn assert_near(got: [f32; 3], expected: [f32; 3]) {
        for (got, expected) in got.iter().zip(expected) {
            assert!((got - expected).abs() < 1e-6, "{got} is not {expected}");
        }
    }

    #[test]
    fn a_third_of_a_turn_makes_red_green() {
        let turned = applied(&[[0.8, 0.2, 0.2]], &[Operation::Hue(1.0 / 3.0)]);
        assert_near(turned[0], [0.2, 0.8, 0.2]);
        let back = applied(&[[0.8, 0.2, 0.2]], &[Operation::Hue(-1.0 / 3.0)]);
        assert_near(back[0], [0.2, 0.2, 0.8]);
        let half = applied(&[[0.1, 0.9, 0.3]], &[Operation::Hue(0.5)]);
        assert_near(half[0], [0.9, 0.1, 0.7]);
    }

    #[test]
    fn no_turn_leaves_every_colour() {
        for pixel in [
            [0.1, 0.5, 0.9],
            [0.9, 0.1, 0.5],
            [0.3; 3],
            [0.0, 1.0, 1.0],
            [1.0, 0.0, 0.4],
        ] {
            assert_near(applied(&[pixel], &[Operation::Hue(0.0)])[0], pixel);
        }
    }

    #[test]
    fn contrast_moves_away_from_the_mean_of_what_came_before() {
        let pixels = [[0.2; 3], [0.4; 3]];
        // Brightness 2 gives 0.4 and 0.8; their gray mean is 0.6 · 0.9999.
        let operations = [Operation::Brightness(2.0), Operation::Contrast(0.5)];
        let got = applied(&pixels, &operations);
        let mean = 0.6 * 0.9999;
        assert_near(got[0], [0.2 + mean / 2.0; 3]);
        assert_near(got[1], [0.4 + mean / 2.0; 3]);
    }

    #[test]
    fn saturation_zero_is_gray_and_every_step_is_clamped() {
        let pixel = [0.9, 0.4, 0.1];
        let gray = 0.2989 * 0.9 + 0.587 * 0.4 + 0.114 * 0.1;
        assert_near(
            applied(&[pixel], &[Operation::Saturation(0.0)])[0],
            [gray; 3],
        );
        assert_near(applied(&[pixel], &[Operation::Grayscale])[0], [gray; 3]);
        let clamped = [Operation::Brightness(2.0), Operation::Brightness(0.5)];
        assert_near(applied(&[pixel], &clamped)[0], [0.5, 0.4, 0.1]);
    }

    #[test]
    fn the_mean_does_not_depend_on_where_tiles_end() {
        let pixels: Vec<[f32; 3]> = (0..TILE + 37)
            .map(|index| [index as f32 / 2000.0; 3])
            .collect();
        let got = applied(&pixels, &[Operation::Contrast(0.0)]);
        let mean = 0.9999 * (pixels.len() - 1) as f32 / 4000.0;
        for pixel in got {
            assert!((pixel[0] - mean).abs() < 1e-5);
        }
    }
}
