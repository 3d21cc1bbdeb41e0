//! What processes that share a cache leave for each other: leases say what a live run uses,
//! [`locks`] who may change what, the history what a pipeline's last run used, and a
//! [`progress_file`] what others see of a run.

pub(crate) mod history;
pub(crate) mod lease;
pub(crate) mod locks;
pub mod progress_file;
