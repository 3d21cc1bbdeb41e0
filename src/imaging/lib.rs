//! Images: encoded bytes to pixels, recipes to views, views to values.
//!
//! Pixels in, pixels out: this crate opens no file and knows no tensor, no table and no stage. Nothing here
//! panics on bad bytes or on an impossible view; both are errors. Random numbers come from the caller's
//! generator alone, and rendering gives the same bits on every machine that computes `exp` alike.

mod blur;
mod bmp;
mod color;
mod decode;
mod exif;
mod format;
mod gif_frame;
mod instructions;
mod interleave;
mod jitter;
mod jpeg;
mod jpeg_region;
mod part;
mod pillow;
mod pillow_row;
mod pixels;
mod png;
mod recipe;
mod recipe_name;
mod render;
mod resample;
#[cfg(target_arch = "x86_64")]
mod resample_beside;
mod resample_row;
mod sample;
mod view;
mod webp;

pub use decode::{DecodeError, Header, Limits, check, decode, inspect};
pub use format::Format;
pub use instructions::{Instructions, InstructionsError};
pub use part::{Decode, Decoded, Pixels, decode_for};
pub use pixels::RgbImage;
pub use recipe::{Adjust, Crop, Recipe, RecipeError};
pub use recipe_name::RecipeName;
pub use render::{Layout, Normalise, RENDERING_VERSION, Scratch, render};
pub use view::{CropBox, Filter, Operation, View, ViewError};

#[cfg(test)]
mod decode_tests;
#[cfg(test)]
mod golden_tests;
#[cfg(test)]
mod recorded_tests;
