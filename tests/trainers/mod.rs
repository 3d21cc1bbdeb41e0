//! What stages make of their inputs beside the published algorithms, by PyTorch without a line of
//! the project.

mod draws;
mod heads;
mod knn;
mod numbers;
mod probe;
