//! Windows and OS/2 bitmaps, as Pillow reads them: plain, run-length coded, or with masks, of 1 to
//! 32 bits a pixel.

use crate::decode::{DecodeError, StoredHeader};
use crate::{Format, RgbImage};

/// The file's own header, before that of the image.
const FILE_HEADER: usize = 14;

/// How pixels are written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Plain,
    /// Runs of indices of 8 or 4 bits.
    Runs,
}

/// Both headers.
struct BitmapLayout {
    width: u32,
    height: u32,
    /// Rows from top to bottom; else from bottom to top.
    is_downwards: bool,
    bits: usize,
    coding: Coding,
    /// Red, green and blue in a pixel of 16 bits or more.
    masks: [u32; 3],
    /// Where the palette begins, its entries, and the bytes of each.
    palette: (usize, usize, usize),
    /// Where the pixels begin.
    pixels: usize,
}

/// The size; bitmaps have no orientation beyond the row order.
pub(crate) fn header(bytes: &[u8]) -> Result<StoredHeader, DecodeError> {
    let BitmapLayout { width, height, .. } = layout(bytes)?;
    Ok(StoredHeader {
        format: Format::Bmp,
        width,
        height,
        orientation: 1,
    })
}

/// The pixels.
pub(crate) fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    let layout = layout(bytes)?;
    let (width, height) = (layout.width as usize, layout.height as usize);
    let coded = bytes.get(layout.pixels..).ok_or(TRUNCATED)?;
    let colours = colours(bytes, &layout);
    let of_index = |index: &u8| colours[usize::from(*index)];
    let mut pixels = Vec::new();
    if layout.coding == Coding::Runs {
        let indices = unrun(coded, &layout)?;
        pixels.extend(indices.iter().flat_map(of_index));
    } else {
        let read = width * layout.bits;
        let (stride, read) = (read.div_ceil(32) * 4, read.div_ceil(8));
        if (height - 1).saturating_mul(stride).saturating_add(read) > coded.len() {
            return Err(TRUNCATED);
        }
        pixels.reserve_exact(width * height * 3);
        let channels = layout.masks.map(Channel::of);
        for row in coded.chunks(stride).take(height) {
            let row = &row[..read];
            match layout.bits {
                8 => pixels.extend(row.iter().flat_map(of_index)),
                24 if layout.masks == MASKS_24 => {
                    let (colours, _) = row.as_chunks();
                    pixels.extend(
                        colours
                            .iter()
                            .flat_map(|[blue, green, red]| [*red, *green, *blue]),
                    );
                }
                bits @ (16 | 24 | 32) => {
                    for pixel in row.chunks_exact(bits / 8) {
                        let mut value = [0; 4];
                        value[..pixel.len()].copy_from_slice(pixel);
                        let value = u32::from_le_bytes(value);
                        pixels.extend(channels.each_ref().map(|channel| channel.sample(value)));
                    }
                }
                bits => {
                    let indices = (0..width).map(|x| {
                        let shift = 8 - bits - x * bits % 8;
                        (row[x * bits / 8] >> shift) & ((1 << bits) - 1)
                    });
                    pixels.extend(indices.flat_map(|index| of_index(&index)));
                }
            }
        }
    }
    if !layout.is_downwards {
        let mut rows = pixels.chunks_exact_mut(width * 3);
        while let (Some(upper), Some(lower)) = (rows.next(), rows.next_back()) {
            upper.swap_with_slice(lower);
        }
    }
    Ok(RgbImage::new(layout.width, layout.height, pixels))
}

const MASKS_24: [u32; 3] = [0xff_0000, 0xff00, 0xff];
const MASKS_15: [u32; 3] = [0x7c00, 0x3e0, 0x1f];

