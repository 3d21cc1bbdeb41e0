//! `plain2`, `plain3`: convolutions with batch norm and ReLU, each halving the image. Networks of a
//! program's own, shown in docs/extending.md.

use seedpipe_learn::families::{Choices, Family};
use seedpipe_learn::graph::{Convolution, Initial, NodeId};
use seedpipe_learn::graph_builder::GraphBuilder;
use seedpipe_learn::preprocessing::Preprocessing;

pub struct PlainNet {
    pub layers: usize,
}

impl Family for PlainNet {
    fn backbone(&self, graph: &mut GraphBuilder, choices: &Choices) -> (NodeId, i64) {
        let mut channels = 3;
        let mut value = graph.image();
        for layer in 0..self.layers {
            let outputs = ((16 << layer) as f64 * choices.width).ceil() as i64;
            let convolution =
                Convolution::new(channels, outputs, 3, 2, Initial::KaimingNormalFanOut);
            value = graph.convolution(&format!("conv{layer}"), value, convolution);
            value = graph.batch_norm(&format!("bn{layer}"), value, outputs);
            value = graph.relu(value); // [B, outputs, h, w]
            channels = outputs;
        }
        (graph.pooled(value), channels) // [B, channels]
    }

    fn preprocessing(&self) -> Preprocessing {
        Preprocessing {
            size: 32,
            crop_ratio: 1.0,
            ..Preprocessing::default()
        }
    }
}
