//! The first page of a TIFF file, through the crate `tiff`: whole numbers of 1, 2, 4, 8 or 16 bits,
//! in strips or tiles, plain or by PackBits, LZW, Deflate or JPEG.
//!
//! As Pillow reads them, but that 16 bits become 8 as in PNG. Strips and tiles in JPEG go to
//! libjpeg-turbo, as every JPEG does.

use std::io::Cursor;

use tiff::decoder::Decoder;
use tiff::tags::{CompressionMethod, PhotometricInterpretation, Tag};
use tiff::{ColorType, TiffError};

use crate::decode::exif::{self, ExifField};
use crate::decode::{DecodeError, Limits, StoredHeader, color, jpeg};
use crate::{Format, RgbImage};

/// Samples of a pixel: CMYK and two more. Rows are decoded with all of them, and most are passed
/// over.
const MOST_SAMPLES: u64 = 6;
/// How often strips or tiles may share the file's bytes, on average: an empty map's share one tile,
/// an attacker's all.
const MOST_SHARED: u64 = 16;
/// The most bytes of tables that parts in JPEG share; all that there can be take less than 4 kB.
const TABLE_BYTES: usize = 1 << 16;

type Reader<'bytes> = Decoder<Cursor<&'bytes [u8]>>;

/// Size and orientation.
pub(crate) fn header(bytes: &[u8]) -> Result<StoredHeader, DecodeError> {
    let mut reader = open(bytes, &Limits::default())?;
    let (width, height) = reader.dimensions().map_err(tiff_error)?;
    let xmp = reader.get_tag_u8_vec(Tag::Unknown(700)).ok();
    Ok(StoredHeader {
        format: Format::Tiff,
        width,
        height,
        orientation: exif::orientation(Some(bytes), xmp.as_deref()),
    })
}

/// The pixels as stored.
pub(crate) fn decode(bytes: &[u8], limits: &Limits) -> Result<RgbImage, DecodeError> {
    let mut reader = open(bytes, limits)?;
    let number = |reader: &mut Reader, tag| {
        let found = reader.find_tag_unsigned::<u16>(tag).map_err(tiff_error)?;
        Ok(found.unwrap_or(1))
    };
    let size = reader.dimensions().map_err(tiff_error)?;
    check_work(&mut reader, bytes, limits)?;
    let formats = reader
        .find_tag_unsigned_vec::<u16>(Tag::SampleFormat)
        .map_err(tiff_error)?;
    match formats.iter().flatten().find(|format| **format != 1) {
        Some(2) => return Err(unsupported("numbers with a sign")),
        Some(3) => {
            return Err(unsupported(
                "floating-point numbers, whose white nobody knows; save it with 8 or 16 bits",
            ));
        }
        Some(other) => return Err(unsupported(&format!("sample format {other}"))),
        None => {}
    }
    if number(&mut reader, Tag::FillOrder)? != 1 {
        return Err(unsupported("bytes of reversed bits"));
    }
    let compression = number(&mut reader, Tag::Compression)?;
    let meaning = number(&mut reader, Tag::PhotometricInterpretation)?;
    if compression == CompressionMethod::ModernJPEG.to_u16() {
        return decode_jpegs(bytes, &mut reader, size, meaning);
    }
    if meaning == PhotometricInterpretation::RGBPalette.to_u16() {
        return decode_palette(bytes, &mut reader, size, limits);
    }
    let (samples, channels) = read_samples(&mut reader, size, true)?;
    let pixels = match reader.colortype().map_err(tiff_error)? {
        ColorType::CMYK(_) | ColorType::CMYKA(_) => {
            let inks = samples.chunks_exact(channels);
            inks.flat_map(|inks| color::from_cmyk([inks[0], inks[1], inks[2], inks[3]]))
                .collect()
        }
        ColorType::RGBA(_) => {
            let extra = reader.find_tag_unsigned_vec::<u16>(Tag::ExtraSamples);
            let extra = extra.map_err(tiff_error)?.unwrap_or_default();
            let samples = if extra.first() == Some(&1) {
                undo_alpha(samples)
            } else {
                samples
            };
            color::to_rgb(samples, channels)
        }
        _ => color::to_rgb(samples, channels),
    };
    Ok(RgbImage::new(size.0, size.1, pixels))
}

