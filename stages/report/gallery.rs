//! Small pictures of images, however often they are shown, once each in one JPEG a sheet: that is a
//! fraction of what as many files would weigh, and one decoding for the browser.
//!
//! A picture is the centre square of its image. Each lies in a cell whose side is a multiple of 16
//! pixels, so that JPEG's blocks don't mix neighbours.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use jpeg_encoder::{ColorType, Encoder, SamplingFactor};
use rayon::prelude::*;
use seedpipe_artifact::{IMAGES, ImagesReader};
use seedpipe_imaging::{Decode, Decoded, Layout, RgbImage, Scratch, View, render};

use super::html::{escaped, push};
use super::material::Catalogue;
use crate::pixels::contact_sheet::{TILE, bytes};
use crate::pixels::pictures::Pictures;
use crate::shared::confusion::told_apart;

/// Pictures of two sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Size {
    /// For what is shown when a point is looked at: many.
    Small,
    /// For panels: few.
    Large,
}

/// Sheets: class in the style sheet, greatest side of a picture in pixels, pictures in a row, JPEG
/// quality.
const SHEETS: [(&str, u32, usize, u8); 3] =
    [("s", 40, 40, 55), ("l", 80, 20, 74), ("v", TILE, 12, 85)];
const VIEWS: usize = 2;
const CELL: u32 = 16;

/// Rows of a stage's images.
type SheetImage = (String, usize);

#[derive(Default)]
struct Sheet {
    /// Of images, drawn at the end.
    wanted: Vec<SheetImage>,
    known: BTreeMap<SheetImage, usize>,
    /// Of views and what they are of, drawn already.
    drawn: Vec<RgbImage>,
}

/// The images that a page may show, and the pictures that it does.
pub struct Gallery {
    pictures: BTreeMap<String, Pictures>,
    classes: BTreeMap<String, BTreeMap<i32, String>>,
    sheets: [Sheet; 3],
}

impl Gallery {
    pub fn open(material: &Catalogue) -> Result<Gallery> {
        let mut pictures = BTreeMap::new();
        let mut classes = BTreeMap::new();
        for (source, parts) in material.readable(IMAGES) {
            let opened = Pictures::open_once(parts, Decode::Fast)
                .with_context(|| format!("stage `{}`", source.stage))?;
            classes.insert(source.stage.clone(), told_apart(opened.images().classes()));
            pictures.insert(source.stage.clone(), opened);
        }
        Ok(Gallery {
            pictures,
            classes,
            sheets: Default::default(),
        })
    }

    /// The images of a stage, where they may be read.
    pub fn images(&self, stage: &str) -> Option<&ImagesReader> {
        Some(self.pictures.get(stage)?.images())
    }

    /// Label → name of the classes of a stage's images, no two alike; nothing where the images may
    /// not be read.
    pub fn classes(&self, stage: &str) -> &BTreeMap<i32, String> {
        static NONE: BTreeMap<i32, String> = BTreeMap::new();
        self.classes.get(stage).unwrap_or(&NONE)
    }

    /// A picture's place in its sheet: the n-th that was asked for.
    pub fn place(&mut self, size: Size, stage: &str, row: usize) -> usize {
        let sheet = &mut self.sheets[size as usize];
        let key = (stage.to_owned(), row);
        if let Some(place) = sheet.known.get(&key) {
            return *place;
        }
        let place = sheet.wanted.len();
        sheet.wanted.push(key.clone());
        sheet.known.insert(key, place);
        place
    }

    /// A picture of an image, with what it is called for those who can't see it.
    pub fn picture(&mut self, size: Size, stage: &str, row: usize, name: &str) -> String {
        let place = self.place(size, stage, row);
        shown(size as usize, place, name, "")
    }

    /// A picture that is drawn already, its longer side at most [`TILE`], shown as wide or high as
    /// the others.
    pub fn drawn(&mut self, picture: RgbImage, name: &str) -> String {
        let longer = picture.width.max(picture.height);
        let share = |side: u32| f64::from(side) / f64::from(longer);
        let form = format!(
            ";--k:{:.3};--w:{:.3};--t:{:.3}",
            f64::from(TILE) / f64::from(longer),
            share(picture.width),
            share(picture.height)
        );
        self.sheets[VIEWS].drawn.push(picture);
        shown(VIEWS, self.sheets[VIEWS].drawn.len() - 1, name, &form)
    }

    /// The style sheet with all pictures that were asked for.
    pub fn style(&self) -> Result<String> {
        let mut style = String::new();
        for (sheet, (class, most, columns, quality)) in self.sheets.iter().zip(SHEETS) {
            let tiles = self.tiles(sheet, most)?;
            if tiles.is_empty() {
                continue;
            }
            // Pictures of images are all of one size.
            let side = if class == SHEETS[VIEWS].0 {
                TILE
            } else {
                tiles[0].width
            };
            let cell = side.next_multiple_of(CELL);
            let columns = columns.min(tiles.len());
            let jpeg = encoded(&tiles, columns, cell, quality)?;
            let pixelated = if side <= 32 {
                "image-rendering:pixelated;"
            } else {
                ""
            };
            push(
                &mut style,
                format_args!(
                    ".pic.{class}{{--cols:{columns};--scale:calc({cell}/{side});{pixelated}background-image:url(data:image/jpeg;base64,{})}}\n",
                    base64(&jpeg)
                ),
            );
        }
        Ok(style)
    }

