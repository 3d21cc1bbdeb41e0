//! Networks, losses, queue, optimisers and evaluation on libtorch.
//!
//! Knows tensors and checkpoint files; knows neither stages, artifacts nor images. A network is data (`graph`), written
//! once per family; weights carry PyTorch's state-dict names. libtorch's own random generator is never drawn from.

pub use tch;

pub mod adamw;
pub mod architecture;
mod architecture_checks;
pub mod autocast;
pub mod average;
pub mod beta;
pub mod bootstrap;
pub mod checkpoint_file;
mod cifar_resnet;
pub mod custom_graph;
pub mod deployment;
pub mod depth;
mod depthwise;
pub mod device;
mod efficientnet;
mod efficientnet_lite;
mod execution;
pub mod families;
pub mod folding;
mod fusion;
#[cfg(test)]
mod golden;
pub mod graph;
pub mod graph_builder;
mod head;
pub mod inference;
mod initialise;
mod inverted_residual;
pub mod knn;
pub mod lars;
pub mod lbfgs;
pub mod loss;
pub mod loss_scale;
pub mod memory;
pub mod metrics;
pub mod mismatch;
mod mobilenet_v2;
mod mobilenet_v3;
pub mod network;
pub mod numerics;
mod one_thread;
pub mod onnx;
mod operation;
mod operations;
pub mod optimiser;
#[cfg(test)]
mod optimiser_fixture;
mod packed;
#[cfg(target_arch = "x86_64")]
mod panels;
mod parameters;
pub mod preprocessing;
pub mod probe;
mod products;
pub mod quantisation;
pub mod queue;
pub mod random;
pub mod recompute;
mod resnet;
pub mod retrieval;
pub mod schedule;
pub mod script;
#[cfg(test)]
mod seed_trajectory;
pub mod sgd;
mod shim;
pub mod spherical_kmeans;
pub mod state_digest;
pub mod tensors;
pub mod torchscript_file;
pub mod training_state;
mod vision_transformer;
pub mod weights_file;