fn open<'bytes>(bytes: &'bytes [u8], limits: &Limits) -> Result<Reader<'bytes>, DecodeError> {
    if bytes.get(2..4).is_some_and(|magic| magic.contains(&43)) {
        return Err(unsupported("BigTIFF, expected TIFF"));
    }
    // The crate would print to stderr what it says of some of these.
    let is_long_text = |field: &ExifField| field.kind == 2 && field.count as usize > bytes.len();
    if let Some(field) = ExifField::all(bytes).find(is_long_text) {
        let length = field.count;
        return Err(damaged(format!("a text of {length} bytes beyond its end")));
    }
    let mut allowed = tiff::decoder::Limits::default();
    allowed.decoding_buffer_size = usize::try_from(limits.bytes()).unwrap_or(usize::MAX);
    allowed.intermediate_buffer_size = allowed.decoding_buffer_size;
    let reader = Decoder::new(Cursor::new(bytes)).map_err(tiff_error)?;
    Ok(reader.with_limits(allowed))
}

/// Where strips or tiles lie in the file: offset and length each.
fn parts(reader: &mut Reader) -> Result<Vec<[u64; 2]>, DecodeError> {
    let mut list = |strips, tiles| {
        let found = match reader.find_tag_unsigned_vec::<u64>(strips) {
            Ok(None) => reader.find_tag_unsigned_vec::<u64>(tiles),
            found => found,
        };
        found.map(Option::unwrap_or_default).map_err(tiff_error)
    };
    let offsets = list(Tag::StripOffsets, Tag::TileOffsets)?;
    let lengths = list(Tag::StripByteCounts, Tag::TileByteCounts)?;
    let both = offsets.into_iter().zip(lengths);
    Ok(both.map(|(offset, length)| [offset, length]).collect())
}

/// Refuses what takes far more work than its pixels.
fn check_work(reader: &mut Reader, bytes: &[u8], limits: &Limits) -> Result<(), DecodeError> {
    let (width, height) = reader.dimensions().map_err(tiff_error)?;
    let samples = reader.find_tag_unsigned::<u64>(Tag::SamplesPerPixel);
    let samples = samples.map_err(tiff_error)?.unwrap_or(1);
    if samples > MOST_SAMPLES {
        return Err(unsupported(&format!(
            "{samples} samples a pixel, expected at most {MOST_SAMPLES}"
        )));
    }
    let (across, down) = reader.chunk_dimensions();
    let (across, down) = (across.max(1), down.max(1));
    let padded = |length: u32, part: u32| u64::from(length.div_ceil(part)) * u64::from(part);
    // A strip may say that it has more rows than there are, and is not padded.
    let rows = if down >= height {
        height.into()
    } else {
        padded(height, down)
    };
    let pixels = padded(width, across).saturating_mul(rows);
    // What lies beyond the image is decoded too; no more of it than there may be of the image.
    let most = limits.pixels.saturating_mul(2);
    if pixels > most {
        return Err(unsupported(&format!(
            "tiles of {pixels} pixels in all for {width} × {height}, expected at most {most}"
        )));
    }
    let parts = parts(reader)?;
    let held = bytes.len() as u64;
    let read: u64 = parts.iter().map(|[_, length]| (*length).min(held)).sum();
    if read > MOST_SHARED * held {
        return Err(unsupported(&format!(
            "strips or tiles of {read} bytes in a file of {held}, expected at most {MOST_SHARED} times as many"
        )));
    }
    Ok(())
}

