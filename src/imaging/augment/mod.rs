//! What is done to an image: the [`policy`] that says how views are drawn, the views' [`crop`]s,
//! and the [`operations`] on their pixels with their numbers, draws and arithmetic.
//!
//! The policies that people know by a name (the key `recipe:`) are [`named`]. A new operation is a
//! row in base's `operations!` and what [`operations`] asks for; `numbers` makes the policy of its
//! rows. Resampling, order and writing of a view are `render`'s.

pub(crate) mod blur;
mod chance;
pub(crate) mod crop;
pub(crate) mod named;
mod numbers;
pub(crate) mod operations;
pub(crate) mod policy;
