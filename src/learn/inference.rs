//! A network made ready to only look: batch norms folded, channels-last, bias, sum and activation fused into the layer
//! before them, weights in oneDNN's layout. Without oneDNN the folded graph runs as any other.
//!
//! Faster than [`Network::forward`] and not bit-equal to it: for features and predictions, not for stored content.

use std::cell::RefCell;

use tch::{Device, Kind, Tensor};

use crate::architecture::Architecture;
use crate::execution::{Mode, Plan};
use crate::folding::{self, Folded};
use crate::fusion::{self, Action, Step};
use crate::graph::{Activation, Graph, Operation, Role, TensorSpec};
use crate::network::{Network, Output, Precision};
use crate::operations::{self, Operands};
use crate::packed::{self, Sum};
use crate::tensors;

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
    /// A copy of the network's weights, folded and in the precision's kind.
    pub fn new(network: &Network, precision: Precision) -> Self {
        let tensors: Vec<Tensor> = network
            .state()
            .into_iter()
            .map(|(_, tensor)| tensor)
            .collect();
        let Folded { graph, tensors } = tch::no_grad(|| folding::fold(network.graph(), &tensors));
        let kind = match precision {
            Precision::F32 => Kind::Float,
            Precision::Bf16 => Kind::BFloat16,
            Precision::F16 => Kind::Half,
        };
        let tensors = graph
            .state()
            .iter()
            .zip(&tensors)
            .map(|(spec, tensor)| in_kind(spec, tensor, kind))
            .collect();
        let device = network.device();
        let fused = device == Device::Cpu && packed::works(kind);
        Self {
            architecture: network.architecture().clone(),
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
        let mut results = tch::no_grad(|| {
            let images = images.to_device(self.device).to_kind(self.kind);
            let images = tensors::channels_last(&images);
            match &self.plain {
                Some(plan) => plan.run(&self.tensors, &images, Mode::Eval),
                None => self.run(&images),
            }
        })
        .into_iter()
        .map(|result| result.to_kind(Kind::Float));
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
                    Some(addend) => {
                        let sum = Sum {
                            other: value(values, addend.value),
                            in_place: addend.in_place,
                            relu: activation.is_some(),
                        };
                        packed::convolution_sum(layer, input, weight, bias, &sum)
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

/// A tensor as the steps want it: weights in the precision's kind, convolution weights channels-last.
fn in_kind(spec: &TensorSpec, tensor: &Tensor, kind: Kind) -> Tensor {
    let tensor = match spec.role {
        Role::BatchesTracked => tensor.shallow_clone(),
        _ => tensor.to_kind(kind),
    };
    match tensor.dim() {
        4 => tensors::channels_last(&tensor),
        _ => tensor,
    }
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
