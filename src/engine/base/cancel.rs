//! The process-wide wish to stop: set by the binary's signal handler, asked between shards and by
//! stages.

use std::sync::atomic::{AtomicBool, Ordering};

static REQUESTED: AtomicBool = AtomicBool::new(false);

/// The work was stopped by the user; finished shards and checkpoints are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("interrupted")]
pub struct Cancelled;

/// Asks everything that runs in this process to stop at its next shard or checkpoint. Safe in a
/// signal handler.
pub fn request() {
    REQUESTED.store(true, Ordering::SeqCst);
}

/// Whether [`request`] was called.
pub fn requested() -> bool {
    REQUESTED.load(Ordering::SeqCst)
}

/// Takes the wish back, so that the same process can run again.
pub fn reset() {
    REQUESTED.store(false, Ordering::SeqCst);
}

/// `Err(Cancelled)` once [`request`] was called.
pub fn check() -> Result<(), Cancelled> {
    if requested() { Err(Cancelled) } else { Ok(()) }
}
