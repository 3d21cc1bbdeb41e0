//! `pretrain`: a network learns from images by itself: MoCo, SimCLR, SwAV, or for a teacher with labels plain classification.
//!
//! This file holds the params, what is refused, and the way from inputs to weights; each objective's loss is in a file of its own.
//! Without labels the head is kept, since a teacher's embedding goes through it; prototypes are thrown away.
//!
//! Version log: 1 first. (The objectives beside `moco` came later, with recipes of their own; `moco`'s content is the same.)
//! 2: JPEG files are decoded by libjpeg-turbo, similarities to a queue are computed by oneDNN. 3: judged by `evaluate` in bits that depend on
//! no number of cores.

mod checks;
mod moco;
mod objective;
mod simclr;
mod supervised;
mod swav;

use seedpipe_base::Refusal;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use schemars::JsonSchema;
use seedpipe_artifact::{IMAGES, METRICS, VIEWS, WEIGHTS};
use seedpipe_engine::{
    Arity, InputKinds, InputSlot, OutputSlot, Purpose, Stage, StageContext, Training, Work,
};
use seedpipe_learn::architecture::{Architecture, Head, Preprocessing};
use seedpipe_learn::device::device;
use seedpipe_learn::network::Network;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::Device;

use crate::judging::evaluation::write_metrics;
use crate::pixels::pictures::Pictures;
use crate::pixels::viewed::Viewed;
use crate::shared::invalid::{at_least, fraction, positive, temperature};
use crate::shared::network_artifact::{
    initialise, save_network, trained_preprocessing, validate_architecture,
};
use crate::shared::objectives::is_default;
use crate::training::{Crops, HOW, Learner, Samples, TrainingOptions, train};
use objective::{Objective, Param};

/// Training of a network on images alone.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Pretrain {
    /// The architecture with its head, which is kept: a teacher's embedding goes through it. Without `head`: one hidden layer as wide as
    /// the features, 128 out; with batch norm for `simclr` and `swav`; linear for version 1 of `moco`. `supervised` has a classifier instead.
    pub network: Architecture,
    /// `moco` (default), `simclr`, `swav`, or `supervised`, which needs labels.
    #[serde(default, skip_serializing_if = "is_default")]
    pub objective: Objective,
    /// Of `moco`: 1 has a linear head and a temperature of 0.07, 2 (default) a head with a hidden layer and 0.2.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u8>,
    /// Of `moco`: keys to tell the right one from, default 65536. Of `swav`: earlier embeddings of each whole view that share the
    /// prototypes with the batch, default 0. A multiple of the batch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<usize>,
    /// Of `swav` with a queue: the epoch (from 0) that it begins to fill in, default 15; it takes part when it is full.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue_from_epoch: Option<u32>,
    /// Divisor of the similarities. Default: `moco` 0.2, `simclr` 0.5, `swav` 0.1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Of `moco`: how slowly the key encoder follows, default 0.999.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub encoder_momentum: Option<f64>,
    /// Of `swav`: prototypes, default 300 (the paper on ImageNet: 3000).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prototypes: Option<usize>,
    /// Of `swav`: epochs in which the prototypes stay as they were drawn, default 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub freeze_prototypes_epochs: Option<u32>,
    /// Of `swav`: how soft the assignments are, default 0.05.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sinkhorn_epsilon: Option<f64>,
    /// Of `swav`: rounds that make the prototypes' shares equal, default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sinkhorn_iterations: Option<u32>,
    /// Of `swav` with the input `small_views`: small views of an image in a step, default 6.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub small_crops: Option<usize>,
    #[serde(default)]
    pub training: TrainingOptions,
    /// What the network wants done to an image; default: its architecture's, at the views' size.
    #[serde(default)]
    pub preprocessing: Option<Preprocessing>,
}

