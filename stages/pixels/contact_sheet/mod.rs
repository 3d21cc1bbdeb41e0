//! Contact sheets: images, and views of them with their numbers, as one PNG for people to look at.
//!
//! A view's box on the original shows what it sees: its crop, or the window within it. Views are
//! rendered as training renders them.

mod canvas;

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use rayon::prelude::*;
use seedpipe_artifact::ImagesReader;
use seedpipe_base::Refusal;
use seedpipe_imaging::{CropBox, Filter, Layout, Limits, RgbImage, Scratch, View, decode, render};

use crate::pixels::viewed::Viewed;
use canvas::{Canvas, Color, LETTER};

/// Side of a tile in pixels.
pub(crate) const TILE: u32 = 160;
/// Pixels between tiles.
const GAP: u32 = 8;
/// Lines of text below a tile, and pixels from one to the next.
const LINES: u32 = 5;
const LEADING: u32 = LETTER + 2;
/// Tiles side by side on a sheet of images.
const COLUMNS: usize = 8;
/// Views of an image that are shown.
const VIEWS: usize = 6;

const PAPER: Color = [250, 250, 248];
const INK: Color = [30, 30, 30];
/// One a view: told apart by people who see red and green alike too (Okabe and Ito's palette).
pub(crate) const COLORS: [Color; VIEWS] = [
    [230, 159, 0],
    [0, 114, 178],
    [213, 94, 0],
    [0, 158, 115],
    [204, 121, 167],
    [86, 180, 233],
];

/// A tile with its text.
struct Tile {
    picture: RgbImage,
    frame: Option<Color>,
    /// Boxes on the picture, in its pixels: x, y, width, height.
    boxes: Vec<(CropBox, Color)>,
    lines: Vec<String>,
}

/// Images, spread evenly over the artifact, each with its number, size, class and split.
///
/// - `parts`: of an `images/v1` artifact
/// - `count`: at most so many
pub fn of_images(parts: &[PathBuf], count: usize) -> Result<Vec<u8>> {
    let images = ImagesReader::open(parts)?;
    let tiles = spread(images.rows(), count)
        .into_par_iter()
        .map(|row| original(&images, row, &[]))
        .collect::<Result<Vec<Tile>>>()?;
    sheet(&tiles, COLUMNS.min(tiles.len()))
}

/// A row an image, spread evenly over the viewed ones: the image with its views' boxes, then the
/// first views with their numbers.
///
/// - `image_parts`, `view_parts`: of an `images/v1` and a `views/v1` artifact
/// - `count`: at most so many images
pub fn of_views(image_parts: &[PathBuf], view_parts: &[PathBuf], count: usize) -> Result<Vec<u8>> {
    let images = ImagesReader::open(image_parts)?;
    let viewed = Viewed::open(view_parts, &images)?;
    let shown = viewed.views().min(VIEWS);
    let rows = spread(viewed.len(), count)
        .into_par_iter()
        .map(|position| tiles_of(&images, &viewed, position))
        .collect::<Result<Vec<_>>>()?;
    let tiles: Vec<Tile> = rows.into_iter().flatten().collect();
    sheet(&tiles, shown + 1)
}

/// An image with its views as a page shows them.
pub(crate) struct Looked {
    /// Its longer side is [`TILE`].
    pub original: RgbImage,
    /// What each view sees, in the original's pixels here.
    pub boxes: Vec<CropBox>,
    /// Number, size, class and split.
    pub about: Vec<String>,
    /// Each view with its numbers.
    pub views: Vec<(RgbImage, Vec<String>)>,
}

/// As [`of_views`], for a page that arranges the pictures itself.
pub(crate) fn looked(
    image_parts: &[PathBuf],
    view_parts: &[PathBuf],
    count: usize,
) -> Result<Vec<Looked>> {
    let images = ImagesReader::open(image_parts)?;
    let viewed = Viewed::open(view_parts, &images)?;
    let rows = spread(viewed.len(), count).into_par_iter();
    rows.map(|position| {
        let mut tiles = tiles_of(&images, &viewed, position)?.into_iter();
        let original = tiles.next().context("BUG: an image without a tile")?;
        Ok(Looked {
            original: original.picture,
            boxes: original.boxes.into_iter().map(|(of, _)| of).collect(),
            about: original.lines,
            views: tiles.map(|tile| (tile.picture, tile.lines)).collect(),
        })
    })
    .collect()
}

/// The image at a position of the views, then its first views.
fn tiles_of(images: &ImagesReader, viewed: &Viewed, position: usize) -> Result<Vec<Tile>> {
    let views = (0..viewed.views().min(VIEWS))
        .map(|view| {
            let mut read = viewed.read(view, position..position + 1)?;
            read.pop()
                .context("BUG: a view that was counted is not there")
        })
        .collect::<Result<Vec<View>>>()?;
    image_with_views(images, viewed.image(position), &views)
}

/// At most `count` of the numbers below `length`, at even distances.
fn spread(length: usize, count: usize) -> Vec<usize> {
    let count = count.min(length);
    (0..count).map(|index| index * length / count).collect()
}

