//! A network made ready to only look: batch norms folded, channels-last, bias, sum and activation fused into the layer
//! before them, weights in oneDNN's layout. Without oneDNN the folded graph runs as any other.
//!
//! Faster than [`Network::forward`] and not bit-equal to it: for features and predictions.
//!
//! In bf16 the weights lose more than the activations do. On EfficientNet-Lite0's weights, biases kept in f32 and depthwise weights
//! rounded so that their sums stay (`depthwise.rs`) lift the least cosine of an image's features to those in f32 above 0.999,
//! and cost nothing while it runs.

use std::cell::RefCell;

use tch::{Device, Kind, Tensor};

use crate::architecture::Architecture;
use crate::deployment::Deployment;
use crate::depthwise;
use crate::execution::{Mode, Plan};
use crate::folding::{self, Folded};
use crate::fusion::{self, Action, Step};
use crate::graph::{Activation, Graph, Operation, Role};
use crate::network::{Network, Output, Precision};
use crate::operations::{self, Operands};
use crate::packed::{self, Sum};
use crate::tensors;

/// Bytes of the largest value between two layers, of all images that go through the network together.
const LARGEST_RESULT: i64 = 31 << 20;

/// Weights laid out for images of one size.
struct Packed {
    size: [i64; 2],
    /// By step; none where a step has no layer or has not run yet.
    weights: Vec<Option<Tensor>>,
}

pub struct Inference {
    architecture: Architecture,
    graph: Graph,
    steps: Vec<Step>,
    outputs: Vec<usize>,
    /// In the precision's kind, convolution weights channels-last.
    tensors: Vec<Tensor>,
    kind: Kind,
    device: Device,
    /// Where oneDNN can't be used.
    plain: Option<Plan>,
    packed: RefCell<Option<Packed>>,
}

impl Inference {
    /// A copy of the network's weights, folded and in the precision's kind, on the network's device.
    pub fn new(network: &Network, precision: Precision) -> Self {
        let tensors: Vec<Tensor> = network
            .state()
            .into_iter()
            .map(|(_, tensor)| tensor)
            .collect();
        let architecture = network.architecture();
        let device = network.device();
        Self::of_graph(architecture, network.graph(), &tensors, device, precision)
    }

    /// As [`Inference::new`], on the CPU.
    pub fn of_deployment(deployment: &Deployment, precision: Precision) -> Self {
        let Deployment {
            architecture,
            graph,
            tensors,
            ..
        } = deployment;
        Self::of_graph(architecture, graph, tensors, Device::Cpu, precision)
    }

    fn of_graph(
        architecture: &Architecture,
        graph: &Graph,
        tensors: &[Tensor],
        device: Device,
        precision: Precision,
    ) -> Self {
        let Folded { graph, tensors } = tch::no_grad(|| folding::fold(graph, tensors));
        let kind = match precision {
            Precision::F32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::F16 => Kind::Half,
        };
        let fused = device == Device::Cpu && packed::works(kind);
        let tensors = tch::no_grad(|| in_kind(&graph, &tensors, kind, fused));
        Self {
            architecture: architecture.clone(),
            steps: fusion::steps(&graph),
            outputs: graph.outputs().iter().map(|output| output.0).collect(),
            plain: (!fused).then(|| Plan::new(&graph)),
            graph,
            tensors,
            kind,
            device,
            packed: RefCell::new(None),
        }
    }

    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The folded graph.
    pub fn graph(&self) -> &Graph {
        &self.graph
    }

    /// # Shapes
    /// - `images`: `[B, 3, H, W]`, normalised; moved to the network's device and kind
    /// - returns f32; gradients don't flow
    pub fn forward(&self, images: &Tensor) -> Output {
        let size = images.size();
        let at_once = self.images_at_once(size[2], size[3]);
        let parts: Vec<Vec<Tensor>> = tch::no_grad(|| {
            let parts = images.split(at_once, 0);
            parts.iter().map(|part| self.forward_part(part)).collect()
        });
        let mut results = (0..self.outputs.len()).map(|output| {
            let parts: Vec<&Tensor> = parts.iter().map(|part| &part[output]).collect();
            match parts[..] {
                [only] => only.shallow_clone(),
                _ => Tensor::cat(&parts, 0),
            }
        });
        let mut next = || {
            results
                .next()
                .expect("BUG: the steps yield every output of the graph")
        };
        Output {
            features: next(),
            logits: self.graph.logits().map(|_| next()),
            embedding: self.graph.embedding().map(|_| next()),
        }
    }

    /// How many images go through the network together. On a processor few, so that what passes from layer to layer is still in
    /// its cache, and is memory that the allocator keeps: glibc maps every block of 32 MiB anew, page by page.
    fn images_at_once(&self, height: i64, width: i64) -> i64 {
        if self.device != Device::Cpu {
            return i64::MAX;
        }
        let largest = self.graph.largest_result(height, width);
        let bytes = largest * if self.kind == Kind::Float { 4 } else { 2 };
        (LARGEST_RESULT / bytes.max(1)).max(1)
    }

    /// Every output of the graph, f32.
    fn forward_part(&self, images: &Tensor) -> Vec<Tensor> {
        let images = images.to_device(self.device).to_kind(self.kind);
        let images = tensors::channels_last(&images);
        let results = match &self.plain {
            Some(plan) => plan.run(&self.tensors, &images, Mode::Eval),
            None => self.run(&images),
        };
        results
            .iter()
            .map(|result| result.to_kind(Kind::Float))
            .collect()
    }

