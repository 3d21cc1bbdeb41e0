//! Trained networks outside a pipeline.

mod among;
pub mod export;
pub mod look;
pub mod network;
