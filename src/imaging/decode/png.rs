//! PNG of every bit depth and colour type, through the crate `png`.
//!
//! What is not pixels is passed over, whatever it would unpack to: only text that may hold an
//! orientation is unpacked, up to [`TEXT_BYTES`].

use std::borrow::Cow;
use std::io::{Cursor, Read};

use flate2::read::ZlibDecoder;
use png::{BitDepth, Decoder, DecodingError, Reader, Transformations};

use crate::decode::{DecodeError, Limits, StoredHeader, color};
use crate::{Format, RgbImage, decode::exif};

/// How much of a compressed text is read: 1 MiB, Pillow's `MAX_TEXT_CHUNK`. EXIF has 64 KiB at most
/// in other formats, which are 128 KiB of digits.
const TEXT_BYTES: u64 = 1 << 20;

/// Size and orientation.
pub(crate) fn header(bytes: &[u8], limits: &Limits) -> Result<StoredHeader, DecodeError> {
    // The size comes first, and the decoder reads on to the pixels: a size beyond the limits is
    // told at once.
    let Some(&size) = bytes.get(16..).and_then(|rest| rest.first_chunk::<8>()) else {
        return Err(DecodeError::Truncated {
            format: Format::Png,
        });
    };
    let [a, b, c, d, e, f, g, h] = size;
    let stored = StoredHeader {
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
    let mut reader = open(bytes, limits)?;
    let (width, height) = reader.info().size();
    let (kind, depth) = reader.output_color_type();
    let length = reader.output_buffer_size();
    let mut samples = vec![0; length.ok_or_else(|| png_error(DecodingError::LimitsExceeded))?];
    reader.next_frame(&mut samples).map_err(png_error)?;
    if depth == BitDepth::Sixteen {
        samples = color::narrow(&samples, u16::from_be_bytes);
    }
    let pixels = color::to_rgb(samples, kind.samples());
    Ok(RgbImage::new(width, height, pixels))
}

fn open<'bytes>(
    bytes: &'bytes [u8],
    limits: &Limits,
) -> Result<Reader<Cursor<&'bytes [u8]>>, DecodeError> {
    let allowed = png::Limits {
        bytes: usize::try_from(limits.bytes()).unwrap_or(usize::MAX),
    };
    let mut decoder = Decoder::new_with_limits(Cursor::new(bytes), allowed);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    decoder.set_transformations(Transformations::EXPAND);
    decoder.read_info().map_err(png_error)
}

fn png_error(error: DecodingError) -> DecodeError {
    let format = Format::Png;
    match error {
        DecodingError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { format }
        }
        other => DecodeError::Damaged {
            format,
            reason: other.to_string(),
        },
    }
}

/// The orientation in the `eXIf` chunk, else in EXIF as ImageMagick writes it into text, else in
/// XMP. All may come before or after the pixels.
fn orientation(bytes: &[u8]) -> u8 {
    let (mut exif, mut profile, mut xmp) = (None, None, None);
    let mut rest = bytes.get(8..).unwrap_or_default();
    while let Some(&[a, b, c, d, name @ ..]) = rest.first_chunk::<8>() {
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        let Some(body) = rest[8..].get(..length) else {
            break;
        };
        match &name {
            b"eXIf" => exif = Some(body),
            b"tEXt" | b"zTXt" | b"iTXt" => match split(body) {
                Some((b"Raw profile type exif" | b"Raw profile type APP1", text)) => {
                    profile = Some((name, text));
                }
                Some((b"XML:com.adobe.xmp", text)) => xmp = Some((name, text)),
                _ => {}
            },
            b"IEND" => break,
            _ => {}
        }
        rest = rest.get(12 + length..).unwrap_or_default();
    }
    let profile = match (exif, profile) {
        (None, Some((name, text))) => unpacked(name, text).and_then(|text| from_digits(&text)),
        _ => None,
    };
    let xmp = xmp.and_then(|(name, text)| unpacked(name, text));
    exif::orientation(exif.or(profile.as_deref()), xmp.as_deref())
}

/// Before and after the first zero.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let zero = memchr::memchr(0, bytes)?;
    Some((&bytes[..zero], &bytes[zero + 1..]))
}

/// The text of a chunk behind its keyword, as far as it can be read.
fn unpacked<'bytes>(name: [u8; 4], text: &'bytes [u8]) -> Option<Cow<'bytes, [u8]>> {
    let (is_packed, text) = match (&name, text) {
        (b"tEXt", text) => (false, text),
        (b"zTXt", [_method, text @ ..]) => (true, text),
        (b"iTXt", [is_packed, _method, rest @ ..]) => {
            let (_language, rest) = split(rest)?;
            let (_translated_keyword, text) = split(rest)?;
            (*is_packed == 1, text)
        }
        _ => return None,
    };
    if !is_packed {
        return Some(Cow::Borrowed(text));
    }
    let mut unpacked = Vec::new();
    let _ = ZlibDecoder::new(text)
        .take(TEXT_BYTES)
        .read_to_end(&mut unpacked);
    Some(Cow::Owned(unpacked))
}

/// The bytes of ImageMagick's `\nexif\n      42\n4578696600...`, up to the first thing that is no
/// digit.
fn from_digits(text: &[u8]) -> Option<Vec<u8>> {
    let digits = text.splitn(4, |byte| *byte == b'\n').nth(3)?;
    let digits = digits.iter().filter(|byte| **byte != b'\n');
    let values = digits.map_while(|byte| char::from(*byte).to_digit(16));
    let values: Vec<u8> = values.map(|value| value as u8).collect();
    let (pairs, _) = values.as_chunks::<2>();
    Some(pairs.iter().map(|[high, low]| high * 16 + low).collect())
}
