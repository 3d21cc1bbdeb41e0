//! Writes a graph down: a family of networks is a function over a [`GraphBuilder`].

use crate::graph::{
    Activation, Convolution, Graph, Initial, Interpolation, Node, NodeId, Operation,
};

/// Numbers of a family's batch norms.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Norm {
    pub epsilon: f64,
    pub momentum: f64,
    /// Whether the bias is learned; else it stays 0.
    pub offset: bool,
}

/// PyTorch's defaults.
pub const NORM: Norm = Norm {
    epsilon: 1e-5,
    momentum: 0.1,
    offset: true,
};
/// TensorFlow's values in PyTorch's terms.
pub const TENSORFLOW_NORM: Norm = Norm {
    epsilon: 1e-3,
    momentum: 0.01,
    offset: true,
};

/// Writes a graph down node by node; a family is a function over one.
pub struct GraphBuilder {
    nodes: Vec<Node>,
    prefix: &'static str,
}

impl GraphBuilder {
    /// `prefix` stands before every name until [`GraphBuilder::set_prefix`]: `backbone.` or
    /// nothing.
    pub fn new(prefix: &'static str) -> Self {
        Self {
            nodes: vec![],
            prefix,
        }
    }

    pub fn set_prefix(&mut self, prefix: &'static str) {
        self.prefix = prefix;
    }

    pub(crate) fn push(&mut self, name: &str, operation: Operation, inputs: &[NodeId]) -> NodeId {
        let name = if name.is_empty() {
            String::new()
        } else {
            format!("{}{name}", self.prefix)
        };
        self.nodes.push(Node {
            operation,
            name,
            inputs: inputs.to_vec(),
        });
        NodeId(self.nodes.len() - 1)
    }

    pub fn image(&mut self) -> NodeId {
        self.push("", Operation::Image { channels: 3 }, &[])
    }

    pub fn convolution(&mut self, name: &str, input: NodeId, convolution: Convolution) -> NodeId {
        self.push(name, Operation::Convolution(convolution), &[input])
    }

    /// With PyTorch's defaults: epsilon 1e-5, momentum 0.1.
    pub fn batch_norm(&mut self, name: &str, input: NodeId, channels: i64) -> NodeId {
        self.batch_norm_as(name, input, channels, NORM)
    }

    pub fn batch_norm_as(
        &mut self,
        name: &str,
        input: NodeId,
        channels: i64,
        norm: Norm,
    ) -> NodeId {
        let Norm {
            epsilon,
            momentum,
            offset,
        } = norm;
        let operation = Operation::BatchNorm {
            channels,
            epsilon,
            momentum,
            offset,
        };
        self.push(name, operation, &[input])
    }

    pub fn layer_norm(&mut self, name: &str, input: NodeId, length: i64, epsilon: f64) -> NodeId {
        self.push(name, Operation::LayerNorm { length, epsilon }, &[input])
    }

    pub fn activation(&mut self, input: NodeId, activation: Activation) -> NodeId {
        self.push("", Operation::Activation(activation), &[input])
    }

    pub fn relu(&mut self, input: NodeId) -> NodeId {
        self.activation(input, Activation::Relu)
    }

    /// Convolution, batch norm and maybe an activation, called as the first two of `names`.
    pub fn unit(
        &mut self,
        names: (&str, &str),
        input: NodeId,
        convolution: Convolution,
        norm: Norm,
        activation: Option<Activation>,
    ) -> NodeId {
        let channels = convolution.outputs;
        let mut value = self.convolution(names.0, input, convolution);
        value = self.batch_norm_as(names.1, value, channels, norm);
        match activation {
            Some(activation) => self.activation(value, activation),
            None => value,
        }
    }

    /// Squeeze-excite (arXiv 1709.01507): channels are weighted by what the image's averages say,
    /// through two 1×1 convolutions called as `names`.
    pub fn squeeze_excite(
        &mut self,
        names: (&str, &str),
        input: NodeId,
        [channels, squeezed]: [i64; 2],
        inner: Activation,
        gate: Activation,
    ) -> NodeId {
        let one_by_one = |inputs, outputs| {
            Convolution::new(inputs, outputs, 1, 1, Initial::KaimingNormalFanOut).with_bias()
        };
        let mut weight = self.push("", Operation::GlobalAveragePool, &[input]);
        weight = self.convolution(names.0, weight, one_by_one(channels, squeezed));
        weight = self.activation(weight, inner);
        weight = self.convolution(names.1, weight, one_by_one(squeezed, channels));
        weight = self.activation(weight, gate);
        self.push("", Operation::Multiply, &[input, weight])
    }

