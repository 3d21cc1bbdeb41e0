//! The ResNets of the original paper for 32-pixel images (arXiv 1512.03385, section 4.2): 6n + 2
//! layers, three stages of n basic blocks with 16, 32 and 64 channels.
//!
//! Names are those of the widely used PyTorch reproduction, whose checkpoints have a `linear`
//! classifier and whose default shortcut subsamples and pads with zeros (option A).

use crate::architecture::Shortcut;
use crate::architecture::families::{Choices, Family, small_images};
use crate::architecture::preprocessing::Preprocessing;
use crate::architecture::resnet::{RELU, basic};
use crate::graph::graph_builder::{GraphBuilder, NORM};
use crate::graph::{Convolution, Initial, NodeId};

const INITIAL: Initial = Initial::Uniform;

/// What tells one from another: `n`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct CifarResNet {
    pub blocks_per_stage: usize,
}

impl Family for CifarResNet {
    fn backbone(&self, graph: &mut GraphBuilder, choices: &Choices) -> (NodeId, i64) {
        let shortcut = choices.shortcut.unwrap_or(Shortcut::A);
        let (last, channels) = backbone(graph, self.blocks_per_stage, shortcut, choices.width);
        (graph.pooled(last), channels)
    }

    fn classifier(&self) -> (&'static str, Initial) {
        // The reproduction draws its classifier like its convolutions.
        ("linear", Initial::KaimingNormalFanIn)
    }

    /// CIFAR's images are not resized.
    fn preprocessing(&self) -> Preprocessing {
        small_images()
    }

    fn offers_shortcuts(&self) -> bool {
        true
    }
}

/// From images to the last block's `[B, C, h, w]`; returns it with its channel count `C`.
fn backbone(
    graph: &mut GraphBuilder,
    blocks_per_stage: usize,
    shortcut: Shortcut,
    width: f64,
) -> (NodeId, i64) {
    let channels = |base: i64| ((base as f64 * width).round() as i64).max(1);
    let mut inputs = channels(16);
    let mut value = graph.image();
    let first = Convolution::new(3, inputs, 3, 1, INITIAL);
    value = graph.unit(("conv1", "bn1"), value, first, NORM, RELU);
    for stage in 0..3 {
        let planes = channels(16 << stage);
        for index in 0..blocks_per_stage {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            let block = format!("layer{}.{index}", stage + 1);
            let widths = [inputs, planes];
            let residual = basic(graph, &block, value, widths, stride, INITIAL);
            let identity = identity(graph, &block, value, widths, stride, shortcut);
            value = graph.add(residual, identity);
            value = graph.relu(value);
            inputs = planes;
        }
    }
    (value, inputs)
}

/// What is added to the block's own result.
fn identity(
    graph: &mut GraphBuilder,
    block: &str,
    input: NodeId,
    [inputs, planes]: [i64; 2],
    stride: i64,
    shortcut: Shortcut,
) -> NodeId {
    if stride == 1 && inputs == planes {
        return input;
    }
    match shortcut {
        Shortcut::A => {
            let before = (planes - inputs) / 2;
            graph.subsample_and_pad(input, stride, before, planes - inputs - before)
        }
        Shortcut::B => {
            let names = [format!("{block}.shortcut.0"), format!("{block}.shortcut.1")];
            let projection = Convolution::new(inputs, planes, 1, stride, INITIAL);
            graph.unit((&names[0], &names[1]), input, projection, NORM, None)
        }
    }
}
