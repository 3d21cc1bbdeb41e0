//! How a network is trained: the `training:` block of the training stages.

use schemars::JsonSchema;
use seedpipe_engine::Invalid;
use seedpipe_learn::network::Precision;
use seedpipe_learn::optimiser::OptimiserOptions;
use seedpipe_learn::schedule::Schedule;
use serde::{Deserialize, Serialize};

use crate::invalid::{at_least, invalid, positive};

/// How a network is trained: the `training:` block of the training stages.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingOptions {
    /// Passes over the viewed images.
    pub epochs: u32,
    /// Images in a step; the last, partial batch of an epoch is dropped.
    pub batch: usize,
    /// Learning rate of the optimiser, before the schedule.
    pub learning_rate: f64,
    /// Multiply the learning rate by batch / 256.
    pub scale_learning_rate: bool,
    pub schedule: Schedule,
    pub optimiser: OptimiserOptions,
    /// `f32`, or `bf16` for autocast with weights kept in f32.
    pub precision: Precision,
    /// Threads of the network's computation on a CPU: part of the recipe, since sums depend on it.
    pub threads: usize,
    /// Steps between checkpoints; 0: one after each epoch. No part of the recipe.
    pub checkpoint_steps: u64,
    /// A checkpoint is also written when the last one is that many minutes old; 0: never. No part of the recipe.
    pub checkpoint_minutes: f64,
}

/// What of the `training:` block decides how a training is done and not what it learns.
pub const HOW: &[&str] = &["training.checkpoint_steps", "training.checkpoint_minutes"];

impl Default for TrainingOptions {
    fn default() -> Self {
        TrainingOptions {
            epochs: 200,
            batch: 256,
            learning_rate: 0.03,
            scale_learning_rate: false,
            schedule: Schedule::default(),
            optimiser: OptimiserOptions::default(),
            precision: Precision::F32,
            threads: 2,
            checkpoint_steps: 0,
            checkpoint_minutes: 10.0,
        }
    }
}

impl TrainingOptions {
    pub fn validate(&self) -> Result<(), Invalid> {
        at_least("training.epochs", u64::from(self.epochs), 1)?;
        at_least("training.batch", self.batch as u64, 1)?;
        at_least("training.threads", self.threads as u64, 1)?;
        positive("training.learning_rate", self.learning_rate)?;
        self.optimiser.validate().map_err(|error| {
            invalid(
                &format!("training.optimiser.{}", error.key),
                error.expected,
                error.got,
                error.hint,
            )
        })?;
        if !(self.checkpoint_minutes >= 0.0 && self.checkpoint_minutes.is_finite()) {
            return Err(invalid(
                "training.checkpoint_minutes",
                "at least 0",
                self.checkpoint_minutes,
                "0 leaves it to `checkpoint_steps`",
            ));
        }
        self.schedule.validate(self.epochs).map_err(|error| {
            invalid(
                "training.schedule",
                "a schedule that fits the epochs",
                error,
                "see `training.epochs`",
            )
        })
    }
}
