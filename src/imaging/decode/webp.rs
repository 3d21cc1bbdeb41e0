//! WebP, lossy and lossless, through the crate `image-webp`; of an animation the first frame.

use std::io::Cursor;

use image_webp::{DecodingError, WebPDecoder};

use crate::decode::{DecodeError, Limits, StoredHeader, color};
use crate::{Format, RgbImage, decode::exif};

/// Size and orientation. A file shorter than its container says is refused, metadata at its end
/// included.
pub(crate) fn header(bytes: &[u8]) -> Result<StoredHeader, DecodeError> {
    let length = bytes.get(4..).and_then(|rest| rest.first_chunk());
    let length = u64::from(length.map_or(0, |length| u32::from_le_bytes(*length)));
    if (bytes.len() as u64) < length + 8 {
        return Err(DecodeError::Truncated {
            format: Format::WebP,
        });
    }
    let (width, height) = open(bytes)?.dimensions();
    check_frames(bytes, [width, height])?;
    let (mut exif, mut xmp) = (None, None);
    for (name, body) in chunks(bytes.get(12..)) {
        match &name {
            b"EXIF" if exif.is_none() => exif = Some(body),
            b"XMP " if xmp.is_none() => xmp = Some(body),
            _ => {}
        }
    }
    Ok(StoredHeader {
        format: Format::WebP,
        width,
        height,
        orientation: exif::orientation(exif, xmp),
    })
}

/// The pixels as stored.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, DecodeError> {
    let mut decoder = open(bytes)?;
    decoder.set_memory_limit(usize::try_from(limits.bytes()).unwrap_or(usize::MAX));
    let (width, height) = decoder.dimensions();
    let channels = if decoder.has_alpha() { 4 } else { 3 };
    let mut samples = vec![0; width as usize * height as usize * channels];
    decoder.read_image(&mut samples).map_err(webp_error)?;
    let pixels = color::to_rgb(samples, channels);
    Ok(RgbImage::new(width, height, pixels))
}

fn open(bytes: &[u8]) -> Result<WebPDecoder<Cursor<&[u8]>>, DecodeError> {
    WebPDecoder::new(Cursor::new(bytes)).map_err(webp_error)
}

fn webp_error(error: DecodingError) -> DecodeError {
    let format = Format::WebP;
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

/// Refuses lossy frames of another size than the canvas or the animation's frame around them. The
/// decoder looks at that too late: when it has decoded them, in whatever size they are.
fn check_frames(bytes: &[u8], canvas: [u32; 2]) -> Result<(), DecodeError> {
    for (name, body) in chunks(bytes.get(12..)) {
        match &name {
            b"VP8 " => check_frame(body, canvas)?,
            b"ANMF" => {
                let Some([_, _, _, _, _, _, a, b, c, d, e, f]) = body.first_chunk() else {
                    break;
                };
                let size = [[*a, *b, *c, 0], [*d, *e, *f, 0]];
                let size = size.map(|length| u32::from_le_bytes(length) + 1);
                let mut is_after_alpha = false; // whatever its name, colours follow
                for (name, body) in chunks(body.get(16..)) {
                    if name == *b"VP8 " || is_after_alpha {
                        check_frame(body, size)?;
                    }
                    is_after_alpha = name == *b"ALPH";
                }
                break;
            }
            _ => {}
        }
    }
    Ok(())
}

/// A key frame's size: 14 bits each behind its tag and start code.
fn check_frame(body: &[u8], expected: [u32; 2]) -> Result<(), DecodeError> {
    let Some(&[a, b, c, d]) = body.get(6..).and_then(|rest| rest.first_chunk()) else {
        return Ok(()); // the decoder says what is missing
    };
    let got = [[a, b], [c, d]].map(|length| u32::from(u16::from_le_bytes(length) & 0x3fff));
    if got == expected {
        return Ok(());
    }
    Err(DecodeError::Damaged {
        format: Format::WebP,
        reason: format!(
            "a frame of {} × {} pixels, expected {} × {}",
            got[0], got[1], expected[0], expected[1]
        ),
    })
}

/// A container's chunks; the last may be cut.
fn chunks(bytes: Option<&[u8]>) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    let mut rest = bytes.unwrap_or_default();
    std::iter::from_fn(move || {
        let &[n, a, m, e, length @ ..] = rest.first_chunk::<8>()?;
        let length = u32::from_le_bytes(length) as usize;
        let body = &rest[8..];
        rest = body.get(length + length % 2..).unwrap_or_default();
        Some(([n, a, m, e], &body[..length.min(body.len())]))
    })
}
