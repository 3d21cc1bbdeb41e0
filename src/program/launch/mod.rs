//! Other processes that work on a run's stages.

mod local;
pub mod places;

pub use local::Local;