impl Stage for Pretrain {
    const KIND: &'static str = "pretrain";
    const VERSION: u32 = 3;
    const INPUTS: &'static [InputSlot] = &[
        InputSlot::new("images", &[IMAGES], Arity::One),
        InputSlot::new("views", &[VIEWS], Arity::One),
        InputSlot::new("small_views", &[VIEWS], Arity::Optional),
    ];
    const OUTPUTS: &'static [OutputSlot] = &[
        OutputSlot::new("weights", WEIGHTS),
        OutputSlot::new("metrics", METRICS),
    ];
    const TENSORS: bool = true;
    const PRECISION: Option<&'static str> = Some("training.precision");
    const HOW: &'static [&'static str] = HOW;
    const HEADLINE: &'static [&'static str] = &["loss"];

    /// Each objective's own params, and no others.
    fn with_defaults(mut self, inputs: &InputKinds) -> Self {
        fn fill<T>(of: Objective, param: Param, value: &mut Option<T>, default: T) {
            if of.has(param) && value.is_none() {
                *value = Some(default);
            }
        }
        let of = self.objective;
        let usual = of.default_temperature(self.version.unwrap_or(2));
        fill(of, Param::Temperature, &mut self.temperature, usual);
        fill(of, Param::Queue, &mut self.queue, of.default_queue());
        fill(
            of,
            Param::EncoderMomentum,
            &mut self.encoder_momentum,
            0.999,
        );
        fill(of, Param::Prototypes, &mut self.prototypes, 300);
        let frozen = &mut self.freeze_prototypes_epochs;
        fill(of, Param::FreezePrototypesEpochs, frozen, 1);
        fill(of, Param::SinkhornEpsilon, &mut self.sinkhorn_epsilon, 0.05);
        fill(
            of,
            Param::SinkhornIterations,
            &mut self.sinkhorn_iterations,
            3,
        );
        if self.queue != Some(0) {
            fill(of, Param::QueueFromEpoch, &mut self.queue_from_epoch, 15);
        }
        if inputs.connected("small_views") {
            fill(of, Param::SmallCrops, &mut self.small_crops, 6);
        }
        self
    }

    fn validate(&self, inputs: &InputKinds) -> Result<(), Refusal> {
        validate_architecture("network", &self.network)?;
        self.refuse_others_params()?;
        if let Some(version) = self.version {
            self.check_version(version)?;
        }
        if let Some(value) = self.temperature {
            temperature("temperature", value, self.objective.usual_temperature())?;
        }
        if let Some(momentum) = self.encoder_momentum {
            fraction("encoder_momentum", momentum)?;
        }
        if let Some(prototypes) = self.prototypes {
            at_least("prototypes", prototypes as u64, 2)?;
        }
        if let Some(epsilon) = self.sinkhorn_epsilon {
            positive("sinkhorn_epsilon", epsilon)?;
        }
        if let Some(iterations) = self.sinkhorn_iterations {
            at_least("sinkhorn_iterations", iterations.into(), 1)?;
        }
        self.check_small_crops(inputs)?;
        self.training.validate()?;
        if self.objective == Objective::Simclr {
            at_least("training.batch", self.training.batch as u64, 2)?;
        }
        self.check_queue()
    }

    fn purpose(&self) -> Purpose {
        Purpose::Training(Training {
            way: self.way().to_owned(),
            loss: self.way().to_owned(),
            teachers: &[],
            network: self.written().map_or(Value::Null, |network| json!(network)),
        })
    }
}

impl Pretrain {
    /// The network that it writes: with the head that it learned with, which `supervised` has none of.
    fn written(&self) -> Result<Architecture> {
        let head = match self.objective {
            Objective::Supervised => None,
            _ => Some(self.head()?),
        };
        Ok(Architecture {
            head,
            ..self.network.backbone()
        })
    }

    /// The way to learn, as its paper is called.
    fn way(&self) -> &'static str {
        let head = self.network.head.as_ref();
        match self.objective {
            // What version 2 added is the head's hidden layer (MoCo v2, section 3).
            Objective::Moco if self.version == Some(1) => "MoCo v1",
            Objective::Moco if head.is_some_and(|head| head.hidden.is_empty()) => "MoCo v1",
            Objective::Moco => "MoCo v2",
            Objective::Simclr => "SimCLR",
            Objective::Swav => "SwAV",
            Objective::Supervised => "labels",
        }
    }

    /// The head that the network learns with.
    fn head(&self) -> Result<Head> {
        if let Some(head) = &self.network.head {
            return Ok(head.clone());
        }
        let linear = self.version == Some(1);
        Ok(Head {
            hidden: match linear {
                true => Vec::new(),
                false => vec![self.network.feature_dimension()?],
            },
            out: 128,
            batch_norm: self.objective != Objective::Moco,
        })
    }
}

/// A param that the objective has.
fn set<T: Copy>(value: Option<T>, param: Param) -> Result<T> {
    value.with_context(|| format!("BUG: `{}` was not filled in", param.key()))
}

