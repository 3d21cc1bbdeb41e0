//! The ResNets of the original paper for 32-pixel images (arXiv 1512.03385, section 4.2): 6n + 2 layers, three stages of
//! n basic blocks with 16, 32 and 64 channels.
//!
//! Names are those of the widely used PyTorch reproduction, whose checkpoints have a `linear` classifier and whose
//! default shortcut subsamples and pads with zeros (option A).

use crate::architecture::Shortcut;
use crate::architecture::families::{Choices, Family, small_images};
use crate::architecture::preprocessing::Preprocessing;
use crate::graph::graph_builder::GraphBuilder;
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

    fn classifier(
        &self,
        graph: &mut GraphBuilder,
        features: NodeId,
        inputs: i64,
        _width: f64,
        classes: i64,
    ) -> NodeId {
        // The reproduction draws its classifier like its convolutions.
        let initial = Initial::KaimingNormalFanIn;
        graph.linear("linear", features, inputs, classes, initial)
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
    value = graph.convolution("conv1", value, Convolution::new(3, inputs, 3, 1, INITIAL));
    value = graph.batch_norm("bn1", value, inputs);
    value = graph.relu(value);
    for stage in 0..3 {
        let planes = channels(16 << stage);
        for index in 0..blocks_per_stage {
            let stride = if stage > 0 && index == 0 { 2 } else { 1 };
            value = block(
                graph,
                &format!("layer{}.{index}", stage + 1),
                value,
                inputs,
                planes,
                stride,
                shortcut,
            );
            inputs = planes;
        }
    }
    (value, inputs)
}

fn block(
    graph: &mut GraphBuilder,
    name: &str,
    input: NodeId,
    inputs: i64,
    planes: i64,
    stride: i64,
    shortcut: Shortcut,
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
    value = graph.batch_norm(&format!("{name}.bn2"), value, planes);
    let mut identity = input;
    if stride != 1 || inputs != planes {
        identity = match shortcut {
            Shortcut::A => {
                let before = (planes - inputs) / 2;
                graph.subsample_and_pad(identity, stride, before, planes - inputs - before)
            }
            Shortcut::B => {
                let projection = Convolution::new(inputs, planes, 1, stride, INITIAL);
                let projected =
                    graph.convolution(&format!("{name}.shortcut.0"), identity, projection);
                graph.batch_norm(&format!("{name}.shortcut.1"), projected, planes)
            }
        };
    }
    value = graph.add(value, identity);
    graph.relu(value)
}
