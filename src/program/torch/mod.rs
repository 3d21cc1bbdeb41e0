//! The way to libtorch and what stands around it: which library ([`libtorch`]), which
//! [`processor`], which Python, and the program that is linked with it ([`sibling`]).

pub(crate) mod elf;
pub(crate) mod libtorch;
pub(crate) mod machine_memory;
pub(crate) mod numerics;
pub(crate) mod onnx_speed;
pub(crate) mod processor;
pub(crate) mod python_environment;
pub(crate) mod sibling;
