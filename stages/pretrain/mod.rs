//! `pretrain`: a network learns from images by itself: MoCo, SimCLR, SwAV, or for a teacher with
//! labels plain classification.
//!
//! This file holds the params, what is refused, and the way from inputs to weights; each objective
//! is a file in `objectives`. Without labels the head is kept, since a teacher's embedding goes
//! through it; prototypes are thrown away.
//!
//! Version log: 1 first, 2 MoCo's batch norms see parts of every batch, SimCLR's head ends in one,
//! SwAV's head sees the crops of all sizes together.

mod objectives;
#[cfg(test)]
mod tests;

use seedpipe_base::Refusal;
use std::fmt::Display;
use std::sync::Arc;

use anyhow::{Result, ensure};
use schemars::JsonSchema;
use seedpipe_artifact::{IMAGES, METRICS, VIEWS, WEIGHTS};
use seedpipe_engine::{
    Arity, InputKinds, InputSlot, OutputSlot, Purpose, Stage, StageContext, Training, Work,
};
use seedpipe_learn::architecture::{Architecture, Preprocessing};
use seedpipe_learn::device::device;
use seedpipe_learn::network::Network;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tch::Device;

use crate::judging::evaluation::write_metrics;
use crate::pixels::pictures::Pictures;
use crate::pixels::viewed::Viewed;
use crate::shared::invalid::{Counted, count, invalid};
use crate::shared::network_artifact::{
    initialise, save_network, trained_preprocessing, validate_architecture,
};
use crate::shared::objectives::{Chosen, Objectives, flat};
use crate::shared::written::Written;
use crate::training::{Crops, HOW, Learner, Samples, TrainingOptions, train};
use objectives::Objective;

/// Training of a network on images alone.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct Pretrain {
    /// The architecture with its head, which is kept: a teacher's embedding goes through it.
    /// Without `head`: one hidden layer as wide as the features, 128 out; with batch norm for
    /// `simclr` and `swav`, of `simclr` behind the last layer too; linear for version 1 of `moco`.
    /// `supervised` has a classifier instead.
    pub network: Architecture,
    #[serde(flatten, skip_deserializing)]
    #[schemars(!skip_deserializing)]
    objective: Chosen<Objective>,
    #[serde(default)]
    pub training: Written<TrainingOptions>,
    /// What the network wants done to an image; default: its architecture's, at the views' size.
    #[serde(default)]
    pub preprocessing: Option<Preprocessing>,
}

flat!(Pretrain);

impl Stage for Pretrain {
    const KIND: &'static str = "pretrain";
    const VERSION: u32 = 2;
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

    /// The objective's own params have their defaults.
    fn with_defaults(mut self, inputs: &InputKinds) -> Self {
        self.objective.fill(inputs);
        self.training.fill(self.objective.training());
        self
    }

    fn validate(&self, inputs: &InputKinds) -> Result<(), Refusal> {
        validate_architecture("network", &self.network)?;
        if let Some((key, got)) = self.objective.foreign() {
            return Err(self.refused(key, got, |objective| objective.keys().contains(key)));
        }
        let has_head = |of: &Objective| !matches!(of.head(&self.network), Ok(None));
        if self.network.head.is_some() && !has_head(&self.objective) {
            return Err(self.refused("network.head", "a head", has_head));
        }
        self.check_small_crops(inputs)?;
        self.training.validate()?;
        self.objective.validate(&self.training, &self.network)
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
    /// The network that it writes: with the head that it learned with, which `supervised` has none
    /// of.
    fn written(&self) -> Result<Architecture> {
        Ok(Architecture {
            head: self.objective.head(&self.network)?,
            ..self.network.backbone()
        })
    }

    /// The way to learn, as its paper is called.
    fn way(&self) -> &'static str {
        self.objective.way(&self.network)
    }

    fn check_small_crops(&self, inputs: &InputKinds) -> Result<(), Refusal> {
        match (
            self.objective.small_crops(),
            inputs.connected("small_views"),
        ) {
            (None, false) => Ok(()),
            (None, true) => {
                let (key, got) = ("small_crops", "the input `small_views`");
                Err(self.refused(key, got, |objective| objective.keys().contains(key)))
            }
            (Some(crops), true) => count("small_crops", crops as u64, 1, Counted::AtOnce),
            (Some(crops), false) => Err(invalid(
                "small_crops",
                "the input `small_views` beside it",
                crops,
                "connect an `augment` stage with `recipe: swav_small`, or leave the key out",
            )),
        }
    }

    /// A param that would be without effect.
    ///
    /// - `has`: whether it is one of an objective's
    fn refused(&self, key: &str, got: impl Display, has: impl Fn(&Objective) -> bool) -> Refusal {
        let name = self.objective.name();
        let owners = Objective::those(has);
        invalid(
            key,
            &format!("nothing, since objective `{name}` has no such param"),
            got,
            &format!("leave the key out; {} has it", owners.join(" or ")),
        )
    }
}

/// What every objective begins with.
struct Setup {
    pictures: Arc<Pictures>,
    viewed: Arc<Viewed>,
    /// With the number of them in a step.
    small: Option<(Arc<Viewed>, usize)>,
    device: Device,
}

impl Setup {
    /// Positions of all viewed images.
    fn everything(&self) -> Vec<u32> {
        (0..self.viewed.len() as u32).collect()
    }
}

impl Work for Pretrain {
    fn run(&self, context: &StageContext) -> Result<()> {
        let setup = self.setup(context)?;
        self.objective.work().run(self, context, setup)
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
        let small = match self.objective.small_crops() {
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

    /// The network with its head, as it begins to learn.
    fn new_network(&self, context: &StageContext, device: Device) -> Result<Network> {
        initialise(context, &self.written()?, device)
    }

    /// - `positions`: among the viewed images, which are trained on
    fn learn(
        &self,
        context: &StageContext,
        setup: Setup,
        mut learner: impl Learner,
        positions: Vec<u32>,
    ) -> Result<()> {
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

/// Refuses views of which a step's would not be different ones.
fn enough_views(context: &StageContext, slot: &str, viewed: &Viewed, needed: usize) -> Result<()> {
    let reason = match slot {
        "small_views" => "since `small_crops` asks for as many in a step",
        _ => "since two are compared",
    };
    ensure!(
        viewed.views() >= needed,
        Refusal::failure(format!(
            "input `{slot}`: expected at least {needed} views of each image, {reason}, got {}",
            viewed.views()
        ))
        .stage(context.stage())
        .hint(format!(
            "set `views_per_image` of stage `{}` to {needed} or more",
            context.input(slot).stage
        ))
    );
    Ok(())
}

/// Refuses small views of other images than the whole ones.
fn same_images(context: &StageContext, whole: &Viewed, small: &Viewed) -> Result<()> {
    let same = whole.len() == small.len()
        && (0..whole.len()).all(|position| whole.image(position) == small.image(position));
    ensure!(
        same,
        Refusal::failure(format!(
            "input `small_views`: expected views of the {} images that stage `{}` views, got stage `{}`'s of {} images, not all the same",
            whole.len(),
            context.input("views").stage,
            context.input("small_views").stage,
            small.len()
        ))
        .stage(context.stage())
        .hint("give both `augment` stages the same `split`")
    );
    Ok(())
}
