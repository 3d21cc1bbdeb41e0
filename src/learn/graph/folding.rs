//! Batch norms folded into the layer before them: a graph for inference that computes the same with
//! fewer operations.
//!
//! With scale s = γ / √(σ² + ε) the layer's weights become s · w and its bias s · (b − μ) + β,
//! computed in f64.

use tch::{Kind, Tensor};

use crate::graph::{Convolution, Graph, Node, NodeId, Operation};

/// A graph with the tensors of its state, in its order.
pub struct Folded {
    pub graph: Graph,
    pub tensors: Vec<Tensor>,
}

/// Folds every batch norm that alone reads a convolution or linear layer; the others stay.
///
/// `tensors` are those of `graph.state()`, in its order.
pub fn fold(graph: &Graph, tensors: &[Tensor]) -> Folded {
    let nodes = graph.nodes();
    let readers = graph.readers();
    let mut own: Vec<Vec<Tensor>> = Vec::with_capacity(nodes.len());
    let mut first = 0;
    for node in nodes {
        let count = node.state().len();
        own.push(
            tensors[first..first + count]
                .iter()
                .map(Tensor::detach)
                .collect(),
        );
        first += count;
    }
    let mut kept: Vec<Node> = Vec::with_capacity(nodes.len());
    let mut kept_tensors: Vec<Vec<Tensor>> = Vec::with_capacity(nodes.len());
    // Where each node's result is found in the folded graph.
    let mut places: Vec<NodeId> = Vec::with_capacity(nodes.len());
    for (index, node) in nodes.iter().enumerate() {
        if let Operation::BatchNorm { epsilon, .. } = node.operation {
            let input = node.inputs[0];
            let place = places[input.0];
            let before = &mut kept[place.0];
            if readers[input.0] == 1
                && let Some(operation) = with_bias(&before.operation)
            {
                let layer = &kept_tensors[place.0];
                kept_tensors[place.0] = fold_one(layer, &own[index], epsilon);
                before.operation = operation;
                places.push(place);
                continue;
            }
        }
        places.push(NodeId(kept.len()));
        kept.push(Node {
            operation: node.operation.clone(),
            name: node.name.clone(),
            inputs: node.inputs.iter().map(|input| places[input.0]).collect(),
        });
        kept_tensors.push(own[index].iter().map(Tensor::shallow_clone).collect());
    }
    let place = |node: NodeId| places[node.0];
    Folded {
        graph: Graph::new(
            kept,
            place(graph.features()),
            graph.logits().map(place),
            graph.embedding().map(place),
        ),
        tensors: kept_tensors.into_iter().flatten().collect(),
    }
}

/// The layer with a bias, if it is one that a batch norm can be folded into.
fn with_bias(operation: &Operation) -> Option<Operation> {
    match operation {
        Operation::Convolution(convolution) => Some(Operation::Convolution(Convolution {
            bias: true,
            ..convolution.clone()
        })),
        Operation::Linear {
            inputs,
            outputs,
            initial,
            ..
        } => Some(Operation::Linear {
            inputs: *inputs,
            outputs: *outputs,
            bias: true,
            initial: *initial,
        }),
        _ => None,
    }
}

/// # Shapes
/// - `layer`: weight `[outputs, …]` and maybe bias `[outputs]`
/// - `norm`: weight, bias, running mean and variance `[outputs]`, and the count of batches
/// - returns weight and bias, f32
fn fold_one(layer: &[Tensor], norm: &[Tensor], epsilon: f64) -> Vec<Tensor> {
    let double = |tensor: &Tensor| tensor.to_kind(Kind::Double);
    let scale = double(&norm[0]) / (double(&norm[3]) + epsilon).sqrt();
    let mut along_outputs = vec![1; layer[0].dim()];
    along_outputs[0] = -1;
    let weight = double(&layer[0]) * scale.reshape(&along_outputs[..]);
    let before = match layer.get(1) {
        Some(bias) => double(bias) - double(&norm[2]),
        None => -double(&norm[2]),
    };
    let bias = before * scale + double(&norm[1]);
    vec![weight.to_kind(Kind::Float), bias.to_kind(Kind::Float)]
}
