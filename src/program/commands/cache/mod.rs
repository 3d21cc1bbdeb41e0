//! The cache and its remote: checked, shared, cleared.

pub mod gc;
pub mod pull;
pub mod push;
mod rerun;
pub mod verify;
