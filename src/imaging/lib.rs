//! Images: encoded bytes to pixels, policies to views, views to values.
//!
//! Pixels in, pixels out: this crate opens no file and knows no tensor, no table and no stage.
//! Nothing here panics on bad bytes or on an impossible view; both are errors. Random numbers come
//! from the caller's generator alone, and rendering gives the same bits on every machine that
//! computes `exp` alike.
//!
//! The rooms, each knowing only those before it: `instructions`, `pixels`, `decode`, `resize`,
//! `augment`, `render`.

mod augment;
mod decode;
mod instructions;
mod pixels;
mod render;
mod resize;

pub use augment::crop::{Crop, resized_shorter_side};
pub use augment::named::RecipeName;
pub use augment::operations::{Adjust, Policy};
pub use decode::format::Format;
pub use decode::{DecodeError, Header, Limits, check, decode, inspect};
pub use instructions::Instructions;
pub use pixels::RgbImage;
pub use render::{Layout, Normalise, RENDERING_VERSION, Scratch, render};
pub use resize::part::{Decode, Decoded, Pixels, decode_for};
pub use seedpipe_base::{CropBox, Filter, Operation, View};
