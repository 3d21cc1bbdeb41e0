//! Encoded bytes to upright RGB pixels.
//!
//! Whatever the bytes are, the answer is an image or an error that says what is wrong with them: a
//! file that ends early or whose pixels cannot be told is refused, and a size beyond the limit is
//! refused before any pixel is allocated. `inspect` and `decode` agree on width and height. JPEG
//! pixels are libjpeg-turbo's, so Pillow's; lossless formats are exact. A decoder that panics has
//! met a damaged file.
//!
//! Work is bounded too. What is not pixels takes no more than the file's own bytes: profiles and
//! text stay packed, but for 1 MiB of a PNG's text (`png.rs`). Pixels are gone over once, but for
//! the scans of a JPEG (`jpeg.rs`) and what the parts of a TIFF share or pad (`tiff.rs`), which
//! have limits of their own.

pub(crate) mod bmp;
pub(crate) mod color;
#[cfg(test)]
pub(crate) mod decode_tests;
pub(crate) mod exif;
pub(crate) mod format;
pub(crate) mod gif_frame;
pub(crate) mod jpeg;
pub(crate) mod jpeg_region;
pub(crate) mod png;
pub(crate) mod tiff;
pub(crate) mod webp;

use seedpipe_base::caught;

use crate::{Format, RgbImage};

/// What an image may ask for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// The greatest number of pixels (width × height).
    pub pixels: u64,
}

impl Default for Limits {
    /// 100 megapixels.
    fn default() -> Limits {
        Limits {
            pixels: 100_000_000,
        }
    }
}

impl Limits {
    /// The most memory in bytes that a decoder may take for one image: 16-bit RGBA and 64 MiB of
    /// its own.
    pub(crate) fn bytes(&self) -> u64 {
        self.pixels.saturating_mul(8).saturating_add(64 << 20)
    }
}

/// What a file says of itself before its pixels are decoded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header {
    /// The encoded format.
    pub format: Format,
    /// Pixels in a row of the upright image.
    pub width: u32,
    /// Rows of the upright image.
    pub height: u32,
    /// The EXIF orientation, 1 to 8; already accounted for in `width` and `height`.
    pub orientation: u8,
}

/// Why bytes are no image that can be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes begin like none of the formats read here.
    #[error("not an image: expected {}, got {start}", Format::KNOWN)]
    Unrecognised {
        /// How the bytes begin, printable.
        start: String,
    },
    /// A valid image of a kind that is not read.
    #[error("{format} of a kind that cannot be read: {reason}")]
    Unsupported {
        /// The encoded format.
        format: Format,
        /// What is not supported.
        reason: String,
    },
    /// More pixels than the limit.
    #[error(
        "image of {width} × {height} = {pixels} pixels, expected at most {limit}; scale it down first"
    )]
    TooLarge {
        /// Pixels in a row.
        width: u32,
        /// Rows.
        height: u32,
        /// Their product.
        pixels: u64,
        /// The limit that was set.
        limit: u64,
    },
    /// The file ends before its image does.
    #[error("truncated {format}: the file ends before the image does")]
    Truncated {
        /// The encoded format.
        format: Format,
    },
    /// The content contradicts itself or the format.
    #[error("damaged {format}: {reason}")]
    Damaged {
        /// The encoded format.
        format: Format,
        /// What is wrong.
        reason: String,
    },
}

impl DecodeError {
    /// The same without the file's own bytes: for one that only a link leads to, which may be
    /// anything on the machine.
    #[must_use]
    pub fn unquoted(self) -> DecodeError {
        match self {
            DecodeError::Unrecognised { .. } => DecodeError::Unrecognised {
                start: "something else".to_owned(),
            },
            other => other,
        }
    }
}

/// Size, format and orientation, read from the header alone.
///
/// # Errors
/// When the bytes are no readable image as far as the header tells, or one beyond `limits`.
pub fn inspect(bytes: &[u8], limits: &Limits) -> Result<Header, DecodeError> {
    guarded(bytes, |format| Ok(stored(bytes, format, limits)?.upright()))
}

