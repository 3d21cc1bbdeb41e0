//! How deep each tensor of a network lies: what is frozen first, and what learns slower the deeper
//! below the classifier.
//!
//! Decided from the network's description alone, the same for every family: a body of blocks, a
//! stem before them, and the ends (classifier, embedding head) behind the features.

use std::collections::{BTreeMap, BTreeSet};

use crate::graph::Graph;

/// The depth of every tensor: 0 is the stem, 1 … `blocks` are the blocks, `blocks` + 1 classifier
/// and head.
///
/// A block is what a family repeats: `layer1.0` of a ResNet, `features.3` of a MobileNet,
/// `features.2.1` of an EfficientNet, `_blocks.4` of an EfficientNet-Lite, `blocks.5` or
/// `encoder.layers.encoder_layer_5` of a vision transformer. What stands before the first is the
/// stem (patches, class token and positions too), what comes between the last and the features
/// (`_conv_head`, the last norm) belongs to the last block. In a graph of the user's own without
/// such names each node with tensors is a block, and there is no stem.
#[derive(Clone, Debug, PartialEq)]
pub struct Depths {
    /// By name, in state-dict order.
    tensors: Vec<(String, usize)>,
    blocks: usize,
}

impl Depths {
    pub fn of(graph: &Graph) -> Self {
        let body = graph.features().0 + 1;
        let has_blocks = graph.nodes()[..body]
            .iter()
            .any(|node| block(&node.name).is_some());
        let mut tensors = Vec::new();
        let mut blocks = 0;
        let mut current: Option<&str> = None;
        for (index, node) in graph.nodes().iter().enumerate() {
            let state = node.state();
            let found = match has_blocks {
                true => block(&node.name),
                false => (!state.is_empty()).then_some(node.name.as_str()),
            };
            if index < body && found.is_some() && found != current {
                blocks += 1;
                current = found;
            }
            // The end's depth is known when the body is over.
            let depth = if index < body { blocks } else { blocks + 1 };
            tensors.extend(state.into_iter().map(|spec| (spec.name, depth)));
        }
        Self { tensors, blocks }
    }

    /// How many blocks there are.
    pub fn blocks(&self) -> usize {
        self.blocks
    }

    /// The depth of a tensor by its name in the state dict; `None` where there is no such tensor.
    pub fn depth(&self, name: &str) -> Option<usize> {
        let found = self.tensors.iter().find(|(known, _)| known == name);
        found.map(|(_, depth)| *depth)
    }

    /// Names of the stem's tensors and those of the first `blocks` blocks.
    pub fn first(&self, blocks: usize) -> BTreeSet<String> {
        let lower = self.tensors.iter().filter(|(_, depth)| *depth <= blocks);
        lower.map(|(name, _)| name.clone()).collect()
    }

    /// Factor on each tensor's learning rate, by name: decay^(levels below the ends), so 1 for
    /// classifier and head, `decay` for the last block and decay^(blocks + 1) for the stem (as in
    /// BEiT, arXiv 2106.08254).
    pub fn rate_factors(&self, decay: f64) -> BTreeMap<String, f64> {
        let factors = self.tensors.iter().map(|(name, depth)| {
            let below = i32::try_from(self.blocks + 1 - depth).unwrap_or(i32::MAX);
            (name.clone(), decay.powi(below))
        });
        factors.collect()
    }
}

/// The block that a node's name lies in: up to its first number, or two numbers in a row, where
/// parts of words follow.
fn block(name: &str) -> Option<&str> {
    let name = name.strip_prefix("backbone.").unwrap_or(name);
    let is_number = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let parts: Vec<&str> = name.split('.').collect();
    let first = parts
        .iter()
        .position(|part| is_number(part) || part.starts_with("encoder_layer_"))?;
    let is_two =
        is_number(parts[first]) && parts.get(first + 1).is_some_and(|part| is_number(part));
    let count = first + 1 + usize::from(is_two);
    // `features.0.0` is a convolution beside the blocks.
    let word_follows = parts.get(count).is_some_and(|part| !is_number(part));
    if first == 0 || !word_follows {
        return None;
    }
    let length = parts[..count].iter().map(|part| part.len()).sum::<usize>() + count - 1;
    Some(&name[..length])
}

#[cfg(test)]
#[path = "depth_tests.rs"]
mod tests;
