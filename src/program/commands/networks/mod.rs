//! Trained networks outside a pipeline.

mod among;
pub mod duplicates;
pub mod export;
pub mod look;
pub mod network;
