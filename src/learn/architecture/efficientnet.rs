//! torchvision's EfficientNets (arXiv 1905.11946): MobileNetV3's blocks with SiLU, scaled in width
//! and depth together.
//!
//! The stochastic depth and the dropout of their training are left out.

use seedpipe_base::Filter;

use crate::architecture::families::{Choices, Family};
use crate::architecture::inverted_residual::{InvertedResidual, PartNames, Squeeze};
use crate::architecture::mobilenet_v2::divisible;
use crate::architecture::preprocessing::Preprocessing;
use crate::graph::graph_builder::{GraphBuilder, NORM};
use crate::graph::{Activation, Convolution, Initial, NodeId};

const INITIAL: Initial = Initial::KaimingNormalFanOut;
const SILU: Option<Activation> = Some(Activation::Silu);

/// What tells one EfficientNet from another (section 3.3 of the paper), and torchvision's way of
/// looking at an image.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EfficientNet {
    pub width: f64,
    pub depth: f64,
    /// Pixels of the crop and of the resized shorter side.
    pub size: u32,
    pub resize: u32,
}

impl Family for EfficientNet {
    fn backbone(&self, graph: &mut GraphBuilder, choices: &Choices) -> (NodeId, i64) {
        let (last, channels) = backbone(graph, *self, choices.width);
        (graph.pooled(last), channels)
    }

    fn classifier(&self) -> (&'static str, Initial) {
        ("classifier.1", Initial::UniformFanOut)
    }

    fn preprocessing(&self) -> Preprocessing {
        Preprocessing {
            size: self.size,
            crop_ratio: f64::from(self.size) / f64::from(self.resize),
            filter: Filter::PillowBicubic,
            ..Preprocessing::imagenet()
        }
    }
}

/// Expansion, kernel, stride of the first block, channels before and after, blocks (table 1).
pub(crate) const STAGES: [(i64, i64, i64, i64, i64, usize); 7] = [
    (1, 3, 1, 32, 16, 1),
    (6, 3, 2, 16, 24, 2),
    (6, 5, 2, 24, 40, 2),
    (6, 3, 2, 40, 80, 3),
    (6, 5, 1, 80, 112, 3),
    (6, 5, 2, 112, 192, 4),
    (6, 3, 1, 192, 320, 1),
];

/// From images to the last `[B, C, h, w]`; returns it with its channel count `C`.
fn backbone(graph: &mut GraphBuilder, network: EfficientNet, width: f64) -> (NodeId, i64) {
    let channels = |base: i64| divisible(base as f64 * network.width * width);
    let mut inputs = channels(32);
    let image = graph.image();
    let mut value = graph.unit(
        ("features.0.0", "features.0.1"),
        image,
        Convolution::new(3, inputs, 3, 2, INITIAL),
        NORM,
        SILU,
    );
    for (stage, (expansion, kernel, first_stride, _, channels_after, blocks)) in
        STAGES.into_iter().enumerate()
    {
        let outputs = channels(channels_after);
        let blocks = (blocks as f64 * network.depth).ceil() as usize;
        for block in 0..blocks {
            let stride = if block == 0 { first_stride } else { 1 };
            let expanded = match expansion {
                1 => inputs,
                _ => divisible((inputs * expansion) as f64),
            };
            let block = InvertedResidual {
                name: &format!("features.{}.{block}.block", stage + 1),
                layout: PartNames::Torchvision,
                inputs,
                expanded,
                outputs,
                kernel,
                stride,
                squeeze: Some(Squeeze {
                    channels: (inputs / 4).max(1),
                    inner: Activation::Silu,
                    gate: Activation::Sigmoid,
                }),
                activation: Activation::Silu,
                norm: NORM,
            };
            value = block.append(graph, value);
            inputs = outputs;
        }
    }
    let last = STAGES.len() + 1;
    value = graph.unit(
        (&format!("features.{last}.0"), &format!("features.{last}.1")),
        value,
        Convolution::new(inputs, 4 * inputs, 1, 1, INITIAL),
        NORM,
        SILU,
    );
    (value, 4 * inputs)
}
