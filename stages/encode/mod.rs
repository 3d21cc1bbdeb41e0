//! `encode`: a frozen network's embedding of every view, or of every plain image under the
//! network's own preprocessing.
//!
//! Images are decoded once for all of their views; rendering and the network run at the same time.
//! A shard is a range of images.
//!
//! Version log: 1 first.

pub(crate) mod batches;
pub(crate) mod encoder;
pub(crate) mod encoding;
pub(crate) mod reuse;
pub(crate) mod source;
pub(crate) mod stopped;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, bail};
use schemars::JsonSchema;
use seedpipe_artifact::{
    EMBEDDINGS, EmbeddingsHeader, IMAGES, ImagesReader, Metadata, Precision as Stored, VIEWS,
    ViewsReader, WEIGHTS,
};
use seedpipe_base::Refusal;
use seedpipe_base::text::hex;
use seedpipe_engine::{
    Arity, Demanded, InputKinds, InputSlot, OutputSlot, Purpose, Stage, StageContext, Work,
};
use seedpipe_imaging::{Decode, RENDERING_VERSION};
use seedpipe_learn::architecture::{Architecture, Preprocessing};
use seedpipe_learn::device::device;
use seedpipe_learn::network::Precision;
use serde::{Deserialize, Serialize};

use crate::encode::batches::{ShardBatches, work};
use crate::encode::encoder::Encoder;
use crate::encode::encoding::{Encoding, EncodingRun};
use crate::encode::reuse::{Reuse, VIEWS as VIEWS_DIGEST};
use crate::encode::source::{Source, rows_of_splits};
use crate::encode::stopped::Stopped;
use crate::pixels::feed::Frame;
use crate::pixels::pictures::Pictures;
use crate::shared::invalid::{Counted, count, invalid};
use crate::shared::logits::{LOGITS, OUTPUT};
use crate::shared::network_artifact::{
    Prepared, initialise, load_checkpoint, load_network, normalise, validate_architecture,
};

/// Embeddings that a shard should hold at least, so that files stay large.
const SHARD_ROWS: usize = 16_384;
/// Files of one artifact, at most about this many.
const PARTS: usize = 4_000;

/// Which of the network's outputs is kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Embedding {
    /// The head's output when the network has a head, else the features.
    #[default]
    Auto,
    /// The head's output.
    Head,
    /// The pooled features before any head or classifier.
    Features,
    /// The output of the network's own classifier, for `probe` with `method: logits`; better stored
    /// as `f32`.
    Logits,
}

/// How an embedding is stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Storage {
    #[default]
    F16,
    F32,
}

/// A frozen network's embeddings. The network comes from the input `weights`, from `checkpoint`,
/// or, with `network` alone, untrained.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Encode {
    /// `.safetensors`, or a torch.save file of either layout; needs `network`.
    #[serde(default)]
    pub checkpoint: Option<PathBuf>,
    /// A TorchScript file in place of `checkpoint` and `network`: a program that takes
    /// `[B, 3, H, W]` and yields `[B, D]`. Say `preprocessing`, unless ImageNet's at 224 pixels is
    /// meant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub torchscript: Option<PathBuf>,
    /// Of a checkpoint that holds several such networks, such as a student and its teacher: what the
    /// names of the wanted one's tensors begin with (`student`, `state_dict_ema`). By default an
    /// average or a teacher before others, and those before a student, a momentum or a target
    /// encoder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The checkpoint's architecture; without a checkpoint: a network with random weights, for
    /// comparison.
    #[serde(default)]
    pub network: Option<Architecture>,
    #[serde(default)]
    pub embedding: Embedding,
    /// What the network wants done to an image, when it isn't what its weights say.
    #[serde(default)]
    pub preprocessing: Option<Preprocessing>,
    /// What the network computes in: `f32`, `bf16`, or, meant for CUDA, `f16`.
    #[serde(default)]
    pub precision: Precision,
    /// `f16` or `f32`.
    #[serde(default)]
    pub store: Storage,
    /// How JPEG files are decoded: `exact` (default), or `fast`: scaled down where all views of an
    /// image want at most half of it.
    #[serde(default)]
    pub decode: Decode,
    /// Views that the network sees at once.
    #[serde(default = "default_batch")]
    pub batch: usize,
    /// Without the input `views`: the splits to encode; none named: all.
    #[serde(default)]
    pub splits: Vec<String>,
    /// Version of the rendering that the embeddings were made with; not to be set.
    #[serde(default = "rendering")]
    pub rendering: u32,
}

fn default_batch() -> usize {
    256
}

