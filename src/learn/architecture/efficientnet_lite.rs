//! EfficientNet-Lite: EfficientNets without squeeze-excite and with ReLU6, as
//! `efficientnet-lite-pytorch` has them.
//!
//! Converted from TensorFlow, so images are padded as there (`SAME`), and an input is (x − 127) / 128.
//! Stem and head, and the depth of the first and last stage, are not scaled.

use seedpipe_base::Filter;

use crate::architecture::efficientnet::STAGES;
use crate::architecture::families::{Choices, Family};
use crate::architecture::inverted_residual::{InvertedResidual, PartNames};
use crate::architecture::mobilenet_v2::divisible;
use crate::architecture::preprocessing::{CropOrder, Preprocessing};
use crate::graph::graph_builder::{GraphBuilder, TENSORFLOW_NORM};
use crate::graph::{Activation, Convolution, Initial, NodeId};

const INITIAL: Initial = Initial::KaimingNormalFanOut;
const RELU6: Option<Activation> = Some(Activation::Relu6);
const HEAD_CHANNELS: i64 = 1280;

/// What tells one from another.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct EfficientNetLite {
    pub width: f64,
    pub depth: f64,
    /// Pixels of the image.
    pub size: u32,
}

impl Family for EfficientNetLite {
    fn backbone(&self, graph: &mut GraphBuilder, choices: &Choices) -> (NodeId, i64) {
        let (last, channels) = backbone(graph, *self, choices.width);
        (graph.pooled(last), channels)
    }

    fn classifier(&self) -> (&'static str, Initial) {
        ("_fc", Initial::UniformFanOut)
    }

    /// The middle size / (size + 32) of the image, cut out before it is resized, and (x − 127) / 128.
    fn preprocessing(&self) -> Preprocessing {
        Preprocessing {
            size: self.size,
            crop_ratio: f64::from(self.size) / f64::from(self.size + 32),
            crop: CropOrder::BeforeResize,
            filter: Filter::PillowBicubic,
            mean: [127.0 / 255.0; 3],
            std: [128.0 / 255.0; 3],
        }
    }
}

/// From images to the last `[B, C, h, w]`; returns it with its channel count `C`.
fn backbone(graph: &mut GraphBuilder, network: EfficientNetLite, width: f64) -> (NodeId, i64) {
    let mut inputs = divisible(32.0 * width);
    let image = graph.image();
    let padded = graph.pad_same(image, 3, 2);
    let mut value = graph.unit(
        ("_conv_stem", "_bn0"),
        padded,
        Convolution {
            padding: 0,
            ..Convolution::new(3, inputs, 3, 2, INITIAL)
        },
        TENSORFLOW_NORM,
        RELU6,
    );
    let mut index = 0;
    for (stage, (expansion, kernel, first_stride, _, channels, blocks)) in
        STAGES.into_iter().enumerate()
    {
        let outputs = divisible(channels as f64 * network.width * width);
        let scaled = (1..STAGES.len() - 1).contains(&stage);
        let blocks = if scaled {
            (blocks as f64 * network.depth).ceil() as usize
        } else {
            blocks
        };
        for block in 0..blocks {
            let stride = if block == 0 { first_stride } else { 1 };
            let block = InvertedResidual {
                name: &format!("_blocks.{index}"),
                layout: PartNames::Lite,
                inputs,
                expanded: inputs * expansion,
                outputs,
                kernel,
                stride,
                squeeze: None,
                activation: Activation::Relu6,
                norm: TENSORFLOW_NORM,
            };
            value = block.append(graph, value);
            inputs = outputs;
            index += 1;
        }
    }
    let last = divisible(HEAD_CHANNELS as f64 * width.max(1.0));
    value = graph.unit(
        ("_conv_head", "_bn1"),
        value,
        Convolution::new(inputs, last, 1, 1, INITIAL),
        TENSORFLOW_NORM,
        RELU6,
    );
    (value, last)
}
