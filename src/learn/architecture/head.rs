//! The embedding head: linear layers with ReLU between, and batch norms where it has them.
//!
//! Named as PyTorch names the modules of an `nn.Sequential`: `head.0`, `head.2` with a ReLU between;
//! a single linear layer is `head`.

use crate::architecture::Head;
use crate::graph::graph_builder::{GraphBuilder, NORM, Norm};
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
    let mut modules = 0;
    let mut name = || {
        modules += 1;
        format!("head.{}", modules - 1)
    };
    for &hidden in &head.hidden {
        value = graph.linear(&name(), value, inputs, hidden, Initial::Uniform);
        if head.batch_norm {
            value = graph.batch_norm(&name(), value, hidden);
        }
        value = graph.relu(value);
        let _of_the_relu = name();
        inputs = hidden;
    }
    if head.last_batch_norm {
        value = graph.linear_without_bias(&name(), value, inputs, head.out, Initial::Uniform);
        let norm = Norm {
            offset: false,
            ..NORM
        };
        return graph.batch_norm_as(&name(), value, head.out, norm);
    }
    let last = match head.hidden.is_empty() {
        true => "head".to_owned(),
        false => name(),
    };
    graph.linear(&last, value, inputs, head.out, Initial::Uniform)
}
