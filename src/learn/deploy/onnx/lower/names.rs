//! Names of nodes: those of the state dict, and words for operations without tensors.

use std::collections::BTreeSet;

use crate::graph::{Activation, Graph, Operation};

/// A name for each node: its own, or that of what it reads and what it does. No two are equal.
pub(super) fn names(graph: &Graph) -> Vec<String> {
    let mut taken = BTreeSet::new();
    let mut names: Vec<String> = vec![];
    for node in graph.nodes() {
        let base = if node.name.is_empty() {
            let read = node.inputs.first().map(|input| names[input.0].as_str());
            match read {
                Some(read) if !read.is_empty() => {
                    // The last word alone, so that names don't grow along the network.
                    let place = read.rsplit_once('/').map_or(read, |(place, _)| place);
                    format!("{place}/{}", word(&node.operation))
                }
                _ => word(&node.operation).to_owned(),
            }
        } else {
            node.name.trim_end_matches(['_', '.']).to_owned()
        };
        let mut name = base.clone();
        let mut count = 1;
        while !taken.insert(name.clone()) {
            count += 1;
            name = format!("{base}_{count}");
        }
        names.push(name);
    }
    names
}

fn word(operation: &Operation) -> &'static str {
    match operation {
        Operation::Image { .. } => "image",
        Operation::Parameter { .. } | Operation::Unread { .. } => "parameter",
        Operation::Convolution(_) => "convolution",
        Operation::BatchNorm { .. } | Operation::LayerNorm { .. } => "norm",
        Operation::Activation(Activation::Relu) => "relu",
        Operation::Activation(Activation::Relu6) => "relu6",
        Operation::Activation(Activation::Hardswish) => "hardswish",
        Operation::Activation(Activation::Hardsigmoid) => "hardsigmoid",
        Operation::Activation(Activation::Sigmoid) => "sigmoid",
        Operation::Activation(Activation::Silu) => "silu",
        Operation::Activation(Activation::Gelu) => "gelu",
        Operation::Add => "add",
        Operation::Multiply => "multiply",
        Operation::LayerScale { .. } => "scale",
        Operation::MaxPool { .. } => "max_pool",
        Operation::PadSame { .. } => "pad",
        Operation::GlobalAveragePool => "average",
        Operation::Flatten => "flatten",
        Operation::SubsampleAndPad { .. } => "subsample",
        Operation::Linear { .. } => "linear",
        Operation::Tokens => "tokens",
        Operation::ConcatenateTokens => "concatenate",
        Operation::AddPositions { .. } => "positions",
        Operation::Attention { .. } => "attention",
        Operation::SelectToken { .. } => "token",
    }
}
