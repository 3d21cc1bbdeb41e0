//! The loop that `pretrain`, `distill` and `finetune` share: keyed sample order, rendered batches, learning rate, exact
//! resume, metrics. What a step computes is the stage's own `Learner`.
//!
//! Invariant: weights after step n depend on the recipe and the inputs alone, however often the run was interrupted.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use schemars::JsonSchema;
use seedpipe_artifact::MetricRow;
use seedpipe_engine::{Invalid, StageContext, fault};
use seedpipe_imaging::Normalise;
use seedpipe_learn::device::set_threads;
use seedpipe_learn::network::Precision;
use seedpipe_learn::schedule::{Length, Schedule};
use seedpipe_learn::sgd::SgdOptions;
use seedpipe_learn::training_state::TrainingState;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tch::{Device, Tensor};

use crate::checkpoints::Checkpoints;
use crate::feed::{Feed, Frame, Job, workers};
use crate::invalid::{at_least, invalid, positive};
use crate::orders::Orders;
use crate::pictures::Pictures;
use crate::viewed::Viewed;

/// How a network is trained: the `training:` block of the training stages.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TrainingOptions {
    /// Passes over the viewed images.
    pub epochs: u32,
    /// Images in a step; the last, partial batch of an epoch is dropped.
    pub batch: usize,
    /// Learning rate of SGD, before the schedule.
    pub learning_rate: f64,
    /// Multiply the learning rate by batch / 256.
    pub scale_learning_rate: bool,
    pub schedule: Schedule,
    pub sgd: SgdOptions,
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
            sgd: SgdOptions::default(),
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
        if !(0.0..1.0).contains(&self.sgd.momentum) {
            return Err(invalid(
                "training.sgd.momentum",
                "at least 0 and below 1",
                self.sgd.momentum,
                "SEED uses 0.9",
            ));
        }
        if !(self.sgd.weight_decay >= 0.0 && self.sgd.weight_decay.is_finite()) {
            return Err(invalid(
                "training.sgd.weight_decay",
                "at least 0",
                self.sgd.weight_decay,
                "SEED uses 1e-4",
            ));
        }
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