fn rendering() -> u32 {
    RENDERING_VERSION
}

impl Stage for Encode {
    const KIND: &'static str = "encode";
    const VERSION: u32 = 1;
    const INPUTS: &'static [InputSlot] = &[
        InputSlot::new("images", &[IMAGES], Arity::One),
        InputSlot::new("views", &[VIEWS], Arity::Optional),
        InputSlot::new("weights", &[WEIGHTS], Arity::Optional),
    ];
    const OUTPUTS: &'static [OutputSlot] = &[OutputSlot::new("embeddings", EMBEDDINGS)];
    const TENSORS: bool = true;
    const PRECISION: Option<&'static str> = Some("precision");

    fn sources(&self) -> Vec<PathBuf> {
        let files = [&self.checkpoint, &self.torchscript];
        files.into_iter().flatten().cloned().collect()
    }

    fn validate(&self, inputs: &InputKinds) -> Result<(), Refusal> {
        count("batch", self.batch as u64, 1, Counted::AtOnce)?;
        if self.rendering != RENDERING_VERSION {
            return Err(invalid(
                "rendering",
                &RENDERING_VERSION.to_string(),
                self.rendering,
                "leave the key out",
            ));
        }
        if self.torchscript.is_some() {
            self.check_script(inputs)?;
        }
        if let (Some(prefix), None) = (&self.prefix, &self.checkpoint) {
            return Err(invalid(
                "prefix",
                "nothing without a `checkpoint`",
                format!("`{prefix}`"),
                "leave the key out",
            ));
        }
        match (&self.checkpoint, &self.network, inputs.connected("weights")) {
            _ if self.torchscript.is_some() => {}
            (None, None, false) => {
                return Err(invalid(
                    "checkpoint",
                    "a network: the input `weights`, or `checkpoint` and `network`",
                    "none",
                    "connect `weights: STAGE`",
                ));
            }
            (Some(_), _, true) | (_, Some(_), true) => {
                return Err(invalid(
                    "network",
                    "nothing beside the input `weights`",
                    "a second network",
                    "remove `checkpoint` and `network`, or the input",
                ));
            }
            (Some(_), None, false) => {
                return Err(invalid(
                    "network",
                    "the checkpoint's architecture, e.g. {name: resnet50}",
                    "nothing",
                    "add `network: {name: …}`",
                ));
            }
            _ => {}
        }
        if inputs.connected("views") && !self.splits.is_empty() {
            return Err(invalid(
                "splits",
                "nothing when views are encoded",
                self.splits.join(", "),
                "views already are of one split",
            ));
        }
        self.network
            .iter()
            .try_for_each(|network| validate_architecture("network", network))
    }

    fn purpose(&self) -> Purpose {
        let (way, file) = match (&self.checkpoint, &self.torchscript) {
            (Some(file), _) => return Purpose::of_checkpoint(file),
            (None, Some(file)) => ("TorchScript", Some(file)),
            (None, None) => ("untrained", None),
        };
        let file = file.map(|file| file.display().to_string());
        Purpose::Encoding { way, file }
    }
}