/// Interleaved samples of 8 bits, and how many there are a pixel. Those of fewer bits are spread to
/// 0 to 255, or kept as they are.
fn read_samples(
    reader: &mut Reader,
    (width, height): (u32, u32),
    is_spread: bool,
) -> Result<(Vec<u8>, usize), DecodeError> {
    let (bits, channels) = match reader.colortype().map_err(tiff_error)? {
        ColorType::Gray(bits) => (bits, 1),
        ColorType::Multiband {
            bit_depth,
            num_samples: 2,
        } => (bit_depth, 2),
        ColorType::RGB(bits) => (bits, 3),
        ColorType::RGBA(bits) | ColorType::CMYK(bits) => (bits, 4),
        ColorType::CMYKA(bits) => (bits, 5),
        other => return Err(unsupported(&format!("pixels of kind {other:?}"))),
    };
    if !(matches!(bits, 8 | 16) || (channels == 1 && matches!(bits, 1 | 2 | 4))) {
        return Err(unsupported(&format!(
            "{bits} bits a sample, {channels} of them a pixel; expected 8 or 16"
        )));
    }
    let layout = reader.image_buffer_layout().map_err(tiff_error)?;
    let mut bytes = vec![0; layout.complete_len];
    reader.read_image_bytes(&mut bytes).map_err(tiff_error)?;
    let mut samples = match bits {
        8 => bytes,
        16 => color::narrow(&bytes, u16::from_ne_bytes),
        bits => {
            let bits = usize::from(bits);
            let width = width as usize;
            let greatest = (1 << bits) - 1;
            let factor = if is_spread { 255 / greatest } else { 1 };
            let rows = bytes.chunks_exact((width * bits).div_ceil(8));
            let of_row = |row: &[u8]| -> Vec<u8> {
                let sample = |x: usize| row[x * bits / 8] >> (8 - bits - x * bits % 8) & greatest;
                (0..width).map(|x| sample(x) * factor).collect()
            };
            rows.flat_map(of_row).collect()
        }
    };
    if layout.planes > 1 {
        let length = width as usize * height as usize;
        let planes: Vec<&[u8]> = samples.chunks_exact(length).take(channels).collect();
        let mut pixels = Vec::with_capacity(length * planes.len());
        for place in 0..length {
            pixels.extend(planes.iter().map(|plane| plane[place]));
        }
        samples = pixels;
    }
    Ok((samples, channels))
}

/// Colours as they were before they were multiplied by their alpha.
fn undo_alpha(mut samples: Vec<u8>) -> Vec<u8> {
    let (pixels, _) = samples.as_chunks_mut::<4>();
    for [red, green, blue, alpha] in pixels {
        for value in [red, green, blue] {
            let undone = (u32::from(*value) * 255).checked_div(u32::from(*alpha));
            *value = undone.unwrap_or(0).min(255) as u8;
        }
    }
    samples
}

/// Indices are read as grays, which the crate knows how to read, and then looked up.
fn decode_palette(
    bytes: &[u8],
    reader: &mut Reader,
    size: (u32, u32),
    limits: &Limits,
) -> Result<RgbImage, DecodeError> {
    let colours = reader.get_tag_u16_vec(Tag::ColorMap).map_err(tiff_error)?;
    let entries = colours.len() / 3;
    let mut grays = bytes.to_vec();
    let meaning = ExifField::find(bytes, Tag::PhotometricInterpretation.to_u16());
    let place = meaning.map(|field| field.place);
    let Some(value) = place.and_then(|place| grays.get_mut(place..place + 2)) else {
        return Err(damaged("no colour kind".to_owned()));
    };
    // 1 in both byte orders: that of the file comes first in it.
    value.copy_from_slice(if bytes[0] == b'I' { &[1, 0] } else { &[0, 1] });
    let (indices, channels) = read_samples(&mut open(&grays, limits)?, size, false)?;
    // As Pillow: the upper byte of 16 bits, and black beyond the palette.
    let colour = |index: usize, channel: usize| {
        let value = (index < entries).then(|| colours[channel * entries + index]);
        (value.unwrap_or(0) >> 8) as u8
    };
    let mut palette = [[0; 3]; 256];
    for (index, entry) in palette.iter_mut().enumerate() {
        *entry = [0, 1, 2].map(|channel| colour(index, channel));
    }
    let indices = indices.iter().step_by(channels);
    let pixels = indices.flat_map(|index| palette[usize::from(*index)]);
    Ok(RgbImage::new(size.0, size.1, pixels.collect()))
}