    fn tiles(&self, sheet: &Sheet, most: u32) -> Result<Vec<RgbImage>> {
        let shorter = |(stage, row): &SheetImage| {
            let image = self.pictures[stage].images().image(*row);
            image.width.min(image.height)
        };
        let side = sheet
            .wanted
            .iter()
            .map(shorter)
            .max()
            .unwrap_or(1)
            .clamp(1, most);
        let mut tiles: Vec<RgbImage> = sheet
            .wanted
            .par_iter()
            .map_init(
                || (Decoded::default(), Scratch::default()),
                |(decoded, scratch), (stage, row)| {
                    square(&self.pictures[stage], *row, side, decoded, scratch)
                },
            )
            .collect::<Result<_>>()?;
        tiles.extend(sheet.drawn.iter().cloned());
        Ok(tiles)
    }
}

/// - `form`: further variables of the style, empty or beginning with a semicolon
fn shown(sheet: usize, place: usize, name: &str, form: &str) -> String {
    let (class, _, columns, _) = SHEETS[sheet];
    format!(
        "<span class=\"pic {class}\" role=\"img\" aria-label=\"{}\" style=\"--x:{};--y:{}{form}\"></span>",
        escaped(name),
        place % columns,
        place / columns
    )
}

/// An image's centre square.
fn square(
    pictures: &Pictures,
    row: usize,
    side: u32,
    decoded: &mut Decoded,
    scratch: &mut Scratch,
) -> Result<RgbImage> {
    let image = pictures.images().image(row);
    let view = View::centre_square(image.width, image.height, side);
    let picture = pictures.picture(row, std::slice::from_ref(&view), decoded)?;
    let mut values = vec![0.0; 3 * side as usize * side as usize];
    render(
        picture.pixels(),
        &view,
        scratch,
        &mut values,
        Layout::Hwc,
        None,
    )
    .with_context(|| format!("rendering {}", pictures.describe(row)))?;
    Ok(RgbImage::new(side, side, bytes(&values)))
}

/// The pictures in rows of cells as one JPEG, without colour when none of them has any.
fn encoded(tiles: &[RgbImage], columns: usize, cell: u32, quality: u8) -> Result<Vec<u8>> {
    let cell = cell as usize;
    let rows = tiles.len().div_ceil(columns);
    let (width, height) = (columns * cell, rows * cell);
    let mut pixels = vec![128; 3 * width * height];
    for (index, tile) in tiles.iter().enumerate() {
        let (left, top) = (index % columns * cell, index / columns * cell);
        let (across, down) = (tile.width as usize, tile.height as usize);
        for y in 0..cell {
            // The picture's edge goes on to the cell's, so that no block has an edge that the
            // picture hasn't.
            let line = &tile.pixels[3 * across * y.min(down - 1)..][..3 * across];
            for x in 0..cell {
                let to = 3 * ((top + y) * width + left + x);
                pixels[to..to + 3].copy_from_slice(&line[3 * x.min(across - 1)..][..3]);
            }
        }
    }
    let is_gray = pixels
        .as_chunks::<3>()
        .0
        .iter()
        .all(|[red, green, blue]| red == green && green == blue);
    let color = if is_gray {
        pixels = pixels.into_iter().step_by(3).collect();
        ColorType::Luma
    } else {
        ColorType::Rgb
    };
    let side = |length: usize| {
        u16::try_from(length).context("BUG: a sheet of pictures that is too large for JPEG")
    };
    let mut jpeg = Vec::new();
    let mut encoder = Encoder::new(&mut jpeg, quality);
    encoder.set_sampling_factor(SamplingFactor::F_2_2);
    encoder.set_optimized_huffman_tables(true);
    encoder
        .encode(&pixels, side(width)?, side(height)?, color)
        .context("BUG: a JPEG in memory")?;
    Ok(jpeg)
}

/// RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for chunk in bytes.chunks(3) {
        let of = |index: usize| u32::from(chunk.get(index).copied().unwrap_or(0));
        let bits = of(0) << 16 | of(1) << 8 | of(2);
        for index in 0..4 {
            if index <= chunk.len() {
                text.push(char::from(
                    LETTERS[(bits >> (18 - 6 * index) & 63) as usize],
                ));
            } else {
                text.push('=');
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }

    #[test]
    fn every_picture_lies_in_its_cell() {
        let tile = |color: [u8; 3]| RgbImage::new(28, 28, color.repeat(28 * 28));
        let tiles = [
            tile([250, 20, 20]),
            tile([20, 250, 20]),
            tile([20, 20, 250]),
        ];
        let jpeg = encoded(&tiles, 2, 32, 90).unwrap();
        let sheet = seedpipe_imaging::decode(&jpeg, &seedpipe_imaging::Limits::default()).unwrap();
        assert_eq!((sheet.width, sheet.height), (64, 64));
        for (index, tile) in tiles.iter().enumerate() {
            let (x, y) = (index % 2 * 32 + 14, index / 2 * 32 + 14);
            for channel in 0..3 {
                let seen = sheet.pixels[3 * (y * 64 + x) + channel];
                assert!(seen.abs_diff(tile.pixels[channel]) < 12, "{index} {seen}");
            }
        }
        // Without colour it is lighter.
        let gray = encoded(&[tile([90, 90, 90])], 1, 32, 90).unwrap();
        assert!(gray.len() < jpeg.len());
    }
}
