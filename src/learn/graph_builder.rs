//! Writes a graph down: a family of networks is a function over a [`GraphBuilder`].

use crate::graph::{Convolution, Graph, Initial, Node, NodeId, Operation};

/// Writes a graph down node by node; a family is a function over one.
pub struct GraphBuilder {
    nodes: Vec<Node>,
    prefix: &'static str,
}

impl GraphBuilder {
    /// `prefix` stands before every name until [`GraphBuilder::set_prefix`]: `backbone.` or nothing.
    pub fn new(prefix: &'static str) -> Self {
        Self {
            nodes: vec![],
            prefix,
        }
    }

    pub fn set_prefix(&mut self, prefix: &'static str) {
        self.prefix = prefix;
    }

    fn push(&mut self, name: &str, operation: Operation, inputs: &[NodeId]) -> NodeId {
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
        self.push(
            name,
            Operation::BatchNorm {
                channels,
                epsilon: 1e-5,
                momentum: 0.1,
            },
            &[input],
        )
    }

    pub fn relu(&mut self, input: NodeId) -> NodeId {
        self.push("", Operation::Relu, &[input])
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
        self.push(
            name,
            Operation::Linear {
                inputs,
                outputs,
                bias: true,
                initial,
            },
            &[input],
        )
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
