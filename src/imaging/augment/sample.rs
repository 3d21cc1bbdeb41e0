//! Drawing views from a recipe, distributed as torchvision's transforms are.
//!
//! All chance comes from the caller's generator, in a fixed order: crop, then (grayscale when it comes first)
//! jitter, grayscale, blur, flip.

use rand_chacha::rand_core::Rng;

use crate::augment::recipe::{Crop, Recipe};
use crate::{CropBox, Operation, View};

/// How often a crop is drawn before the centre is taken, as in `RandomResizedCrop`.
const TRIES: usize = 10;

impl Recipe {
    /// A view of an image of `width` × `height` pixels (each at least 1). It lies within the image always.
    ///
    /// # Panics
    /// When the image is empty.
    pub fn sample<R: Rng + ?Sized>(&self, random: &mut R, width: u32, height: u32) -> View {
        assert!(width > 0 && height > 0, "BUG: a view of an empty image");
        let mut view = match self.crop {
            Crop::Random { area, aspect } => View {
                crop: random_box(random, width, height, area, aspect),
                ..View::identity(self.size)
            },
            Crop::Centre { ratio } => centre_view(width, height, self.size, ratio),
            Crop::CentreFirst { ratio } => View {
                crop: centre_box(width, height, ratio),
                ..View::identity(self.size)
            },
        };
        view.filter = self.filter;

        let operations = &mut view.operations;
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
        view
    }

    /// Brightness, contrast, saturation and hue in a random order, those of strength 0 left out.
    fn push_jitter<R: Rng + ?Sized>(&self, random: &mut R, operations: &mut Vec<Operation>) {
        let mut order = [0, 1, 2, 3];
        for last in (1..order.len()).rev() {
            order.swap(last, below(random, last as u32 + 1) as usize);
        }
        let mut factor =
            |strength: f64| uniform(random, (1.0 - strength).max(0.0), 1.0 + strength) as f32;
        let drawn = [
            (
                self.brightness,
                Operation::Brightness(factor(self.brightness)),
            ),
            (self.contrast, Operation::Contrast(factor(self.contrast))),
            (
                self.saturation,
                Operation::Saturation(factor(self.saturation)),
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

/// torchvision's `RandomResizedCrop.get_params`.
fn random_box<R: Rng + ?Sized>(
    random: &mut R,
    width: u32,
    height: u32,
    area: [f64; 2],
    aspect: [f64; 2],
) -> CropBox {
    let whole = f64::from(width) * f64::from(height);
    let [least, greatest] = aspect;
    for _ in 0..TRIES {
        let target = whole * uniform(random, area[0], area[1]);
        let ratio = uniform(random, least.ln(), greatest.ln()).exp();
        let box_width = (target * ratio).sqrt().round_ties_even();
        let box_height = (target / ratio).sqrt().round_ties_even();
        let fits = |length: f64, whole: u32| length >= 1.0 && length <= f64::from(whole);
        if fits(box_width, width) && fits(box_height, height) {
            let (box_width, box_height) = (box_width as u32, box_height as u32);
            return CropBox {
                y: below(random, height - box_height + 1),
                x: below(random, width - box_width + 1),
                width: box_width,
                height: box_height,
            };
        }
    }
    // The centre, as much of it as an allowed shape covers.
    let own = f64::from(width) / f64::from(height);
    let shortened = |length: f64, whole: u32| (length.round_ties_even() as u32).clamp(1, whole);
    let (box_width, box_height) = if own < least {
        (width, shortened(f64::from(width) / least, height))
    } else if own > greatest {
        (shortened(f64::from(height) * greatest, width), height)
    } else {
        (width, height)
    };
    CropBox {
        x: (width - box_width) / 2,
        y: (height - box_height) / 2,
        width: box_width,
        height: box_height,
    }
}

/// The whole image with its shorter side resized to `size / ratio`, and the centre of that.
fn centre_view(width: u32, height: u32, size: u32, ratio: f64) -> View {
    // The margin keeps a ratio such as 32/36, rounded down, from losing a pixel.
    let shorter = (f64::from(size) / ratio + 1e-6).floor() as u64;
    let longer_side = u64::from(width.max(height));
    let shorter_side = u64::from(width.min(height));
    let longer = u32::try_from(shorter * longer_side / shorter_side).unwrap_or(u32::MAX);
    let shorter = shorter as u32;
    let resize = if width <= height {
        [shorter, longer]
    } else {
        [longer, shorter]
    };
    // torchvision rounds the half margin to the even side, as Python does.
    let margin = |length: u32| (f64::from(length - size) / 2.0).round_ties_even() as u32;
    View {
        crop: CropBox {
            x: 0,
            y: 0,
            width,
            height,
        },
        resize,
        window: resize.map(margin),
        ..View::identity(size)
    }
}

/// TensorFlow's `decode_and_center_crop` of EfficientNet: a square of the shorter side times `ratio`, rounded down, whose
/// margins are rounded up to the left and at the top.
fn centre_box(width: u32, height: u32, ratio: f64) -> CropBox {
    let side = ((ratio * f64::from(width.min(height))) as u32).max(1);
    let margin = |length: u32| (length - side).div_ceil(2);
    CropBox {
        x: margin(width),
        y: margin(height),
        width: side,
        height: side,
    }
}

/// True with the given probability.
fn happens<R: Rng + ?Sized>(random: &mut R, probability: f64) -> bool {
    unit(random) < probability
}

/// Uniform in least..greatest.
fn uniform<R: Rng + ?Sized>(random: &mut R, least: f64, greatest: f64) -> f64 {
    least + (greatest - least) * unit(random)
}

/// Uniform in 0..1, of 53 bits.
fn unit<R: Rng + ?Sized>(random: &mut R) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// Uniform in the whole numbers below `bound`, but for a bias of less than 2^-32.
fn below<R: Rng + ?Sized>(random: &mut R, bound: u32) -> u32 {
    ((u128::from(random.next_u64()) * u128::from(bound)) >> 64) as u32
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
