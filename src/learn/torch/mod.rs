//! What lies between us and libtorch: the C++ [`shim`], devices and threads, the bytes of tensors,
//! random numbers by key, the numerics class, products of our own.

pub mod beta;
pub mod device;
pub mod memory;
pub mod numerics;
pub(crate) mod one_thread;
pub(crate) mod packed;
#[cfg(target_arch = "x86_64")]
pub(crate) mod panels;
pub(crate) mod products;
pub mod random;
pub mod script;
pub(crate) mod shim;
pub(crate) mod state_digest;
pub mod tensors;
pub mod weights_file;
