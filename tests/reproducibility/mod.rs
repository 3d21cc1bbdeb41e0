//! What makes results come again: the lock, reruns, explanations, thread counts, kind versions.

mod every_kind;
mod explain;
mod falsified;
mod kind_versions;
mod locked;
mod rerun;
mod threads;
