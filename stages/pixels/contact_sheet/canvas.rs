//! A picture that tiles, boxes and small text are put on.

use anyhow::{Context, Result};
use font8x8::legacy::BASIC_LEGACY;
use image::codecs::png::PngEncoder;
use image::{ExtendedColorType, ImageEncoder};
use seedpipe_imaging::RgbImage;

pub type Color = [u8; 3];

/// Width and height of a letter, in pixels.
pub const LETTER: u32 = 8;

pub struct Canvas {
    image: RgbImage,
}

impl Canvas {
    /// All of one colour.
    pub fn new(width: u32, height: u32, background: Color) -> Canvas {
        let count = width as usize * height as usize;
        Canvas {
            image: RgbImage::new(width, height, background.repeat(count)),
        }
    }

    /// What lies outside is left out.
    fn dot(&mut self, x: u32, y: u32, color: Color) {
        if x < self.image.width && y < self.image.height {
            let place = 3 * (y as usize * self.image.width as usize + x as usize);
            self.image.pixels[place..place + 3].copy_from_slice(&color);
        }
    }

    /// Puts a picture's top left corner at (x, y).
    pub fn put(&mut self, picture: &RgbImage, x: u32, y: u32) {
        let row = 3 * picture.width as usize;
        for (down, line) in picture.pixels.chunks_exact(row).enumerate() {
            for (right, color) in line.chunks_exact(3).enumerate() {
                self.dot(
                    x + right as u32,
                    y + down as u32,
                    [color[0], color[1], color[2]],
                );
            }
        }
    }

    /// The outline of a box, within its width and height.
    pub fn outline(&mut self, x: u32, y: u32, width: u32, height: u32, color: Color) {
        for right in 0..width {
            self.dot(x + right, y, color);
            self.dot(x + right, y + height.saturating_sub(1), color);
        }
        for down in 0..height {
            self.dot(x, y + down, color);
            self.dot(x + width.saturating_sub(1), y + down, color);
        }
    }

    /// A line of text whose letters fit into `width` pixels; letters beyond ASCII are question
    /// marks.
    pub fn text(&mut self, text: &str, x: u32, y: u32, width: u32, color: Color) {
        for (position, letter) in text.chars().take((width / LETTER) as usize).enumerate() {
            let rows = BASIC_LEGACY
                .get(letter as usize)
                .unwrap_or(&BASIC_LEGACY['?' as usize]);
            for (down, bits) in rows.iter().enumerate() {
                for right in (0..LETTER).filter(|right| bits >> right & 1 == 1) {
                    self.dot(x + LETTER * position as u32 + right, y + down as u32, color);
                }
            }
        }
    }

    pub fn into_image(self) -> RgbImage {
        self.image
    }

    /// As a PNG file.
    pub fn into_png(self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        PngEncoder::new(&mut bytes)
            .write_image(
                &self.image.pixels,
                self.image.width,
                self.image.height,
                ExtendedColorType::Rgb8,
            )
            .context("BUG: a PNG in memory")?;
        Ok(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_and_text_stay_on_the_canvas() {
        let mut canvas = Canvas::new(20, 10, [255; 3]);
        canvas.outline(2, 1, 5, 4, [0; 3]);
        canvas.outline(18, 8, 9, 9, [0; 3]); // most of it lies outside
        canvas.text("1ä…", 8, 0, 16, [9; 3]);
        let at = |x: usize, y: usize| canvas.image.pixels[3 * (20 * y + x)];
        assert_eq!((at(6, 4), at(3, 3), at(18, 9)), (0, 255, 0));
        let inked = canvas
            .image
            .pixels
            .chunks(3)
            .filter(|color| color[0] == 9)
            .count();
        assert!(inked > 10, "{inked}");
    }
}
