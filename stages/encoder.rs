//! What `encode` looks at images with: a network of ours, or a TorchScript program.

use std::path::Path;

use anyhow::{Context, Result, bail};
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::script::Script;
use tch::{Device, Tensor};

use crate::encode::Embedding;

pub enum Encoder {
    Network(Box<Network>),
    /// With the length of its features.
    Script(Script, i64),
}

impl Encoder {
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
            Encoder::Network(network) => network.digest(),
            Encoder::Script(script, _) => script.digest(),
        }
    }

    /// Without the head.
    pub fn parameter_count(&self) -> u64 {
        match self {
            Encoder::Network(network) => network.without_head().graph().parameter_count(),
            Encoder::Script(script, _) => script.parameter_count(),
        }
    }

    /// Length of an embedding; an error for a head or a classifier that isn't there.
    pub fn dimension(&self, embedding: Embedding, stage: &str) -> Result<i64> {
        let headless = match self {
            Encoder::Network(network) => network.architecture().head.is_none(),
            Encoder::Script(..) => true,
        };
        if embedding == Embedding::Head && headless {
            bail!(
                "stage `{stage}`: key `embedding`: expected `features` or `auto` for a network without a head, got `head`"
            );
        }
        let classes = match self {
            Encoder::Network(network) => network.architecture().classes,
            Encoder::Script(..) => None,
        };
        if embedding == Embedding::Logits {
            return classes.with_context(|| {
                format!("stage `{stage}`: key `embedding`: expected `features` or `auto` for a network without a classifier, got `logits`\nhint: a checkpoint's classifier is read when `network` has `classes: COUNT`")
            });
        }
        Ok(match self {
            Encoder::Network(network) if embedding == Embedding::Features => {
                network.feature_dimension()
            }
            Encoder::Network(network) => network.embedding_dimension(),
            Encoder::Script(_, dimension) => *dimension,
        })
    }

    /// # Shapes
    /// - `pixels`: `[B, 3, H, W]`
    /// - returns `[B, D]` f32
    pub fn embed(
        &self,
        pixels: &Tensor,
        embedding: Embedding,
        precision: Precision,
    ) -> Result<Tensor> {
        let network = match self {
            Encoder::Network(network) => network,
            Encoder::Script(script, _) => return Ok(script.features(pixels)?),
        };
        let output = tch::no_grad(|| network.forward(pixels, Mode::Eval, precision));
        Ok(match embedding {
            Embedding::Features => output.features,
            Embedding::Logits => output
                .logits
                .context("BUG: the network has no classifier")?,
            Embedding::Auto | Embedding::Head => output.embedding_or_features().shallow_clone(),
        })
    }
}
