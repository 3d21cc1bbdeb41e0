//! Words that the other crates share and each would otherwise say for itself: refusals, what a view
//! of an image is, what two outputs differ in and may, numbers as text and as bytes, text of others
//! where it goes, serde's messages in words, names that were meant, layers of a graph, a caught panic.
//!
//! Nothing here reads files, writes them or computes pixels.

mod caught;
mod comparison;
mod filter;
mod layers;
pub mod mismatch;
pub mod neutral;
mod operation;
mod refusal;
pub mod suggestion;
pub mod text;
pub mod varint;
mod view;

pub use caught::{caught, message_of};
pub use comparison::{Comparison, Tolerance, WorstRow};
pub use filter::Filter;
pub use layers::layers;
pub use operation::Operation;
pub use refusal::{Parts, Refusal, hinted};
pub use view::{CropBox, MAXIMAL_SIGMA, MAXIMAL_SIZE, View};
