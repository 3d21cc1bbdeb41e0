//! How a network is trained: the `training:` block of the training stages.

use schemars::JsonSchema;
use seedpipe_base::Refusal;
use seedpipe_imaging::Decode;
use seedpipe_learn::network::Precision;
use seedpipe_learn::optimiser::OptimiserOptions;
use seedpipe_learn::schedule::Schedule;
use serde::{Deserialize, Serialize};

use super::scaling::Scaling;
use crate::shared::invalid::{Counted, count, invalid, positive};
use crate::shared::selection::test_split;
use crate::shared::written::Written;

/// How a network is trained: the `training:` block of the training stages. Some objectives have
/// epochs, learning rate, schedule or optimiser of their own where they are left out.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingOptions {
    /// Passes over the viewed images.
    pub epochs: u32,
    /// Images in a batch; the last, partial batch of an epoch is dropped.
    pub batch: usize,
    /// Batches whose mean gradient one update of the weights follows, default 1. A step is an
    /// update: schedule, metrics and checkpoints count these, and an epoch is a whole number of
    /// them. Batch norms, queues and losses see single batches.
    pub accumulate: u64,
    /// Learning rate of the optimiser, before the schedule.
    pub learning_rate: f64,
    /// `true`: multiply the learning rate by batch · accumulate / 256; `sqrt`: by the square root
    /// of that. Default: no; an objective's own default counts as long as `learning_rate` is left
    /// out.
    pub scale_learning_rate: Scaling,
    /// How the learning rate moves; default: a cosine down to 0 without warm-up.
    pub schedule: Schedule,
    /// The rule of an update and its numbers, apart from the learning rate; default: `sgd`.
    pub optimiser: OptimiserOptions,
    /// Greatest length of the gradient; a longer one is shortened to it. Absent: any length. The
    /// metric `gradient_norm` is the mean length before that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clip_gradient_norm: Option<f64>,
    /// Keep a moving average of the weights and of the batch norms' statistics, which is what is
    /// saved and evaluated in the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub average: Option<AverageOptions>,
    /// `f32`, or `bf16` or `f16` for autocast with weights kept in f32; `f16`, meant for CUDA,
    /// scales the loss.
    pub precision: Precision,
    /// Keep only some activations for the backward pass and compute the others again: a third more
    /// work, far less memory, the same result. Default: no.
    pub recompute: bool,
    /// Look at the accuracy while training: a curve `running_knn_top1` (of nearest neighbours) or
    /// `running_top1` (of the network's own classifier). It takes time and changes nothing of the
    /// network. Absent: no look.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub evaluate: Option<EvaluateOptions>,
    /// How JPEG files are decoded: `exact` (default), or `fast`: scaled down where all views of an
    /// image want at most half of it.
    pub decode: Decode,
    /// Threads of the network's computation on a CPU: part of the recipe, since sums depend on it.
    pub threads: usize,
    /// Steps between checkpoints; 0: one after each epoch. No part of the recipe.
    pub checkpoint_steps: u64,
    /// A checkpoint is also written when the last one is that many minutes old; 0: never. No part
    /// of the recipe.
    pub checkpoint_minutes: f64,
}

/// A moving average of the weights.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct AverageOptions {
    /// What an update keeps of the average, 0 to below 1.
    pub decay: f64,
}

/// Looks at the accuracy while training. The images must have labels.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EvaluateOptions {
    /// Epochs from one look to the next; the last epoch is always looked at, and it alone after the
    /// weights were averaged.
    pub every: u32,
    /// The split that is judged.
    pub split: String,
    /// Labelled images of `split` at most, the same at each look.
    pub images: usize,
    /// Labelled images of split `train` at most, whose 20 nearest vote; ignored where the network
    /// has a classifier.
    pub bank: usize,
}

impl Default for EvaluateOptions {
    fn default() -> Self {
        EvaluateOptions {
            every: 1,
            split: test_split(),
            images: 1_000,
            bank: 2_000,
        }
    }
}

impl EvaluateOptions {
    fn validate(&self) -> Result<(), Refusal> {
        count(
            "training.evaluate.every",
            u64::from(self.every),
            1,
            Counted::Rounds,
        )?;
        count(
            "training.evaluate.images",
            self.images as u64,
            1,
            Counted::Rows,
        )?;
        count("training.evaluate.bank", self.bank as u64, 1, Counted::Rows)
    }
}

impl Default for AverageOptions {
    fn default() -> Self {
        AverageOptions { decay: 0.999 }
    }
}

/// What of the `training:` block decides how a training is done and not what it learns.
pub const HOW: &[&str] = &["training.checkpoint_steps", "training.checkpoint_minutes"];

