//! Decoded pixels, and turning them upright as EXIF asks.

/// An image of 8-bit RGB.
///
/// # Shapes
/// - `pixels`: `[height, width, 3]`, rows of interleaved red, green and blue
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RgbImage {
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// `height * width * 3` samples.
    pub pixels: Vec<u8>,
}

impl RgbImage {
    /// An image of the given samples.
    ///
    /// # Panics
    /// When `pixels` does not hold `height * width * 3` samples.
    pub fn new(width: u32, height: u32, pixels: Vec<u8>) -> RgbImage {
        assert_eq!(
            pixels.len() as u64,
            u64::from(width) * u64::from(height) * 3,
            "BUG: samples of a {width} × {height} RGB image"
        );
        RgbImage {
            width,
            height,
            pixels,
        }
    }

    /// The image turned upright, given its EXIF orientation (1 to 8; anything else leaves it as it
    /// is).
    pub(crate) fn upright(self, orientation: u8) -> RgbImage {
        let (width, height) = (self.width as usize, self.height as usize);
        let (right, bottom) = (width.saturating_sub(1), height.saturating_sub(1));
        match orientation {
            2 => self.mapped(width, height, |x, y| (right - x, y)),
            3 => self.mapped(width, height, |x, y| (right - x, bottom - y)),
            4 => self.mapped(width, height, |x, y| (x, bottom - y)),
            5 => self.mapped(height, width, |x, y| (y, x)),
            6 => self.mapped(height, width, |x, y| (y, bottom - x)),
            7 => self.mapped(height, width, |x, y| (right - y, bottom - x)),
            8 => self.mapped(height, width, |x, y| (right - y, x)),
            _ => self,
        }
    }

    /// An image of `width` × `height` whose pixel (x, y) is this one's pixel `source(x, y)`.
    fn mapped(
        &self,
        width: usize,
        height: usize,
        source: impl Fn(usize, usize) -> (usize, usize),
    ) -> RgbImage {
        let stride = self.width as usize * 3;
        let mut pixels = Vec::with_capacity(self.pixels.len());
        for y in 0..height {
            for x in 0..width {
                let (source_x, source_y) = source(x, y);
                let start = source_y * stride + source_x * 3;
                pixels.extend_from_slice(&self.pixels[start..start + 3]);
            }
        }
        RgbImage::new(width as u32, height as u32, pixels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two columns and three rows, named by their red sample: 1 2 / 3 4 / 5 6.
    fn numbered() -> RgbImage {
        let pixels = (1..=6u8).flat_map(|red| [red, 0, 0]).collect();
        RgbImage::new(2, 3, pixels)
    }

    fn reds(image: &RgbImage) -> Vec<u8> {
        image.pixels.iter().step_by(3).copied().collect()
    }

    #[test]
    fn each_orientation_moves_pixels_as_exif_defines_it() {
        let expected: [(u8, u32, [u8; 6]); 8] = [
            (1, 2, [1, 2, 3, 4, 5, 6]),
            (2, 2, [2, 1, 4, 3, 6, 5]),
            (3, 2, [6, 5, 4, 3, 2, 1]),
            (4, 2, [5, 6, 3, 4, 1, 2]),
            (5, 3, [1, 3, 5, 2, 4, 6]),
            (6, 3, [5, 3, 1, 6, 4, 2]),
            (7, 3, [6, 4, 2, 5, 3, 1]),
            (8, 3, [2, 4, 6, 1, 3, 5]),
        ];
        for (orientation, width, samples) in expected {
            let turned = numbered().upright(orientation);
            assert_eq!(turned.width, width, "orientation {orientation}");
            assert_eq!(reds(&turned), samples, "orientation {orientation}");
        }
    }
}
