//! Work whose bits must not depend on the number of threads: losses over the queue, evaluation on cached features.
//!
//! libtorch's matrix products may split sums among threads. So a piece of work of fixed size runs on one thread of
//! libtorch, and several such pieces, or what is left to do per row, run side by side on rayon.

/// Runs `work` with libtorch on one thread, then restores the calling thread's number, also when `work` panics.
pub(crate) fn with_one_thread<T>(work: impl FnOnce() -> T) -> T {
    struct Restore(i32);
    impl Drop for Restore {
        fn drop(&mut self) {
            tch::set_num_threads(self.0);
        }
    }
    let _restore = Restore(tch::get_num_threads());
    tch::set_num_threads(1);
    work()
}
