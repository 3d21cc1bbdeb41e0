//! Windows bitmaps through the `image` crate.

use std::io::Cursor;

use image::ImageDecoder;
use image::codecs::bmp::BmpDecoder;

use crate::decode::{DecodeError, Stored, image_error, read_all};
use crate::{Format, RgbImage};

/// The size; bitmaps have no orientation beyond the row order, which the decoder follows.
pub(crate) fn header(bytes: &[u8]) -> Result<Stored, DecodeError> {
    let (width, height) = open(bytes)?.dimensions();
    Ok(Stored {
        format: Format::Bmp,
        width,
        height,
        orientation: 1,
    })
}

/// The pixels.
pub(crate) fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    read_all(open(bytes)?, Format::Bmp)
}

fn open(bytes: &[u8]) -> Result<BmpDecoder<Cursor<&[u8]>>, DecodeError> {
    BmpDecoder::new(Cursor::new(bytes)).map_err(|error| image_error(error, Format::Bmp))
}
