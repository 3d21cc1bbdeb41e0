//! The first frame of a GIF, laid on its screen as Pillow does.
//!
//! The screen grows to hold a frame that reaches beyond it; where the frame does not reach, the
//! screen holds the transparent colour if there is one, else colour 0.

use std::io::{Cursor, Read};
use std::num::NonZeroU64;

use gif::{ColorOutput, DecodeOptions, Decoder, DecodingError, Frame, MemoryLimit};

use crate::decode::{DecodeError, Limits, StoredHeader};
use crate::{Format, RgbImage};

/// The size of the screen with its first frame.
pub(crate) fn header(bytes: &[u8], limits: &Limits) -> Result<StoredHeader, DecodeError> {
    let mut decoder = open(bytes, limits)?;
    let screen = (decoder.width(), decoder.height());
    let frame = decoder.next_frame_info().map_err(gif_error)?;
    let frame = frame.ok_or_else(no_frame)?;
    if frame.width == 0 || frame.height == 0 {
        return Err(damaged(&format!(
            "a frame of {} × {} pixels, expected at least 1 × 1",
            frame.width, frame.height
        )));
    }
    let (width, height) = extent(screen, frame);
    Ok(StoredHeader {
        format: Format::Gif,
        width,
        height,
        orientation: 1,
    })
}

/// The pixels of the screen with its first frame.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, DecodeError> {
    let mut decoder = open(bytes, limits)?;
    let screen = (decoder.width(), decoder.height());
    let global = decoder.global_palette().map(<[u8]>::to_vec);
    let frame = decoder.read_next_frame().map_err(gif_error)?;
    let frame = frame.ok_or_else(no_frame)?;
    let palette = frame.palette.as_ref().or(global.as_ref());
    let colours = colours(palette.map(Vec::as_slice).unwrap_or_default());

    let (width, height) = extent(screen, frame);
    let background = colours[usize::from(frame.transparent.unwrap_or(0))];
    let mut pixels = background.repeat(width as usize * height as usize);
    let frame_width = usize::from(frame.width);
    let first = usize::from(frame.top) * width as usize + usize::from(frame.left);
    for (row, indices) in frame.buffer.chunks_exact(frame_width).enumerate() {
        let start = (first + row * width as usize) * 3;
        let line = &mut pixels[start..start + frame_width * 3];
        for (pixel, &index) in line.chunks_exact_mut(3).zip(indices) {
            pixel.copy_from_slice(&colours[usize::from(index)]);
        }
    }
    Ok(RgbImage::new(width, height, pixels))
}

fn open<'bytes>(
    bytes: &'bytes [u8],
    limits: &Limits,
) -> Result<Decoder<impl Read + 'bytes>, DecodeError> {
    let mut options = DecodeOptions::new();
    options.set_color_output(ColorOutput::Indexed);
    let allowed = NonZeroU64::new(limits.bytes()).unwrap_or(NonZeroU64::MAX);
    options.set_memory_limit(MemoryLimit::Bytes(allowed));
    // The decoder wants some palette for a frame that has none: it is given the grays of `colours`
    // as the screen's.
    let (screen, rest) = bytes.split_at(bytes.len().min(13));
    let mut header = screen.to_vec();
    let mut grays = Vec::new();
    if let Some(flags) = header.get_mut(10)
        && *flags & 0x80 == 0
    {
        *flags |= 0x87;
        grays = colours(&[]).concat();
    }
    options
        .read_info(Cursor::new(header).chain(Cursor::new(grays)).chain(rest))
        .map_err(gif_error)
}

/// Width and height of the screen once it holds the frame.
fn extent(screen: (u16, u16), frame: &Frame<'_>) -> (u32, u32) {
    let right = u32::from(frame.left) + u32::from(frame.width);
    let bottom = u32::from(frame.top) + u32::from(frame.height);
    (
        right.max(u32::from(screen.0)),
        bottom.max(u32::from(screen.1)),
    )
}

/// 256 colours: the palette's, then grays of their own index.
fn colours(palette: &[u8]) -> [[u8; 3]; 256] {
    let mut colours = [[0; 3]; 256];
    for (index, colour) in colours.iter_mut().enumerate() {
        *colour = [index as u8; 3];
    }
    for (colour, entry) in colours.iter_mut().zip(palette.chunks_exact(3)) {
        colour.copy_from_slice(entry);
    }
    colours
}

fn no_frame() -> DecodeError {
    damaged("no frame")
}

fn damaged(reason: &str) -> DecodeError {
    DecodeError::Damaged {
        format: Format::Gif,
        reason: reason.to_owned(),
    }
}

fn gif_error(error: DecodingError) -> DecodeError {
    let format = Format::Gif;
    match error {
        DecodingError::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
            DecodeError::Truncated { format }
        }
        other => DecodeError::Damaged {
            format,
            reason: other.to_string(),
        },
    }
}