/// Reads an image to its end, and keeps nothing but its header: whether [`decode`] would succeed. A
/// JPEG file is decoded at an eighth of its size, since nothing can fail behind the entropy
/// decoding.
///
/// # Errors
/// As [`decode`].
pub fn check(bytes: &[u8], limits: &Limits) -> Result<Header, DecodeError> {
    guarded(bytes, |format| {
        let stored = stored(bytes, format, limits)?;
        match format {
            Format::Jpeg => jpeg::check(bytes, &stored, limits)?,
            _ => drop(pixels(bytes, &stored, limits)?),
        }
        Ok(stored.upright())
    })
}

/// The upright image in RGB: gray repeated, palettes looked up, alpha dropped, CMYK by Pillow's
/// formula, 16 bits by value / 257; of an animation the first frame, of several pages the first.
///
/// # Errors
/// When the bytes are no readable, complete image, or one beyond `limits`.
pub fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, DecodeError> {
    guarded(bytes, |format| {
        let stored = stored(bytes, format, limits)?;
        pixels(bytes, &stored, limits)
    })
}

/// Runs what reads bytes of a known format: every decoder, of headers too, is called within. One
/// that panics over them has found damage that it was not made for.
pub(crate) fn guarded<T>(
    bytes: &[u8],
    read: impl FnOnce(Format) -> Result<T, DecodeError>,
) -> Result<T, DecodeError> {
    let format = Format::of(bytes).ok_or_else(|| DecodeError::Unrecognised {
        start: describe_start(bytes),
    })?;
    caught(|| read(format)).unwrap_or_else(|panic| {
        let reason = format!("its decoder gave up: {panic}");
        Err(DecodeError::Damaged { format, reason })
    })
}

/// A header before the image is turned upright.
pub(crate) struct StoredHeader {
    pub format: Format,
    pub width: u32,
    pub height: u32,
    pub orientation: u8,
}

impl StoredHeader {
    fn upright(&self) -> Header {
        let turned = self.orientation >= 5;
        Header {
            format: self.format,
            width: if turned { self.height } else { self.width },
            height: if turned { self.width } else { self.height },
            orientation: self.orientation,
        }
    }
}

pub(crate) fn stored(
    bytes: &[u8],
    format: Format,
    limits: &Limits,
) -> Result<StoredHeader, DecodeError> {
    let stored = match format {
        Format::Jpeg => jpeg::header(bytes),
        Format::Png => png::header(bytes, limits),
        Format::WebP => webp::header(bytes),
        Format::Bmp => bmp::header(bytes),
        Format::Gif => gif_frame::header(bytes, limits),
        Format::Tiff => tiff::header(bytes),
    }?;
    let pixels = u64::from(stored.width) * u64::from(stored.height);
    if pixels == 0 {
        return Err(DecodeError::Damaged {
            format,
            reason: format!(
                "{} × {} pixels, expected at least 1 × 1",
                stored.width, stored.height
            ),
        });
    }
    if pixels > limits.pixels {
        return Err(DecodeError::TooLarge {
            width: stored.width,
            height: stored.height,
            pixels,
            limit: limits.pixels,
        });
    }
    Ok(stored)
}

/// The upright image of a header that was read.
pub(crate) fn pixels(
    bytes: &[u8],
    stored: &StoredHeader,
    limits: &Limits,
) -> Result<RgbImage, DecodeError> {
    let image = match stored.format {
        Format::Jpeg => jpeg::decode(bytes, stored, limits),
        Format::Png => png::decode(bytes, limits),
        Format::WebP => webp::decode(bytes, limits),
        Format::Bmp => bmp::decode(bytes),
        Format::Gif => gif_frame::decode(bytes, limits),
        Format::Tiff => tiff::decode(bytes, limits),
    }?;
    if (image.width, image.height) != (stored.width, stored.height) {
        return Err(DecodeError::Damaged {
            format: stored.format,
            reason: format!(
                "header says {} × {} pixels, got {} × {}",
                stored.width, stored.height, image.width, image.height
            ),
        });
    }
    Ok(image.upright(stored.orientation))
}

fn describe_start(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return "an empty file".to_owned();
    }
    let start = &bytes[..bytes.len().min(16)];
    format!("a file that begins with `{}`", start.escape_ascii())
}
