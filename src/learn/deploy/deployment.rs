//! A network as it leaves: without the head of its distillation, perhaps with a linear classifier
//! on top.
//!
//! Holds graph and tensors (f32, on the CPU, under the names of the state dict) that every format
//! is written from, and computes what the written file must compute.

use std::collections::BTreeSet;

use seedpipe_base::Refusal;
use tch::{Device, Kind, Tensor, no_grad};

use crate::architecture::{Architecture, Preprocessing};
use crate::graph::execution::{Mode, Program};
use crate::graph::folding::fold;
use crate::graph::{Graph, Initial, Operation};
use crate::judge::probe::LinearClassifier;
use crate::network::Network;
use crate::torch::state_digest::state_digest;
use crate::torch::tensors;

pub struct Deployment {
    /// Of the backbone, and of the network's own classifier when it has one.
    pub architecture: Architecture,
    pub preprocessing: Preprocessing,
    pub(crate) graph: Graph,
    /// In the order of the graph's state.
    pub(crate) tensors: Vec<Tensor>,
    features: i64,
    classes: Option<i64>,
}

/// # Shapes
/// - `features`: `[B, D]` f32
/// - `logits`: `[B, classes]` f32, of a network with a classifier
pub struct Results {
    pub features: Tensor,
    pub logits: Option<Tensor>,
}

impl Deployment {
    /// Copies nothing: the tensors are the network's own when it is on the CPU. Refused where the
    /// network doesn't fit the preprocessing's size.
    pub fn new(network: &Network, preprocessing: &Preprocessing) -> Result<Self, Refusal> {
        let network = network.without_head();
        let graph = network.graph();
        let lengths = |node| graph.length(node, [i64::from(preprocessing.size); 2]);
        Ok(Self {
            features: lengths(graph.features())?,
            classes: graph.logits().map(lengths).transpose()?,
            architecture: network.architecture().clone(),
            preprocessing: preprocessing.clone(),
            graph: network.graph().clone(),
            tensors: network
                .state()
                .iter()
                .map(|(_, tensor)| tensor.detach().to_device(Device::Cpu))
                .collect(),
        })
    }

    /// Puts a linear classifier on the features, called as the family calls its own where that is
    /// one linear layer, else `classifier`.
    pub fn with_classifier(mut self, classifier: &LinearClassifier) -> Result<Self, Refusal> {
        if let Some(classes) = self.classes {
            return Err(Refusal::failure(format!(
                "the network has a classifier of its own, of {classes} classes"
            ))
            .hint("leave the other classifier out"));
        }
        let [classes, features] = classifier.weight.size()[..] else {
            panic!("BUG: a classifier of shape {:?}", classifier.weight.size());
        };
        let network = self.features;
        if features != network {
            return Err(Refusal::failure(format!(
                "the classifier reads {features} features, the network yields {network}"
            ))
            .hint("fit the probe on this network's own features (`embedding: features`)"));
        }
        let linear = Operation::Linear {
            inputs: features,
            outputs: classes,
            bias: true,
            initial: Initial::Uniform,
        };
        let own = Architecture {
            classes: Some(classes),
            ..self.architecture.clone()
        };
        let mut name = "classifier".to_owned();
        // A network whose graph its user wrote may have no classifier to be called like.
        if let Ok(graph) = own.graph()
            && let Some(last) = graph.nodes().last()
            && last.inputs == [graph.features()]
            && graph.features() == self.graph.features()
        {
            name.clone_from(&last.name);
            self.architecture = own;
        }
        self.graph = self.graph.with_logits(&name, linear);
        self.classes = Some(classes);
        for tensor in [&classifier.weight, &classifier.bias] {
            self.tensors
                .push(tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float));
        }
        Ok(self)
    }

    /// Refuses tensors that are not finite, or are not when they are stored in that kind, the batch
    /// norms folded into the layers before them or not.
    pub fn check_finite(&self, kind: Kind) -> Result<(), Refusal> {
        let folded = no_grad(|| fold(&self.graph, &self.tensors));
        let folded_state = folded.graph.state();
        let folded = folded_state
            .into_iter()
            .map(|spec| spec.name)
            .zip(folded.tensors);
        for (name, tensor) in self.state().into_iter().chain(folded) {
            if tensor.is_floating_point() && !tensors::is_finite(&tensor.to_kind(kind)) {
                let (expected, hint) = match tensors::is_finite(&tensor) {
                    true => ("numbers that fp16 holds, up to 65504", "export it as fp32"),
                    false => (
                        "finite numbers",
                        "train again with a lower learning rate, with `clip_gradient_norm`, or in `precision: f32`",
                    ),
                };
                return Err(Refusal::expected(expected, "others")
                    .failed()
                    .place(format!("tensor `{name}`"))
                    .hint(hint));
            }
        }
        Ok(())
    }

    /// Every tensor under its name, in PyTorch's order.
    pub fn state(&self) -> Vec<(String, Tensor)> {
        let names = self.graph.state().into_iter().map(|spec| spec.name);
        names
            .zip(self.tensors.iter().map(Tensor::shallow_clone))
            .collect()
    }

    /// Identifies what the features depend on: BLAKE3 over the tensors without those of a
    /// classifier.
    pub fn features_digest(&self) -> [u8; 32] {
        let backbone = self.architecture.backbone().graph();
        let backbone = backbone.expect("BUG: a network whose backbone has no graph");
        let names: BTreeSet<String> = backbone.state().into_iter().map(|spec| spec.name).collect();
        let state = self.graph.state();
        let named = state.iter().map(|spec| spec.name.as_str());
        state_digest(
            named
                .zip(&self.tensors)
                .filter(|(name, _)| names.contains(*name)),
        )
    }

    pub fn parameter_count(&self) -> u64 {
        self.graph.parameter_count()
    }

    /// For one image of the size of the preprocessing.
    pub fn multiply_adds(&self) -> u64 {
        let side = i64::from(self.preprocessing.size);
        self.graph.multiply_adds(side, side)
    }

    pub fn feature_dimension(&self) -> i64 {
        self.features
    }

    pub fn classes(&self) -> Option<i64> {
        self.classes
    }

    /// # Shapes
    /// - `images`: `[B, 3, H, W]` f32, normalised
    pub fn forward(&self, images: &Tensor) -> Results {
        let results = no_grad(|| Program::new(&self.graph).run(&self.tensors, images, Mode::Eval));
        let mut results = results.into_iter();
        Results {
            features: results.next().expect("BUG: a network without features"),
            logits: results.next(),
        }
    }
}
