//! Networks, losses, queue, optimisers and evaluation on libtorch.
//!
//! Knows tensors and checkpoint files; knows neither stages, artifacts nor images. A network is
//! data (`graph`), written once per family; weights carry PyTorch's state-dict names. libtorch's
//! own random generator is never drawn from.
//!
//! The rooms, each knowing only those before it: `graph`, `torch`, `architecture`, `network`,
//! `loss`, `training`, `judge`, `deploy`, `checkpoint_file`; `testing` for tests alone.

pub mod architecture;
pub mod checkpoint_file;
mod deploy;
pub mod graph;
mod judge;
pub mod loss;
pub mod network;
#[cfg(test)]
mod testing;
mod torch;
mod training;

pub use architecture::{families, preprocessing};
pub use deploy::{deployment, inference, onnx, quantisation, torchscript_file};
pub use graph::{depth, graph_builder};
pub use judge::{agreement, bootstrap, class_scores, knn, metrics, probe, retrieval};
pub use loss::{queue, spherical_kmeans};
pub use network::recompute;
pub use tch;
pub use torch::{beta, device, memory, numerics, random, script, tensors, weights_file};
pub use training::{average, loss_scale, optimiser, schedule, training_state};