/// What every objective begins with.
struct Setup {
    pictures: Arc<Pictures>,
    viewed: Arc<Viewed>,
    /// With the number of them in a step.
    small: Option<(Arc<Viewed>, usize)>,
    device: Device,
}

impl Work for Pretrain {
    fn run(&self, context: &StageContext) -> Result<()> {
        let setup = self.setup(context)?;
        match self.objective {
            Objective::Moco => self.learn(context, setup, moco::learner),
            Objective::Simclr => self.learn(context, setup, simclr::learner),
            Objective::Swav => self.learn(context, setup, swav::learner),
            Objective::Supervised => self.learn(context, setup, supervised::learner),
        }
    }
}

impl Pretrain {
    fn setup(&self, context: &StageContext) -> Result<Setup> {
        let parts = &context.input("images").parts;
        let pictures = Arc::new(Pictures::open(parts, self.training.decode)?);
        let open = |slot: &str| -> Result<Arc<Viewed>> {
            let parts = &context.input(slot).parts;
            Ok(Arc::new(Viewed::open(parts, pictures.images())?))
        };
        let viewed = open("views")?;
        enough_views(context, "views", &viewed, self.objective.views())?;
        let small = match self.small_crops {
            None => None,
            Some(crops) => {
                let small = open("small_views")?;
                enough_views(context, "small_views", &small, crops)?;
                same_images(context, &viewed, &small)?;
                Some((small, crops))
            }
        };
        Ok(Setup {
            pictures,
            viewed,
            small,
            device: device(context.device())?,
        })
    }

    /// A new network with its head.
    fn network_with_head(&self, context: &StageContext, device: Device) -> Result<Network> {
        let architecture = Architecture {
            head: Some(self.head()?),
            ..self.network.backbone()
        };
        initialise(context, &architecture, device)
    }

    /// - `begin`: makes the learner, and tells which positions among the viewed images are trained on
    fn learn<L: Learner>(
        &self,
        context: &StageContext,
        setup: Setup,
        begin: impl FnOnce(&Pretrain, &StageContext, &Setup) -> Result<(L, Vec<u32>)>,
    ) -> Result<()> {
        let (mut learner, positions) = begin(self, context, &setup)?;
        let preprocessing = trained_preprocessing(
            self.preprocessing.as_ref(),
            learner.network().architecture(),
            setup.viewed.size(),
        );
        let mut crops = vec![Crops {
            viewed: setup.viewed,
            views: self.objective.views(),
        }];
        crops.extend(setup.small.map(|(viewed, views)| Crops { viewed, views }));
        let samples = Samples {
            positions: Arc::new(positions),
            preprocessing: preprocessing.clone(),
            crops,
            pictures: setup.pictures,
            device: setup.device,
        };
        context.shards(1, |shard| {
            let rows = train(context, &self.training, &samples, &mut learner)?;
            let network = learner.network();
            let parameters = network.without_head().graph().parameter_count();
            context.telemetry("parameters", parameters as f64);
            save_network(
                &shard.output("weights", "part-00000"),
                network,
                &preprocessing,
            )?;
            write_metrics(&shard.output("metrics", "part-00000"), &rows)
        })
    }
}

/// Positions of all viewed images.
fn everything(setup: &Setup) -> Vec<u32> {
    (0..setup.viewed.len() as u32).collect()
}

/// Refuses views of which a step's would not be different ones.
fn enough_views(context: &StageContext, slot: &str, viewed: &Viewed, needed: usize) -> Result<()> {
    let reason = match slot {
        "small_views" => "since `small_crops` asks for as many in a step",
        _ => "since two are compared",
    };
    ensure!(
        viewed.views() >= needed,
        "stage `{}`: input `{slot}`: expected at least {needed} views of each image, {reason}, got {}\nhint: set `views_per_image` of stage `{}` to {needed} or more",
        context.stage(),
        viewed.views(),
        context.input(slot).stage
    );
    Ok(())
}

/// Refuses small views of other images than the whole ones.
fn same_images(context: &StageContext, whole: &Viewed, small: &Viewed) -> Result<()> {
    let same = whole.len() == small.len()
        && (0..whole.len()).all(|position| whole.image(position) == small.image(position));
    ensure!(
        same,
        "stage `{}`: input `small_views`: expected views of the {} images that stage `{}` views, got stage `{}`'s of {} images, not all the same\nhint: give both `augment` stages the same `split`",
        context.stage(),
        whole.len(),
        context.input("views").stage,
        context.input("small_views").stage,
        small.len()
    );
    Ok(())
}
