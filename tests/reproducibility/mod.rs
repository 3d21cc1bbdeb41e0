//! What makes results come again: the lock, reruns, thread counts, kind versions.

mod falsified;
mod locked;
mod rerun;
