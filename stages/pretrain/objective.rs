//! What a network can learn from images by itself, and which params each objective has. No tensors here.

use seedpipe_base::Refusal;
use std::fmt::Display;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::shared::invalid::invalid;

/// What is learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Objective {
    /// MoCo: find the other view's key, of a slowly following encoder, among a queue of earlier keys.
    #[default]
    Moco,
    /// SimCLR: find the other view of the image among the batch's.
    Simclr,
    /// SwAV: predict the other views' assignment to prototypes.
    Swav,
    /// Name the image's class: needs labels.
    Supervised,
}

/// A param that not every objective has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    Version,
    Queue,
    QueueFromEpoch,
    Temperature,
    EncoderMomentum,
    Prototypes,
    FreezePrototypesEpochs,
    SinkhornEpsilon,
    SinkhornIterations,
    SmallCrops,
    Head,
}

use Objective::{Moco, Simclr, Supervised, Swav};

impl Objective {
    pub fn name(self) -> &'static str {
        match self {
            Moco => "moco",
            Simclr => "simclr",
            Swav => "swav",
            Supervised => "supervised",
        }
    }

    pub fn has(self, param: Param) -> bool {
        param.owners().contains(&self)
    }

    /// Whole views of an image in a step.
    pub fn views(self) -> usize {
        match self {
            Supervised => 1,
            _ => 2,
        }
    }

    /// Keys of MoCo; earlier embeddings of SwAV, which by itself balances the batch alone.
    pub fn default_queue(self) -> usize {
        match self {
            Moco => 65_536,
            _ => 0,
        }
    }

    /// - `version`: of MoCo
    pub fn default_temperature(self, version: u8) -> f64 {
        match (self, version) {
            (Moco, 1) => 0.07,
            (Moco, _) => 0.2,
            (Simclr, _) => 0.5, // the paper's on CIFAR-10 (appendix B.9)
            _ => 0.1,
        }
    }

    /// What the papers use, for a message.
    pub fn usual_temperature(self) -> &'static str {
        match self {
            Simclr => "SimCLR uses 0.1 on ImageNet, 0.5 on CIFAR-10",
            Swav => "SwAV uses 0.1",
            _ => "MoCo v2 uses 0.2",
        }
    }

    /// Refuses a param that would be without effect.
    pub fn refuse(self, param: Param, got: impl Display) -> Result<(), Refusal> {
        if self.has(param) {
            return Ok(());
        }
        let owners: Vec<String> = param
            .owners()
            .iter()
            .map(|owner| format!("`{}`", owner.name()))
            .collect();
        Err(invalid(
            param.key(),
            &format!(
                "nothing, since objective `{}` has no such param",
                self.name()
            ),
            got,
            &format!("leave the key out; {} has it", owners.join(" or ")),
        ))
    }
}

impl Param {
    pub fn key(self) -> &'static str {
        match self {
            Param::Version => "version",
            Param::Queue => "queue",
            Param::QueueFromEpoch => "queue_from_epoch",
            Param::Temperature => "temperature",
            Param::EncoderMomentum => "encoder_momentum",
            Param::Prototypes => "prototypes",
            Param::FreezePrototypesEpochs => "freeze_prototypes_epochs",
            Param::SinkhornEpsilon => "sinkhorn_epsilon",
            Param::SinkhornIterations => "sinkhorn_iterations",
            Param::SmallCrops => "small_crops",
            Param::Head => "network.head",
        }
    }

    /// The objectives that have it.
    fn owners(self) -> &'static [Objective] {
        match self {
            Param::Version | Param::EncoderMomentum => &[Moco],
            Param::Queue => &[Moco, Swav],
            Param::Temperature | Param::Head => &[Moco, Simclr, Swav],
            Param::QueueFromEpoch
            | Param::Prototypes
            | Param::FreezePrototypesEpochs
            | Param::SinkhornEpsilon
            | Param::SinkhornIterations
            | Param::SmallCrops => &[Swav],
        }
    }
}
