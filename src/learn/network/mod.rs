//! A network with its tensors: made from a description, run on images, compared, copied, averaged.
//!
//! Tensors are held in state-dict order and keep PyTorch's names. Trainable ones are leaves with
//! `requires_grad`.

pub(crate) mod autocast;
pub(crate) mod initialise;
pub mod recompute;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rand_chacha::ChaCha8Rng;
use schemars::JsonSchema;
use seedpipe_base::Refusal;
use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use crate::architecture::Architecture;
pub use crate::graph::execution::Mode;
use crate::graph::execution::{Given, Program};
pub use crate::graph::mismatch::{Mismatch, Misshapen};
use crate::graph::{Graph, TensorSpec};
use crate::network::autocast::Autocast;
use crate::torch::state_digest::state_digest;
use crate::torch::tensors;

/// What a network computes in. Weights and outputs are f32 either way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Precision {
    #[default]
    F32,
    /// Autocast as PyTorch's: convolutions and linear layers in bf16.
    Bf16,
    /// Autocast to f16, in training with a scaled loss. For CUDA: a CPU does it as well, but
    /// slowly.
    F16,
}

/// # Shapes
/// - `features`: `[B, D]` f32
/// - `logits`: `[B, classes]` f32
/// - `embedding`: `[B, head.out]` f32, not normalised
pub struct Output {
    pub features: Tensor,
    pub logits: Option<Tensor>,
    pub embedding: Option<Tensor>,
}

impl Output {
    /// What distillation compares: the head's output, or the features of a network without a head.
    pub fn embedding_or_features(&self) -> &Tensor {
        self.embedding.as_ref().unwrap_or(&self.features)
    }
}

pub struct Network {
    architecture: Architecture,
    graph: Graph,
    program: Arc<Program>,
    specs: Vec<TensorSpec>,
    tensors: Vec<Tensor>,
    device: Device,
    channels_last: bool,
}

/// The graph of a description, which is the user's `network`.
pub(crate) fn described(architecture: &Architecture) -> Result<Graph, Refusal> {
    let graph = architecture.graph();
    graph.map_err(|refusal| refusal.within("network"))
}

impl Network {
    /// A fresh network; `key` gives each tensor's name, without `backbone.`, its own generator: a
    /// head redraws nothing.
    pub fn initialise(
        architecture: &Architecture,
        key: impl Fn(&str) -> ChaCha8Rng,
        device: Device,
    ) -> Result<Self, Refusal> {
        let graph = described(architecture)?;
        let specs = graph.state();
        let keyed = specs.iter().map(|spec| (spec, key(plain(&spec.name))));
        let tensors = initialise::all_first_values(keyed.collect());
        Ok(Self::assemble(architecture, graph, tensors, device))
    }

    /// The network with these weights, copied. Every name and shape must match; the error lists all
    /// that don't.
    pub fn with_weights(
        architecture: &Architecture,
        mut weights: BTreeMap<String, Tensor>,
        device: Device,
    ) -> Result<Self, Refusal> {
        let graph = described(architecture)?;
        let specs = graph.state();
        let mut mismatch = Mismatch::between(&specs, &weights);
        if !mismatch.is_empty() {
            mismatch.hint = format!(
                "check that `name`, `width`, `classes` and `head` describe this file; `{}` was asked for",
                architecture.name
            );
            return Err(mismatch.refusal());
        }
        if let Some(name) = tensors::first_not_finite(&weights) {
            return Err(Refusal::failure(format!(
                "tensor `{name}`: expected finite numbers, got NaN or infinity"
            ))
            .hint("its training diverged, or f16 could not hold it: take an earlier checkpoint"));
        }
        let tensors = specs
            .iter()
            .map(|spec| match weights.remove(&spec.name) {
                Some(tensor) => tensor,
                // Only what nothing reads, or what is 0, may be absent.
                None => Tensor::zeros(&spec.shape[..], (spec.kind, Device::Cpu)),
            })
            .collect();
        Ok(Self::assemble(architecture, graph, tensors, device))
    }

