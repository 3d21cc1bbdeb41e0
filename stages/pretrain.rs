//! `pretrain`: a network learns from unlabelled images by itself, by MoCo v2 (arXiv 1911.05722, 2003.04297): a query encoder, a
//! momentum encoder for the keys, InfoNCE against a queue of keys.
//!
//! Batch norm would tell which key belongs to which query if both were normalised by the same images' statistics. The paper
//! shuffles the keys' batch over several devices; on one device the same is done by groups: the key encoder sees a keyed
//! permutation of the batch in groups of at most 32, each normalised by itself.
//!
//! Version log: 1 first.

use std::sync::Arc;

use anyhow::Result;
use schemars::JsonSchema;
use seedpipe_artifact::{IMAGES, METRICS, VIEWS, WEIGHTS};
use seedpipe_engine::{
    Arity, InputKinds, InputSlot, Invalid, OutputSlot, Stage, StageContext, Work, keyed_rng,
};
use seedpipe_learn::architecture::{Architecture, Head, Preprocessing};
use seedpipe_learn::device::device;
use seedpipe_learn::loss::contrastive::moco_loss;
use seedpipe_learn::loss::seed::normalise;
use seedpipe_learn::network::{Mode, Network, Precision};
use seedpipe_learn::queue::Queue;
use seedpipe_learn::random::permutation;
use seedpipe_learn::training_state::TrainingState;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Device, Tensor, no_grad};

use crate::distill::restore_queue;
use crate::evaluation::write_metrics;
use crate::invalid::{check_queue, fraction, temperature};
use crate::network_artifact::{
    initialise, normalise as normalisation, save_network, trained_preprocessing,
    validate_architecture,
};
use crate::pictures::Pictures;
use crate::training::{Batch, Crops, HOW, Learner, Samples, TrainingOptions, train};
use crate::viewed::Viewed;

/// Images of a batch that the key encoder normalises together, as many as on one of the paper's devices.
const GROUP: i64 = 32;

/// Self-supervised training of a network by MoCo v2.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pretrain {
    /// The architecture with its head; without `head`: MoCo v2's, one hidden layer as wide as the features, 128 out.
    /// The head is kept: a teacher's embedding goes through it.
    pub network: Architecture,
    /// Keys to tell the right one from; a multiple of the batch.
    #[serde(default = "default_queue")]
    pub queue: usize,
    #[serde(default = "default_temperature")]
    pub temperature: f64,
    /// How slowly the key encoder follows.
    #[serde(default = "default_momentum")]
    pub encoder_momentum: f64,
    #[serde(default)]
    pub training: TrainingOptions,
    /// What the network wants done to an image; default: its architecture's, at the views' size.
    #[serde(default)]
    pub preprocessing: Option<Preprocessing>,
}

fn default_queue() -> usize {
    65_536
}

fn default_temperature() -> f64 {
    0.2
}

fn default_momentum() -> f64 {
    0.999
}

impl Stage for Pretrain {
    const KIND: &'static str = "pretrain";
    const VERSION: u32 = 1;
    const INPUTS: &'static [InputSlot] = &[
        InputSlot {
            name: "images",
            accepts: &[IMAGES],
            arity: Arity::One,
        },
        InputSlot {
            name: "views",
            accepts: &[VIEWS],
            arity: Arity::One,
        },
    ];
    const OUTPUTS: &'static [OutputSlot] = &[
        OutputSlot {
            name: "weights",
            kind: WEIGHTS,
        },
        OutputSlot {
            name: "metrics",
            kind: METRICS,
        },
    ];
    const TENSORS: bool = true;
    const HOW: &'static [&'static str] = HOW;

    fn validate(&self, _inputs: &InputKinds) -> Result<(), Invalid> {
        validate_architecture("network", &self.network)?;
        temperature("temperature", self.temperature, "MoCo v2 uses 0.2")?;
        fraction("encoder_momentum", self.encoder_momentum)?;
        self.training.validate()?;
        check_queue(self.queue, self.training.batch)
    }
}

