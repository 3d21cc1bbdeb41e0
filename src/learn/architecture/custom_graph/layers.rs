//! The operations of a user's graph that have weights of more than one kind, or choices of their
//! own.

use super::description::{NodeDescription, Step};
use super::writer::{Writer, Wrong};
use crate::graph::{Activation, Convolution, Initial, NodeId, Operation};

impl Writer<'_> {
    pub fn convolution(&self, node: &NodeDescription, channels: i64) -> Result<Convolution, Wrong> {
        let kernel = node.kernel.unwrap_or(3);
        let stride = node.stride.unwrap_or(1);
        let initial = Initial::KaimingNormalFanOut;
        let mut layer = match node.op {
            Step::Depthwise => Convolution::depthwise(channels, kernel, stride, initial),
            _ => Convolution::new(channels, self.outputs(node)?, kernel, stride, initial),
        };
        layer.padding = node.padding.unwrap_or(kernel / 2);
        layer.bias = node.bias.unwrap_or(false);
        layer.groups = node.groups.unwrap_or(layer.groups);
        if layer.inputs % layer.groups != 0 || layer.outputs % layer.groups != 0 {
            return Err((
                format!(
                    "`groups` that divide {} and {}",
                    layer.inputs, layer.outputs
                ),
                layer.groups.to_string(),
            ));
        }
        Ok(layer)
    }

    pub fn outputs(&self, node: &NodeDescription) -> Result<i64, Wrong> {
        node.outputs
            .ok_or_else(|| ("the key `outputs`".to_owned(), "none".to_owned()))
    }

    pub fn linear(
        &mut self,
        name: &str,
        input: NodeId,
        [inputs, outputs]: [i64; 2],
        bias: bool,
    ) -> Result<NodeId, Wrong> {
        let operation = Operation::Linear {
            inputs,
            outputs,
            bias,
            initial: Initial::Normal { deviation: 0.02 },
        };
        self.push(name, operation, &[input])
    }

    pub(crate) fn squeeze_excite(
        &mut self,
        name: &str,
        input: NodeId,
        channels: i64,
        squeezed: i64,
    ) -> Result<NodeId, Wrong> {
        let one_by_one = |inputs, outputs| {
            let layer = Convolution::new(inputs, outputs, 1, 1, Initial::KaimingNormalFanOut);
            Operation::Convolution(layer.with_bias())
        };
        let mut weight = self.push("", Operation::GlobalAveragePool, &[input])?;
        weight = self.push(
            &format!("{name}.fc1"),
            one_by_one(channels, squeezed),
            &[weight],
        )?;
        weight = self.push("", Operation::Activation(Activation::Relu), &[weight])?;
        weight = self.push(
            &format!("{name}.fc2"),
            one_by_one(squeezed, channels),
            &[weight],
        )?;
        weight = self.push(
            "",
            Operation::Activation(Activation::Hardsigmoid),
            &[weight],
        )?;
        self.push("", Operation::Multiply, &[input, weight])
    }
}
