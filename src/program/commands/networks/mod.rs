//! Trained networks outside a pipeline.

mod among;
pub mod duplicates;
pub mod evaluate;
pub mod export;
pub mod look;
pub mod network;
mod rows;
