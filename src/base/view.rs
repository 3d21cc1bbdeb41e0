//! One augmented look at one image, as explicit numbers.
//!
//! A view says everything that rendering needs: which box of the upright image, resized to what, which window of
//! that, and which operations in which order. Two equal views of one image are equal pixels.

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

/// A view of an image: its `crop` resized to `resize`, the `window` of `size` × `size` pixels cut from that, and
/// the operations on those pixels in order.
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

    /// The greatest square in the centre of an image of `width` × `height`, resized without a margin.
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

    /// Checks that the view lies within an image of `width` × `height` and that its numbers are possible.
    ///
    /// # Errors
    /// Names the first part of the view that does not fit.
    pub fn check(&self, width: u32, height: u32) -> Result<(), ViewError> {
        let crop = self.crop;
        let fits = |start: u32, length: u32, whole: u32| {
            length > 0 && u64::from(start) + u64::from(length) <= u64::from(whole)
        };
        if !(1..=MAXIMAL_SIZE).contains(&self.size) {
            return Err(ViewError::Size { got: self.size });
        }
        if !fits(crop.x, crop.width, width) || !fits(crop.y, crop.height, height) {
            return Err(ViewError::Crop {
                crop,
                width,
                height,
            });
        }
        let [resized_width, resized_height] = self.resize;
        let [x, y] = self.window;
        if !fits(x, self.size, resized_width) || !fits(y, self.size, resized_height) {
            return Err(ViewError::Window {
                x,
                y,
                size: self.size,
                width: resized_width,
                height: resized_height,
            });
        }
        self.operations.iter().try_for_each(Operation::check)
    }
}

/// Why a view cannot be rendered.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum ViewError {
    /// The size is 0 or beyond what is rendered.
    #[error("view of size {got}, expected 1 to {max}", max = MAXIMAL_SIZE)]
    Size {
        /// The view's size.
        got: u32,
    },
    /// The crop is empty or reaches beyond the image.
    #[error(
        "crop of {} × {} at ({}, {}), expected a box within the image's {width} × {height}",
        crop.width, crop.height, crop.x, crop.y
    )]
    Crop {
        /// The view's crop.
        crop: CropBox,
        /// Pixels in a row of the image.
        width: u32,
        /// Rows of the image.
        height: u32,
    },
    /// The image was decoded for other views.
    #[error(
        "crop of {} × {} at ({}, {}), expected one of the views that the image was decoded for",
        crop.width, crop.height, crop.x, crop.y
    )]
    Undecoded {
        /// The view's crop.
        crop: CropBox,
    },
    /// The window reaches beyond the resized crop.
    #[error(
        "window of {size} × {size} at ({x}, {y}), expected it within the resized crop's {width} × {height}"
    )]
    Window {
        /// Left edge.
        x: u32,
        /// Top edge.
        y: u32,
        /// Width and height.
        size: u32,
        /// Pixels in a row of the resized crop.
        width: u32,
        /// Rows of the resized crop.
        height: u32,
    },
    /// An operation cannot have that amount.
    #[error("operation `{operation}` of amount {got}, expected {expected}")]
    Amount {
        /// The operation's name.
        operation: &'static str,
        /// What is possible.
        expected: &'static str,
        /// The amount.
        got: f32,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_view_beyond_its_image_or_its_resized_crop_is_refused() {
        let view = View::identity(8);
        assert_eq!(view.check(8, 8), Ok(()));
        assert!(matches!(view.check(7, 8), Err(ViewError::Crop { .. })));
        let beyond = View {
            window: [1, 0],
            ..view.clone()
        };
        assert!(matches!(beyond.check(8, 8), Err(ViewError::Window { .. })));
        let overflowing = View {
            window: [u32::MAX, 0],
            ..view.clone()
        };
        assert!(overflowing.check(8, 8).is_err());
        assert_eq!(
            View { size: 0, ..view }.check(8, 8),
            Err(ViewError::Size { got: 0 })
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