    /// A network on a trained backbone: the backbone's tensors are copied from `donor` and must all
    /// be there; those of classifier and head are copied where name and shape agree, else drawn
    /// anew as by [`Network::initialise`].
    pub fn initialise_from(
        architecture: &Architecture,
        donor: &Network,
        key: impl Fn(&str) -> ChaCha8Rng,
        device: Device,
    ) -> Result<Self, Refusal> {
        let donated: BTreeMap<String, Tensor> = donor
            .state()
            .into_iter()
            .map(|(name, tensor)| (plain(&name).to_owned(), tensor))
            .collect();
        let backbone = described(&architecture.backbone())?.state();
        let mut mismatch = Mismatch::between(&backbone, &donated);
        if !mismatch.missing.is_empty() || !mismatch.misshapen.is_empty() {
            mismatch.extra.retain(|name| !is_end(name));
            mismatch.hint = format!(
                "the weights are of `{}`, the network to build is `{}`",
                donor.architecture.name, architecture.name
            );
            return Err(mismatch.refusal());
        }
        let graph = described(architecture)?;
        let tensors = graph
            .state()
            .iter()
            .map(|spec| match donated.get(plain(&spec.name)) {
                Some(tensor) if tensor.size() == spec.shape => tensor.shallow_clone(),
                _ => initialise::first_values(spec, key(plain(&spec.name))),
            })
            .collect();
        Ok(Self::assemble(architecture, graph, tensors, device))
    }

    /// Copies the tensors to the device in f32, convolution weights channels-last.
    fn assemble(
        architecture: &Architecture,
        graph: Graph,
        tensors: Vec<Tensor>,
        device: Device,
    ) -> Self {
        let specs = graph.state();
        let tensors = specs
            .iter()
            .zip(tensors)
            .map(|(spec, tensor)| {
                leaf(
                    spec,
                    &tensor.detach().to_device(device).to_kind(spec.kind),
                    true,
                )
            })
            .collect();
        let program = Arc::new(Program::new(&graph));
        Self {
            architecture: architecture.clone(),
            graph,
            program,
            specs,
            tensors,
            device,
            channels_last: true,
        }
    }

    /// The same network without its head, sharing its tensors; names lose `backbone.`.
    pub fn without_head(&self) -> Self {
        let architecture = self.architecture.without_head();
        let graph = architecture
            .graph()
            .expect("BUG: a network without its head has no graph");
        let specs = graph.state();
        // The head's tensors come last.
        let tensors = self.tensors[..specs.len()]
            .iter()
            .map(Tensor::shallow_clone)
            .collect();
        let program = Arc::new(Program::new(&graph));
        Self {
            architecture,
            graph,
            program,
            specs,
            tensors,
            device: self.device,
            channels_last: self.channels_last,
        }
    }

    /// A copy with tensors of its own.
    pub fn duplicate(&self) -> Self {
        let tensors = self.specs.iter().zip(&self.tensors);
        let tensors = tensors
            .map(|(spec, tensor)| leaf(spec, &tensor.detach(), self.channels_last))
            .collect();
        Self {
            architecture: self.architecture.clone(),
            graph: self.graph.clone(),
            program: Arc::new(Program::new(&self.graph)),
            specs: self.specs.clone(),
            tensors,
            device: self.device,
            channels_last: self.channels_last,
        }
    }

    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    pub fn device(&self) -> Device {
        self.device
    }

    /// Length of [`Output::embedding_or_features`], at the size that it is described for.
    pub fn embedding_dimension(&self) -> Result<i64, Refusal> {
        self.architecture.embedding_dimension()
    }

    /// Refuses square images that a layer doesn't fit, or of which an output has another length
    /// than at the size that the network is described for: what reads it was made for that.
    pub fn check_size(&self, side: u32) -> Result<(), Refusal> {
        let side = i64::from(side);
        for output in self.graph.outputs() {
            let described = self.graph.length(output, self.architecture.size())?;
            let length = self.graph.length(output, [side; 2])?;
            if length != described {
                return Err(Refusal::failure(format!(
                    "of images of {side}×{side} pixels the network gives {length} numbers, and {described} at the size that it is described for"
                ))
                .hint(format!("set `size: {side}` in its `graph`, or let it end with `average_pool`")));
            }
        }
        Ok(())
    }

    /// Runs the network; for inference inside `tch::no_grad`. In training under
    /// [`recompute::Recomputing`] it keeps less for the backward pass.
    ///
    /// # Shapes
    /// - `images`: `[B, 3, H, W]` f32, normalised, on any device
    pub fn forward(&self, images: &Tensor, mode: Mode, precision: Precision) -> Output {
        let mut images = images.to_device(self.device);
        if self.channels_last {
            images = tensors::channels_last(&images);
        }
        let results = if mode != Mode::Eval && recompute::is_on() {
            recompute::run(
                &self.program,
                &self.graph,
                &self.tensors,
                &images,
                mode,
                precision,
            )
        } else {
            let _autocast = Autocast::enter(self.device, precision);
            self.program.run(&self.tensors, &images, mode)
        };
        let mut results = results
            .into_iter()
            .map(|result| result.to_kind(Kind::Float));
        let mut next = || {
            results
                .next()
                .expect("BUG: the program yields every output of the graph")
        };
        Output {
            features: next(),
            logits: self.graph.logits().map(|_| next()),
            embedding: self.graph.embedding().map(|_| next()),
        }
    }