impl Default for TrainingOptions {
    fn default() -> Self {
        TrainingOptions {
            epochs: 200,
            batch: 256,
            accumulate: 1,
            learning_rate: 0.03,
            scale_learning_rate: Scaling::NONE,
            schedule: Schedule::default(),
            optimiser: OptimiserOptions::default(),
            clip_gradient_norm: None,
            average: None,
            precision: Precision::F32,
            recompute: false,
            evaluate: None,
            decode: Decode::Exact,
            threads: 2,
            checkpoint_steps: 0,
            checkpoint_minutes: 10.0,
        }
    }
}

impl Written<TrainingOptions> {
    /// What was left out becomes the objective's. A schedule is scaled to the epochs that were
    /// written; a learning rate that was written is not scaled.
    pub fn fill(&mut self, usual: TrainingOptions) {
        let [epochs, schedule, optimiser, rate, scale] = [
            "epochs",
            "schedule",
            "optimiser",
            "learning_rate",
            "scale_learning_rate",
        ]
        .map(|key| self.has(key));
        if !epochs {
            self.epochs = usual.epochs;
        }
        if !schedule {
            self.schedule = usual.schedule.scaled(usual.epochs, self.epochs);
        }
        if !optimiser {
            self.optimiser = usual.optimiser;
        }
        if !rate {
            self.learning_rate = usual.learning_rate;
            if !scale {
                self.scale_learning_rate = usual.scale_learning_rate;
            }
        }
    }
}

impl TrainingOptions {
    /// Whole updates in an epoch over `images`.
    pub fn steps_per_epoch(&self, images: usize) -> u64 {
        (images / self.batch) as u64 / self.accumulate
    }

    pub fn validate(&self) -> Result<(), Refusal> {
        count(
            "training.epochs",
            u64::from(self.epochs),
            1,
            Counted::Rounds,
        )?;
        count("training.batch", self.batch as u64, 1, Counted::AtOnce)?;
        count("training.accumulate", self.accumulate, 1, Counted::Rounds)?;
        count("training.threads", self.threads as u64, 1, Counted::Threads)?;
        positive("training.learning_rate", self.learning_rate)?;
        if let Some(bound) = self.clip_gradient_norm {
            positive("training.clip_gradient_norm", bound)?;
        }
        if let Some(AverageOptions { decay }) = self.average
            && !(0.0..1.0).contains(&decay)
        {
            return Err(invalid(
                "training.average.decay",
                "at least 0 and below 1",
                decay,
                "0.999 averages over about a thousand updates",
            ));
        }
        self.evaluate
            .iter()
            .try_for_each(EvaluateOptions::validate)?;
        let optimiser = self.optimiser.validate();
        optimiser.map_err(|refusal| refusal.within("training.optimiser"))?;
        if !(0.0..=1e6).contains(&self.checkpoint_minutes) {
            return Err(invalid(
                "training.checkpoint_minutes",
                "0 to 1000000",
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn options(block: Value) -> TrainingOptions {
        serde_json::from_value(block).unwrap()
    }

    #[test]
    fn a_recipe_names_every_default_and_nothing_that_is_absent() {
        let written = serde_json::to_value(TrainingOptions::default()).unwrap();
        let keys: Vec<&String> = written.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "accumulate",
                "batch",
                "checkpoint_minutes",
                "checkpoint_steps",
                "decode",
                "epochs",
                "learning_rate",
                "optimiser",
                "precision",
                "recompute",
                "scale_learning_rate",
                "schedule",
                "threads"
            ]
        );
        assert_eq!(
            written["schedule"],
            json!({"kind": "cosine", "warmup_epochs": 0.0, "per": "step"})
        );
    }

    #[test]
    fn what_cannot_be_is_refused_by_its_key() {
        for (block, key) in [
            (json!({"accumulate": 0}), "training.accumulate"),
            (
                json!({"clip_gradient_norm": 0}),
                "training.clip_gradient_norm",
            ),
            (json!({"average": {"decay": 1}}), "training.average.decay"),
            (json!({"evaluate": {"every": 0}}), "training.evaluate.every"),
            (
                json!({"optimiser": {"kind": "adamw", "epsilon": 0}}),
                "training.optimiser.epsilon",
            ),
            (
                json!({"schedule": {"kind": "constant", "warmup_epochs": 200}}),
                "training.schedule",
            ),
        ] {
            assert_eq!(
                options(block).validate().unwrap_err().key.as_deref(),
                Some(key)
            );
        }
        let used = json!({"average": {}, "evaluate": {}, "accumulate": 4, "recompute": true, "precision": "f16"});
        assert!(options(used).validate().is_ok());
    }
}
