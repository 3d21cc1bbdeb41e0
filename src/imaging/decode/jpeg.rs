//! JPEG: marker segments read here, pixels decoded by libjpeg-turbo (`jpeg_region.rs`).
//!
//! A file without its end-of-image marker is truncated, as Pillow sees it. Sequential and progressive Huffman
//! coding with 8 bits a sample are read; CMYK and YCCK are taken as inverted (Adobe's convention) always, which is
//! what Pillow does. Stray bytes between segments are forgiven; damage inside the coded data is not.

use crate::decode::jpeg_region::decode_region;
use crate::decode::{DecodeError, Stored};
use crate::{CropBox, Format, RgbImage, decode::exif};

const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
const APPLICATION_1: u8 = 0xe1;

/// Size and orientation, from the segments before the first scan.
pub(crate) fn header(bytes: &[u8]) -> Result<Stored, DecodeError> {
    let mut frame = None;
    let mut orientation = None;
    for segment in Segments::of(bytes) {
        let Segment { marker, body } = segment?;
        match marker {
            0xc0..=0xc2 => frame = Some(frame_size(body)?),
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(unsupported(coding_name(marker)));
            }
            APPLICATION_1 if orientation.is_none() && body.starts_with(b"Exif\0\0") => {
                orientation = Some(exif::orientation(body));
            }
            START_OF_SCAN => {
                let (width, height) =
                    frame.ok_or_else(|| damaged("a scan before the frame header"))?;
                return Ok(Stored {
                    format: Format::Jpeg,
                    width,
                    height,
                    orientation: orientation.unwrap_or(1),
                });
            }
            END_OF_IMAGE => return Err(damaged("no scan before the end of the image")),
            _ => {}
        }
    }
    Err(DecodeError::Truncated {
        format: Format::Jpeg,
    })
}

/// The pixels as stored, of an image of that size.
pub(crate) fn decode(bytes: &[u8], [width, height]: [u32; 2]) -> Result<RgbImage, DecodeError> {
    require_end(bytes)?;
    let mut pixels = Vec::new();
    let whole = CropBox {
        x: 0,
        y: 0,
        width,
        height,
    };
    decode_region(bytes, [width, height], 1, whole, &mut pixels)?;
    Ok(RgbImage::new(width, height, pixels))
}

/// Reads all of an image of that size, at an eighth of it.
pub(crate) fn check(bytes: &[u8], size: [u32; 2]) -> Result<(), DecodeError> {
    require_end(bytes)?;
    let [width, height] = size.map(|length| length.div_ceil(8));
    let whole = CropBox {
        x: 0,
        y: 0,
        width,
        height,
    };
    decode_region(bytes, size, 8, whole, &mut Vec::new())
}

/// Refuses a file that has no end-of-image marker after its scans.
pub(crate) fn require_end(bytes: &[u8]) -> Result<(), DecodeError> {
    for segment in Segments::of(bytes) {
        if segment?.marker == END_OF_IMAGE {
            return Ok(());
        }
    }
    Err(DecodeError::Truncated {
        format: Format::Jpeg,
    })
}

/// Width and height of a frame header.
fn frame_size(body: &[u8]) -> Result<(u32, u32), DecodeError> {
    let &[
        precision,
        height_high,
        height_low,
        width_high,
        width_low,
        ..,
    ] = body
    else {
        return Err(damaged("a frame header of fewer than 5 bytes"));
    };
    if precision != 8 {
        return Err(unsupported(&format!(
            "{precision} bits a sample, expected 8"
        )));
    }
    let height = u16::from_be_bytes([height_high, height_low]);
    if height == 0 {
        return Err(unsupported("a height that is told after the first scan"));
    }
    let width = u16::from_be_bytes([width_high, width_low]);
    Ok((u32::from(width), u32::from(height)))
}

fn coding_name(marker: u8) -> &'static str {
    match marker {
        0xc3 | 0xc7 | 0xcb | 0xcf => "lossless coding",
        0xc9 | 0xca | 0xcd | 0xce => "arithmetic coding",
        _ => "hierarchical coding",
    }
}

fn unsupported(reason: &str) -> DecodeError {
    DecodeError::Unsupported {
        format: Format::Jpeg,
        reason: reason.to_owned(),
    }
}

fn damaged(reason: &str) -> DecodeError {
    DecodeError::Damaged {
        format: Format::Jpeg,
        reason: reason.to_owned(),
    }
}

/// One marker and the bytes that belong to it; coded data between segments is passed over.
struct Segment<'bytes> {
    marker: u8,
    body: &'bytes [u8],
}

/// The segments of a file in order, up to its end of image or the end of its bytes.
struct Segments<'bytes> {
    rest: &'bytes [u8],
}

impl<'bytes> Segments<'bytes> {
    fn of(bytes: &'bytes [u8]) -> Segments<'bytes> {
        Segments { rest: bytes }
    }

    /// The next marker that is more than a restart or the start of the image, past fill bytes, stuffed zeros and
    /// whatever else lies before it.
    fn next_marker(&mut self) -> Option<u8> {
        loop {
            let start = memchr::memchr(0xff, self.rest)?;
            self.rest = &self.rest[start + 1..];
            match *self.rest.first()? {
                0x00 | 0x01 | 0xff | 0xd0..=START_OF_IMAGE => {}
                marker => {
                    self.rest = &self.rest[1..];
                    return Some(marker);
                }
            }
        }
    }
}

impl<'bytes> Iterator for Segments<'bytes> {
    type Item = Result<Segment<'bytes>, DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        let marker = self.next_marker()?;
        if marker == END_OF_IMAGE {
            self.rest = &[];
            return Some(Ok(Segment { marker, body: &[] }));
        }
        let rest = std::mem::take(&mut self.rest);
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?));
        if length < 2 {
            let error = damaged("a segment shorter than its own length field");
            return Some(Err(error));
        }
        let body = rest.get(2..length)?;
        self.rest = &rest[length..];
        Some(Ok(Segment { marker, body }))
    }
}
