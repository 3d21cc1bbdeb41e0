//! How good features are: nearest neighbours ([`knn`]), linear classifiers ([`probe`]),
//! [`retrieval`], and accuracies with their intervals ([`metrics`], [`class_scores`],
//! [`bootstrap`]); without labels, how far they agree with others ([`agreement`]).

pub mod agreement;
pub mod bootstrap;
pub mod class_scores;
pub mod knn;
mod lbfgs;
pub mod metrics;
pub mod probe;
pub mod retrieval;
