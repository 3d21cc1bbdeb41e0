//! The loop itself: updates of the weights, each by the mean gradient of one or several batches.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use seedpipe_artifact::MetricRow;
use seedpipe_base::Refusal;
use seedpipe_engine::{Cancelled, Reached, StageContext, fault};
use seedpipe_learn::average::Average;
use seedpipe_learn::loss_scale::LossScale;
use seedpipe_learn::network::Precision;
use seedpipe_learn::optimiser::{Optimiser, Parameter, clipping};
use seedpipe_learn::recompute::Recomputing;
use seedpipe_learn::schedule::Length;
use seedpipe_learn::training_state::TrainingState;
use serde_json::json;

use super::checkpoints::Checkpoints;
use super::evaluating::Evaluating;
use super::feeding::{BatchRange, Feeding};
use super::learner::{Batch, Learner, Samples};
use super::loop_state::LoopState;
use super::options::TrainingOptions;
use super::orders::Orders;
use super::progress::TrainingProgress;

/// Prefixes in a checkpoint of the optimiser's memory and of the weights' average.
const OPTIMISER: &str = "momentum.";
const AVERAGE: &str = "training.average.";
/// Images that an error names.
const NAMED: usize = 16;

pub struct Trainer<'a, L> {
    context: &'a StageContext<'a>,
    options: &'a TrainingOptions,
    samples: &'a Samples,
    learner: &'a mut L,
    optimiser: Optimiser,
    average: Option<Average>,
    evaluating: Option<Evaluating<'a>>,
    checkpoints: Checkpoints<'a>,
    state: LoopState,
    /// In updates.
    length: Length,
    /// Updates that were done when it began.
    first: u64,
    /// The update at hand.
    now: Update,
    /// Time in losses, gradients and updates.
    computed: Duration,
    /// Time in looks at the accuracy.
    evaluated: Duration,
}

/// An update, for the error that it may end in.
#[derive(Default)]
struct Update {
    step: u64,
    learning_rate: f64,
    /// Mean of its batches.
    loss: f64,
    /// Of all samples that it has seen.
    positions: Vec<u32>,
}

impl<'a, L: Learner> Trainer<'a, L> {
    /// As the newest checkpoint left it, or at the start.
    pub fn new(
        context: &'a StageContext<'a>,
        options: &'a TrainingOptions,
        samples: &'a Samples,
        learner: &'a mut L,
    ) -> Result<Self> {
        let steps_per_epoch = steps_per_epoch(context, options, samples)?;
        let parameters = learner.trainable().into_iter().map(|(name, tensor)| {
            let learning_rate_factor = learner.learning_rate_factor(&name);
            Parameter {
                name,
                tensor,
                learning_rate_factor,
            }
        });
        let mut trainer = Trainer {
            context,
            options,
            samples,
            optimiser: Optimiser::new(parameters, &options.optimiser),
            average: options
                .average
                .map(|average| Average::new(learner.averaged(), average.decay)),
            evaluating: Evaluating::new(context, options, samples, learner.network())?,
            learner,
            checkpoints: Checkpoints::new(context, options, steps_per_epoch),
            state: LoopState {
                loss_scale: (options.precision == Precision::F16).then(LossScale::default),
                ..LoopState::default()
            },
            length: Length {
                epochs: options.epochs,
                steps_per_epoch,
            },
            first: 0,
            now: Update::default(),
            computed: Duration::ZERO,
            evaluated: Duration::ZERO,
        };
        match trainer.checkpoints.newest()? {
            Some(state) => trainer
                .restore(&state)
                .context("restoring the newest checkpoint")?,
            None if context.nudged() => trainer.nudge(),
            None => {}
        }
        Ok(trainer)
    }

    /// Moves all numbers that are learned by as much as many roundings do.
    fn nudge(&self) {
        const STEP: f64 = 1.0 + 64.0 * f32::EPSILON as f64;
        for (_, mut tensor) in self.learner.trainable() {
            tch::no_grad(|| {
                let _ = tensor.g_mul_scalar_(STEP);
            });
        }
    }

