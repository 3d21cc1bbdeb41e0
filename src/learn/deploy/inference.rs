//! A network made ready to only look: batch norms folded, channels-last, bias, sum and activation
//! fused into the layer before them, weights in oneDNN's layout. Without oneDNN the folded graph
//! runs as any other.
//!
//! Faster than [`Network::forward`] and not bit-equal to it: for features and predictions.
//!
//! On a processor images go through it in parts of a fixed size, each on one thread, several side
//! by side. So an image's bits depend neither on how many cores there are nor on how many images:
//! oneDNN deals a layer out by its threads, on AVX2 to other bits.
//!
//! In bf16 the weights lose more than the activations do. On EfficientNet-Lite0's weights, biases
//! kept in f32 and depthwise weights rounded so that their sums stay (`depthwise.rs`) lift the
//! least cosine of an image's features to those in f32 above 0.999, and cost nothing while it runs.

use std::cell::RefCell;

use tch::{Device, Kind, Tensor};

use crate::architecture::Architecture;
use crate::deploy::deployment::Deployment;
use crate::graph::depthwise;
use crate::graph::execution::{Mode, Program};
use crate::graph::folding::{self, Folded};
use crate::graph::fusion::{self, FusedAction, FusedStep};
use crate::graph::operations::{self, Operands};
use crate::graph::{Activation, Graph, Operation, Role};
use crate::network::{Network, Output, Precision};
use crate::torch::one_thread::{PART, side_by_side, with_one_thread};
use crate::torch::packed::{self, Sum};
use crate::torch::tensors;

/// Bytes of the largest value between two layers, of all images of a part: what passes from layer
/// to layer is still in the cache, and is memory that the allocator keeps; glibc maps every block
/// of 32 MiB anew, page by page.
const LARGEST_RESULT: i64 = 31 << 20;

/// Weights laid out for parts of images of one size.
struct Packed {
    size: [i64; 2],
    weights: PackedWeights,
}

/// By step; none where a step has no layer or has not run yet.
type PackedWeights = Vec<Option<Tensor>>;

pub struct Inference {
    architecture: Architecture,
    program: FusedProgram,
    /// In the precision's kind, convolution weights channels-last.
    tensors: Vec<Tensor>,
    packed: RefCell<Option<Packed>>,
}

/// What is computed, without the tensors: threads share it.
struct FusedProgram {
    graph: Graph,
    steps: Vec<FusedStep>,
    outputs: Vec<usize>,
    kind: Kind,
    device: Device,
    /// Where oneDNN can't be used.
    plain: Option<Program>,
}

impl Inference {
    /// A copy of the network's weights, folded and in the precision's kind, on the network's
    /// device.
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
        let program = FusedProgram {
            steps: fusion::steps(&graph),
            outputs: graph.outputs().iter().map(|output| output.0).collect(),
            plain: (!fused).then(|| Program::new(&graph)),
            graph,
            kind,
            device,
        };
        Self {
            architecture: architecture.clone(),
            program,
            tensors,
            packed: RefCell::new(None),
        }
    }

    pub fn architecture(&self) -> &Architecture {
        &self.architecture
    }

    /// The folded graph.
    pub fn graph(&self) -> &Graph {
        &self.program.graph
    }

    /// How many images of that side go through it together on one thread of a processor.
    pub fn images_at_once(&self, side: u32) -> usize {
        self.program.images_at_once([side.into(); 2]) as usize
    }

    /// # Shapes
    /// - `images`: `[B, 3, H, W]`, normalised; moved to the network's device and kind
    /// - returns f32; gradients don't flow
    pub fn forward(&self, images: &Tensor) -> Output {
        let parts = match self.program.device {
            Device::Cpu => self.side_by_side(images),
            _ => vec![self.program.forward(&self.tensors, &mut vec![], images)],
        };
        let count = images.size()[0];
        let mut results = (0..self.program.outputs.len()).map(|output| {
            let parts: Vec<&Tensor> = parts.iter().map(|part| &part[output]).collect();
            match parts[..] {
                [only] => only.narrow(0, 0, count),
                _ => Tensor::cat(&parts, 0).narrow(0, 0, count),
            }
        });
        let mut next = || {
            results
                .next()
                .expect("BUG: the steps yield every output of the graph")
        };
        let graph = &self.program.graph;
        Output {
            features: next(),
            logits: graph.logits().map(|_| next()),
            embedding: graph.embedding().map(|_| next()),
        }
    }

    /// Every output of the graph for each part, in their order.
    fn side_by_side(&self, images: &Tensor) -> Vec<Vec<Tensor>> {
        let size = images.size();
        let size = [size[2], size[3]];
        let parts = parts(images, self.program.images_at_once(size));
        let mut packed = self.packed.borrow_mut();
        let mut results = Vec::with_capacity(parts.len());
        if packed.as_ref().is_none_or(|packed| packed.size != size) {
            // The first part lays the weights out for all.
            let mut weights: PackedWeights = self.program.steps.iter().map(|_| None).collect();
            let forward = || self.program.forward(&self.tensors, &mut weights, &parts[0]);
            results.push(with_one_thread(forward));
            *packed = Some(Packed { size, weights });
        }
        let weights = &packed.as_ref().expect("BUG: just packed").weights;
        // Tensors can't be shared among threads, but each task may own its handles.
        let task = |part: &Tensor| {
            let tensors: Vec<Tensor> = self.tensors.iter().map(Tensor::shallow_clone).collect();
            let weights: PackedWeights = weights
                .iter()
                .map(|weight| weight.as_ref().map(Tensor::shallow_clone))
                .collect();
            (part.shallow_clone(), tensors, weights)
        };
        let tasks: Vec<(Tensor, Vec<Tensor>, PackedWeights)> =
            parts[results.len()..].iter().map(task).collect();
        let program = &self.program;
        let forward = |(part, tensors, mut weights): (Tensor, Vec<Tensor>, PackedWeights)| {
            program.forward(&tensors, &mut weights, &part)
        };
        results.extend(side_by_side(tasks, forward));
        results
    }
}

