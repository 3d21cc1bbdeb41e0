//! Node by node, from a user's description to operations and their shapes.

use std::collections::BTreeMap;

use super::description::{NodeDescription, Step};
use super::keys::check_keys;
use crate::graph::graph_builder::{GraphBuilder, NORM};
use crate::graph::{Activation, Initial, NodeId, Operation};

/// What was expected, and what was got: of which node, is put before the latter.
pub(super) type Wrong = (String, String);

pub(super) struct Writer<'graph> {
    pub graph: &'graph mut GraphBuilder,
    pub named: BTreeMap<String, NodeId>,
    /// Shape of every node's result for one image of the checked size.
    pub shapes: Vec<Vec<i64>>,
}

impl Writer<'_> {
    pub fn write(&mut self, node: &NodeDescription, before: NodeId) -> Result<NodeId, Wrong> {
        check_keys(node)?;
        let count = if node.op == Step::Add { 2 } else { 1 };
        let inputs = self.inputs(node, before, count)?;
        let input = inputs[0];
        let shape = self.shapes[input.0].clone();
        let name = node.name.as_str();
        let image = || match shape[..] {
            [channels, height, width] => Ok([channels, height, width]),
            _ => Err((
                "an input of shape [C, H, W]".to_owned(),
                format!("{shape:?}"),
            )),
        };
        let tokens = || match shape[..] {
            [count, length] => Ok([count, length]),
            _ => Err((
                "tokens of shape [N, C] as input".to_owned(),
                format!("{shape:?}"),
            )),
        };
        let last = shape.last().copied().unwrap_or(1);
        let activation = |activation| Operation::Activation(activation);
        match node.op {
            Step::Convolution | Step::Depthwise => {
                let [channels, ..] = image()?;
                let layer = self.convolution(node, channels)?;
                self.push(name, Operation::Convolution(layer), &[input])
            }
            Step::BatchNorm => {
                let operation = Operation::BatchNorm {
                    channels: shape[0],
                    epsilon: NORM.epsilon,
                    momentum: NORM.momentum,
                    offset: true,
                };
                if shape.len() == 2 {
                    return Err((
                        "an input of shape [C, H, W] or [C]".to_owned(),
                        format!("{shape:?}"),
                    ));
                }
                self.push(name, operation, &[input])
            }
            Step::LayerNorm => {
                if shape.len() == 3 {
                    return Err((
                        "tokens [N, C] or [C] as input".to_owned(),
                        format!("{shape:?}"),
                    ));
                }
                let operation = Operation::LayerNorm {
                    length: last,
                    epsilon: 1e-6,
                };
                self.push(name, operation, &[input])
            }
            Step::Relu => self.push("", activation(Activation::Relu), &[input]),
            Step::Relu6 => self.push("", activation(Activation::Relu6), &[input]),
            Step::Hardswish => self.push("", activation(Activation::Hardswish), &[input]),
            Step::Hardsigmoid => self.push("", activation(Activation::Hardsigmoid), &[input]),
            Step::Sigmoid => self.push("", activation(Activation::Sigmoid), &[input]),
            Step::Silu => self.push("", activation(Activation::Silu), &[input]),
            Step::Gelu => self.push("", activation(Activation::Gelu), &[input]),
            Step::Add => self.push("", Operation::Add, &inputs),
            Step::SqueezeExcite => {
                let [channels, ..] = image()?;
                let squeezed = node.squeezed.unwrap_or((channels / 4).max(1));
                self.squeeze_excite(name, input, channels, squeezed)
            }
            Step::MaxPool => {
                image()?;
                let kernel = node.kernel.unwrap_or(3);
                let operation = Operation::MaxPool {
                    kernel,
                    stride: node.stride.unwrap_or(2),
                    padding: node.padding.unwrap_or(kernel / 2).min(kernel / 2),
                };
                self.push("", operation, &[input])
            }
            Step::AveragePool => {
                image()?;
                let pooled = self.push("", Operation::GlobalAveragePool, &[input])?;
                self.push("", Operation::Flatten, &[pooled])
            }
            Step::Flatten => self.push("", Operation::Flatten, &[input]),
            Step::Linear => {
                if shape.len() == 3 {
                    return Err((
                        "tokens [N, C] or [C] as input".to_owned(),
                        format!("{shape:?}"),
                    ));
                }
                let outputs = self.outputs(node)?;
                self.linear(name, input, [last, outputs], node.bias.unwrap_or(true))
            }
            Step::Tokens => {
                image()?;
                self.push("", Operation::Tokens, &[input])
            }
            Step::ClassToken => {
                let [_, length] = tokens()?;
                let operation = Operation::Parameter {
                    shape: vec![1, 1, length],
                    initial: Initial::Normal { deviation: 0.02 },
                };
                let token = self.push(name, operation, &[])?;
                self.push("", Operation::ConcatenateTokens, &[token, input])
            }
            Step::Attention => {
                let [_, length] = tokens()?;
                let heads = node.heads.unwrap_or(1);
                if length % heads != 0 {
                    return Err((
                        format!("`heads` that divide the {length} channels"),
                        heads.to_string(),
                    ));
                }
                let projected =
                    self.linear(&format!("{name}.qkv"), input, [length, 3 * length], true)?;
                let attended = self.push("", Operation::Attention { heads }, &[projected])?;
                self.linear(&format!("{name}.proj"), attended, [length, length], true)
            }
            Step::FirstToken => {
                tokens()?;
                self.push("", Operation::SelectToken { index: 0 }, &[input])
            }
        }
    }

    fn inputs(
        &self,
        node: &NodeDescription,
        before: NodeId,
        count: usize,
    ) -> Result<Vec<NodeId>, Wrong> {
        let mut inputs = vec![];
        for from in &node.from {
            let found = self.named.get(from).ok_or_else(|| {
                let expected = "`from` with names of earlier nodes, or `image`".to_owned();
                (expected, format!("`{from}`"))
            })?;
            inputs.push(*found);
        }
        // `add` may name the other summand alone.
        if inputs.len() + 1 == count {
            inputs.insert(0, before);
        }
        if inputs.len() != count {
            return Err((
                format!("`from` with {count} names"),
                inputs.len().to_string(),
            ));
        }
        Ok(inputs)
    }

    /// Adds a node, and notes its shape.
    pub fn push(
        &mut self,
        name: &str,
        operation: Operation,
        inputs: &[NodeId],
    ) -> Result<NodeId, Wrong> {
        let shapes: Vec<&[i64]> = inputs
            .iter()
            .map(|input| &self.shapes[input.0][..])
            .collect();
        if let Some(wrong) = operation.misfit(&shapes) {
            return Err(wrong);
        }
        let shape = operation.shape(&shapes);
        let size = shape
            .iter()
            .try_fold(1_i64, |size, &length| size.checked_mul(length));
        if size.is_none_or(|size| size > 1 << 31) {
            return Err((
                "a result of at most 2^31 numbers".to_owned(),
                format!("{shape:?}"),
            ));
        }
        let weighted = !operation.state("").is_empty();
        if weighted && (name.is_empty() || name.starts_with('.')) {
            return Err((
                "a `name`, since it has weights".to_owned(),
                "none".to_owned(),
            ));
        }
        let name = if weighted { name } else { "" };
        let id = self.graph.push(name, operation, inputs);
        self.shapes.push(shape);
        Ok(id)
    }
}