    fn restore(&mut self, state: &TrainingState) -> Result<()> {
        self.learner.restore(state)?;
        self.optimiser.load_buffers(state.take_all(OPTIMISER))?;
        if let Some(average) = &mut self.average {
            average.load(state.take_all(AVERAGE))?;
        }
        self.state = serde_json::from_value(state.scalars["loop"].clone())
            .context("reading the loop's own state")?;
        self.first = state.step;
        Ok(())
    }

    /// Trains to the end. The learner is left with the weights that are to be kept.
    pub fn run(mut self) -> Result<Vec<MetricRow>> {
        let (steps, first) = (self.steps(), self.first);
        let batches = self.options.accumulate;
        let per_epoch = self.length.steps_per_epoch * batches;
        let positions = self.samples.positions.clone();
        let orders = Orders::of(self.context, self.options, positions, per_epoch);
        let span = BatchRange {
            first: first * batches,
            end: steps * batches,
            steps_per_epoch: per_epoch,
            batch: self.options.batch,
        };
        let mut feeding = Feeding::start(self.samples, &orders, span)?;
        let images = self.options.batch as u64 * batches;
        self.context.progress().begin(
            self.context.stage(),
            "images",
            steps * images,
            first * images,
        );
        self.context.progress().steps_begin(first);
        let begun = Instant::now();
        for step in first..steps {
            self.go_on(step)?;
            self.update(step, &orders, &mut feeding)?;
            let done = step + 1;
            let gauges = self.learner.gauges();
            let (loss, rate) = (self.now.loss, self.now.learning_rate);
            self.progress()
                .step(done, loss, rate, &gauges, feeding.waited());
            if done.is_multiple_of(self.length.steps_per_epoch) {
                self.end_epoch(done, gauges);
            }
            fault::point("training.step")?;
            if done < steps && self.checkpoints.are_due(done) {
                self.keep(done)?;
            }
        }
        self.context.progress().finish();
        if self.evaluating.is_some() {
            self.keep(steps)?; // a stop in the last look loses the look alone
        } else {
            self.whole_state(steps)?;
        }
        if let Some(average) = &self.average {
            average.write_back();
        }
        self.evaluate(steps)?;

        let seconds = begun.elapsed().as_secs_f64().max(1e-9);
        let rate =
            ((steps - first) * images) as f64 / (seconds - self.evaluated.as_secs_f64()).max(1e-9);
        let waited = feeding.waited().as_secs_f64();
        self.context
            .telemetry("train_seconds", begun.elapsed().as_secs_f64());
        self.context.telemetry("images_per_second", rate);
        self.context.telemetry("waiting_share", waited / seconds);
        self.context
            .telemetry("computing_share", self.computed.as_secs_f64() / seconds);
        if self.evaluating.is_some() {
            let share = self.evaluated.as_secs_f64() / seconds;
            self.context.telemetry("evaluating_share", share);
        }
        let named = self.evaluating.as_ref();
        Ok(self
            .state
            .metrics(named.map(|evaluating| (evaluating.split(), evaluating.name()))))
    }