fn layout(bytes: &[u8]) -> Result<BitmapLayout, DecodeError> {
    let short = |place: usize| {
        bytes
            .get(place..)?
            .first_chunk()
            .map(|two| u16::from_le_bytes(*two))
    };
    let long = |place: usize| {
        bytes
            .get(place..)?
            .first_chunk()
            .map(|four| u32::from_le_bytes(*four))
    };
    let short = |place| short(place).ok_or(TRUNCATED);
    let long = |place| long(place).ok_or(TRUNCATED);

    let length = long(14)? as usize;
    let end = FILE_HEADER + length;
    let (width, height, bits, coding, colours, entry) = match length {
        12 => {
            let height = i32::from(short(20)?);
            (u32::from(short(18)?), height, short(24)?, 0, 0, 3)
        }
        40 | 52 | 56 | 64 | 108 | 124 => {
            let height = long(22)?.cast_signed();
            (
                long(18)?,
                height,
                short(28)?,
                long(30)?,
                long(46)? as usize,
                4,
            )
        }
        other => return Err(unsupported(format!("a header of {other} bytes"))),
    };
    let bits = usize::from(bits);
    if width.cast_signed() < 0 {
        return Err(damaged(format!(
            "a width of {} pixels",
            width.cast_signed()
        )));
    }
    let (coding, masks) = match (coding, bits) {
        (0, 1 | 2 | 4 | 8) => (Coding::Plain, [0; 3]),
        (0, 16) => (Coding::Plain, MASKS_15),
        (0, 24 | 32) => (Coding::Plain, MASKS_24),
        (1, 8) | (2, 4) => (Coding::Runs, [0; 3]),
        // The masks follow the shortest header and are a part of the longer ones.
        (3 | 6, 16 | 24 | 32) if length != 64 => {
            let masks = [long(54)?, long(58)?, long(62)?];
            let given = masks != [0; 3];
            (Coding::Plain, if given { masks } else { MASKS_24 })
        }
        _ => {
            return Err(unsupported(format!(
                "coding {coding} of {bits} bits a pixel"
            )));
        }
    };
    let most = if bits <= 8 { 1 << bits } else { 0 };
    let colours = if colours == 0 { most } else { colours };
    let mut pixels = long(10)? as usize;
    // Some say that the pixels begin where the palette does.
    if bits <= 8 && (pixels == 0 || pixels == end) {
        pixels = end.saturating_add(entry * colours);
    }
    Ok(BitmapLayout {
        width,
        height: height.unsigned_abs(),
        is_downwards: height < 0,
        bits,
        coding,
        masks,
        palette: (end, colours.min(most), entry),
        pixels,
    })
}

/// 256 colours: the palette's, then black.
fn colours(bytes: &[u8], layout: &BitmapLayout) -> [[u8; 3]; 256] {
    let mut colours = [[0; 3]; 256];
    let (start, entries, length) = layout.palette;
    let palette = bytes.get(start..).unwrap_or_default();
    let entries = palette.chunks_exact(length).take(entries);
    for (colour, entry) in colours.iter_mut().zip(entries) {
        *colour = [entry[2], entry[1], entry[0]];
    }
    colours
}

/// One of a pixel's channels: its bits, spread to 0 to 255 and rounded down.
struct Channel {
    mask: u32,
    shift: u32,
    greatest: u64,
}

impl Channel {
    fn of(mask: u32) -> Channel {
        let shift = mask.trailing_zeros().min(31);
        Channel {
            mask,
            shift,
            greatest: u64::from(mask >> shift).max(1),
        }
    }

    fn sample(&self, pixel: u32) -> u8 {
        (u64::from((pixel & self.mask) >> self.shift) * 255 / self.greatest) as u8
    }
}

/// Indices of run-length coded pixels, a byte each, in the order of the file. What is passed over
/// has index 0, and so has what is left when the bitmap ends early.
fn unrun(coded: &[u8], layout: &BitmapLayout) -> Result<Vec<u8>, DecodeError> {
    let width = layout.width as usize;
    let all = width * layout.height as usize;
    let halves = |byte: u8| [byte >> 4, byte & 15];
    let is_half = layout.bits == 4;
    let mut indices: Vec<u8> = Vec::with_capacity(all);
    let mut rest = coded;
    while indices.len() < all {
        let [count, value, after @ ..] = rest else {
            return Err(TRUNCATED);
        };
        rest = after;
        let left_in_row = width - indices.len() % width;
        match (usize::from(*count), usize::from(*value)) {
            (0, 0) if left_in_row < width => indices.resize(indices.len() + left_in_row, 0),
            (0, 0) => {}
            (0, 1) => indices.resize(all, 0),
            (0, 2) => {
                let [right, down, after @ ..] = rest else {
                    return Err(TRUNCATED);
                };
                rest = after;
                let passed = usize::from(*right) + usize::from(*down) * width;
                indices.resize(all.min(indices.len() + passed), 0);
            }
            (0, count) => {
                let length = if is_half { count.div_ceil(2) } else { count };
                let literal = rest.get(..length).ok_or(TRUNCATED)?;
                let wanted = count.min(all - indices.len());
                if is_half {
                    let both = literal.iter().flat_map(|byte| halves(*byte));
                    indices.extend(both.take(wanted));
                } else {
                    indices.extend(&literal[..wanted]);
                }
                rest = rest.get(length.next_multiple_of(2)..).unwrap_or_default();
            }
            // A run beyond its row is cut.
            (count, _) => {
                let values = if is_half { halves(*value) } else { [*value; 2] };
                let run = values.into_iter().cycle();
                indices.extend(run.take(count.min(left_in_row)));
            }
        }
    }
    Ok(indices)
}

const TRUNCATED: DecodeError = DecodeError::Truncated {
    format: Format::Bmp,
};

fn unsupported(reason: String) -> DecodeError {
    DecodeError::Unsupported {
        format: Format::Bmp,
        reason,
    }
}

fn damaged(reason: String) -> DecodeError {
    DecodeError::Damaged {
        format: Format::Bmp,
        reason,
    }
}
