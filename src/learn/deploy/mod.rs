//! A trained network made ready to look: folded and fused ([`inference`]), with a classifier
//! ([`deployment`]), in 8 bits ([`quantisation`]), as a file of another runtime ([`onnx`],
//! [`torchscript_file`]).

pub mod deployment;
pub mod inference;
pub mod onnx;
pub mod quantisation;
pub mod torchscript_file;