    fn run(&self, images: &Tensor) -> Vec<Tensor> {
        let size = images.size();
        let size = [size[2], size[3]];
        let mut packed = self.packed.borrow_mut();
        if packed.as_ref().is_none_or(|packed| packed.size != size) {
            *packed = Some(Packed {
                size,
                weights: self.steps.iter().map(|_| None).collect(),
            });
        }
        let weights = &mut packed.as_mut().expect("BUG: just packed").weights;
        let nodes = self.graph.nodes();
        let mut values: Vec<Option<Tensor>> = nodes.iter().map(|_| None).collect();
        for (step, weight) in self.steps.iter().zip(weights) {
            let value = self
                .step(step, &mut values, weight, images)
                .unwrap_or_else(|error| panic!("BUG: oneDNN refused a layer: {error}"));
            for &finished in &step.finished {
                values[finished] = None;
            }
            values[step.result] = Some(value);
        }
        let taken = |&output: &usize| value(&values, output).shallow_clone();
        self.outputs.iter().map(taken).collect()
    }

    fn step(
        &self,
        step: &Step,
        values: &mut [Option<Tensor>],
        weight: &mut Option<Tensor>,
        images: &Tensor,
    ) -> Result<Tensor, String> {
        let own = &self.tensors[step.first_tensor..];
        match &step.action {
            Action::Convolution {
                layer,
                activation,
                sum,
            } => {
                let input = value(values, step.inputs[0]);
                if weight.is_none() {
                    *weight = Some(packed::pack_convolution(layer, &own[0], input)?);
                }
                let weight = weight.as_ref().unwrap_or(&own[0]);
                let bias = layer.bias.then(|| &own[1]);
                match sum {
                    None => packed::convolution(layer, input, weight, bias, *activation),
                    // The fused sum takes no other bias than one of its own kind, which costs little.
                    Some(addend) => {
                        let bias = bias.map(|bias| bias.to_kind(self.kind));
                        let sum = Sum {
                            other: value(values, addend.value),
                            in_place: addend.in_place,
                            relu: activation.is_some(),
                        };
                        packed::convolution_sum(layer, input, weight, bias.as_ref(), &sum)
                    }
                }
            }
            Action::Linear { bias, activation } => {
                let input = value(values, step.inputs[0]);
                if weight.is_none() {
                    *weight = Some(packed::pack_linear(&own[0], input)?);
                }
                let weight = weight.as_ref().unwrap_or(&own[0]);
                packed::linear(input, weight, bias.then(|| &own[1]), *activation)
            }
            Action::Other {
                operation,
                in_place: true,
            } => {
                let first = values[step.inputs[0]]
                    .take()
                    .expect("BUG: a value was freed before its reader");
                let second = step.inputs.get(1).map(|&input| value(values, input));
                Ok(overwrite(operation, first, second))
            }
            Action::Other { operation, .. } => {
                let operands = Operands {
                    inputs: &step.inputs,
                    values,
                    tensors: own,
                    images,
                    keeps_statistics: true,
                };
                Ok(operations::compute(operation, &operands, Mode::Eval))
            }
        }
    }
}

/// The tensors as the steps want them: weights in the precision's kind, convolution weights channels-last. oneDNN takes a layer's
/// bias in f32 whatever it computes in.
fn in_kind(graph: &Graph, tensors: &[Tensor], kind: Kind, fused: bool) -> Vec<Tensor> {
    let mut tensors = tensors.iter();
    let mut laid_out = vec![];
    for node in graph.nodes() {
        let is_layer = matches!(
            node.operation,
            Operation::Convolution(_) | Operation::Linear { .. }
        );
        for (position, (spec, tensor)) in node.state().iter().zip(&mut tensors).enumerate() {
            let is_bias = is_layer && position == 1;
            let tensor = match spec.role {
                Role::BatchesTracked => tensor.shallow_clone(),
                _ if is_bias && fused => tensor.to_kind(Kind::Float),
                _ if kind == Kind::BFloat16 && depthwise::is_depthwise(&spec.shape) => {
                    depthwise::in_bf16(tensor)
                }
                _ => tensor.to_kind(kind),
            };
            laid_out.push(match tensor.dim() {
                4 => tensors::channels_last(&tensor),
                _ => tensor,
            });
        }
    }
    laid_out
}

fn value(values: &[Option<Tensor>], index: usize) -> &Tensor {
    values[index]
        .as_ref()
        .expect("BUG: a value was freed before its reader")
}

/// The operation with its result in place of its first input.
fn overwrite(operation: &Operation, mut first: Tensor, second: Option<&Tensor>) -> Tensor {
    match (operation, second) {
        (Operation::Add, Some(second)) => first.g_add_(second),
        (Operation::Multiply, Some(second)) => first.g_mul_(second),
        (Operation::Activation(activation), None) => match activation {
            Activation::Relu => first.relu_(),
            Activation::Relu6 => first.relu6_(),
            Activation::Hardswish => first.hardswish_(),
            Activation::Hardsigmoid => first.hardsigmoid_(),
            Activation::Sigmoid => first.sigmoid_(),
            Activation::Silu => first.silu_(),
            Activation::Gelu => first.gelu_("none"),
        },
        (other, _) => panic!("BUG: {other:?} is never done in place"),
    }
}