impl Work for Encode {
    fn run(&self, context: &StageContext) -> Result<()> {
        let device = device(context.device())?;
        let (encoder, preprocessing) = self.encoder(context, device)?;
        context.telemetry("parameters", encoder.parameter_count() as f64);
        let parts = &context.input("images").parts;
        let pictures = Arc::new(Pictures::open_once(parts, self.decode)?);
        let source = Arc::new(Source::of(
            &self.splits,
            context,
            &pictures,
            &preprocessing,
        )?);
        let dimension = encoder.dimension(self.embedding, source.size(), context.stage())?;
        let mut extra = Metadata::new();
        if let Some(views) = context.optional_input("views") {
            extra.insert(VIEWS_DIGEST.to_owned(), views.content.to_string());
        }
        if self.embedding == Embedding::Logits {
            extra.insert(OUTPUT.to_owned(), LOGITS.to_owned());
        }
        let header = EmbeddingsHeader {
            of: source.of_kind(),
            precision: match self.store {
                Storage::F16 => Stored::F16,
                Storage::F32 => Stored::F32,
            },
            dimension: dimension as usize,
            normalised: false,
            network: hex(&encoder.digest()),
            extra,
        };

        let (count, views) = (source.len(), source.views());
        let images_a_shard = SHARD_ROWS
            .div_ceil(views)
            .max((count * views).div_ceil(PARTS));
        let images_a_batch = (self.batch / views).max(1);
        let encoding = Encoding {
            context,
            encoder: &encoder,
            embedding: self.embedding,
            pictures: &pictures,
            source: &source,
            header: &header,
            frame: Frame {
                batch: images_a_batch * views,
                size: source.size(),
                normalise: normalise(&preprocessing),
            },
            device,
        };
        let mut reuse = Reuse::find(context, &source, &pictures, &header)?;
        if reuse.len() > 0 && !encoding.agrees_with(&reuse, images_a_batch)? {
            context.warn(
                "rows of an earlier result are not taken over: computed beside other images, some have other bits"
                    .to_owned(),
            );
            reuse = Reuse::nothing();
        }
        let shards = work(
            context,
            count,
            views,
            images_a_shard,
            images_a_batch,
            &reuse,
        );
        let shards = Arc::new(shards);
        let rows_in_all: usize = shards.iter().map(|work| work.images() * views).sum();
        let progress = context.progress();
        let mut begun = false;
        let started = Instant::now();
        let mut run = EncodingRun::after(Stopped::read(context)?);
        let (mut computed, mut taken_over) = (0, 0);
        context.shards(shards.len(), |shard| {
            let batches = &shards[shard.index()];
            if !begun {
                let before: usize = shards[..shard.index()]
                    .iter()
                    .map(ShardBatches::images)
                    .sum();
                let (total, done) = (rows_in_all as u64, (before * views) as u64);
                progress.begin(context.stage(), "views", total, done);
                begun = true;
            }
            let kept = encoding.shard(&mut run, shard, &shards, &reuse)?;
            computed += (batches.computed() - kept) * views;
            taken_over += batches.reused.len() * views;
            Ok(())
        })?;
        progress.finish();
        let seconds = started.elapsed().as_secs_f64().max(1e-9);
        context.telemetry("views_per_second", computed as f64 / seconds);
        context.telemetry("computed_rows", computed as f64);
        context.telemetry("reused_rows", taken_over as f64);
        context.telemetry("waiting_share", run.waited().as_secs_f64() / seconds);
        context.telemetry("computing_share", run.computed.as_secs_f64() / seconds);
        Ok(())
    }

    fn rows(&self, context: &StageContext) -> Result<Demanded> {
        let rows = match context.optional_input("views") {
            Some(views) => ViewsReader::open(&views.parts)?.rows(),
            None => {
                let images = ImagesReader::open(&context.input("images").parts)?;
                rows_of_splits(&images, &self.splits)?.len()
            }
        };
        Ok(vec![("embeddings", rows as u64)])
    }
}

impl Encode {
    /// Refuses a second network and what a program can't be asked for.
    fn check_script(&self, inputs: &InputKinds) -> Result<(), Refusal> {
        if self.checkpoint.is_some() || self.network.is_some() || inputs.connected("weights") {
            return Err(invalid(
                "torchscript",
                "one network",
                "a second one",
                "remove `torchscript`, or `checkpoint`, `network` and the input `weights`",
            ));
        }
        if self.precision != Precision::F32 {
            return Err(invalid(
                "precision",
                "`f32`, since a TorchScript file says itself what it computes in",
                "another one",
                "write `precision: f32`, or leave it out where the pipeline has no other",
            ));
        }
        Ok(())
    }

    fn encoder(
        &self,
        context: &StageContext,
        device: tch::Device,
    ) -> Result<(Encoder, Preprocessing)> {
        if let Some(path) = &self.torchscript {
            let preprocessing = self
                .preprocessing
                .clone()
                .unwrap_or_else(Preprocessing::imagenet);
            let encoder = Encoder::script(&context.resolve(path), device)?;
            return Ok((encoder, preprocessing));
        }
        let Prepared {
            network,
            preprocessing,
        } = self.network(context, device)?;
        Ok((Encoder::network(network, self.precision), preprocessing))
    }

    fn network(&self, context: &StageContext, device: tch::Device) -> Result<Prepared> {
        let mut prepared = match (context.optional_input("weights"), &self.network) {
            (Some(input), _) => load_network(input, device)?,
            (None, Some(architecture)) => {
                let network = match &self.checkpoint {
                    Some(file) => load_checkpoint(
                        context,
                        file,
                        architecture,
                        self.prefix.as_deref(),
                        device,
                    )?,
                    None => initialise(context, architecture, device)?,
                };
                Prepared {
                    network,
                    preprocessing: architecture.default_preprocessing(),
                }
            }
            (None, None) => bail!("BUG: no network, although the plan was checked"),
        };
        if let Some(own) = &self.preprocessing {
            prepared.preprocessing = own.clone();
        }
        prepared.network.freeze();
        Ok(prepared)
    }
}
