//! What makes results come again: the lock, reruns, numerics classes, explanations, thread counts,
//! kind versions.

mod classes;
mod every_kind;
mod explain;
mod falsified;
mod kind_versions;
mod locked;
mod rerun;
mod threads;
