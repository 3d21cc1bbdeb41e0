//! Work whose bits must not depend on the number of threads: evaluation on cached features.
//!
//! libtorch's matrix products may split sums among threads. They are short here, so they run on one; what is left
//! to do per row runs on rayon, which changes no bit.

/// Runs `work` with libtorch on one thread, then restores the number, also when `work` panics.
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
