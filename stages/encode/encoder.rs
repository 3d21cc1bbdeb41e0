//! What `encode` looks at images with: a network of ours, or a TorchScript program.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use seedpipe_base::Refusal;
use seedpipe_learn::inference::Inference;
use seedpipe_learn::network::{Network, Precision};
use seedpipe_learn::script::Script;
use tch::{Device, Tensor};

use crate::encode::Embedding;

pub enum Encoder {
    Network(Box<Seeing>),
    Script(Script),
}

/// A network, and itself made ready to look.
pub struct Seeing {
    network: Network,
    inference: Inference,
}

impl Encoder {
    pub fn network(network: Network, precision: Precision) -> Self {
        let inference = Inference::new(&network, precision);
        Encoder::Network(Box::new(Seeing { network, inference }))
    }

    pub fn script(path: &Path, device: Device) -> Result<Self> {
        let script = Script::load(path, device).context("key `params.torchscript`")?;
        Ok(Encoder::Script(script))
    }

    pub fn digest(&self) -> [u8; 32] {
        match self {
            Encoder::Network(seeing) => seeing.network.digest(),
            Encoder::Script(script) => script.digest(),
        }
    }

    /// Without the head.
    pub fn parameter_count(&self) -> u64 {
        match self {
            Encoder::Network(seeing) => seeing.network.without_head().graph().parameter_count(),
            Encoder::Script(script) => script.parameter_count(),
        }
    }

    /// Length of an embedding of images of `size` pixels; an error for a head or a classifier that
    /// isn't there, and for a network that such images don't fit.
    pub fn dimension(&self, embedding: Embedding, size: u32, stage: &str) -> Result<i64> {
        let headless = match self {
            Encoder::Network(seeing) => seeing.network.architecture().head.is_none(),
            Encoder::Script(..) => true,
        };
        if embedding == Embedding::Head && headless {
            bail!(
                "stage `{stage}`: key `embedding`: expected `features` or `auto` for a network without a head, got `head`"
            );
        }
        let classes = match self {
            Encoder::Network(seeing) => seeing.network.architecture().classes,
            Encoder::Script(..) => None,
        };
        if embedding == Embedding::Logits && classes.is_none() {
            bail!(
                Refusal::failure(
                    "expected `features` or `auto` for a network without a classifier, got `logits`"
                )
                .stage(stage)
                .key("embedding")
                .hint("a checkpoint's classifier is read when `network` has `classes: COUNT`")
            );
        }
        let side = i64::from(size);
        let dimension = match self {
            Encoder::Network(seeing) => {
                let graph = seeing.network.graph();
                let node = match embedding {
                    Embedding::Features => None,
                    Embedding::Logits => graph.logits(),
                    Embedding::Auto | Embedding::Head => graph.embedding(),
                };
                graph.length(node.unwrap_or(graph.features()), [side; 2])
            }
            Encoder::Script(script) => script.dimension(side),
        };
        dimension.map_err(|refusal| refusal.stage(stage).into())
    }

    /// # Shapes
    /// - `pixels`: `[B, 3, H, W]`
    /// - returns `[B, dimension]` f32, and nothing else
    pub fn embed(&self, pixels: &Tensor, embedding: Embedding, dimension: usize) -> Result<Tensor> {
        let embedded = match self {
            Encoder::Script(script) => script.features(pixels)?,
            Encoder::Network(seeing) => {
                let output = seeing.inference.forward(pixels);
                match embedding {
                    Embedding::Features => output.features,
                    Embedding::Logits => output
                        .logits
                        .context("BUG: the network has no classifier")?,
                    Embedding::Auto | Embedding::Head => {
                        output.embedding_or_features().shallow_clone()
                    }
                }
            }
        };
        let expected = [pixels.size()[0], dimension as i64];
        ensure!(
            embedded.size() == expected,
            Refusal::failure(format!(
                "expected embeddings of shape {expected:?} from the network, got {:?}",
                embedded.size()
            ))
            .hint("one that is a program must give a row of the same length for each image")
        );
        Ok(embedded)
    }
}
