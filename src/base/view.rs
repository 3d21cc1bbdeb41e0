//! One augmented look at one image, as explicit numbers.
//!
//! A view says everything that rendering needs: which box of the upright image, resized to what,
//! which window of that, and which operations in which order. Two equal views of one image are
//! equal pixels.

use std::fmt;

use crate::Refusal;
use crate::filter::Filter;
use crate::operation::Operation;

/// The greatest `size` of a view, in pixels a side.
pub const MAXIMAL_SIZE: u32 = 8192;

/// The greatest standard deviation of a blur, in pixels.
pub const MAXIMAL_SIGMA: f32 = 256.0;

/// A box of whole pixels within an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CropBox {
    /// Left edge.
    pub x: u32,
    /// Top edge.
    pub y: u32,
    /// Pixels in a row.
    pub width: u32,
    /// Rows.
    pub height: u32,
}

impl fmt::Display for CropBox {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            x,
            y,
            width,
            height,
        } = self;
        write!(formatter, "{width} × {height} at ({x}, {y})")
    }
}

/// A view of an image: its `crop` resized to `resize`, the `window` of `size` × `size` pixels cut
/// from that, and the operations on those pixels in order.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// The part of the upright image that is looked at.
    pub crop: CropBox,
    /// Width and height of the resized crop.
    pub resize: [u32; 2],
    /// Left and top edge of the window within the resized crop.
    pub window: [u32; 2],
    /// Width and height of the window: of the rendered view.
    pub size: u32,
    /// How pixels are weighed in resizing.
    pub filter: Filter,
    /// What is done to the window's pixels, in order.
    pub operations: Vec<Operation>,
}

impl View {
    /// All pixels of an image of `size` × `size` as they are.
    pub fn identity(size: u32) -> View {
        View {
            crop: CropBox {
                x: 0,
                y: 0,
                width: size,
                height: size,
            },
            resize: [size, size],
            window: [0, 0],
            size,
            filter: Filter::Bilinear,
            operations: Vec::new(),
        }
    }

    /// The greatest square in the centre of an image of `width` × `height`, resized without a
    /// margin.
    pub fn centre_square(width: u32, height: u32, size: u32) -> View {
        let side = width.min(height);
        View {
            crop: CropBox {
                x: (width - side) / 2,
                y: (height - side) / 2,
                width: side,
                height: side,
            },
            ..View::identity(size)
        }
    }

    /// Checks that the view lies within an image of `width` × `height` and that its numbers are
    /// possible.
    ///
    /// # Errors
    /// Names the first part of the view that does not fit.
    pub fn check(&self, width: u32, height: u32) -> Result<(), Refusal> {
        let (crop, size) = (self.crop, self.size);
        let fits = |start: u32, length: u32, whole: u32| {
            length > 0 && u64::from(start) + u64::from(length) <= u64::from(whole)
        };
        if !(1..=MAXIMAL_SIZE).contains(&size) {
            return Err(Refusal::new(format!(
                "view of size {size}, expected 1 to {MAXIMAL_SIZE}"
            )));
        }
        if !fits(crop.x, crop.width, width) || !fits(crop.y, crop.height, height) {
            return Err(Refusal::new(format!(
                "crop of {crop}, expected a box within the image's {width} × {height}"
            )));
        }
        let ([width, height], [x, y]) = (self.resize, self.window);
        if !fits(x, size, width) || !fits(y, size, height) {
            return Err(Refusal::new(format!(
                "window of {size} × {size} at ({x}, {y}), expected it within the resized crop's {width} × {height}"
            )));
        }
        self.operations.iter().try_for_each(Operation::check)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_beyond_its_image_or_its_resized_crop_is_refused() {
        let view = View::identity(8);
        let refused =
            |view: &View, width, height| view.check(width, height).unwrap_err().to_string();
        assert_eq!(view.check(8, 8), Ok(()));
        assert_eq!(
            refused(&view, 7, 8),
            "crop of 8 × 8 at (0, 0), expected a box within the image's 7 × 8"
        );
        let beyond = View {
            window: [1, 0],
            ..view.clone()
        };
        assert_eq!(
            refused(&beyond, 8, 8),
            "window of 8 × 8 at (1, 0), expected it within the resized crop's 8 × 8"
        );
        let overflowing = View {
            window: [u32::MAX, 0],
            ..view.clone()
        };
        assert!(overflowing.check(8, 8).is_err());
        assert_eq!(
            refused(&View { size: 0, ..view }, 8, 8),
            "view of size 0, expected 1 to 8192"
        );
    }

    #[test]
    fn the_centre_square_lies_in_the_middle() {
        let view = View::centre_square(10, 5, 32);
        assert_eq!(
            view.crop,
            CropBox {
                x: 2,
                y: 0,
                width: 5,
                height: 5
            }
        );
        assert_eq!(view.check(10, 5), Ok(()));
    }
}
