//! torchvision's MobileNetV3, large and small (arXiv 1905.02244): inverted residuals with
//! squeeze-excite and hardswish.
//!
//! Features are the averages before the classifier, which has a hidden layer of its own.

use crate::architecture::families::{Choices, Family};
use crate::architecture::inverted_residual::{InvertedResidual, PartNames, Squeeze};
use crate::architecture::mobilenet_v2::divisible;
use crate::graph::graph_builder::{GraphBuilder, TENSORFLOW_NORM};
use crate::graph::{Activation, Convolution, Initial, NodeId};

const INITIAL: Initial = Initial::KaimingNormalFanOut;
const LINEAR: Initial = Initial::Normal { deviation: 0.01 };

/// What tells one from the other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum MobileNetV3 {
    Large,
    Small,
}

impl Family for MobileNetV3 {
    fn backbone(&self, graph: &mut GraphBuilder, choices: &Choices) -> (NodeId, i64) {
        let (last, channels) = backbone(graph, *self, choices.width);
        (graph.pooled(last), channels)
    }

    fn classifier(&self) -> (&'static str, Initial) {
        ("classifier.3", LINEAR)
    }

    /// `classifier.0`, hardswish; the dropout after it is left out.
    fn before_classifier(
        &self,
        graph: &mut GraphBuilder,
        (features, inputs): (NodeId, i64),
        width: f64,
    ) -> (NodeId, i64) {
        let hidden = match self {
            MobileNetV3::Large => 1280.0,
            MobileNetV3::Small => 1024.0,
        };
        let hidden = divisible(width * hidden);
        let value = graph.linear("classifier.0", features, inputs, hidden, LINEAR);
        (graph.activation(value, HS), hidden)
    }
}

/// Kernel, expanded channels, channels, squeeze-excite, activation, stride (tables 1 and 2 of the
/// paper).
type BlockRow = (i64, i64, i64, bool, Activation, i64);

const RE: Activation = Activation::Relu;
const HS: Activation = Activation::Hardswish;

const LARGE: [BlockRow; 15] = [
    (3, 16, 16, false, RE, 1),
    (3, 64, 24, false, RE, 2),
    (3, 72, 24, false, RE, 1),
    (5, 72, 40, true, RE, 2),
    (5, 120, 40, true, RE, 1),
    (5, 120, 40, true, RE, 1),
    (3, 240, 80, false, HS, 2),
    (3, 200, 80, false, HS, 1),
    (3, 184, 80, false, HS, 1),
    (3, 184, 80, false, HS, 1),
    (3, 480, 112, true, HS, 1),
    (3, 672, 112, true, HS, 1),
    (5, 672, 160, true, HS, 2),
    (5, 960, 160, true, HS, 1),
    (5, 960, 160, true, HS, 1),
];

const SMALL: [BlockRow; 11] = [
    (3, 16, 16, true, RE, 2),
    (3, 72, 24, false, RE, 2),
    (3, 88, 24, false, RE, 1),
    (5, 96, 40, true, HS, 2),
    (5, 240, 40, true, HS, 1),
    (5, 240, 40, true, HS, 1),
    (5, 120, 48, true, HS, 1),
    (5, 144, 48, true, HS, 1),
    (5, 288, 96, true, HS, 2),
    (5, 576, 96, true, HS, 1),
    (5, 576, 96, true, HS, 1),
];

/// From images to the last `[B, C, h, w]`; returns it with its channel count `C`.
fn backbone(graph: &mut GraphBuilder, network: MobileNetV3, width: f64) -> (NodeId, i64) {
    let rows: &[BlockRow] = match network {
        MobileNetV3::Large => &LARGE,
        MobileNetV3::Small => &SMALL,
    };
    let mut inputs = divisible(16.0 * width);
    let image = graph.image();
    let mut value = graph.unit(
        ("features.0.0", "features.0.1"),
        image,
        Convolution::new(3, inputs, 3, 2, INITIAL),
        TENSORFLOW_NORM,
        Some(HS),
    );
    for (index, &row) in rows.iter().enumerate() {
        let (kernel, expanded, outputs, squeezes, activation, stride) = row;
        let expanded = divisible(expanded as f64 * width);
        let outputs = divisible(outputs as f64 * width);
        let squeeze = Squeeze {
            channels: divisible((expanded / 4) as f64),
            inner: Activation::Relu,
            gate: Activation::Hardsigmoid,
        };
        let block = InvertedResidual {
            name: &format!("features.{}.block", index + 1),
            layout: PartNames::Torchvision,
            inputs,
            expanded,
            outputs,
            kernel,
            stride,
            squeeze: squeezes.then_some(squeeze),
            activation,
            norm: TENSORFLOW_NORM,
        };
        value = block.append(graph, value);
        inputs = outputs;
    }
    let last = rows.len() + 1;
    value = graph.unit(
        (&format!("features.{last}.0"), &format!("features.{last}.1")),
        value,
        Convolution::new(inputs, 6 * inputs, 1, 1, INITIAL),
        TENSORFLOW_NORM,
        Some(HS),
    );
    (value, 6 * inputs)
}
