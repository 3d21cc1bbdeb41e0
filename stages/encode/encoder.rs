//! What `encode` looks at images with: a network of ours, or a TorchScript program.

use std::path::Path;

use anyhow::{Context, Result, bail};
use seedpipe_base::Refusal;
use seedpipe_learn::inference::Inference;
use seedpipe_learn::network::{Network, Precision};
use seedpipe_learn::script::Script;
use tch::{Device, Tensor};

use crate::encode::Embedding;

pub enum Encoder {
    Network(Box<Seeing>),
    /// With the length of its features.
    Script(Script, i64),
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

    /// Loads a program and tries it on an image of `size` pixels.
    pub fn script(path: &Path, size: u32, device: Device) -> Result<Self> {
        let script = Script::load(path, device).context("key `params.torchscript`")?;
        let dimension = script
            .dimension(i64::from(size))
            .context("key `params.torchscript`")?;
        Ok(Encoder::Script(script, dimension))
    }

    pub fn digest(&self) -> [u8; 32] {
        match self {
            Encoder::Network(seeing) => seeing.network.digest(),
            Encoder::Script(script, _) => script.digest(),
        }
    }

    /// Without the head.
    pub fn parameter_count(&self) -> u64 {
        match self {
            Encoder::Network(seeing) => seeing.network.without_head().graph().parameter_count(),
            Encoder::Script(script, _) => script.parameter_count(),
        }
    }

    /// Length of an embedding; an error for a head or a classifier that isn't there.
    pub fn dimension(&self, embedding: Embedding, stage: &str) -> Result<i64> {
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
        if embedding == Embedding::Logits {
            let Some(classes) = classes else {
                bail!(
                    Refusal::failure("expected `features` or `auto` for a network without a classifier, got `logits`")
                        .stage(stage)
                        .key("embedding")
                        .hint("a checkpoint's classifier is read when `network` has `classes: COUNT`")
                );
            };
            return Ok(classes);
        }
        Ok(match self {
            Encoder::Network(seeing) if embedding == Embedding::Features => {
                seeing.network.feature_dimension()
            }
            Encoder::Network(seeing) => seeing.network.embedding_dimension(),
            Encoder::Script(_, dimension) => *dimension,
        })
    }

    /// # Shapes
    /// - `pixels`: `[B, 3, H, W]`
    /// - returns `[B, D]` f32
    pub fn embed(&self, pixels: &Tensor, embedding: Embedding) -> Result<Tensor> {
        let inference = match self {
            Encoder::Network(seeing) => &seeing.inference,
            Encoder::Script(script, _) => return Ok(script.features(pixels)?),
        };
        let output = inference.forward(pixels);
        Ok(match embedding {
            Embedding::Features => output.features,
            Embedding::Logits => output
                .logits
                .context("BUG: the network has no classifier")?,
            Embedding::Auto | Embedding::Head => output.embedding_or_features().shallow_clone(),
        })
    }
}