/// Strips or tiles that are JPEG files, but for tables that they share.
fn decode_jpegs(
    bytes: &[u8],
    reader: &mut Reader,
    (width, height): (u32, u32),
    meaning: u16,
) -> Result<RgbImage, DecodeError> {
    let samples = reader.find_tag_unsigned::<u16>(Tag::SamplesPerPixel);
    let samples = samples.map_err(tiff_error)?.unwrap_or(1);
    // How colours are written, as Adobe's segment tells it; libjpeg would guess.
    let transform = match (PhotometricInterpretation::from_u16(meaning), samples) {
        (Some(PhotometricInterpretation::BlackIsZero), 1)
        | (Some(PhotometricInterpretation::RGB), 3) => 0,
        (Some(PhotometricInterpretation::YCbCr), 3) => 1,
        _ => {
            return Err(unsupported(&format!(
                "JPEG of colour kind {meaning} with {samples} samples a pixel"
            )));
        }
    };
    let planes = reader.find_tag_unsigned::<u16>(Tag::PlanarConfiguration);
    if planes.map_err(tiff_error)? == Some(2) {
        return Err(unsupported("JPEG of separate planes"));
    }
    let tables = reader.find_tag(Tag::JPEGTables).map_err(tiff_error)?;
    let tables = match tables {
        Some(tables) => tables.into_u8_vec().map_err(tiff_error)?,
        None => Vec::new(),
    };
    if tables.len() > TABLE_BYTES {
        return Err(unsupported(&format!(
            "JPEG tables of {} bytes, expected at most {TABLE_BYTES}",
            tables.len()
        )));
    }
    // Without their own start and end.
    let tables = tables
        .get(2..tables.len().saturating_sub(2))
        .unwrap_or_default();
    let start = [
        b"\xff\xd8\xff\xee\0\x0eAdobe\0\x64\0\0\0\0",
        &[transform][..],
        tables,
    ]
    .concat();
    let (across, down) = reader.chunk_dimensions();
    let columns = width.div_ceil(across.max(1));
    let stride = width as usize * 3;
    let mut pixels = vec![0; stride * height as usize];
    for (index, [offset, length]) in parts(reader)?.into_iter().enumerate() {
        let index = index as u32;
        let (x, y) = (index % columns * across, index / columns * down);
        let part = usize::try_from(offset)
            .ok()
            .and_then(|offset| bytes.get(offset..));
        let length = usize::try_from(length).unwrap_or(usize::MAX);
        let part = part.map(|part| &part[..part.len().min(length)]);
        let Some([0xff, 0xd8, coded @ ..]) = part else {
            return Err(TRUNCATED);
        };
        let file = [&start, coded].concat();
        let stored = jpeg::header(&file).map_err(within)?;
        let shown = [across.min(width - x), down.min(height - y)];
        // The last strip may be as high as the others, or end with the image.
        if stored.width != across || !(stored.height == down || stored.height == shown[1]) {
            return Err(damaged(format!(
                "a part of {} × {} pixels, expected {across} × {down}",
                stored.width, stored.height
            )));
        }
        let limits = Limits {
            pixels: u64::from(stored.width) * u64::from(stored.height),
        };
        let part = jpeg::decode(&file, &stored, &limits).map_err(within)?;
        let [shown_width, shown_height] = shown.map(|length| length as usize);
        let rows = part.pixels.chunks_exact(across as usize * 3);
        for (row, from) in rows.take(shown_height).enumerate() {
            let place = (y as usize + row) * stride + x as usize * 3;
            pixels[place..][..shown_width * 3].copy_from_slice(&from[..shown_width * 3]);
        }
    }
    Ok(RgbImage::new(width, height, pixels))
}

/// An error of a part, as one of the file.
fn within(error: DecodeError) -> DecodeError {
    match error {
        DecodeError::Truncated { .. } => TRUNCATED,
        DecodeError::Unsupported { reason, .. } => unsupported(&reason),
        other => damaged(other.to_string()),
    }
}

const TRUNCATED: DecodeError = DecodeError::Truncated {
    format: Format::Tiff,
};

fn unsupported(reason: &str) -> DecodeError {
    DecodeError::Unsupported {
        format: Format::Tiff,
        reason: reason.to_owned(),
    }
}

fn damaged(reason: String) -> DecodeError {
    DecodeError::Damaged {
        format: Format::Tiff,
        reason,
    }
}

fn tiff_error(error: TiffError) -> DecodeError {
    match error {
        TiffError::IoError(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => TRUNCATED,
        TiffError::UnsupportedError(error) => unsupported(&error.to_string()),
        // The crate's own limit of a field, as of a list of 262,144 strips or tiles.
        TiffError::LimitsExceeded => unsupported("a field of more than 1 MiB"),
        other => damaged(other.to_string()),
    }
}
