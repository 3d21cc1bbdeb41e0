//! What is done to an image: the [`policy`] that says how views are drawn, the views' [`crop`]s,
//! and the [`operations`] on their pixels with their numbers, draws and arithmetic.
//!
//! A new operation is a row in base's `Operation` and what [`operations`] asks for.

pub(crate) mod blur;
mod chance;
pub(crate) mod crop;
pub(crate) mod named;
mod numbers;
pub(crate) mod operations;
pub(crate) mod policy;
