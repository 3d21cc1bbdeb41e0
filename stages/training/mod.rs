//! The loop that `pretrain`, `distill` and `finetune` share: keyed sample order, rendered batches, learning rate, optimiser, exact
//! resume, metrics. What the loss of a batch is, is the stage's own [`Learner`].
//!
//! Invariant: weights after step n depend on the recipe and the inputs alone, however often the run was interrupted.

mod checkpoints;
mod feeding;
mod learner;
mod options;
mod orders;

use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use seedpipe_artifact::MetricRow;
use seedpipe_engine::{StageContext, fault};
use seedpipe_learn::device::set_threads;
use seedpipe_learn::optimiser::Optimiser;
use seedpipe_learn::schedule::Length;
use seedpipe_learn::training_state::TrainingState;
use serde::{Deserialize, Serialize};
use serde_json::json;

use checkpoints::Checkpoints;
use feeding::{Feeding, Span};
pub use learner::{Batch, Crops, Learner, Samples};
pub use options::{HOW, TrainingOptions};
use orders::Orders;

/// Prefix of the optimiser's memory in a checkpoint.
const OPTIMISER: &str = "momentum.";

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

    let mut optimiser = Optimiser::new(learner.trainable(), &options.optimiser);
    let mut loop_state = LoopState::default();
    let mut checkpoints = Checkpoints::new(context, options, steps_per_epoch);
    let resumed = checkpoints.newest()?;
    let first = match &resumed {
        None => 0,
        Some(state) => {
            learner
                .restore(state)
                .context("restoring the newest checkpoint")?;
            optimiser
                .load_buffers(state.take_all(OPTIMISER))
                .context("restoring the newest checkpoint")?;
            loop_state = serde_json::from_value(state.scalars["loop"].clone())
                .context("reading the newest checkpoint")?;
            state.step
        }
    };
    drop(resumed);

    let orders = Orders::of(context, options, samples.positions.clone(), steps_per_epoch);
    let span = Span {
        first,
        end: steps,
        steps_per_epoch,
        batch: options.batch,
    };
    let mut feeding = Feeding::start(samples, &orders, span)?;
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
        let positions = orders.batch(step);
        let crops = feeding.next()?;
        let batch = Batch {
            crops: &crops,
            positions: &positions,
            epoch: (step / steps_per_epoch) as u32,
            step,
        };
        let learning_rate =
            options
                .schedule
                .learning_rate(options.learning_rate, multiplier, step, length);
        let loss = learner.loss(&batch)?;
        let value = loss.double_value(&[]);
        if !value.is_finite() {
            return Err(diverged(value, learning_rate, &batch, samples));
        }
        optimiser.zero_grad();
        loss.backward();
        drop(loss);
        optimiser.step(learning_rate);
        learner.remember(&batch)?;

        loop_state.loss_sum += value;
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
                batch.epoch + 1,
                options.epochs
            ));
        }
        fault::point("training.step")?;
        if done < steps && checkpoints.are_due(done) {
            let mut state = TrainingState::new(done, json!({ "loop": loop_state }));
            learner.save(&mut state);
            state.insert_all(OPTIMISER, optimiser.buffers());
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
        feeding.waited().as_secs_f64() / seconds.max(1e-9),
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

/// The error of a loss that is not a number any more.
fn diverged(loss: f64, learning_rate: f64, batch: &Batch, samples: &Samples) -> anyhow::Error {
    let viewed = &samples.crops[0].viewed;
    let images: Vec<String> = batch
        .positions
        .iter()
        .take(8)
        .map(|&position| samples.pictures.describe(viewed.image(position as usize)))
        .collect();
    anyhow!(
        "the loss became {loss} at step {} (epoch {}) with learning rate {learning_rate:e}; the batch begins with {}\nhint: lower `training.learning_rate`, lengthen the warm-up, or try `precision: f32`; the last good checkpoint is kept",
        batch.step,
        batch.epoch,
        images.join(", ")
    )
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