    /// What the head makes of features, which may be of several passes of [`Self::without_head`];
    /// the features themselves without a head.
    ///
    /// # Shapes
    /// - `features`: `[B, D]` f32, on the network's device
    /// - returns `[B, head.out]` f32, not normalised
    pub fn embed(&self, features: &Tensor, mode: Mode, precision: Precision) -> Tensor {
        let Some(embedding) = self.graph.embedding() else {
            return features.shallow_clone();
        };
        let given = Given {
            tensors: &self.tensors,
            images: features,
            mode,
            keeps_statistics: true,
        };
        let _autocast = Autocast::enter(self.device, precision);
        let head = self.graph.features().0 + 1..self.program.len();
        let values = self.program.run_steps(head, Some(features), &given);
        let embedding = values[embedding.0].as_ref();
        let embedding = embedding.expect("BUG: the program yields every output of the graph");
        embedding.to_kind(Kind::Float)
    }

    /// Every tensor with its name, in PyTorch's order: the live ones, not copies.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        self.named(|_| true)
    }

    /// The leaves that an optimiser trains, in PyTorch's order.
    pub fn trainable(&self) -> Vec<(String, Tensor)> {
        self.named(|spec| spec.role.trainable())
    }

    fn named(&self, wanted: impl Fn(&TensorSpec) -> bool) -> Vec<(String, Tensor)> {
        let pairs = self
            .specs
            .iter()
            .zip(&self.tensors)
            .filter(|(spec, _)| wanted(spec));
        pairs
            .map(|(spec, tensor)| (spec.name.clone(), tensor.shallow_clone()))
            .collect()
    }

    /// Asks for no gradients any more.
    pub fn freeze(&self) {
        for tensor in &self.tensors {
            let _ = tensor.set_requires_grad(false);
        }
    }

    /// Keeps some tensors as they are: they ask for no gradients, and their batch norms use the
    /// running statistics in training too. A copy of the network is not frozen.
    pub fn freeze_tensors(&mut self, names: &BTreeSet<String>) {
        let frozen: Vec<bool> = self
            .specs
            .iter()
            .map(|spec| names.contains(&spec.name))
            .collect();
        for (tensor, _) in self.tensors.iter().zip(&frozen).filter(|(_, is)| **is) {
            let _ = tensor.set_requires_grad(false);
        }
        Arc::make_mut(&mut self.program).freeze(&frozen);
    }

    /// BLAKE3 over names, kinds, shapes and data: the network's identity, whatever its memory
    /// layout and device.
    pub fn digest(&self) -> [u8; 32] {
        let names = self.specs.iter().map(|spec| spec.name.as_str());
        state_digest(names.zip(&self.tensors))
    }

    /// own ← momentum · own + (1 − momentum) · other over the trainable tensors, as MoCo's key
    /// encoder (arXiv 1911.05722, eq. 2). Batch-norm statistics stay its own.
    ///
    /// # Panics
    /// When the two networks are not of one architecture.
    pub fn momentum_update(&self, other: &Network, momentum: f64) {
        assert!(
            self.specs == other.specs,
            "BUG: momentum update between different networks"
        );
        tch::no_grad(|| {
            for ((spec, own), theirs) in self.specs.iter().zip(&self.tensors).zip(&other.tensors) {
                if spec.role.trainable() {
                    let mut own = own.shallow_clone();
                    let _ = own.g_mul_scalar_(momentum);
                    let _ = own.g_add_(&(theirs * (1.0 - momentum)));
                }
            }
        });
    }

    /// Lays convolution weights (and images, in the forward pass) out channels-last or row-major.
    /// Changing it makes new leaves: before building an optimiser.
    pub fn set_channels_last(&mut self, on: bool) {
        if self.channels_last == on {
            return;
        }
        self.channels_last = on;
        for (spec, tensor) in self.specs.iter().zip(&mut self.tensors) {
            *tensor = leaf(spec, &tensor.detach(), on);
        }
    }
}

/// A tensor's name as it is in a network without a head.
fn plain(name: &str) -> &str {
    name.strip_prefix("backbone.").unwrap_or(name)
}

/// Whether a tensor, by its name without prefix, belongs to a classifier or head.
fn is_end(name: &str) -> bool {
    ["fc.", "linear.", "head."]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

/// A leaf of its own with the values of `tensor`, in the wanted memory layout.
fn leaf(spec: &TensorSpec, tensor: &Tensor, channels_last: bool) -> Tensor {
    let row_major = tensor.contiguous().copy();
    let laid_out = if channels_last && spec.shape.len() == 4 {
        tensors::channels_last(&row_major)
    } else {
        row_major
    };
    laid_out.set_requires_grad(spec.role.trainable())
}