    fn progress(&self) -> TrainingProgress<'_> {
        TrainingProgress {
            progress: self.context.progress(),
            length: self.length,
        }
    }

    /// Updates of the whole training.
    fn steps(&self) -> u64 {
        self.length.steps_per_epoch * u64::from(self.length.epochs)
    }

    /// Looks at the accuracy where an epoch ended, and goes on; on the wish to stop keeps what was
    /// learned.
    fn go_on(&mut self, done: u64) -> Result<()> {
        let outcome = self
            .context
            .check_cancelled()
            .and_then(|()| self.evaluate(done));
        if outcome.as_ref().is_err_and(|error| error.is::<Cancelled>()) && done > 0 {
            self.keep(done)?;
            let steps = self.steps();
            self.context.warn(format!(
                "stopped after step {done} of {steps}, which is kept"
            ));
        }
        outcome
    }

    /// Writes a checkpoint, if there is none of this step yet.
    fn keep(&mut self, done: u64) -> Result<()> {
        if self.checkpoints.last_step() == Some(done) {
            return Ok(());
        }
        let state = self.whole_state(done)?;
        self.checkpoints.save(&state)?;
        let epoch = done.div_ceil(self.length.steps_per_epoch);
        self.context.reached(&[
            Reached::new("epoch", epoch, self.length.epochs.into()),
            Reached::new("step", done, self.steps()),
        ])
    }

    /// One update of the weights by the mean gradient of its batches.
    fn update(&mut self, step: u64, orders: &Orders, feeding: &mut Feeding) -> Result<()> {
        self.now = Update {
            step,
            learning_rate: self.learning_rate(step),
            ..Update::default()
        };
        self.optimiser.zero_grad();
        let batches = self.options.accumulate;
        for batch in step * batches..(step + 1) * batches {
            let positions = orders.batch(batch);
            self.now.positions.extend(&positions);
            let crops = feeding.next()?;
            let begun = Instant::now();
            let batch = Batch {
                crops: &crops,
                positions: &positions,
                epoch: (step / self.length.steps_per_epoch) as u32,
                step: batch,
                begins_update: batch % batches == 0,
            };
            let loss = self.add_gradients(&batch)?;
            self.state.loss_sum += loss;
            self.now.loss += loss / batches as f64;
            self.learner.remember(&batch)?;
            self.computed += begun.elapsed();
            self.context.progress().advance(positions.len() as u64);
        }
        let begun = Instant::now();
        self.descend()?;
        self.computed += begun.elapsed();
        Ok(())
    }

    fn learning_rate(&self, step: u64) -> f64 {
        let images = self.options.batch as u64 * self.options.accumulate;
        let multiplier = self.options.scale_learning_rate.factor(images);
        let base = self.options.learning_rate;
        self.options
            .schedule
            .learning_rate(base, multiplier, step, self.length)
    }

    /// Adds a batch's share of the update's gradients, times the loss scale in f16; gives its loss.
    fn add_gradients(&mut self, batch: &Batch) -> Result<f64> {
        let recomputing = self.options.recompute.then(Recomputing::begin);
        let loss = self.learner.loss(batch)?;
        let factor = self.loss_scale() / self.options.accumulate as f64;
        let scaled = if factor == 1.0 {
            loss.shallow_clone()
        } else {
            &loss * factor
        };
        match recomputing {
            Some(recomputing) => recomputing.backward(&scaled),
            None => scaled.backward(),
        }
        // Only now: on a GPU reading a number waits for all that was queued before, and the
        // backward pass would be queued late.
        let value = loss.double_value(&[]);
        if !value.is_finite() {
            return Err(self.diverged(&format!("the loss became {value}")));
        }
        Ok(value)
    }

    fn loss_scale(&self) -> f64 {
        let scale = self.state.loss_scale.as_ref();
        scale.map_or(1.0, LossScale::factor)
    }

    /// One step against the gradients; none when they overflowed in f16.
    fn descend(&mut self) -> Result<()> {
        let scale = self.loss_scale();
        let norm = self.optimiser.gradient_norm() / scale;
        if !norm.is_finite() {
            if let Some(loss_scale) = &mut self.state.loss_scale
                && loss_scale.overflowed()
            {
                return Ok(());
            }
            return Err(self.diverged(&format!("the gradient's norm became {norm}")));
        }
        let mut factor = 1.0 / scale;
        if let Some(bound) = self.options.clip_gradient_norm {
            self.state.norm_sum += norm;
            factor *= clipping(norm, bound);
        }
        if factor != 1.0 {
            self.optimiser.scale_gradients(factor);
        }
        self.optimiser.step(self.now.learning_rate);
        if let Some(loss_scale) = &mut self.state.loss_scale {
            loss_scale.went_well();
        }
        if let Some(average) = &mut self.average {
            average.update();
        }
        Ok(())
    }

    fn end_epoch(&mut self, done: u64, gauges: Vec<(&'static str, f64)>) {
        let steps = self.length.steps_per_epoch;
        let mean = self.state.loss_sum / (steps * self.options.accumulate) as f64;
        let norm = self.state.norm_sum / steps as f64;
        (self.state.loss_sum, self.state.norm_sum) = (0.0, 0.0);
        self.state.record(done, "loss", mean);
        self.state
            .record(done, "learning_rate", self.now.learning_rate);
        if self.options.clip_gradient_norm.is_some() {
            self.state.record(done, "gradient_norm", norm);
        }
        if let Some(scale) = &self.state.loss_scale {
            let factor = scale.factor();
            self.state.record(done, "loss_scale", factor);
        }
        for (name, value) in gauges {
            self.state.record(done, name, value);
        }
        self.progress().epoch(done, &self.state);
    }

    /// A look at the accuracy after an epoch, if one is due and wasn't taken yet.
    fn evaluate(&mut self, done: u64) -> Result<()> {
        let Some(evaluating) = &self.evaluating else {
            return Ok(());
        };
        let (steps, last) = (self.length.steps_per_epoch, done == self.steps());
        let ended = done > 0 && done.is_multiple_of(steps);
        let looked = self.state.accuracies.last().map(|&(step, _)| step);
        if !ended || looked == Some(done) || !evaluating.is_due(done / steps, last) {
            return Ok(());
        }
        let begun = Instant::now();
        let accuracy = evaluating.accuracy(self.learner.network())?;
        self.progress()
            .accuracy(done, evaluating.split(), evaluating.name(), accuracy);
        self.state.accuracies.push((done, accuracy));
        self.evaluated += begun.elapsed();
        Ok(())
    }

    /// All that a resumed training needs. Fails when a number of it is not finite any more: no
    /// checkpoint and no result holds such.
    fn whole_state(&self, done: u64) -> Result<TrainingState> {
        let mut state = TrainingState::new(done, json!({ "loop": self.state }));
        self.learner.save(&mut state);
        state.insert_all(OPTIMISER, self.optimiser.buffers());
        if let Some(average) = &self.average {
            state.insert_all(AVERAGE, average.tensors());
        }
        match state.first_not_finite() {
            None => Ok(state),
            Some(name) => Err(self.diverged(&format!("`{name}` became infinite or NaN"))),
        }
    }

    /// The error of a number that is not one any more.
    fn diverged(&self, what: &str) -> anyhow::Error {
        let now = &self.now;
        let viewed = &self.samples.crops[0].viewed;
        let mut images: Vec<String> = now
            .positions
            .iter()
            .take(NAMED)
            .map(|&position| {
                let row = viewed.image(position as usize);
                self.samples.pictures.describe(row)
            })
            .collect();
        if let Some(more) = now.positions.len().checked_sub(NAMED + 1) {
            images.push(format!("{} more", more + 1));
        }
        let kept = match self.checkpoints.last_step() {
            Some(step) => format!("the checkpoint after step {step} is kept"),
            None => "there is no checkpoint yet".to_owned(),
        };
        anyhow!(
            Refusal::failure(format!(
                "{what} at step {} (epoch {}) with learning rate {:e}; its batch was {}",
                now.step,
                now.step / self.length.steps_per_epoch,
                now.learning_rate,
                images.join(", ")
            ))
            .hint(format!(
                "lower `training.learning_rate`, lengthen the warm-up, set `training.clip_gradient_norm`, or try `precision: f32`; {kept}"
            ))
        )
    }
}

/// Updates in an epoch: whole batches, and whole updates.
fn steps_per_epoch(
    context: &StageContext,
    options: &TrainingOptions,
    samples: &Samples,
) -> Result<u64> {
    let images = samples.positions.len();
    let steps = options.steps_per_epoch(images);
    if steps > 0 {
        return Ok(steps);
    }
    let (stage, batch) = (context.stage(), options.batch);
    if options.accumulate == 1 {
        bail!(
            Refusal::failure(format!(
                "expected at most the {images} images that there are to train on, got {batch}"
            ))
            .stage(stage)
            .key("training.batch")
            .hint("make the batch smaller")
        );
    }
    bail!(
        Refusal::failure(format!(
            "expected at most the {} batches that an epoch has, got {}",
            images / batch,
            options.accumulate
        ))
        .stage(stage)
        .key("training.accumulate")
        .hint("make `accumulate` or the batch smaller")
    )
}
