//! The embedding head: linear layers with ReLU between, thrown away after distillation.
//!
//! Named as PyTorch names `nn.Sequential(Linear, ReLU, Linear)`: `head.0`, `head.2`, …, with batch
//! norms `head.0`, `head.1` (the norm), `head.3`, …; a single linear layer is `head`.

use crate::architecture::Head;
use crate::graph::graph_builder::GraphBuilder;
use crate::graph::{Initial, NodeId};

/// `[B, inputs]` → `[B, head.out]`.
pub(crate) fn append(
    graph: &mut GraphBuilder,
    head: &Head,
    features: NodeId,
    inputs: i64,
) -> NodeId {
    let mut value = features;
    let mut inputs = inputs;
    let layers = if head.batch_norm { 3 } else { 2 };
    for (index, &hidden) in head.hidden.iter().enumerate() {
        value = graph.linear(
            &format!("head.{}", layers * index),
            value,
            inputs,
            hidden,
            Initial::Uniform,
        );
        if head.batch_norm {
            value = graph.batch_norm(&format!("head.{}", layers * index + 1), value, hidden);
        }
        value = graph.relu(value);
        inputs = hidden;
    }
    let name = if head.hidden.is_empty() {
        "head".to_owned()
    } else {
        format!("head.{}", layers * head.hidden.len())
    };
    graph.linear(&name, value, inputs, head.out, Initial::Uniform)
}
