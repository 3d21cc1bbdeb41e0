//! Words that the other crates share and each would otherwise say for itself: what a view of an image is, numbers as text.
//!
//! Data alone: nothing here reads, writes or computes pixels.

mod caught;
mod filter;
mod operation;
mod refusal;
pub mod text;
mod view;

pub use caught::{caught, message_of};
pub use filter::Filter;
pub use operation::Operation;
pub use refusal::{Parts, Refusal};
pub use view::{CropBox, MAXIMAL_SIGMA, MAXIMAL_SIZE, View, ViewError};
