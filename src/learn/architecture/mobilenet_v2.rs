//! torchvision's MobileNetV2 (arXiv 1801.04381): inverted residuals with linear bottlenecks.

use crate::architecture::families::{Choices, Family};
use crate::architecture::inverted_residual::{InvertedResidual, PartNames};
use crate::graph::graph_builder::{GraphBuilder, NORM};
use crate::graph::{Activation, Convolution, Initial, NodeId};

const INITIAL: Initial = Initial::KaimingNormalFanOut;
const RELU6: Option<Activation> = Some(Activation::Relu6);

/// There is one.
pub(crate) struct MobileNetV2;

impl Family for MobileNetV2 {
    fn backbone(&self, graph: &mut GraphBuilder, choices: &Choices) -> (NodeId, i64) {
        let (last, channels) = backbone(graph, choices.width);
        (graph.pooled(last), channels)
    }

    fn classifier(&self) -> (&'static str, Initial) {
        ("classifier.1", Initial::Normal { deviation: 0.01 })
    }
}

/// Expansion, channels, blocks, stride of the first block (table 2 of the paper).
const STAGES: [(i64, i64, usize, i64); 7] = [
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
];

/// The multiple of 8 nearest to `channels`, but not less than nine tenths of it: the MobileNets'
/// and EfficientNets' rounding.
pub(crate) fn divisible(channels: f64) -> i64 {
    let rounded = (((channels + 4.0) as i64) / 8 * 8).max(8);
    if (rounded as f64) < 0.9 * channels {
        rounded + 8
    } else {
        rounded
    }
}

/// From images to the last `[B, C, h, w]`; returns it with its channel count `C`.
fn backbone(graph: &mut GraphBuilder, width: f64) -> (NodeId, i64) {
    let mut inputs = divisible(32.0 * width);
    let image = graph.image();
    let mut value = graph.unit(
        ("features.0.0", "features.0.1"),
        image,
        Convolution::new(3, inputs, 3, 2, INITIAL),
        NORM,
        RELU6,
    );
    let mut index = 1;
    for (expansion, channels, blocks, first_stride) in STAGES {
        let outputs = divisible(channels as f64 * width);
        for block in 0..blocks {
            let stride = if block == 0 { first_stride } else { 1 };
            let name = format!("features.{index}.conv");
            let block = InvertedResidual {
                name: &name,
                layout: PartNames::Flat,
                inputs,
                expanded: inputs * expansion,
                outputs,
                kernel: 3,
                stride,
                squeeze: None,
                activation: Activation::Relu6,
                norm: NORM,
            };
            value = block.append(graph, value);
            inputs = outputs;
            index += 1;
        }
    }
    let last = divisible(1280.0 * width.max(1.0));
    value = graph.unit(
        (
            &format!("features.{index}.0"),
            &format!("features.{index}.1"),
        ),
        value,
        Convolution::new(inputs, last, 1, 1, INITIAL),
        NORM,
        RELU6,
    );
    (value, last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_round_to_multiples_of_eight_and_never_lose_a_tenth() {
        assert_eq!(divisible(32.0), 32);
        assert_eq!(divisible(16.0 * 1.1), 16);
        assert_eq!(divisible(24.0 * 1.4), 32);
        assert_eq!(divisible(3.0), 8);
        // 16 would be less than nine tenths of 19.
        assert_eq!(divisible(19.0), 24);
    }
}
