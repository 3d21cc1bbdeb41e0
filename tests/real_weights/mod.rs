//! Published weights on the data that they are known by, all the way through the pipeline.
//!
//! Neither belongs to the repository: tests/requirements.rs has what becomes of a test without.

mod lite0;
mod resnet56;
