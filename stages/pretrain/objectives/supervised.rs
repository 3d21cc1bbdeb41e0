//! `supervised`: plain classification of the viewed images that have labels, as `finetune` does it
//! from scratch. The classifier is kept.

use anyhow::{Result, ensure};
use seedpipe_base::Refusal;
use seedpipe_engine::StageContext;
use seedpipe_learn::architecture::{Architecture, Head};
use seedpipe_learn::schedule::Schedule;

use super::{Declaration, Pretrain, Setup, Training};
use crate::finetune::SupervisedLearner;
use crate::shared::network_artifact::initialise;
use crate::shared::objectives::params;
use crate::shared::selection::Classes;
use crate::training::{Scaling, TrainingOptions};

params! {
    /// Name the image's class: needs labels.
    Supervised {}
}

impl Declaration for Supervised {
    /// Of torchvision's references/classification/train.py, for 8 devices with 32 images each.
    fn training(&self) -> TrainingOptions {
        TrainingOptions {
            epochs: 90,
            learning_rate: 0.1,
            scale_learning_rate: Scaling::LINEAR,
            schedule: Schedule::steps(&[30, 60], 0.1),
            ..TrainingOptions::default()
        }
    }

    fn way(&self, _network: &Architecture) -> &'static str {
        "labels"
    }

    fn head(&self, _network: &Architecture) -> Result<Option<Head>> {
        Ok(None)
    }

    fn views(&self) -> usize {
        1
    }
}

impl Training for Supervised {
    fn run(&self, params: &Pretrain, context: &StageContext, setup: Setup) -> Result<()> {
        let images = setup.pictures.images();
        let classes = Classes::of(images)?;
        let class_of: Vec<Option<usize>> = (0..setup.viewed.len())
            .map(|position| classes.class(images.image(setup.viewed.image(position)).label?))
            .collect();
        let positions: Vec<u32> = (0..setup.viewed.len() as u32)
            .filter(|&position| class_of[position as usize].is_some())
            .collect();
        ensure!(
            !positions.is_empty(),
            Refusal::failure(
                "input `views`: expected views of labelled images for objective `supervised`, got none",
            )
            .stage(context.stage())
            .hint("give `ingest` a `label_column`, or a folder for each class; without labels take `moco`, `simclr` or `swav`")
        );
        let architecture = Architecture {
            classes: Some(classes.len() as i64),
            ..params.network.backbone()
        };
        let network = initialise(context, &architecture, setup.device)?;
        let learner = SupervisedLearner::of_labels(
            network,
            class_of,
            classes.len(),
            &params.training,
            setup.device,
        );
        params.learn(context, setup, learner, positions)
    }
}
