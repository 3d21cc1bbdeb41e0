//! torchvision's ResNets (18, 34, 50, 101, 152, wide 50-2), SwAV's wide ones, their CIFAR stem for
//! small images, and a width factor.
//!
//! He et al., arXiv 1512.03385; the stride of a bottleneck lies in its 3×3 convolution, as in
//! torchvision. A width factor multiplies every channel count, which is SwAV's way of widening.

use crate::architecture::Stem;
use crate::architecture::families::{Choices, Family};
use crate::graph::graph_builder::{GraphBuilder, NORM};
use crate::graph::{Activation, Convolution, Initial, NodeId};

/// What tells one ResNet from another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ResNet {
    pub blocks: [usize; 4],
    /// Whether a block is a bottleneck (1×1, 3×3, 1×1) or basic (3×3, 3×3).
    pub bottleneck: bool,
    /// Channels of a bottleneck's 3×3 convolution, relative to its plain count.
    pub inner_width: i64,
    /// Factor on every channel count: SwAV's way of widening.
    pub widen: f64,
}

const INITIAL: Initial = Initial::KaimingNormalFanOut;
pub(crate) const RELU: Option<Activation> = Some(Activation::Relu);

impl Family for ResNet {
    fn backbone(&self, graph: &mut GraphBuilder, choices: &Choices) -> (NodeId, i64) {
        let stem = choices.stem.unwrap_or(Stem::Imagenet);
        let (last, channels) = backbone(graph, *self, stem, choices.width);
        (graph.pooled(last), channels)
    }

    fn classifier(&self) -> (&'static str, Initial) {
        ("fc", Initial::Uniform)
    }

    fn offers_stems(&self) -> bool {
        true
    }
}

/// From images to the last block's `[B, C, h, w]`; returns it with its channel count `C`.
fn backbone(graph: &mut GraphBuilder, network: ResNet, stem: Stem, width: f64) -> (NodeId, i64) {
    let width = width * network.widen;
    let channels = |base: i64| ((base as f64 * width).round() as i64).max(1);
    let expansion = if network.bottleneck { 4 } else { 1 };
    let mut value = graph.image();
    let mut inputs = channels(64);
    let (kernel, stride) = match stem {
        Stem::Imagenet => (7, 2),
        Stem::Cifar => (3, 1),
    };
    let first = Convolution::new(3, inputs, kernel, stride, INITIAL);
    value = graph.unit(("conv1", "bn1"), value, first, NORM, RELU);
    if stem == Stem::Imagenet {
        value = graph.max_pool(value, 3, 2, 1);
    }
    for (stage, &blocks) in network.blocks.iter().enumerate() {
        let planes = channels(64 << stage);
        for index in 0..blocks {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let name = format!("layer{}.{index}", stage + 1);
            let outputs = planes * expansion;
            let mut residual = if network.bottleneck {
                let widths = [inputs, planes * network.inner_width, outputs];
                bottleneck(graph, &name, value, widths, stride)
            } else {
                basic(graph, &name, value, [inputs, planes], stride, INITIAL)
            };
            let mut shortcut = value;
            if stride != 1 || inputs != outputs {
                let projection = Convolution::new(inputs, outputs, 1, stride, INITIAL);
                let names = [
                    format!("{name}.downsample.0"),
                    format!("{name}.downsample.1"),
                ];
                shortcut = graph.unit((&names[0], &names[1]), shortcut, projection, NORM, None);
            }
            residual = graph.add(residual, shortcut);
            value = graph.relu(residual);
            inputs = outputs;
        }
    }
    (value, inputs)
}

/// The convolution `conv{number}` of a block and its batch norm.
fn layer(
    graph: &mut GraphBuilder,
    block: &str,
    number: usize,
    input: NodeId,
    convolution: Convolution,
    activation: Option<Activation>,
) -> NodeId {
    let names = [
        format!("{block}.conv{number}"),
        format!("{block}.bn{number}"),
    ];
    graph.unit((&names[0], &names[1]), input, convolution, NORM, activation)
}

/// What a basic block adds to its input: 3×3, ReLU, 3×3.
pub(crate) fn basic(
    graph: &mut GraphBuilder,
    block: &str,
    input: NodeId,
    [inputs, planes]: [i64; 2],
    stride: i64,
    initial: Initial,
) -> NodeId {
    let first = Convolution::new(inputs, planes, 3, stride, initial);
    let value = layer(graph, block, 1, input, first, RELU);
    let second = Convolution::new(planes, planes, 3, 1, initial);
    layer(graph, block, 2, value, second, None)
}

/// What a bottleneck adds to its input: 1×1, ReLU, 3×3, ReLU, 1×1.
fn bottleneck(
    graph: &mut GraphBuilder,
    block: &str,
    input: NodeId,
    [inputs, inner, outputs]: [i64; 3],
    stride: i64,
) -> NodeId {
    let narrow = Convolution::new(inputs, inner, 1, 1, INITIAL);
    let value = layer(graph, block, 1, input, narrow, RELU);
    let spatial = Convolution::new(inner, inner, 3, stride, INITIAL);
    let value = layer(graph, block, 2, value, spatial, RELU);
    let wide = Convolution::new(inner, outputs, 1, 1, INITIAL);
    layer(graph, block, 3, value, wide, None)
}