impl FusedProgram {
    /// How many images go through the network together on a processor: a power of two, as batches
    /// are multiples of.
    fn images_at_once(&self, [height, width]: [i64; 2]) -> i64 {
        let largest = self.graph.largest_result(height, width);
        let bytes = largest * if self.kind == Kind::Float { 4 } else { 2 };
        let fit = (LARGEST_RESULT / bytes.max(1)).clamp(1, PART);
        1 << fit.ilog2()
    }

    /// Every output of the graph, f32.
    ///
    /// - `weights`: by step, filled where a layer finds none
    fn forward(
        &self,
        tensors: &[Tensor],
        weights: &mut PackedWeights,
        images: &Tensor,
    ) -> Vec<Tensor> {
        tch::no_grad(|| {
            let images = images.to_device(self.device).to_kind(self.kind);
            let images = tensors::channels_last(&images);
            let results = match &self.plain {
                Some(program) => program.run(tensors, &images, Mode::Eval),
                None => self.run(tensors, weights, &images),
            };
            results
                .iter()
                .map(|result| result.to_kind(Kind::Float))
                .collect()
        })
    }

    fn run(&self, tensors: &[Tensor], weights: &mut PackedWeights, images: &Tensor) -> Vec<Tensor> {
        let nodes = self.graph.nodes();
        let mut values: Vec<Option<Tensor>> = nodes.iter().map(|_| None).collect();
        for (step, weight) in self.steps.iter().zip(weights) {
            let own = &tensors[step.first_tensor..];
            let value = self
                .step(step, &mut values, weight, own, images)
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
        step: &FusedStep,
        values: &mut [Option<Tensor>],
        weight: &mut Option<Tensor>,
        own: &[Tensor],
        images: &Tensor,
    ) -> Result<Tensor, String> {
        match &step.action {
            FusedAction::Convolution {
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
                    // The fused sum takes no other bias than one of its own kind, which costs
                    // little.
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
            FusedAction::Linear { bias, activation } => {
                let input = value(values, step.inputs[0]);
                if weight.is_none() {
                    *weight = Some(packed::pack_linear(&own[0], input)?);
                }
                let weight = weight.as_ref().unwrap_or(&own[0]);
                packed::linear(input, weight, bias.then(|| &own[1]), *activation)
            }
            FusedAction::Other {
                operation,
                in_place: true,
            } => {
                let first = values[step.inputs[0]]
                    .take()
                    .expect("BUG: a value was freed before its reader");
                let second = step.inputs.get(1).map(|&input| value(values, input));
                Ok(overwrite(operation, first, second))
            }
            FusedAction::Other { operation, .. } => {
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

/// The images `at_once` at a time; the last one is filled up with zeros, so that an image's bits
/// don't depend on how many there are.
fn parts(images: &Tensor, at_once: i64) -> Vec<Tensor> {
    let mut parts = images.split(at_once, 0);
    if let Some(last) = parts.last_mut() {
        let missing = at_once - last.size()[0];
        if missing > 0 {
            *last = last.constant_pad_nd([0, 0, 0, 0, 0, 0, 0, missing]);
        }
    }
    parts
}

/// The tensors as the steps want them: weights in the precision's kind, convolution weights
/// channels-last. oneDNN takes a layer's bias in f32 whatever it computes in.
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
