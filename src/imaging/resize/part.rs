//! Decoding only what views will look at: of a JPEG the rows and columns that they reach, and, if
//! less than exact is asked for, no larger than they need.
//!
//! Entropy decoding of a sequential JPEG goes through the whole file up to the last row that is
//! wanted, whatever the region and the scale; the rest of the work is done for the region alone. So
//! all views of an image share one decoding, at the scale of the one that wants most pixels: a
//! second one would read everything again.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::decode::{StoredHeader, guarded, jpeg, pixels, stored};
use crate::resize::resample::radius;
use crate::{CropBox, DecodeError, Format, Limits, RgbImage, View};

/// How images are decoded for views.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Decode {
    /// Views as if every pixel had been decoded, bit for bit.
    #[default]
    Exact,
    /// A JPEG of which all views want at most half, a quarter or an eighth of the pixels a side is
    /// decoded at that scale.
    Fast,
}

impl Decode {
    /// Whether this is what a recipe means that says nothing of it.
    pub fn is_exact(&self) -> bool {
        *self == Decode::Exact
    }

    /// By how much a JPEG is scaled down for all of `views`: 1, 2, 4 or 8. Each crop keeps at least
    /// the size that it is resized to.
    pub fn step(self, views: &[View]) -> u32 {
        if self.is_exact() || views.is_empty() {
            return 1;
        }
        let suffices = |step: u32| {
            views.iter().all(|view| {
                let [width, height] = view.resize.map(u64::from);
                let step = u64::from(step);
                u64::from(view.crop.width) >= step * width
                    && u64::from(view.crop.height) >= step * height
            })
        };
        [8, 4, 2]
            .into_iter()
            .find(|step| suffices(*step))
            .unwrap_or(1)
    }
}

/// A part of an upright image's pixels, perhaps scaled down; reused from image to image, so that
/// decoding JPEG files allocates no pixels once it has grown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// Upright.
    part: RgbImage,
    /// Where the part's first pixel begins, in pixels of the whole image; negative where a scaled
    /// pixel begins before.
    corner: [i64; 2],
    /// Pixels of the whole image that a pixel of the part stands for, each way.
    step: u32,
    /// Width and height of the whole upright image.
    whole: [u32; 2],
}

impl Default for Decoded {
    fn default() -> Decoded {
        Decoded::whole(RgbImage::new(0, 0, Vec::new()))
    }
}

impl Decoded {
    fn whole(image: RgbImage) -> Decoded {
        Decoded {
            corner: [0, 0],
            step: 1,
            whole: [image.width, image.height],
            part: image,
        }
    }

    /// The pixels that were decoded.
    pub fn part(&self) -> &RgbImage {
        &self.part
    }

    /// Pixels of the whole image that one of the part stands for, each way.
    pub fn step(&self) -> u32 {
        self.step
    }
}

/// What is rendered from: a whole image, or the part of it that was decoded.
#[derive(Debug, Clone, Copy)]
pub struct Pixels<'pixels> {
    pub(crate) part: &'pixels RgbImage,
    pub(crate) corner: [i64; 2],
    pub(crate) step: u32,
    pub(crate) whole: [u32; 2],
}

impl<'pixels> From<&'pixels RgbImage> for Pixels<'pixels> {
    fn from(image: &'pixels RgbImage) -> Pixels<'pixels> {
        Pixels {
            part: image,
            corner: [0, 0],
            step: 1,
            whole: [image.width, image.height],
        }
    }
}

impl<'pixels> From<&'pixels Decoded> for Pixels<'pixels> {
    fn from(decoded: &'pixels Decoded) -> Pixels<'pixels> {
        Pixels {
            part: &decoded.part,
            corner: decoded.corner,
            step: decoded.step,
            whole: decoded.whole,
        }
    }
}

impl Pixels<'_> {
    /// Whether all that a view of the image reads was decoded.
    pub(crate) fn hold(&self, view: &View) -> bool {
        let reach = reach(view, self.step);
        let step = i64::from(self.step);
        let spans = [
            (reach.x, reach.width, self.part.width, self.corner[0]),
            (reach.y, reach.height, self.part.height, self.corner[1]),
        ];
        spans.into_iter().all(|(from, length, held, corner)| {
            i64::from(from) >= corner
                && i64::from(from) + i64::from(length) <= corner + step * i64::from(held)
        })
    }
}

/// The pixels of `views`, which are views of this image, into `decoded`. Other formats than JPEG
/// are decoded whole.
///
/// A view that does not fit the image asks for nothing here; rendering refuses it.
///
/// # Errors
/// When the bytes are no readable image, or one beyond `limits`. Damage below the last row that is
/// read goes unnoticed: [`decode`](crate::decode) checks a whole file.
pub fn decode_for(
    bytes: &[u8],
    limits: &Limits,
    views: &[View],
    quality: Decode,
    decoded: &mut Decoded,
) -> Result<(), DecodeError> {
    guarded(bytes, |format| {
        let header = stored(bytes, format, limits)?;
        if format == Format::Jpeg {
            return decode_part(bytes, &header, limits, views, quality, decoded);
        }
        *decoded = Decoded::whole(pixels(bytes, &header, limits)?);
        Ok(())
    })
}

