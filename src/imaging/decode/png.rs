//! PNG of every bit depth and colour type, through the `image` crate.

use std::io::Cursor;

use image::codecs::png::PngDecoder;

use crate::decode::{DecodeError, Limits, Stored, image_error, read_all};
use crate::{Format, RgbImage, decode::exif};

/// Size and orientation.
pub(crate) fn header(bytes: &[u8], limits: &Limits) -> Result<Stored, DecodeError> {
    // The size comes first, and the decoder reads on to the pixels: a size beyond the limits is told at once.
    let Some(&size) = bytes.get(16..).and_then(|rest| rest.first_chunk::<8>()) else {
        return Err(DecodeError::Truncated {
            format: Format::Png,
        });
    };
    let [a, b, c, d, e, f, g, h] = size;
    let stored = Stored {
        format: Format::Png,
        width: u32::from_be_bytes([a, b, c, d]),
        height: u32::from_be_bytes([e, f, g, h]),
        orientation: orientation(bytes),
    };
    let pixels = u64::from(stored.width) * u64::from(stored.height);
    if (1..=limits.pixels).contains(&pixels) {
        open(bytes, limits)?;
    }
    Ok(stored)
}

/// The pixels as stored.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, DecodeError> {
    read_all(open(bytes, limits)?, Format::Png)
}

fn open<'bytes>(
    bytes: &'bytes [u8],
    limits: &Limits,
) -> Result<PngDecoder<Cursor<&'bytes [u8]>>, DecodeError> {
    let mut allowed = image::Limits::default();
    allowed.max_alloc = Some(limits.bytes());
    PngDecoder::with_limits(Cursor::new(bytes), allowed)
        .map_err(|error| image_error(error, Format::Png))
}

/// The orientation in the `eXIf` chunk, which may come before or after the pixels.
fn orientation(bytes: &[u8]) -> u8 {
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some(&[a, b, c, d, name @ ..]) = rest.first_chunk::<8>() {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let body = rest.get(8..).and_then(|tail| tail.get(..length));
        match (&name, body) {
            (b"eXIf", Some(body)) => return exif::orientation(body),
            (b"IEND", _) | (_, None) => break,
            _ => rest = rest.get(12 + length..).unwrap_or_default(),
        }
    }
    1
}
