//! Published weights on the data that they are known by, all the way through the pipeline.
//!
//! Neither belongs to the repository: where one is missing, the test says so and is skipped.

mod lite0;
mod resnet56;