/// [`decode_for`] of a JPEG.
fn decode_part(
    bytes: &[u8],
    header: &StoredHeader,
    limits: &Limits,
    views: &[View],
    quality: Decode,
    decoded: &mut Decoded,
) -> Result<(), DecodeError> {
    let size = [header.width, header.height];
    let whole = turned(header.orientation, size);
    let step = quality.step(views);
    let reached = views
        .iter()
        .filter(|view| view.check(whole[0], whole[1]).is_ok())
        .map(|view| reach(view, step))
        .reduce(union)
        .unwrap_or(CropBox {
            x: 0,
            y: 0,
            width: 1,
            height: 1,
        });

    let [x, y] = [reached.x, reached.y].map(i64::from);
    let [width, height] = [reached.width, reached.height].map(i64::from);
    let placed = to_stored(header.orientation, size, [x, y, width, height]);
    let [x, y, width, height] = placed.map(|value| value as u32); // within the image
    let region = CropBox {
        x: x / step,
        y: y / step,
        width: (x + width).div_ceil(step) - x / step,
        height: (y + height).div_ceil(step) - y / step,
    };
    let mut pixels = std::mem::take(&mut decoded.part.pixels);
    jpeg::decode_part(bytes, header, limits, step, region, &mut pixels)?;
    let part = RgbImage::new(region.width, region.height, pixels);
    let covered = [region.x, region.y, region.width, region.height].map(|v| i64::from(v * step));
    let [x, y, ..] = to_upright(header.orientation, size, covered);
    *decoded = Decoded {
        part: part.upright(header.orientation),
        corner: [x, y],
        step,
        whole,
    };
    Ok(())
}

/// The part of the image that a view's window reads, within its crop and at least as large as the
/// filters need.
///
/// Two pixels more than the support on either side make up for rounding and for weights of 0.
fn reach(view: &View, step: u32) -> CropBox {
    let span = |start: u32, length: u32, resized: u32, window: u32| {
        let ratio = f64::from(length) / f64::from(resized);
        let support = radius(view.filter) * ratio.max(f64::from(step)) + f64::from(2 * step);
        let from = f64::from(window) * ratio - support;
        let to = (f64::from(window) + f64::from(view.size)) * ratio + support;
        let from = from.floor().clamp(0.0, f64::from(length - 1)) as u32;
        let to = to.ceil().clamp(f64::from(from + 1), f64::from(length)) as u32;
        (start + from, to - from)
    };
    let crop = view.crop;
    let (x, width) = span(crop.x, crop.width, view.resize[0], view.window[0]);
    let (y, height) = span(crop.y, crop.height, view.resize[1], view.window[1]);
    CropBox {
        x,
        y,
        width,
        height,
    }
}

/// The least box around two.
fn union(one: CropBox, other: CropBox) -> CropBox {
    let [x, y] = [one.x.min(other.x), one.y.min(other.y)];
    CropBox {
        x,
        y,
        width: (one.x + one.width).max(other.x + other.width) - x,
        height: (one.y + one.height).max(other.y + other.height) - y,
    }
}

/// Width and height after turning upright, or before.
fn turned(orientation: u8, [width, height]: [u32; 2]) -> [u32; 2] {
    if orientation >= 5 {
        [height, width]
    } else {
        [width, height]
    }
}

/// Where a box `[x, y, width, height]` of the upright image lies in the stored one of `size`.
fn to_stored(orientation: u8, size: [u32; 2], [x, y, width, height]: [i64; 4]) -> [i64; 4] {
    let placed = if orientation >= 5 {
        [y, x, height, width]
    } else {
        [x, y, width, height]
    };
    mirrored(orientation, size, placed)
}

/// Where a box of the stored image lies in the upright one: the inverse of [`to_stored`].
fn to_upright(orientation: u8, size: [u32; 2], placed: [i64; 4]) -> [i64; 4] {
    let [x, y, width, height] = mirrored(orientation, size, placed);
    if orientation >= 5 {
        [y, x, height, width]
    } else {
        [x, y, width, height]
    }
}

/// A box of the stored image, mirrored as the orientation says; its own inverse.
fn mirrored(orientation: u8, size: [u32; 2], [x, y, width, height]: [i64; 4]) -> [i64; 4] {
    let [whole_width, whole_height] = size.map(i64::from);
    let across = matches!(orientation, 2 | 3 | 7 | 8);
    let down = matches!(orientation, 3 | 4 | 6 | 7);
    [
        if across { whole_width - x - width } else { x },
        if down { whole_height - y - height } else { y },
        width,
        height,
    ]
}

#[cfg(test)]
#[path = "part_tests.rs"]
mod tests;
