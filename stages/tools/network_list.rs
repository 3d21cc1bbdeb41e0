//! The networks that are known by name, with their counts. Needs no libtorch.

use seedpipe_learn::architecture::{Architecture, names};
use serde::Serialize;

/// A network with ImageNet's 1000 classes, at the size of its published weights.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NetworkEntry {
    pub name: &'static str,
    /// With the classifier.
    pub parameters: u64,
    /// Multiplications with additions for one image.
    pub multiply_adds: u64,
    /// Side of the image in pixels.
    pub size: u32,
    /// Length of the features before the classifier.
    pub features: i64,
}

/// In the order of the families.
pub fn network_list() -> Vec<NetworkEntry> {
    names()
        .into_iter()
        .map(|name| {
            let architecture = Architecture {
                classes: Some(1000),
                ..Architecture::named(name)
            };
            let graph = architecture
                .graph()
                .expect("BUG: a named network without a graph");
            let size = architecture.default_preprocessing().size;
            let side = i64::from(size);
            let features = graph.length(graph.features(), [side; 2]);
            NetworkEntry {
                name,
                parameters: graph.parameter_count(),
                multiply_adds: graph.multiply_adds(side, side),
                size,
                features: features.expect("BUG: a network that doesn't fit its own size"),
            }
        })
        .collect()
}