fn pixels(images: &ImagesReader, row: usize) -> Result<RgbImage> {
    let about = images.image(row);
    // What was ingested was within its stage's limit.
    let limits = Limits {
        pixels: u64::from(about.width) * u64::from(about.height),
    };
    let source = || format!("image {}", about.image_id);
    decode(&images.bytes(row)?, &limits).with_context(source)
}

fn original(images: &ImagesReader, row: usize, views: &[View]) -> Result<Tile> {
    tile_of(images, row, &pixels(images, row)?, views)
}

fn tile_of(images: &ImagesReader, row: usize, image: &RgbImage, views: &[View]) -> Result<Tile> {
    let about = images.image(row);
    let picture = fitted(image)?;
    let boxes = views.iter().zip(COLORS).map(|(view, color)| {
        let seen = scaled(&seen(view), image, &picture);
        (seen, color)
    });
    let mut lines = vec![format!(
        "#{} {}x{}",
        about.image_id, about.width, about.height
    )];
    if let Some(label) = about.label {
        let name = images.classes().get(&label);
        lines.push(name.cloned().unwrap_or_else(|| label.to_string()));
    }
    lines.push(about.split.to_owned());
    Ok(Tile {
        boxes: boxes.collect(),
        picture,
        frame: None,
        lines,
    })
}

fn image_with_views(images: &ImagesReader, row: usize, views: &[View]) -> Result<Vec<Tile>> {
    let image = pixels(images, row)?;
    let mut tiles = vec![tile_of(images, row, &image, views)?];
    let mut scratch = Scratch::default();
    for (number, (view, color)) in views.iter().zip(COLORS).enumerate() {
        let rendered = rendered(&image, view, &mut scratch)?;
        tiles.push(Tile {
            picture: enlarged(rendered)?,
            frame: Some(color),
            boxes: Vec::new(),
            lines: numbers(number, view),
        });
    }
    Ok(tiles)
}

/// The part of the image that ends up in the view.
fn seen(view: &View) -> CropBox {
    let along = |start: u32, length: u32, resized: u32, window: u32| {
        let scale = f64::from(length) / f64::from(resized);
        (
            start + (f64::from(window) * scale).round() as u32,
            (f64::from(view.size) * scale).round().max(1.0) as u32,
        )
    };
    let crop = view.crop;
    let (x, width) = along(crop.x, crop.width, view.resize[0], view.window[0]);
    let (y, height) = along(crop.y, crop.height, view.resize[1], view.window[1]);
    CropBox {
        x,
        y,
        width,
        height,
    }
}

/// A box of the image in the pixels of its smaller picture.
fn scaled(of: &CropBox, image: &RgbImage, picture: &RgbImage) -> CropBox {
    let along = |start: u32, length: u32, from: u32, to: u32| {
        let scale = f64::from(to) / f64::from(from);
        let (first, end) = (f64::from(start) * scale, f64::from(start + length) * scale);
        let first = (first.round() as u32).min(to - 1);
        (first, (end.round() as u32).clamp(first + 1, to) - first)
    };
    let (x, width) = along(of.x, of.width, image.width, picture.width);
    let (y, height) = along(of.y, of.height, image.height, picture.height);
    CropBox {
        x,
        y,
        width,
        height,
    }
}

