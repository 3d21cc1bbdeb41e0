//! WebP, lossy and lossless, through the `image` crate; of an animation the first frame.

use std::io::Cursor;

use image::ImageDecoder;
use image::codecs::webp::WebPDecoder;

use crate::decode::{DecodeError, Limits, Stored, image_error, read_all};
use crate::{Format, RgbImage, decode::exif};

/// Size and orientation. A file shorter than its container says is refused, metadata at its end included.
pub(crate) fn header(bytes: &[u8]) -> Result<Stored, DecodeError> {
    let length = bytes.get(4..).and_then(|rest| rest.first_chunk());
    let length = u64::from(length.map_or(0, |length| u32::from_le_bytes(*length)));
    if (bytes.len() as u64) < length + 8 {
        return Err(DecodeError::Truncated {
            format: Format::WebP,
        });
    }
    let (width, height) = open(bytes)?.dimensions();
    Ok(Stored {
        format: Format::WebP,
        width,
        height,
        orientation: orientation(bytes),
    })
}

/// The pixels as stored.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, DecodeError> {
    let mut decoder = open(bytes)?;
    let mut allowed = image::Limits::default();
    allowed.max_alloc = Some(limits.bytes());
    decoder
        .set_limits(allowed)
        .map_err(|error| image_error(error, Format::WebP))?;
    read_all(decoder, Format::WebP)
}

fn open(bytes: &[u8]) -> Result<WebPDecoder<Cursor<&[u8]>>, DecodeError> {
    WebPDecoder::new(Cursor::new(bytes)).map_err(|error| image_error(error, Format::WebP))
}

/// The orientation in the container's `EXIF` chunk.
fn orientation(bytes: &[u8]) -> u8 {
    let mut rest = bytes.get(12..).unwrap_or_default();
    while let Some(&[n, a, m, e, length @ ..]) = rest.first_chunk::<8>() {
        let length = u32::from_le_bytes(length) as usize;
        let Some(body) = rest[8..].get(..length) else {
            break;
        };
        if [n, a, m, e] == *b"EXIF" {
            return exif::orientation(body);
        }
        rest = rest.get(8 + length + length % 2..).unwrap_or_default();
    }
    1
}
