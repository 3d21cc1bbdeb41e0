//! A network as data: nodes of named operations, each with its state-dict prefix and its inputs.
//!
//! Knows names, shapes and counts; holds no tensor. From a graph come the forward pass
//! (`execution`), the state-dict names and shapes in PyTorch's order, and the parameter and
//! multiply-add counts. Nodes are in order of execution, which is the order in which PyTorch
//! registers the modules.

pub mod depth;
pub(crate) mod depthwise;
pub(crate) mod execution;
pub(crate) mod folding;
pub(crate) mod fusion;
pub mod graph_builder;
pub(crate) mod mismatch;
pub(crate) mod operation;
pub(crate) mod operations;

use std::convert::Infallible;

use seedpipe_base::Refusal;

pub use crate::graph::operation::{
    Activation, Convolution, Initial, Interpolation, Operation, Role, TensorSpec,
};

/// Index of a node in [`Graph::nodes`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct NodeId(pub(crate) usize);

#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    pub operation: Operation,
    /// State-dict prefix such as `layer1.0.conv1`; empty where there are no tensors.
    pub name: String,
    pub inputs: Vec<NodeId>,
}

impl Node {
    /// Its tensors in PyTorch's order.
    pub(crate) fn state(&self) -> Vec<TensorSpec> {
        self.operation.state(&self.name)
    }
}

/// The graph of one network. `features` is what a backbone yields; `logits` and `embedding` where
/// it has such ends.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    nodes: Vec<Node>,
    features: NodeId,
    logits: Option<NodeId>,
    embedding: Option<NodeId>,
}

impl Graph {
    pub(crate) fn new(
        nodes: Vec<Node>,
        features: NodeId,
        logits: Option<NodeId>,
        embedding: Option<NodeId>,
    ) -> Self {
        Self {
            nodes,
            features,
            logits,
            embedding,
        }
    }

    /// The same with a classifier on the features.
    pub(crate) fn with_logits(&self, name: &str, classifier: Operation) -> Self {
        let mut graph = self.clone();
        graph.nodes.push(Node {
            operation: classifier,
            name: name.to_owned(),
            inputs: vec![self.features],
        });
        graph.logits = Some(NodeId(self.nodes.len()));
        graph
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// Node of `[B, D]`.
    pub fn features(&self) -> NodeId {
        self.features
    }

    /// Node of `[B, classes]`.
    pub fn logits(&self) -> Option<NodeId> {
        self.logits
    }

    /// Node of `[B, head.out]`.
    pub fn embedding(&self) -> Option<NodeId> {
        self.embedding
    }

    /// How often each node's result is read, by another node or as an output.
    pub(crate) fn readers(&self) -> Vec<usize> {
        let mut readers = vec![0; self.nodes.len()];
        let inputs = self.nodes.iter().flat_map(|node| &node.inputs);
        for NodeId(index) in inputs.chain(&self.outputs()) {
            readers[*index] += 1;
        }
        readers
    }

    /// Features, logits and embedding, as far as the graph has them, in this order.
    pub fn outputs(&self) -> Vec<NodeId> {
        [Some(self.features), self.logits, self.embedding]
            .into_iter()
            .flatten()
            .collect()
    }

    /// Every tensor in PyTorch's state-dict order.
    pub fn state(&self) -> Vec<TensorSpec> {
        self.nodes.iter().flat_map(Node::state).collect()
    }

    /// Trainable numbers.
    pub fn parameter_count(&self) -> u64 {
        self.state()
            .iter()
            .filter(|spec| spec.role.trainable())
            .map(|spec| spec.shape.iter().product::<i64>().unsigned_abs())
            .sum()
    }

    /// Shape of every node's result for one image, without the batch dimension.
    pub(crate) fn shapes(&self, height: i64, width: i64) -> Vec<Vec<i64>> {
        let Ok(shapes) = self.walk::<Infallible>([height, width], |_, _| Ok(()));
        shapes
    }

    /// Length of a node's result `[B, length]` for images of that height and width.
    pub fn length(&self, node: NodeId, size: [i64; 2]) -> Result<i64, Refusal> {
        Ok(self.check(size)?[node.0].iter().product())
    }

    /// As [`Graph::shapes`]; names a layer that doesn't fit images of that height and width.
    pub(crate) fn check(&self, size: [i64; 2]) -> Result<Vec<Vec<i64>>, Refusal> {
        let [height, width] = size;
        self.walk(size, |index, inputs| {
            let node = &self.nodes[index];
            let Some((expected, got)) = node.operation.misfit(inputs) else {
                return Ok(());
            };
            let name = match node.name.as_str() {
                "" => format!("node {index}"),
                name => format!("`{name}`"),
            };
            Err(Refusal::failure(format!(
                "images of {width}×{height} pixels don't fit the network: {name}: expected {expected}, got {got}"
            ))
            .hint("give it images of the size that it was made for; a `graph` of your own says it by `size`, or pools before that layer"))
        })
    }

    /// The shapes, and a look at every node with the shapes of its inputs.
    fn walk<E>(
        &self,
        [height, width]: [i64; 2],
        mut look: impl FnMut(usize, &[&[i64]]) -> Result<(), E>,
    ) -> Result<Vec<Vec<i64>>, E> {
        let image = [0, height, width];
        let mut shapes: Vec<Vec<i64>> = Vec::with_capacity(self.nodes.len());
        for (index, node) in self.nodes.iter().enumerate() {
            let inputs: Vec<&[i64]> = match node.inputs.as_slice() {
                [] => vec![&image],
                inputs => inputs.iter().map(|input| &shapes[input.0][..]).collect(),
            };
            look(index, &inputs)?;
            let shape = node.operation.shape(&inputs);
            shapes.push(shape);
        }
        Ok(shapes)
    }

    /// Numbers that a pass leaves for the backward pass, for one image, and those of the largest
    /// result among them. What is done in place or is a view leaves none of its own.
    pub fn kept(&self, size: [i64; 2]) -> Result<(i64, i64), Refusal> {
        let shapes = self.check(size)?;
        let (mut all, mut largest) = (0, 0);
        for (node, shape) in self.nodes.iter().zip(&shapes) {
            let times = match node.operation {
                Operation::Image { .. }
                | Operation::Parameter { .. }
                | Operation::Unread { .. }
                | Operation::Activation(Activation::Relu)
                | Operation::Add
                | Operation::Flatten
                | Operation::Tokens
                | Operation::SelectToken { .. } => 0,
                Operation::MaxPool { .. } => 3, // with where each maximum was
                _ => 1,
            };
            let numbers: i64 = shape.iter().product();
            all += times * numbers;
            largest = largest.max(numbers);
        }
        Ok((all, largest))
    }

    /// Numbers in the largest result of a node, for one image.
    pub(crate) fn largest_result(&self, height: i64, width: i64) -> i64 {
        let shapes = self.shapes(height, width);
        let lengths = shapes.iter().map(|shape| shape.iter().product());
        lengths.max().unwrap_or(0)
    }

    /// Multiplications with additions of convolutions, linear layers and attention, for one image.
    pub fn multiply_adds(&self, height: i64, width: i64) -> u64 {
        let shapes = self.shapes(height, width);
        let count: i64 = self
            .nodes
            .iter()
            .zip(&shapes)
            .map(|(node, shape)| node.operation.multiply_adds(shape))
            .sum();
        count.unsigned_abs()
    }
}