impl Work for Pretrain {
    fn run(&self, context: &StageContext) -> Result<()> {
        let device = device(context.device())?;
        let pictures = Arc::new(Pictures::open(&context.input("images").parts)?);
        let viewed = Arc::new(Viewed::open(
            &context.input("views").parts,
            pictures.images(),
        )?);
        anyhow::ensure!(
            viewed.views() >= 2,
            "stage `{}`: input `views`: expected at least 2 views of each image, since two are compared, got 1\nhint: set `views_per_image` of stage `{}` to 2 or more",
            context.stage(),
            context.input("views").stage
        );
        let head = match &self.network.head {
            Some(head) => head.clone(),
            None => Head {
                hidden: vec![self.network.feature_dimension()?],
                out: 128,
                batch_norm: false,
            },
        };
        let architecture = Architecture {
            head: Some(head),
            ..self.network.backbone()
        };
        let query = initialise(context, &architecture, device)?;
        let key = query.duplicate();
        key.freeze();
        let preprocessing =
            trained_preprocessing(self.preprocessing.as_ref(), &architecture, viewed.size());
        let dimension = query.embedding_dimension() as usize;
        let mut learner = MocoLearner {
            queue: Queue::new(
                self.queue,
                dimension,
                self.training.batch,
                &mut context.rng("queue", &[]),
                device,
            )?,
            query,
            key,
            seed: context.seed(),
            keys: None,
            device,
            temperature: self.temperature,
            encoder_momentum: self.encoder_momentum,
            precision: self.training.precision,
        };
        let samples = Samples {
            positions: Arc::new((0..viewed.len() as u32).collect()),
            normalise: normalisation(&preprocessing),
            crops: vec![Crops { viewed, views: 2 }],
            pictures,
            device,
        };
        context.shards(1, |shard| {
            let rows = train(context, &self.training, &samples, &mut learner)?;
            context.telemetry(
                "parameters",
                learner.query.without_head().graph().parameter_count() as f64,
            );
            save_network(
                &shard.output("weights", "part-00000"),
                &learner.query,
                &preprocessing,
            )?;
            write_metrics(&shard.output("metrics", "part-00000"), &rows)
        })
    }
}

struct MocoLearner {
    query: Network,
    key: Network,
    queue: Queue,
    seed: u64,
    /// Of the batch at hand, until the queue takes them.
    keys: Option<Tensor>,
    device: Device,
    temperature: f64,
    encoder_momentum: f64,
    precision: Precision,
}

impl MocoLearner {
    /// The keys of a batch, each normalised among a random group of it: `[B, D]`, rows of length 1.
    fn keys(&self, images: &Tensor, step: u64) -> Tensor {
        let count = images.size()[0];
        let order = permutation(
            count as usize,
            &mut keyed_rng(self.seed, Pretrain::KIND, "shuffle", &step.to_le_bytes()),
        );
        let mut back = vec![0i64; order.len()];
        for (place, &index) in order.iter().enumerate() {
            back[index as usize] = place as i64;
        }
        let order: Vec<i64> = order.into_iter().map(i64::from).collect();
        let shuffled = images.index_select(0, &Tensor::from_slice(&order).to_device(self.device));
        let keys: Vec<Tensor> = shuffled
            .split(GROUP, 0)
            .iter()
            .map(|group| {
                self.key
                    .forward(group, Mode::Train, self.precision)
                    .embedding_or_features()
                    .shallow_clone()
            })
            .collect();
        normalise(
            &Tensor::cat(&keys, 0)
                .index_select(0, &Tensor::from_slice(&back).to_device(self.device)),
        )
    }
}

impl Learner for MocoLearner {
    fn trainable(&self) -> Vec<(String, Tensor)> {
        self.query.trainable()
    }

    fn loss(&mut self, batch: &Batch) -> Result<Tensor> {
        let images = batch.images();
        let pairs = 2 * batch.positions.len() as i64;
        let (first, second) = (images.slice(0, 0, pairs, 2), images.slice(0, 1, pairs, 2)); // [B, 3, S, S] each
        if batch.begins_update {
            no_grad(|| self.key.momentum_update(&self.query, self.encoder_momentum));
        }
        let keys = no_grad(|| self.keys(&second, batch.step)); // [B, D]
        let output = self.query.forward(&first, Mode::Train, self.precision);
        let loss = moco_loss(
            output.embedding_or_features(),
            &keys,
            self.queue.rows(),
            self.temperature,
        );
        self.keys = Some(keys);
        Ok(loss)
    }

    fn remember(&mut self, _batch: &Batch) -> Result<()> {
        if let Some(keys) = self.keys.take() {
            self.queue.enqueue(&keys);
        }
        Ok(())
    }

    fn gauges(&self) -> Vec<(&'static str, f64)> {
        vec![(
            "queue_fill",
            self.queue.filled() as f64 / self.queue.len() as f64,
        )]
    }

    fn save(&self, state: &mut TrainingState) {
        state.insert_all("query.", self.query.state());
        state.insert_all("key.", self.key.state());
        state.insert_all(
            "queue.",
            vec![("rows".into(), self.queue.rows().shallow_clone())],
        );
        state.scalars["queue"] =
            json!({ "pointer": self.queue.pointer(), "filled": self.queue.filled() });
    }

    fn restore(&mut self, state: &TrainingState) -> Result<()> {
        state.copy_into("query.", &self.query.state())?;
        state.copy_into("key.", &self.key.state())?;
        self.queue = restore_queue(state, &self.queue, self.device)?;
        Ok(())
    }
}