/// Crop and operations, short enough for the lines below a tile.
fn numbers(number: usize, view: &View) -> Vec<String> {
    let crop = view.crop;
    let mut lines = vec![
        format!("view {number}"),
        format!("{}x{}+{}+{}", crop.width, crop.height, crop.x, crop.y),
    ];
    let mut line = String::new();
    for operation in &view.operations {
        let word = operation.brief();
        if !line.is_empty() && line.len() + 1 + word.len() > (TILE / LETTER) as usize {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(&word);
    }
    lines.push(line);
    lines
}

fn rendered(image: &RgbImage, view: &View, scratch: &mut Scratch) -> Result<RgbImage> {
    let side = view.size;
    let mut values = vec![0.0; 3 * side as usize * side as usize];
    render(image, view, scratch, &mut values, Layout::Hwc, None).map_err(Refusal::failed)?; // of the artifacts, not of what was asked for
    Ok(RgbImage::new(side, side, bytes(&values)))
}

/// 0–1 as 8 bits.
pub(crate) fn bytes(values: &[f32]) -> Vec<u8> {
    values
        .iter()
        .map(|value| (value * 255.0).round().clamp(0.0, 255.0) as u8)
        .collect()
}

/// A view as large as a tile: its pixels repeated when it is small, else resized.
fn enlarged(view: RgbImage) -> Result<RgbImage> {
    let factor = TILE / view.width;
    if factor < 2 {
        return fitted(&view);
    }
    let side = view.width * factor;
    let pixel = |x: u32, y: u32| {
        let place = 3 * ((y / factor) as usize * view.width as usize + (x / factor) as usize);
        view.pixels[place..place + 3].to_vec()
    };
    let pixels = (0..side).flat_map(|y| (0..side).flat_map(move |x| [(x, y)]));
    let pixels = pixels.flat_map(|(x, y)| pixel(x, y)).collect();
    Ok(RgbImage::new(side, side, pixels))
}

/// An image resized so that its longer side is a tile's.
fn fitted(image: &RgbImage) -> Result<RgbImage> {
    let longer = image.width.max(image.height);
    let short = |side: u32| (u64::from(side) * u64::from(TILE) / u64::from(longer)).max(1) as u32;
    let (width, height) = (short(image.width), short(image.height));
    let side = width.min(height);
    // The renderer makes squares: they are put side by side, the last one up to the edge.
    let mut picture = Canvas::new(width, height, PAPER);
    let mut scratch = Scratch::default();
    let starts = |length: u32| {
        let mut starts: Vec<u32> = (0..length / side).map(|index| index * side).collect();
        if !length.is_multiple_of(side) {
            starts.push(length - side);
        }
        starts
    };
    for y in starts(height) {
        for x in starts(width) {
            let view = View {
                crop: CropBox {
                    x: 0,
                    y: 0,
                    width: image.width,
                    height: image.height,
                },
                resize: [width, height],
                window: [x, y],
                size: side,
                filter: Filter::Bilinear,
                operations: Vec::new(),
            };
            picture.put(&rendered(image, &view, &mut scratch)?, x, y);
        }
    }
    Ok(picture.into_image())
}

/// Tiles in rows.
fn sheet(tiles: &[Tile], columns: usize) -> Result<Vec<u8>> {
    if tiles.is_empty() {
        bail!(
            Refusal::failure("expected images to show, got none").hint("check the stage's `split`")
        );
    }
    let (across, down) = (TILE + GAP, TILE + GAP + LINES * LEADING + GAP);
    let rows = tiles.len().div_ceil(columns) as u32;
    let mut canvas = Canvas::new(GAP + across * columns as u32, GAP + down * rows, PAPER);
    for (index, tile) in tiles.iter().enumerate() {
        let x = GAP + across * (index % columns) as u32;
        let y = GAP + down * (index / columns) as u32;
        canvas.put(&tile.picture, x, y);
        for (of, color) in &tile.boxes {
            canvas.outline(x + of.x, y + of.y, of.width, of.height, *color);
        }
        if let Some(color) = tile.frame {
            let (width, height) = (tile.picture.width + 4, tile.picture.height + 4);
            for wider in 0..2 {
                canvas.outline(
                    x - 2 + wider,
                    y - 2 + wider,
                    width - 2 * wider,
                    height - 2 * wider,
                    color,
                );
            }
        }
        for (number, line) in tile.lines.iter().take(LINES as usize).enumerate() {
            let below = y + TILE + GAP / 2 + LEADING * number as u32;
            canvas.text(line, x, below, TILE, INK);
        }
    }
    canvas.into_png()
}

#[cfg(test)]
mod tests {
    use seedpipe_imaging::Operation;

    use super::*;

    fn view(crop: CropBox) -> View {
        View {
            crop,
            ..View::identity(32)
        }
    }

    #[test]
    fn a_box_shows_what_the_view_sees() {
        let crop = CropBox {
            x: 10,
            y: 20,
            width: 64,
            height: 128,
        };
        assert_eq!(seen(&view(crop)), crop);
        let windowed = View {
            resize: [64, 128],
            window: [16, 48],
            ..view(crop)
        };
        let expected = CropBox {
            x: 26,
            y: 68,
            width: 32,
            height: 32,
        };
        assert_eq!(seen(&windowed), expected);
    }

    #[test]
    fn pictures_keep_their_aspect_and_their_colours() {
        for (width, height, expected) in [
            (320, 320, (160, 160)),
            (400, 100, (160, 40)),
            (3, 700, (1, 160)),
        ] {
            let count = width as usize * height as usize;
            let picture =
                fitted(&RgbImage::new(width, height, [200, 100, 50].repeat(count))).unwrap();
            assert_eq!((picture.width, picture.height), expected);
            assert!(
                picture
                    .pixels
                    .chunks(3)
                    .all(|color| color == [200, 100, 50])
            );
        }
    }

    #[test]
    fn numbers_fit_below_their_tile() {
        let many = View {
            operations: vec![
                Operation::Brightness(1.25),
                Operation::Contrast(0.8),
                Operation::Saturation(1.0),
                Operation::Hue(-0.05),
                Operation::Grayscale,
                Operation::Blur(1.33),
                Operation::Flip,
            ],
            ..View::identity(32)
        };
        let lines = numbers(3, &many);
        assert_eq!(
            lines,
            [
                "view 3",
                "32x32+0+0",
                "b1.25 c0.80 s1.00",
                "h-0.05 gray blur1.3",
                "flip"
            ]
        );
        assert_eq!(spread(10, 4), [0, 2, 5, 7]);
        assert_eq!(spread(2, 4), [0, 1]);
    }
}
