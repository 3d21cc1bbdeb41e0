//! The block of MobileNets and EfficientNets: 1×1 convolution to more channels, depthwise
//! convolution, perhaps squeeze-excite, 1×1 convolution back without activation, and the input
//! added where shapes agree (arXiv 1801.04381, 1905.02244).

use crate::graph::graph_builder::{GraphBuilder, Norm};
use crate::graph::{Activation, Convolution, Initial, NodeId};

const INITIAL: Initial = Initial::KaimingNormalFanOut;

/// How a block's parts are called, and how its images are padded.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum PartNames {
    /// torchvision's: `0.0` and `0.1`, `1.0` …, counted over the parts that there are.
    Torchvision,
    /// torchvision's MobileNetV2: the last convolution and its norm are parts of their own.
    Flat,
    /// `efficientnet-lite-pytorch`'s: `_expand_conv`, `_bn0` …; padded as in TensorFlow.
    Lite,
}

/// Between the depthwise convolution and the last.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Squeeze {
    pub channels: i64,
    pub inner: Activation,
    pub gate: Activation,
}

pub(crate) struct InvertedResidual<'name> {
    /// State-dict prefix.
    pub name: &'name str,
    pub layout: PartNames,
    pub inputs: i64,
    /// Channels of the depthwise convolution; the first convolution is left out where they are the
    /// input's.
    pub expanded: i64,
    pub outputs: i64,
    pub kernel: i64,
    pub stride: i64,
    pub squeeze: Option<Squeeze>,
    pub activation: Activation,
    pub norm: Norm,
}

impl InvertedResidual<'_> {
    /// # Shapes
    /// - `input`: `[B, inputs, H, W]`
    /// - returns `[B, outputs, H / stride, W / stride]`, rounded up
    pub(crate) fn append(&self, graph: &mut GraphBuilder, input: NodeId) -> NodeId {
        let activation = Some(self.activation);
        let mut value = input;
        let mut part = 0;
        if self.expanded != self.inputs {
            let expand = Convolution::new(self.inputs, self.expanded, 1, 1, INITIAL);
            value = self.unit(
                graph,
                ["_expand_conv", "_bn0"],
                part,
                value,
                expand,
                activation,
            );
            part += 1;
        }
        let mut depthwise =
            Convolution::depthwise(self.expanded, self.kernel, self.stride, INITIAL);
        // At stride 1 an odd kernel is padded alike on both sides, which the convolution does by
        // itself.
        if self.layout == PartNames::Lite && self.stride != 1 {
            value = graph.pad_same(value, self.kernel, self.stride);
            depthwise.padding = 0;
        }
        value = self.unit(
            graph,
            ["_depthwise_conv", "_bn1"],
            part,
            value,
            depthwise,
            activation,
        );
        part += 1;
        if let Some(squeeze) = self.squeeze {
            let name = |last: &str| format!("{}.{part}.{last}", self.name);
            value = graph.squeeze_excite(
                (&name("fc1"), &name("fc2")),
                value,
                [self.expanded, squeeze.channels],
                squeeze.inner,
                squeeze.gate,
            );
            part += 1;
        }
        let project = Convolution::new(self.expanded, self.outputs, 1, 1, INITIAL);
        value = match self.layout {
            PartNames::Flat => {
                let name = |part| format!("{}.{part}", self.name);
                graph.unit(
                    (&name(part), &name(part + 1)),
                    value,
                    project,
                    self.norm,
                    None,
                )
            }
            _ => self.unit(graph, ["_project_conv", "_bn2"], part, value, project, None),
        };
        if self.stride == 1 && self.inputs == self.outputs {
            value = graph.add(value, input);
        }
        value
    }

    /// A convolution with its norm and activation, the block's `part`; `lite` are their names in
    /// that layout.
    fn unit(
        &self,
        graph: &mut GraphBuilder,
        lite: [&str; 2],
        part: usize,
        input: NodeId,
        convolution: Convolution,
        activation: Option<Activation>,
    ) -> NodeId {
        let names = match self.layout {
            PartNames::Lite => lite.map(|name| format!("{}.{name}", self.name)),
            _ => [0, 1].map(|index| format!("{}.{part}.{index}", self.name)),
        };
        let names = (names[0].as_str(), names[1].as_str());
        graph.unit(names, input, convolution, self.norm, activation)
    }
}