/// What a training stage computes in a step, and what it must carry over an interruption.
pub trait Learner {
    /// Updates the weights from one batch and returns its loss.
    ///
    /// # Shapes
    /// - `images`: `[batch × views of a sample, 3, size, size]`, the views of a sample beside each other
    /// - `positions`: `[batch]` positions among the viewed images
    fn step(
        &mut self,
        images: &Tensor,
        positions: &[u32],
        epoch: u32,
        learning_rate: f64,
    ) -> Result<f64>;
    /// Numbers to report at the end of an epoch.
    fn gauges(&self) -> Vec<(&'static str, f64)>;
    fn save(&self, state: &mut TrainingState);
    fn restore(&mut self, state: &TrainingState) -> Result<()>;
}

/// What is trained on.
pub struct Samples {
    pub pictures: Arc<Pictures>,
    pub viewed: Arc<Viewed>,
    /// Positions among the viewed images that are trained on.
    pub positions: Arc<Vec<u32>>,
    pub normalise: Normalise,
    /// Views of a sample in a step: 1, or 2 for a contrastive pair. Epoch e takes views e·n … e·n + n − 1, cycled.
    pub views: usize,
    pub device: Device,
}

/// Trains from the newest checkpoint, or from the start, to the end.
pub fn train(
    context: &StageContext,
    options: &TrainingOptions,
    samples: &Samples,
    learner: &mut impl Learner,
) -> Result<Vec<MetricRow>> {
    set_threads(options.threads);
    let steps_per_epoch = (samples.positions.len() / options.batch) as u64;
    if steps_per_epoch == 0 {
        bail!(
            "stage `{}`: key `training.batch`: expected at most the {} images that there are to train on, got {}\nhint: make the batch smaller",
            context.stage(),
            samples.positions.len(),
            options.batch
        );
    }
    let length = Length {
        epochs: options.epochs,
        steps_per_epoch,
    };
    let steps = steps_per_epoch * u64::from(options.epochs);
    let multiplier = if options.scale_learning_rate {
        options.batch as f64 / 256.0
    } else {
        1.0
    };

    let mut loop_state = LoopState::default();
    let mut checkpoints = Checkpoints::new(context, options, steps_per_epoch);
    let resumed = checkpoints.newest()?;
    let first = match &resumed {
        None => 0,
        Some(state) => {
            learner
                .restore(state)
                .context("restoring the newest checkpoint")?;
            loop_state = serde_json::from_value(state.scalars["loop"].clone())
                .context("reading the newest checkpoint")?;
            state.step
        }
    };
    drop(resumed);

    let orders = Orders::of(context, options, samples.positions.clone(), steps_per_epoch);
    let device = samples.device;
    let mut feed = start_feed(samples, options, orders.clone(), first, steps)?;
    let progress = context.progress();
    let images_per_step = options.batch as u64;
    progress.begin(
        context.stage(),
        "images",
        steps * images_per_step,
        first * images_per_step,
    );
    let begun = Instant::now();

    for step in first..steps {
        context.check_cancelled().inspect_err(|_| {
            if step > first {
                context.warn(format!("stopped after step {step} of {steps}"));
            }
        })?;
        let epoch = (step / steps_per_epoch) as u32;
        let positions = orders.batch(step);
        let learning_rate =
            options
                .schedule
                .learning_rate(options.learning_rate, multiplier, step, length);
        let images = feed
            .next(device)?
            .context("BUG: the feed ended before the last step")?;
        let loss = learner.step(&images, &positions, epoch, learning_rate)?;
        if !loss.is_finite() {
            let batch: Vec<String> = positions
                .iter()
                .take(8)
                .map(|&position| {
                    samples
                        .pictures
                        .describe(samples.viewed.image(position as usize))
                })
                .collect();
            bail!(
                "the loss became {loss} at step {step} (epoch {epoch}) with learning rate {learning_rate:e}; the batch begins with {}\nhint: lower `training.learning_rate`, lengthen the warm-up, or try `precision: f32`; the last good checkpoint is kept",
                batch.join(", ")
            );
        }
        loop_state.loss_sum += loss;
        progress.advance(images_per_step);
        let done = step + 1;
        if done % steps_per_epoch == 0 {
            let mean = loop_state.loss_sum / steps_per_epoch as f64;
            loop_state.loss_sum = 0.0;
            loop_state.record(done, "loss", mean);
            loop_state.record(done, "learning_rate", learning_rate);
            for (name, value) in learner.gauges() {
                loop_state.record(done, name, value);
            }
            progress.note(&format!(
                "epoch {}/{}, loss {mean:.4}",
                epoch + 1,
                options.epochs
            ));
        }
        fault::point("training.step")?;
        if done < steps && checkpoints.are_due(done) {
            let mut state = TrainingState::new(done, json!({ "loop": loop_state }));
            learner.save(&mut state);
            checkpoints.save(&state)?;
        }
    }
    progress.finish();

    let seconds = begun.elapsed().as_secs_f64();
    context.telemetry("train_seconds", seconds);
    context.telemetry(
        "images_per_second",
        ((steps - first) * images_per_step) as f64 / seconds.max(1e-9),
    );
    context.telemetry(
        "waiting_share",
        feed.waited().as_secs_f64() / seconds.max(1e-9),
    );
    Ok(loop_state
        .rows
        .into_iter()
        .map(|(step, name, value)| MetricRow {
            step,
            split: "train".into(),
            name,
            value,
        })
        .collect())
}

/// The loop's own state in a checkpoint.
#[derive(Default, Serialize, Deserialize)]
struct LoopState {
    /// Sum of the losses since the epoch began.
    loss_sum: f64,
    rows: Vec<(u64, String, f64)>,
}

impl LoopState {
    fn record(&mut self, step: u64, name: &str, value: f64) {
        self.rows.push((step, name.to_owned(), value));
    }
}

fn start_feed(
    samples: &Samples,
    options: &TrainingOptions,
    orders: Orders,
    first: u64,
    steps: u64,
) -> Result<Feed> {
    let steps_per_epoch = steps / u64::from(options.epochs);
    let frame = Frame {
        batch: options.batch * samples.views,
        size: samples.viewed.size(),
        normalise: samples.normalise,
    };
    let orders = orders.apart();
    let viewed = samples.viewed.clone();
    let views = samples.views;
    let mut step = first;
    let mut loaded = (u64::MAX, Vec::new());
    Feed::start(
        samples.pictures.clone(),
        frame,
        workers(samples.device),
        move || {
            if step == steps {
                return Ok(None);
            }
            let epoch = step / steps_per_epoch;
            if loaded.0 != epoch {
                let of_epoch = (0..views as u64)
                    .map(|n| viewed.view_of_epoch(epoch * views as u64 + n))
                    .collect::<Result<Vec<_>>>()?;
                loaded = (epoch, of_epoch);
            }
            let jobs = orders
                .batch(step)
                .into_iter()
                .map(|position| Job {
                    image: viewed.image(position as usize),
                    views: loaded
                        .1
                        .iter()
                        .map(|view| view[position as usize].clone())
                        .collect(),
                })
                .collect();
            step += 1;
            Ok(Some(jobs))
        },
    )
}
