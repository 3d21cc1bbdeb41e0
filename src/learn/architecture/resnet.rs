//! torchvision's ResNets (18, 34, 50, 101, 152, wide 50-2), SwAV's wide ones, their CIFAR stem for small images, and a width
//! factor.
//!
//! He et al., arXiv 1512.03385; the stride of a bottleneck lies in its 3×3 convolution, as in torchvision. A width factor
//! multiplies every channel count, which is SwAV's way of widening.

use crate::architecture::Stem;
use crate::architecture::families::{Choices, Family};
use crate::graph::graph_builder::GraphBuilder;
use crate::graph::{Convolution, Initial, NodeId};

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

impl Family for ResNet {
    fn backbone(&self, graph: &mut GraphBuilder, choices: &Choices) -> (NodeId, i64) {
        let stem = choices.stem.unwrap_or(Stem::Imagenet);
        let (last, channels) = backbone(graph, *self, stem, choices.width);
        (graph.pooled(last), channels)
    }

    fn classifier(
        &self,
        graph: &mut GraphBuilder,
        features: NodeId,
        inputs: i64,
        _width: f64,
        classes: i64,
    ) -> NodeId {
        graph.linear("fc", features, inputs, classes, Initial::Uniform)
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
    value = match stem {
        Stem::Imagenet => {
            graph.convolution("conv1", value, Convolution::new(3, inputs, 7, 2, INITIAL))
        }
        Stem::Cifar => {
            graph.convolution("conv1", value, Convolution::new(3, inputs, 3, 1, INITIAL))
        }
    };
    value = graph.batch_norm("bn1", value, inputs);
    value = graph.relu(value);
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
                bottleneck(
                    graph,
                    &name,
                    value,
                    inputs,
                    planes * network.inner_width,
                    outputs,
                    stride,
                )
            } else {
                basic(graph, &name, value, inputs, planes, stride)
            };
            let mut shortcut = value;
            if stride != 1 || inputs != outputs {
                let projection = Convolution::new(inputs, outputs, 1, stride, INITIAL);
                shortcut = graph.convolution(&format!("{name}.downsample.0"), shortcut, projection);
                shortcut = graph.batch_norm(&format!("{name}.downsample.1"), shortcut, outputs);
            }
            residual = graph.add(residual, shortcut);
            value = graph.relu(residual);
            inputs = outputs;
        }
    }
    (value, inputs)
}

fn basic(
    graph: &mut GraphBuilder,
    name: &str,
    input: NodeId,
    inputs: i64,
    planes: i64,
    stride: i64,
) -> NodeId {
    let mut value = input;
    value = graph.convolution(
        &format!("{name}.conv1"),
        value,
        Convolution::new(inputs, planes, 3, stride, INITIAL),
    );
    value = graph.batch_norm(&format!("{name}.bn1"), value, planes);
    value = graph.relu(value);
    value = graph.convolution(
        &format!("{name}.conv2"),
        value,
        Convolution::new(planes, planes, 3, 1, INITIAL),
    );
    graph.batch_norm(&format!("{name}.bn2"), value, planes)
}

fn bottleneck(
    graph: &mut GraphBuilder,
    name: &str,
    input: NodeId,
    inputs: i64,
    inner: i64,
    outputs: i64,
    stride: i64,
) -> NodeId {
    let mut value = input;
    value = graph.convolution(
        &format!("{name}.conv1"),
        value,
        Convolution::new(inputs, inner, 1, 1, INITIAL),
    );
    value = graph.batch_norm(&format!("{name}.bn1"), value, inner);
    value = graph.relu(value);
    value = graph.convolution(
        &format!("{name}.conv2"),
        value,
        Convolution::new(inner, inner, 3, stride, INITIAL),
    );
    value = graph.batch_norm(&format!("{name}.bn2"), value, inner);
    value = graph.relu(value);
    value = graph.convolution(
        &format!("{name}.conv3"),
        value,
        Convolution::new(inner, outputs, 1, 1, INITIAL),
    );
    graph.batch_norm(&format!("{name}.bn3"), value, outputs)
}
