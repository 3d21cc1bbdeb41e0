//! How the C library keeps memory that tensors free.

use crate::torch::shim;

/// Keeps freed memory for the next tensor instead of giving it back to the system; once, before the
/// first tensor. Does nothing where the C library is not glibc, and where the environment has its
/// own word (`MALLOC_…_`, `GLIBC_TUNABLES`).
///
/// glibc maps each block from 32 MiB on anew and trims its heap whenever 128 KiB at its end are
/// free: every step of a training then pays for the same pages, zeroed by the kernel, again.
pub fn keep() {
    let own_word = [
        "MALLOC_TRIM_THRESHOLD_",
        "MALLOC_MMAP_THRESHOLD_",
        "GLIBC_TUNABLES",
    ];
    if own_word.iter().all(|name| std::env::var_os(name).is_none()) {
        shim::keep_memory();
    }
}
