//! Work whose bits must not depend on the number of threads: networks that only look, losses over
//! the queue, evaluation on cached features.
//!
//! libtorch's convolutions and matrix products may split sums among threads. So a piece of work of
//! fixed size runs on one thread of libtorch, and several such pieces, or what is left to do per
//! row, run side by side on rayon.

use rayon::prelude::*;

use crate::torch::device::with_threads;

/// Images that go through a network on one thread together, at most: enough that a layer's work
/// outweighs its call, and few enough that a batch keeps many cores at work.
pub(crate) const PART: i64 = 16;

/// Runs `work` with libtorch on one thread, then restores the calling thread's number.
pub(crate) fn with_one_thread<T>(work: impl FnOnce() -> T) -> T {
    with_threads(1, work)
}

/// Does each piece of work on one thread of libtorch, as many at a time as there are cores; results
/// in the order of the work.
pub(crate) fn side_by_side<W: Send, R: Send>(
    pieces: Vec<W>,
    work: impl Fn(W) -> R + Sync + Send,
) -> Vec<R> {
    let one = |piece| with_one_thread(|| work(piece));
    pieces.into_par_iter().map(one).collect()
}
