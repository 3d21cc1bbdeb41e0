//! JPEG: marker segments read here, pixels decoded by libjpeg-turbo (`jpeg_region.rs`).
//!
//! A file without its end-of-image marker is truncated, as Pillow sees it. Sequential and
//! progressive Huffman coding with 8 bits a sample are read; CMYK and YCCK are taken as inverted
//! (Adobe's convention) always, which is what Pillow does. Stray bytes between segments are
//! forgiven; damage inside the coded data is not.

use std::borrow::Cow;

use crate::decode::jpeg_region::decode_region;
use crate::decode::{DecodeError, Limits, StoredHeader};
use crate::{CropBox, Format, RgbImage, decode::exif};

const START_OF_IMAGE: u8 = 0xd8;
const END_OF_IMAGE: u8 = 0xd9;
const START_OF_SCAN: u8 = 0xda;
const APPLICATION_1: u8 = 0xe1;

/// The most scans of any image. Encoders write 10 to 20; browsers stop at 100, the fuzzers of
/// libjpeg-turbo at 500.
const MOST_SCANS: u64 = 500;
/// The most scans of an image of as many pixels as are allowed; of a smaller one in proportion
/// more. Each is a pass over all coefficients: some 3 s in all for 100 megapixels.
const SCANS_OF_LARGEST: u64 = 32;

/// Size and orientation, from the segments before the first scan.
pub(crate) fn header(bytes: &[u8]) -> Result<StoredHeader, DecodeError> {
    let mut frame = None;
    let mut exif: Option<Cow<[u8]>> = None;
    let mut xmp = None;
    for Segment { marker, body } in Segments::of(bytes) {
        match marker {
            0xc0..=0xc2 => frame = Some(frame_size(body)?),
            0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf => {
                return Err(unsupported(coding_name(marker)));
            }
            APPLICATION_1 => {
                if let Some(more) = body.strip_prefix(b"Exif\0\0") {
                    // What is too long for a segment goes on in the next.
                    match &mut exif {
                        Some(begun) => begun.to_mut().extend_from_slice(more),
                        None => exif = Some(Cow::Borrowed(more)),
                    }
                } else if let Some(text) = body.strip_prefix(b"http://ns.adobe.com/xap/1.0/\0") {
                    xmp = Some(text);
                }
            }
            START_OF_SCAN => {
                let (width, height) =
                    frame.ok_or_else(|| damaged("a scan before the frame header"))?;
                return Ok(StoredHeader {
                    format: Format::Jpeg,
                    width,
                    height,
                    orientation: exif::orientation(exif.as_deref(), xmp),
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

/// The pixels as stored.
pub(crate) fn decode(
    bytes: &[u8],
    stored: &StoredHeader,
    limits: &Limits,
) -> Result<RgbImage, DecodeError> {
    let mut pixels = Vec::new();
    let whole = CropBox {
        x: 0,
        y: 0,
        width: stored.width,
        height: stored.height,
    };
    decode_part(bytes, stored, limits, 1, whole, &mut pixels)?;
    Ok(RgbImage::new(stored.width, stored.height, pixels))
}

/// Reads all of an image, at an eighth of its size.
pub(crate) fn check(
    bytes: &[u8],
    stored: &StoredHeader,
    limits: &Limits,
) -> Result<(), DecodeError> {
    let whole = CropBox {
        x: 0,
        y: 0,
        width: stored.width.div_ceil(8),
        height: stored.height.div_ceil(8),
    };
    decode_part(bytes, stored, limits, 8, whole, &mut Vec::new())
}

/// The region's pixels of an image scaled down by `denominator` into `out`, as [`decode_region`].
pub(crate) fn decode_part(
    bytes: &[u8],
    stored: &StoredHeader,
    limits: &Limits,
    denominator: u32,
    region: CropBox,
    out: &mut Vec<u8>,
) -> Result<(), DecodeError> {
    check_scans(bytes, stored, limits)?;
    let size = [stored.width, stored.height];
    decode_region(bytes, size, denominator, region, out)
}

/// Refuses a file that has no end-of-image marker after its scans, and one of too many scans.
fn check_scans(bytes: &[u8], stored: &StoredHeader, limits: &Limits) -> Result<(), DecodeError> {
    let (mut scans, mut ended) = (0, false);
    for Segment { marker, .. } in Segments::of(bytes) {
        scans += u64::from(marker == START_OF_SCAN);
        ended |= marker == END_OF_IMAGE;
    }
    // A last segment may say that it is longer than the file, over the end of the image.
    ended |= scans > 0 && bytes.ends_with(&[0xff, END_OF_IMAGE]);
    if !ended {
        return Err(DecodeError::Truncated {
            format: Format::Jpeg,
        });
    }
    let (width, height) = (stored.width, stored.height);
    let work = limits.pixels.saturating_mul(SCANS_OF_LARGEST);
    let most = MOST_SCANS.min(work / (u64::from(width) * u64::from(height)));
    if scans > most {
        return Err(unsupported(&format!(
            "{scans} scans of {width} × {height} pixels, expected at most {most}; save it again with fewer"
        )));
    }
    Ok(())
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

    /// The next marker that is more than a restart or the start of the image, past fill bytes,
    /// stuffed zeros and whatever else lies before it.
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
    type Item = Segment<'bytes>;

    fn next(&mut self) -> Option<Self::Item> {
        let marker = self.next_marker()?;
        if marker == END_OF_IMAGE {
            self.rest = &[];
            return Some(Segment { marker, body: &[] });
        }
        let rest = std::mem::take(&mut self.rest);
        // The length counts itself. libjpeg passes over one that does not, unless it needs what is
        // in the segment.
        let length = usize::from(u16::from_be_bytes(*rest.first_chunk()?)).max(2);
        let body = rest.get(2..length)?;
        self.rest = &rest[length..];
        Some(Segment { marker, body })
    }
}
