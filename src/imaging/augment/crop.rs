//! Crops, drawn as torchvision's transforms draw them.

use rand_chacha::rand_core::Rng;
use seedpipe_base::{CropBox, Refusal, View};
use serde::{Deserialize, Serialize};

use crate::augment::chance::{below, uniform};
use crate::augment::numbers::Number;

/// How often a crop is drawn before the centre is taken, as in `RandomResizedCrop`.
const TRIES: usize = 10;

/// Which part of the image a view shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Crop {
    /// A box drawn as torchvision's `RandomResizedCrop` does, resized to the view's size.
    Random {
        /// Least and greatest part of the image's area, 0–1.
        area: [f64; 2],
        /// Least and greatest width / height, drawn log-uniformly.
        aspect: [f64; 2],
    },
    /// The shorter side resized to size / ratio, and the centre of that.
    Centre {
        /// The view's size / the resized shorter side, more than 0, at most 1.
        ratio: f64,
    },
    /// The central square of that part of the shorter side, cut out first and then resized to the
    /// view's size: EfficientNet's padded centre crop.
    CentreFirst {
        /// The square's side / the image's shorter side, more than 0, at most 1.
        ratio: f64,
    },
}

impl Crop {
    /// Of that part of the area, and torchvision's shapes.
    pub(crate) fn random(least: f64, greatest: f64) -> Crop {
        Crop::Random {
            area: [least, greatest],
            aspect: [3.0 / 4.0, 4.0 / 3.0],
        }
    }

    pub(crate) fn check(&self) -> Result<(), Refusal> {
        match self {
            Crop::Random { area, aspect } => {
                area.check("crop_area", 0.0..=1.0)?;
                aspect.check("crop_aspect", 0.0..=1e6)
            }
            Crop::Centre { ratio } | Crop::CentreFirst { ratio } => {
                ratio.check("crop_ratio", 0.01..=1.0)
            }
        }
    }

    /// The view of `size` × `size` that nothing else is done to, of an image of `width` × `height`.
    pub(crate) fn draw<R: Rng + ?Sized>(
        &self,
        random: &mut R,
        width: u32,
        height: u32,
        size: u32,
    ) -> View {
        match *self {
            Crop::Random { area, aspect } => View {
                crop: random_box(random, width, height, area, aspect),
                ..View::identity(size)
            },
            Crop::Centre { ratio } => centre_view(width, height, size, ratio),
            Crop::CentreFirst { ratio } => View {
                crop: centre_box(width, height, ratio),
                ..View::identity(size)
            },
        }
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

/// What the shorter side becomes where the centre of `size` is `ratio` of it.
pub fn resized_shorter_side(size: u32, ratio: f64) -> u32 {
    // The margin keeps a ratio such as 32/36, rounded down, from losing a pixel.
    (f64::from(size) / ratio + 1e-6).floor() as u32
}

/// The whole image with its shorter side resized to `size / ratio`, and the centre of that.
fn centre_view(width: u32, height: u32, size: u32, ratio: f64) -> View {
    let shorter = u64::from(resized_shorter_side(size, ratio));
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

/// TensorFlow's `decode_and_center_crop` of EfficientNet: a square of the shorter side times
/// `ratio`, rounded down, whose margins are rounded up to the left and at the top.
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