    pub fn parameter(&mut self, name: &str, shape: &[i64], initial: Initial) -> NodeId {
        let shape = shape.to_vec();
        self.push(name, Operation::Parameter { shape, initial }, &[])
    }

    pub fn unread(&mut self, name: &str, shape: &[i64]) {
        let shape = shape.to_vec();
        self.push(name, Operation::Unread { shape }, &[]);
    }

    pub fn layer_scale(&mut self, name: &str, input: NodeId, length: i64, initial: f64) -> NodeId {
        self.push(name, Operation::LayerScale { length, initial }, &[input])
    }

    pub fn pad_same(&mut self, input: NodeId, kernel: i64, stride: i64) -> NodeId {
        self.push("", Operation::PadSame { kernel, stride }, &[input])
    }

    pub fn tokens(&mut self, patches: NodeId) -> NodeId {
        self.push("", Operation::Tokens, &[patches])
    }

    pub fn concatenate_tokens(&mut self, parts: &[NodeId]) -> NodeId {
        self.push("", Operation::ConcatenateTokens, parts)
    }

    /// `prefix` tokens come before the patches; the positions were made for `grid`² patches.
    pub fn add_positions(
        &mut self,
        [tokens, positions, patches]: [NodeId; 3],
        prefix: i64,
        grid: i64,
        interpolation: Interpolation,
    ) -> NodeId {
        let operation = Operation::AddPositions {
            prefix,
            grid,
            interpolation,
        };
        self.push("", operation, &[tokens, positions, patches])
    }

    pub fn attention(&mut self, queries_keys_values: NodeId, heads: i64) -> NodeId {
        self.push("", Operation::Attention { heads }, &[queries_keys_values])
    }

    pub fn select_token(&mut self, tokens: NodeId, index: i64) -> NodeId {
        self.push("", Operation::SelectToken { index }, &[tokens])
    }

    /// `sum` comes first: it may be overwritten when nothing else reads it.
    pub fn add(&mut self, sum: NodeId, other: NodeId) -> NodeId {
        self.push("", Operation::Add, &[sum, other])
    }

    pub fn max_pool(&mut self, input: NodeId, kernel: i64, stride: i64, padding: i64) -> NodeId {
        self.push(
            "",
            Operation::MaxPool {
                kernel,
                stride,
                padding,
            },
            &[input],
        )
    }

    /// Global average, then `[B, C]`.
    pub fn pooled(&mut self, input: NodeId) -> NodeId {
        let pooled = self.push("", Operation::GlobalAveragePool, &[input]);
        self.push("", Operation::Flatten, &[pooled])
    }

    pub fn subsample_and_pad(
        &mut self,
        input: NodeId,
        stride: i64,
        before: i64,
        after: i64,
    ) -> NodeId {
        self.push(
            "",
            Operation::SubsampleAndPad {
                stride,
                before,
                after,
            },
            &[input],
        )
    }

    pub fn linear(
        &mut self,
        name: &str,
        input: NodeId,
        inputs: i64,
        outputs: i64,
        initial: Initial,
    ) -> NodeId {
        let operation = Operation::Linear {
            inputs,
            outputs,
            bias: true,
            initial,
        };
        self.push(name, operation, &[input])
    }

    pub fn linear_without_bias(
        &mut self,
        name: &str,
        input: NodeId,
        inputs: i64,
        outputs: i64,
        initial: Initial,
    ) -> NodeId {
        let operation = Operation::Linear {
            inputs,
            outputs,
            bias: false,
            initial,
        };
        self.push(name, operation, &[input])
    }

    pub fn finish(
        self,
        features: NodeId,
        logits: Option<NodeId>,
        embedding: Option<NodeId>,
    ) -> Graph {
        Graph::new(self.nodes, features, logits, embedding)
    }
}
